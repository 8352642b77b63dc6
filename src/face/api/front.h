/* SPDX-License-Identifier: Apache-2.0 */
/* The front's state, shared by its files: one `struct api`, one `struct conn` per connection. A
 * connection works on one request at a time; what the client sends meanwhile waits in `input`. */
#pragma once
#include <netinet/in.h>

#include "consuld/base/tls.h"
#include "consuld/base/world.h"
#include "consuld/face/api.h"
#include "consuld/mux/http.h"
#include "consuld/net.h"

#define INPUT_MAX ((size_t)64 << 10) /* pipelined bytes kept; more is left to the socket */
#define INPUT_CAP ((size_t)1 << 20)
#define BACKLOG_MAX ((size_t)64 << 10) /* unsent bytes above which no request is begun */
#define ANSWER_MAX ((size_t)1 << 30)   /* one body */
/* Unsent bytes of a connection: an answer, or a large one, of which nothing is copied. */
#define QUEUE_MAX ((size_t)API_ARCHIVE_MAX + 2 * ANSWER_MAX)
#define STREAM_MAX ((size_t)1 << 20) /* unsent bytes of an endless answer */
#define LINGER_MS 500                /* for the client to read an answer given early */
#define HALF_CLOSED_MS 1000          /* for a read whose client ended its side */
#define SPARE_MAX 32                 /* arenas and output buffers kept for reuse */
#define LISTENERS_MAX 16
#define REFUSALS_MS 1000 /* between two lines about clients not let in */
#define REFUSED_MAX 256  /* addresses whose refused connections are counted by address */
#define EXCESS_MAX 16    /* connections of one address being told that there are too many */

struct cidr {
    struct in6_addr addr; /* IPv4 as mapped */
    unsigned bits;
};

/* What api_options say, owned and ready for use. Replaced whole by api_configure. */
struct config {
    struct arena arena;
    struct api_options o;
    struct map routes;                /* pattern -> const struct api_route */
    const struct http_header *common; /* headers of every endpoint's answer */
    size_t n_common;
    const struct str *blocked;
    const struct cidr *writers;
};

struct api_listener {
    struct api *api;
    struct net_listener *net;
    struct tls *tls; /* NULL: clear text */
    uint64_t handshake_timeout_ms;
};

struct api {
    struct world *world;
    struct config *config;
    struct str default_token;
    char *token_memory;
    struct api_listener listeners[LISTENERS_MAX];
    size_t n_listeners;
    struct link conns;
    struct map clients; /* IP text -> struct client */
    struct buf scratch; /* body being encoded */
    struct buf packed;  /* body being compressed */
    struct buf head;    /* head being written outside of a batch */
    struct json_writer writer;
    void *deflater; /* z_stream, made on first use */
    struct arena spare_arenas[SPARE_MAX];
    size_t n_spare_arenas;
    struct buf spare_outputs[SPARE_MAX];
    size_t n_spare_outputs;
    int64_t date_s;
    char date[HTTP_DATE_LEN + 1];
    struct map timings; /* route and method -> struct metric */
    struct map refused; /* address -> struct metric: at most REFUSED_MAX */
    uint64_t refusal_told_ms;
    size_t refusals_untold;
    struct tick gone;
    void (*destroyed)(void *arg);
    void *destroyed_arg;
};

/* Open connections of one client address. */
struct client {
    uint32_t n;
    uint32_t excess; /* not of n: over the limit, to be told so */
};

struct param {
    struct str name, value;
};

enum conn_state {
    CONN_READING,  /* waiting for (the rest of) a request */
    CONN_SPOOLING, /* its large body is on the way to a file */
    CONN_HANDLING, /* a request is with its handler */
    CONN_STREAMING,
    CONN_ENDING, /* the last answer is going out */
};

