/* SPDX-License-Identifier: Apache-2.0 */
/* A request that is answered from the servers' state: one call of a procedure, then one answer.
 * Owned by the request's arena. Replies that several requests share are encoded once. */
#pragma once
#include "consuld/agent/cache.h"
#include "consuld/face/api.h"
#include "consuld/face/context.h"
#include "consuld/model.h"

enum state_call_flag {
    CALL_READ_HEADERS = 1,    /* X-Consul-Index, -Knownleader, -Lastcontact */
    CALL_CONSISTENCY = 2,     /* X-Consul-Effective-Consistency */
    CALL_ERROR_HEADERS = 4,   /* on errors: index 1, no leader, no contact */
    CALL_NO_INDEX = 8,        /* with CALL_READ_HEADERS: without the index */
    CALL_NAMESPACE_LAST = 16, /* a namespace is refused after wrong parameters, not before */
};

struct state_call {
    struct rpc_call rpc;
    struct error err; /* of rpc */
    struct api_request *req;
    struct api_query q;
    unsigned flags;
    /* What ends the request after success; the JSON of `view` if NULL. */
    void (*finish)(struct state_call *c);
    /* What may change the error of a call before it is answered; NULL: nothing. */
    void (*failed)(struct state_call *c);
    /* The object of the answer, as `type`, made of c->rpc.reply without changing it. Requests with
     * equal view and variant get equal answers from one reply. */
    const void *(*view)(struct state_call *c);
    const struct type *type;
    unsigned variant;
    const void *own; /* what finish needs beside the reply */
    bool retried;    /* a stale answer was too old: asked again of the leader */
    bool cached;     /* the agent's cache answers */
    struct cache_outcome outcome;
};

#define state_context(req) ((struct face_context *)(req)->ctx)
#define state_reply(c, tag) ((const struct tag *)(c)->rpc.reply->record)

/* Answers a request with a namespace or a bad common parameter and returns NULL, else a call with
 * q filled. */
struct state_call *state_call_read(struct api_request *req, unsigned flags);
/* As state_call_read for endpoints without namespaced data. */
struct state_call *state_call_read_global(struct api_request *req, unsigned flags);
/* Without the common read parameters. */
struct state_call *state_call_write(struct api_request *req);
/* The method's argument record, with q in it where it has the fields. */
void state_call_submit(struct state_call *c, const char *method, const void *args);
/* The same, answered by the agent's cache if the request asks for it (?cached), or always. */
void state_call_submit_cached(struct state_call *c, const char *method, const void *args);
void state_call_submit_to_cache(struct state_call *c, const char *method, const void *args);
/* The read headers that the flags ask for: for `finish` functions. */
void state_headers(struct state_call *c);
/* finish: the JSON of view and type, shared where the reply is. */
void state_finish_json(struct state_call *c);
/* finish: `true`, an empty body. */
void state_finish_true(struct state_call *c);
void state_finish_empty(struct state_call *c);
/* Refusals of several endpoints. */
bool state_tail_missing(struct api_request *req, const char *what);
/* "Request decode failed: ..." as 400; the hint about namespaces where the endpoint has them. */
void state_decode_failed(struct api_request *req, const struct error *err, bool namespaced);
/* ?near and ?node-meta. */
void state_source(struct state_call *c, struct query_source *source);
void state_node_meta(struct state_call *c, struct dict *out);
/* A list without elements instead of nil. */
static inline struct list state_list(struct list l)
{
    return l.v ? l : LIST_EMPTY;
}
/* strconv.ParseUint: answers 500 with its text and returns false. */
bool state_parse_u64(struct api_request *req, struct str text, uint64_t *out);
/* strconv.ParseBool */
bool state_parse_bool(struct str text, bool *out);
