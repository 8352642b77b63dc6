/* SPDX-License-Identifier: Apache-2.0 */
/* A dialled stream on its way to TLS, shared by the ways to a server: direct and through a gateway
 * (rpc.md 2, wanfed.md 5). */
#pragma once
#include "consuld/base/tls.h"

struct handshake;

/* Called once: the TLS stream, which the callee must give an owner, or NULL and why not (valid
 * until it returns). The handshake is gone then. */
typedef void (*handshake_done)(void *ctx, struct stream *s, const char *why);

/* Takes `below` over. Of `o` all but events, owner and ready is used. */
struct handshake *handshake_start(
    struct tls *tls, struct stream *below, struct tls_options o, handshake_done done, void *ctx);
/* No call follows. NULL is allowed. */
void handshake_cancel(struct handshake *h);

/* Events of a stream that has no owner yet: bytes that nobody waits for end it. */
extern const struct stream_events stream_ownerless;
