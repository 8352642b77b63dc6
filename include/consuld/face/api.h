/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP API front (http-api.md 1, 2.1): listeners, connections and the route table whose
 * dispatcher owns everything that all endpoints share. A handler holds its business rule alone.
 *
 * Invariant: a handler answers exactly once, in its call or later, with one of the api_reply_*
 * functions or a stream; the request is gone when that function returns. */
#pragma once
#include "consuld/base/stream.h"
#include "consuld/wire.h"

struct api;
struct api_request;
struct api_route;

/* --- routes -------------------------------------------------------------------------------- */

/* Methods of a route, in the order in which `Allow` lists them. */
enum api_method { API_OTHER = 0, API_GET = 1, API_POST = 2, API_PUT = 4, API_DELETE = 8 };

enum api_body {
    API_BODY_PLAIN,    /* collected up to API_BODY_MAX */
    API_BODY_KV,       /* limits.kv_max_value_size */
    API_BODY_TXN,      /* limits.txn_max_req_len */
    API_BODY_SNAPSHOT, /* kept in a file up to API_ARCHIVE_MAX: it is in `large` */
};
#define API_BODY_MAX (UINT64_C(8) << 20)
#define API_ARCHIVE_MAX (UINT64_C(4) << 30)

enum api_route_flag {
    API_OWN_METHODS = 1, /* the handler answers OPTIONS and 405 itself (/v1/query/) */
};

typedef void (*api_handler)(struct api_request *req);

/* One row of the table. Patterns that end in '/' match every path below them. */
struct api_route {
    const char *pattern;
    uint16_t methods; /* enum api_method */
    uint8_t body;     /* enum api_body */
    uint8_t flags;    /* enum api_route_flag */
    api_handler handler;
};

/* --- requests ------------------------------------------------------------------------------ */

struct api_request {
    struct api *api;
    void *ctx; /* api_options.ctx */
    const struct api_route *route;
    struct arena *arena; /* lives as long as the request */
    enum api_method method;
    struct str method_name;
    struct str path;           /* percent-decoded */
    struct str tail;           /* of path, behind the pattern: "a/b" for /v1/kv/a/b */
    struct str body;           /* whole, unless body_cut */
    struct shared_body *large; /* the body of a route that takes large ones */
    bool body_cut;             /* over the limit: answer with api_body_refused */
    bool pretty;               /* ?pretty or the default */
    const char *peer;          /* IP address of the client as text, "" on a unix socket */
    /* The handler's own. Set on_abort when parking: it is called if the client goes away before
     * the answer; the handler forgets the request, which is gone afterwards. A client that only
     * ended its side still gets the answer of a write, and of a read within a second. */
    void *state;
    void (*on_abort)(struct api_request *req);
};

/* First value of a query parameter, decoded. False if absent; present without value is "". */
bool api_param(const struct api_request *req, const char *name, struct str *value);
/* Value or nil. */
struct str api_param_str(const struct api_request *req, const char *name);
bool api_has_param(const struct api_request *req, const char *name);
/* All values in order: for (size_t it = 0; api_param_next(req, "tag", &it, &v);) ... */
bool api_param_next(const struct api_request *req, const char *name, size_t *it, struct str *value);
/* First header of that name (any case), nil if absent. */
struct str api_request_header(const struct api_request *req, const char *name);
bool api_takes_gzip(const struct api_request *req);
/* http-api.md 1.5: ?token=, X-Consul-Token, Bearer, the agent's default. May be empty. */
struct str api_token(const struct api_request *req);
/* http-api.md 1.6: answers 400 and returns -1 when a namespace is named. */
int api_refuse_namespace(struct api_request *req) must_check;
/* Fills *obj from a JSON body (names as json_decode with flags 0). On failure only fills *err. */
int api_body_decode(
    struct api_request *req, const struct type *t, void *obj, struct error *err) must_check;
