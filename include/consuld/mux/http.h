/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/1.1 as a byte machine, server side: bytes in, one event out at a time, no sockets inside
 * (http-api.md 1.1). The request line is ours, so that any method and Go's version rules work;
 * header fields and body framing are llhttp's, which refuses the forms used for smuggling.
 *
 * One request at a time: after HTTP_EVENT_HEAD the owner says what becomes of the body, after
 * HTTP_EVENT_END, HTTP_EVENT_CUT it answers and calls http_server_next; bytes of later requests
 * stay with the owner. */
#pragma once
#include <llhttp.h>

#include "consuld/base.h"

#define HTTP_HEAD_MAX (((size_t)1 << 20) + 4096)
/* A body nobody wants is read up to this, so that the connection can go on. */
#define HTTP_DRAIN_MAX ((uint64_t)256 << 10)
#define HTTP_FIELDS_INLINE 12

enum http_event {
    HTTP_EVENT_MORE,     /* all input was taken */
    HTTP_EVENT_HEAD,     /* line and fields are there: call http_server_collect or _discard */
    HTTP_EVENT_CONTINUE, /* send HTTP_CONTINUE_TEXT, then go on */
    HTTP_EVENT_END,      /* the whole request is there */
    HTTP_EVENT_CUT,      /* the body is over its bound and not read: close after the answer */
    HTTP_EVENT_REFUSED,  /* no request: send http_server_refusal and close */
};

#define HTTP_CONTINUE_TEXT "HTTP/1.1 100 Continue\r\n\r\n"

struct http_field {
    uint32_t name, name_n, value, value_n; /* places in head */
};

struct http_server {
    llhttp_t parser;
    struct buf head; /* the line, then names and values */
    struct buf body;
    struct http_field inline_fields[HTTP_FIELDS_INLINE];
    struct http_field *fields;
    size_t n_fields, cap_fields;
    size_t head_size;       /* bytes of line, fields and trailers so far */
    int64_t content_length; /* -1: chunked */
    uint64_t body_size;     /* received */
    uint64_t body_max;
    int refusal;                         /* HTTP status */
    const char *refusal_why;             /* text behind the status text, or NULL */
    uint32_t method_n, target, target_n; /* in head */
    uint8_t state;
    uint8_t minor; /* HTTP/1.minor */
    bool collect;
    bool cut; /* the body was over the bound: it is not in `body` */
    bool keep_alive;
    bool expect_continue;
    bool in_value;
};

void http_server_init(struct http_server *m);
void http_server_deinit(struct http_server *m);
/* Takes bytes from the front of *in up to the next event. */
enum http_event http_server_recv(struct http_server *m, struct str *in) must_check;
/* The body is wanted, up to `max` bytes. */
void http_server_collect(struct http_server *m, uint64_t max);
/* The body is not wanted. */
void http_server_discard(struct http_server *m);
/* Ready for the next request; views of the present one end here. Big buffers are freed. */
void http_server_next(struct http_server *m);
/* True between requests. */
bool http_server_idle(const struct http_server *m);

/* Views, valid from HTTP_EVENT_HEAD to http_server_next. */
struct str http_server_method(const struct http_server *m);
struct str http_server_target(const struct http_server *m);
struct str http_server_body(const struct http_server *m);
/* First field of that name in any case, nil if absent. */
struct str http_server_field(const struct http_server *m, const char *name);

/* The whole answer to a refused request, closing the connection. */
void http_server_refusal(const struct http_server *m, struct buf *out);

/* Path and query of a target: origin form, absolute form, or "*". False if malformed (also when
 * an escape in the path is). Path is still encoded; query is nil when there is no '?'. */
bool http_target_split(struct str target, struct str *path, struct str *query);
/* Undoes %XX, and '+' as blank if `form`. False on a bad escape. Borrows when nothing changes. */
bool http_unescape(struct arena *a, struct str s, bool form, struct str *out);

/* --- answers ------------------------------------------------------------------------------- */

struct http_header {
    struct str name, value;
};

enum http_framing {
    HTTP_LENGTH,  /* Content-Length: length */
    HTTP_CHUNKED, /* on HTTP/1.0: until the connection closes */
};

struct http_answer {
    int status;
    uint8_t minor;
    bool keep_alive;
    enum http_framing framing;
    uint64_t length;
    struct str date; /* as http_date gave it */
    const struct http_header *headers;
    size_t n_headers;
};

void http_answer_head(const struct http_answer *a, struct buf *out);
/* Opens a chunk of n bytes (n > 0); HTTP_CHUNK_END follows its bytes. */
void http_chunk_begin(uint64_t n, struct buf *out);
#define HTTP_CHUNK_END "\r\n"
#define HTTP_LAST_CHUNK "0\r\n\r\n"

#define HTTP_DATE_LEN 29
/* "Thu, 01 Jan 1970 00:00:00 GMT" of Unix seconds, with a final NUL. */
void http_date(int64_t unix_s, char out[HTTP_DATE_LEN + 1]);
/* "Not Found"; "status code N" style texts are never needed: "" if unknown. */
const char *http_status_text(int status);