struct conn {
    struct api *api;
    struct stream *stream; /* NULL once closed */
    const struct tls *tls; /* of stream; NULL: clear text */
    struct link link;
    struct http_server http;
    struct spool *spool; /* of the body that is coming */
    struct buf input;
    struct buf output; /* answers of this batch; empty outside of conn__feed */
    struct arena arena;
    struct timer linger;
    uint8_t state; /* enum conn_state */
    bool batching;
    bool eof;
    bool cut; /* unread body: close after the answer, and linger */
    bool reading_off;
    bool broken;       /* nothing can be sent any more; `closed` will come */
    bool excess;       /* over the limit of its client */
    uint64_t began_us; /* the request, when somebody counts or reads the log */
    int status;        /* of the last answer */
    /* the request */
    struct api_request req;
    struct str query;
    struct param *params;
    size_t n_params;
    struct http_header *headers;
    size_t n_headers, cap_headers;
};

static inline struct conn *conn_of(const struct api_request *req)
{
    return (struct conn *)(uintptr_t)container_of(req, struct conn, req);
}

/* timing.c: a request was answered. */
void timing__take(struct conn *c);

/* request_log.c: a request was answered; its handler ended with an error. */
void request_log__finished(struct conn *c);
void request_log__failed(struct api_request *req, const char *why);

/* body.c: bodies too large for memory */
void body__begin(struct conn *c, uint64_t max);
/* Takes what the HTTP machine has of the body. */
void body__take(struct conn *c);
/* No more comes: the request begins, now or when all is in place. */
void body__end(struct conn *c);
bool body__full(const struct conn *c);
void body__forget(struct conn *c);

/* conn.c */
void conn__begin_request(struct conn *c);
/* Goes on with the input that waits. */
void conn__resume(struct conn *c);
void conn__accept(void *listener, struct stream *s);
/* Sends parts of an answer, now or with the batch. */
int conn__write(struct conn *c, const struct stream_part *parts, size_t n);
/* The request is answered: the connection goes on to the next, or ends. */
void conn__answered(struct conn *c);

/* server.c */
/* Counts a connection of that address; false when there is no place for it. *excess: it is one too
 * many, and there is a place to tell it so. */
bool server__client_admit(struct api *api, struct str peer, bool *excess);
void server__client_gone(struct api *api, struct str peer, bool excess);
/* A client was not let in, or did not want to: one line a second says so. */
void server__refused(struct api *api, const struct stream *s, const char *what, const char *why);
/* A connection was freed. */
void server__conn_gone(struct api *api);
const char *server__date(struct api *api);

/* route.c */
/* Fills req from the head and says what becomes of the body. */
void route__head(struct conn *c);
/* The most bytes a body of the request's route may have. */
uint64_t route__body_max(const struct api_request *req);
/* Walks the decisions of http-api.md 1.2 and calls the handler at their end. */
void route__dispatch(struct conn *c);
/* Path with "//", "." and ".." resolved as Go's ServeMux does. */
struct str route__clean(struct arena *a, struct str path);
/* As a URL shows a path; `a` owns the result. */
struct str route__escape(struct arena *a, struct str path);

/* request.c */
/* Fills params. False if the query string does not decode. */
bool request__params(struct conn *c);

/* respond.c */
/* Answers with a body (nil: none) and ends the request. `shared`, if any, holds the body. */
void respond__send(struct api_request *req, int status, const char *content_type, struct str body,
    struct shared_body *shared);
/* The same without what endpoints share (index page, unknown paths, redirects). */
void respond__plain(struct conn *c, int status, const char *content_type, struct str body);

/* gzip.c */
bool gzip__accepted(struct str accept_encoding);
/* Into api->packed. */
struct str gzip__pack(struct api *api, struct str body);
void gzip__deinit(struct api *api);

/* cidr.c */
bool cidr__parse(struct str text, struct cidr *out);
bool cidr__contains(const struct cidr *nets, size_t n, const char *ip);

/* printable.c */
/* Go's unicode.IsPrint over UTF-8; invalid bytes count as printable. */
bool printable__text(struct str s);
