/* SPDX-License-Identifier: Apache-2.0 */
#include "handshake.h"

#include <stdlib.h>

#include "consuld/base.h"

/* It lives until its stream is closed, also when nobody waits for it any more. */
struct handshake {
    handshake_done done; /* NULL: cancelled */
    void *ctx;
    struct tls *tls;
    struct stream *stream;
};

static void early_data(struct stream *s, struct str bytes)
{
    (void)bytes;
    stream_close(s);
}

static void gone(struct stream *s, int code)
{
    (void)s;
    (void)code;
}

const struct stream_events stream_ownerless = {
    .data = early_data, .eof = stream_close, .closed = gone
};

static void on_closed(struct stream *s, int code)
{
    struct handshake *h = s->owner;
    struct tls_state state;
    (void)code;
    tls_state(h->tls, s, &state);
    if (h->done) h->done(h->ctx, NULL, state.why ? state.why : "EOF");
    free(h);
}

static const struct stream_events handshaking = {
    .data = early_data, .eof = stream_close, .closed = on_closed
};

static void on_ready(struct stream *s)
{
    struct handshake *h = s->owner;
    if (!h->done) {
        stream_close(s);
        return;
    }
    h->done(h->ctx, s, NULL);
    free(h);
}

struct handshake *handshake_start(
    struct tls *tls, struct stream *below, struct tls_options o, handshake_done done, void *ctx)
{
    struct handshake *h = xcalloc(1, sizeof *h);
    *h = (struct handshake){ .done = done, .ctx = ctx, .tls = tls };
    o.events = &handshaking;
    o.owner = h;
    o.ready = on_ready;
    h->stream = tls_start(tls, below, &o);
    return h;
}

void handshake_cancel(struct handshake *h)
{
    if (!h) return;
    h->done = NULL;
    stream_close(h->stream);
}