/* Answers 413 with the texts of the KV and transaction limits and returns -1 when body_cut, or
 * when the body is over the route's limit; else 0. */
int api_body_refused(struct api_request *req) must_check;

/* --- common read parameters (http-api.md 2.1) ----------------------------------------------- */

/* Members as in the QueryOptions group of the requests; durations in nanoseconds. */
struct api_query {
    struct str datacenter; /* ?dc=, else the agent's own */
    struct str token;
    uint64_t min_query_index;
    int64_t max_query_time;
    bool allow_stale;
    bool require_consistent;
    bool use_cache;
    bool must_revalidate;
    int64_t max_stale_duration;
    int64_t max_age;
    int64_t stale_if_error;
    struct str filter;
};

/* Parses all of them in Consul's order. A bad one is answered and -1 returned. */
int api_query_parse(struct api_request *req, struct api_query *q) must_check;
/* The same for what the agent answers by itself: only wait, index and filter are looked at. */
int api_query_wait(struct api_request *req, struct api_query *q) must_check;
/* Only dc and token, for writes: cannot fail. */
void api_write_parse(struct api_request *req, struct str *datacenter, struct str *token);
/* Consistency and Cache-Control alone, without answering (catalog/datacenters). */
int api_query_consistency(
    struct api_request *req, struct api_query *q, struct error *err) must_check;
/* Copies the group into a request record: struct key_request *r; api_query_fill(r, &q); */
#define api_query_fill(r, q) \
    ((r)->token = (q)->token, (r)->min_query_index = (q)->min_query_index, \
        (r)->max_query_time = (q)->max_query_time, (r)->allow_stale = (q)->allow_stale, \
        (r)->require_consistent = (q)->require_consistent, (r)->use_cache = (q)->use_cache, \
        (r)->max_stale_duration = (q)->max_stale_duration, (r)->max_age = (q)->max_age, \
        (r)->must_revalidate = (q)->must_revalidate, (r)->stale_if_error = (q)->stale_if_error, \
        (r)->filter = (q)->filter)

/* --- answers ------------------------------------------------------------------------------- */

/* Adds a header (name canonical) to the answer that follows; value is copied. Replaces an earlier
 * one of that name. */
void api_header(struct api_request *req, const char *name, struct str value);
void api_header_u64(struct api_request *req, const char *name, uint64_t value);
/* X-Consul-Index (0 is sent as 1), -Knownleader, -Lastcontact. */
void api_read_headers(
    struct api_request *req, uint64_t index, bool known_leader, int64_t last_contact_ns);
/* X-Consul-Effective-Consistency of what was asked. */
void api_consistency_header(struct api_request *req, const struct api_query *q);

/* 200, application/json, pretty when asked for. */
void api_reply_json(struct api_request *req, const struct type *t, const void *obj);
void api_reply_json_status(
    struct api_request *req, int status, const struct type *t, const void *obj);
void api_reply_value(struct api_request *req, const struct value *v);
void api_reply_bool(struct api_request *req, bool v);
/* An answer written by hand: w = api_json_begin(req); ... ; api_json_end(req, 200). Nothing else
 * may be answered or written between the two. */
struct json_writer *api_json_begin(struct api_request *req);
void api_json_end(struct api_request *req, int status);
/* Finished JSON text (compact or pretty as req->pretty says; final newline of pretty included),
 * shared by many requests; takes a reference. api_json_shared encodes one such body. */
void api_reply_shared(struct api_request *req, int status, struct shared_body *body);
struct shared_body *api_json_shared(const struct type *t, const void *obj, bool pretty);
/* Any content type; body is copied. */
void api_reply_raw(struct api_request *req, int status, const char *content_type, struct str body);
/* The same of any length, neither copied nor compressed; takes a reference. */
void api_reply_large(
    struct api_request *req, int status, const char *content_type, struct shared_body *body);
