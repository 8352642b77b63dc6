/* SPDX-License-Identifier: Apache-2.0 */
/* One unary gRPC call as a byte machine: HTTP/2 in, HTTP/2 out, no sockets. Private to the module.
 */
#pragma once
#include <nghttp2/nghttp2.h>

#include "consuld/base.h"

#define GRPC_REPLY_MAX ((size_t)64 << 10)

struct grpc_call {
    nghttp2_session *session;
    struct buf request; /* the message with its prefix */
    size_t sent;
    struct buf reply;        /* the message with its prefix */
    struct buf content_type; /* as the header has it */
    struct buf message;      /* grpc-message, unescaped */
    int http_status;         /* 0: no header yet */
    int grpc_status;         /* negative: none told */
    bool done;               /* the stream is closed */
    uint32_t error_code;     /* HTTP/2's, of the close */
};

struct grpc_target {
    struct str authority;
    struct str path; /* /package.Service/Method */
    bool tls;
    uint64_t timeout_ms;
};

/* The first output is there at once. */
void grpc_call_init(struct grpc_call *c, const struct grpc_target *target, struct str message);
void grpc_call_deinit(struct grpc_call *c);
/* Negative if the peer does not speak HTTP/2. */
int grpc_call_recv(struct grpc_call *c, struct str bytes);
/* The next piece to send, valid until the next call; empty: none for now. */
struct str grpc_call_output(struct grpc_call *c);
/* The message of the reply; false if it is none. */
bool grpc_call_reply(const struct grpc_call *c, struct str *out);
/* "NotFound"; of an unknown number "Code(99)". */
struct str grpc_status_name(struct arena *a, int status);