/* No body, no content type. */
void api_reply_empty(struct api_request *req, int status);
/* text/plain; charset=utf-8, the text is the whole body. */
void api_reply_text(struct api_request *req, int status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* 400 "Bad request: " + text. */
void api_reply_bad_request(struct api_request *req, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* Maps by http-api.md 1.3: ERR_BAD_REQUEST 400 with the prefix "Bad request: ", ERR_DENIED 403,
 * ERR_NOT_FOUND 404, ERR_TOO_LARGE 413, ERR_LIMIT 429, ERR_UNAUTHORIZED 401; any text that holds
 * "Permission denied" or "ACL not found" 403; "rate limit exceeded" 429 with no body; else 500. */
void api_reply_error(struct api_request *req, const struct error *err);

/* Endless answers (agent/monitor): chunked, headers go out at once. on_abort tells of the end.
 * Returns ERR_FULL when the client is too slow (nothing was taken). */
void api_stream_begin(struct api_request *req, int status, const char *content_type);
int api_stream_write(struct api_request *req, struct str bytes);
void api_stream_end(struct api_request *req);

/* --- the front ------------------------------------------------------------------------------ */

struct api_header_option {
    struct str name, value;
};

/* Everything is copied by api_create; route tables are borrowed for life. */
struct metrics;
struct api_options {
    void *ctx;                             /* handlers find it as req->ctx */
    const struct api_route *const *tables; /* NULL-terminated list of tables, each ended by
                                              a row without pattern */
    const struct api_header_option *response_headers; /* http_config.response_headers */
    size_t n_response_headers;
    const struct str *block_endpoints;
    size_t n_block_endpoints;
    const struct str *allow_write_http_from; /* CIDRs */
    size_t n_allow_write_http_from;
    bool translate_wan_addrs;
    bool disable_unprintable_char_filter;
    bool pretty;         /* dev mode */
    const char *ui_path; /* NULL: UI off */
    struct str datacenter;
    struct str default_token;      /* acl.tokens.default */
    int64_t discovery_max_stale;   /* ns, 0 off */
    bool use_cache;                /* http_config.use_cache */
    uint32_t max_conns_per_client; /* limits.http_max_conns_per_client; 0 none */
    bool refuse_silently;          /* one too many is closed instead of answered with 429 */
    uint64_t kv_max_value_size;
    uint64_t txn_max_req_len;
    const char *spool_dir;   /* for large bodies; NULL: memory */
    struct metrics *metrics; /* how long endpoints take is told there; NULL: nobody counts */
    struct str node_name;    /* of the agent: a label there */
};

struct world;

/* Checks the CIDRs; NULL and *err on a bad one. */
struct api *api_create(struct world *w, const struct api_options *opts, struct error *err);
/* Switches to new options (reload); connections stay. Nothing changes on error. */
int api_configure(struct api *api, const struct api_options *opts, struct error *err) must_check;
/* acl.tokens.default changed at run time. */
void api_set_default_token(struct api *api, struct str token);
/* Listens on ip:port; port 0 lets the system choose, `port_out` (may be NULL) tells it. */
int api_listen_tcp(struct api *api, const char *ip, uint16_t port, uint16_t *port_out,
    struct error *err) must_check;
int api_listen_unix(struct api *api, const char *path, uint32_t mode, struct error *err) must_check;

struct tls;
struct api_listen_tls {
    struct tls *tls;
    uint64_t handshake_timeout_ms; /* limits.https_handshake_timeout; 0: none */
    const char *ip;
    uint16_t port;
    const char *unix_path; /* instead of ip and port */
    uint32_t unix_mode;
};
/* HTTPS: the same API behind TLS with HTTP/1.1 as the only protocol. */
int api_listen_tls(struct api *api, const struct api_listen_tls *o, uint16_t *port_out,
    struct error *err) must_check;
/* Closes listeners and connections (aborting parked requests); `done` is called when all is gone,
 * then the api is freed. */
void api_destroy(struct api *api, void (*done)(void *arg), void *arg);
