/* SPDX-License-Identifier: Apache-2.0 */
/* The receiving half, the handshake and the end. OpenSSL reads from the bytes of the stream below
 * as they lie there and writes its records straight into it. */
#include "tls_stream.h"

#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

#include "consuld/net.h"

static void deliver(struct tls_stream *t, struct str bytes);

/* --- the end --------------------------------------------------------------------------------- */

static void handshake_over(struct tls_stream *t)
{
    timer_stop(&t->timer);
    if (!t->handshaking) return;
    t->handshaking = false;
    t->tls->base.counters.handshaking--;
}

static void die(struct tls_stream *t, int code, struct str why)
{
    t->dead = true;
    t->code = code;
    if (!t->why && why.n) {
        t->why = xmalloc(why.n + 1);
        memcpy(t->why, why.p, why.n);
        t->why[why.n] = '\0';
    }
    if (!t->ready) t->tls->base.counters.failed++;
    handshake_over(t);
    tick_cancel(&t->again);
}

void tls__fail(struct tls_stream *t, int code, struct str why)
{
    if (t->dead) return;
    die(t, code, why);
    stream_close(t->below);
}

/* An alert is on its way, or an answer to what was no TLS: a close at once, with input unread,
 * would take it back. */
static void linger(struct tls_stream *t)
{
    t->lingering = true;
    stream_finish(t->below);
    stream_read(t->below, true);
    timer_start(&t->timer, LINGER_MS);
}

void tls__fail_ssl(struct tls_stream *t)
{
    char text[WHY_MAX];
    if (t->dead) return;
    unsigned long code = ERR_peek_error();
    bool http = ERR_GET_LIB(code) == ERR_LIB_SSL && ERR_GET_REASON(code) == SSL_R_HTTP_REQUEST;
    die(t, ERR_IO, net__tls_why(text, sizeof text));
    if (!t->accepting || t->below_eof) {
        stream_close(t->below);
        return;
    }
    struct stream_part part = { t->o.plain_text.p, t->o.plain_text.n, NULL };
    if (http && part.n) (void)stream_write(t->below, &part, 1);
    linger(t);
}

static void on_timer(struct timer *timer)
{
    struct tls_stream *t = container_of(timer, struct tls_stream, timer);
    if (t->lingering) {
        stream_close(t->below);
        return;
    }
    t->tls->base.counters.timed_out++;
    tls__fail(t, ERR_IO, STR("i/o timeout"));
}

/* --- input ----------------------------------------------------------------------------------- */

static void become_ready(struct tls_stream *t)
{
    const unsigned char *chosen;
    unsigned n;
    t->ready = true;
    SSL_get0_alpn_selected(t->ssl, &chosen, &n);
    if (t->o.use == TLS_DIAL_ALPN && n == 0) {
        char text[WHY_MAX];
        int len =
            snprintf(text, sizeof text, "could not negotiate ALPN protocol \"%s\" with \"%s\"",
                t->o.n_alpn ? t->o.alpn[0] : "", t->name ? t->name : "");
        t->ready = false;
        tls__fail(t, ERR_IO, (struct str){ text, len < WHY_MAX ? (size_t)len : WHY_MAX - 1 });
        return;
    }
    handshake_over(t);
    t->tls->base.counters.handshakes++;
    if (!t->want_read) stream_read(t->below, false);
    if (t->o.ready) t->o.ready(&t->base);
    if (!t->dead) tls__flush(t);
}

/* True if there is more to do with what is at hand. */
static bool shake(struct tls_stream *t)
{
    ERR_clear_error();
    int rc = SSL_do_handshake(t->ssl);
    if (rc == 1) {
        become_ready(t);
        return true;
    }
    if (SSL_get_error(t->ssl, rc) != SSL_ERROR_WANT_READ) tls__fail_ssl(t);
    return false;
}

static bool read_some(struct tls_stream *t)
{
    char plain[RECORD_MAX];
    size_t n = 0;
    ERR_clear_error();
    int rc = SSL_read_ex(t->ssl, plain, sizeof plain, &n);
    if (rc == 1) {
        t->base.events->data(&t->base, (struct str){ plain, n });
        return true;
    }
    switch (SSL_get_error(t->ssl, rc)) {
    case SSL_ERROR_WANT_READ:
        return false;
    case SSL_ERROR_ZERO_RETURN:
        t->eof = true;
        t->base.events->eof(&t->base);
        return false;
    default:
        tls__fail_ssl(t);
        return false;
    }
}

static bool wants(const struct tls_stream *t)
{
    return !t->dead && !t->eof && (t->want_read || !t->ready);
}

static void keep(struct tls_stream *t, struct str bytes)
{
    if (t->dead || t->eof || bytes.n == 0) return;
    t->kept.max = KEPT_MAX;
    buf_put_str(&t->kept, bytes);
    if (t->kept.overflow) tls__fail(t, ERR_FULL, STR("tls: too much input waits"));
}

/* Hands `bytes`, behind what was kept, to OpenSSL and its plaintext to the owner; keeps what the
 * owner does not want yet. */
static void deliver(struct tls_stream *t, struct str bytes)
{
    struct buf work = { 0 };
    if (t->pumping || t->kept.n) {
        keep(t, bytes);
        bytes = STR_NIL;
    }
    if (t->pumping) return;
    t->pumping = true;
    do {
        if (t->kept.n) {
            buf_deinit(&work);
            work = t->kept;
            t->kept = (struct buf){ 0 };
            bytes = buf_str(&work);
        }
        t->in = bytes;
        while (wants(t) && (t->ready ? read_some(t) : shake(t))) {
        }
        bytes = t->in;
        t->in = STR_NIL;
    } while (bytes.n == 0 && t->kept.n && wants(t));
    if (bytes.n) {
        struct buf later = t->kept;
        t->kept = (struct buf){ 0 };
        keep(t, bytes);
        keep(t, buf_str(&later));
        buf_deinit(&later);
    }
    buf_deinit(&work);
    t->pumping = false;
    if (t->below_eof && wants(t) && t->kept.n == 0)
        tls__fail(t, ERR_EOF, t->ready ? STR("unexpected EOF") : STR("EOF"));
}

static void on_again(struct tick *tick)
{
    struct tls_stream *t = container_of(tick, struct tls_stream, again);
    deliver(t, STR_NIL);
    if (!t->dead) tls__flush(t);
}

/* --- the stream below ------------------------------------------------------------------------ */

static void below_data(struct stream *s, struct str bytes)
{
    struct tls_stream *t = s->owner;
    if (!t->dead) deliver(t, bytes);
}

static void below_eof(struct stream *s)
{
    struct tls_stream *t = s->owner;
    t->below_eof = true;
    if (t->lingering) {
        stream_close(s);
    } else if (!t->dead) {
        deliver(t, STR_NIL);
    }
}

static void below_drained(struct stream *s)
{
    struct tls_stream *t = s->owner;
    if (!t->dead) tls__flush(t);
}

static void below_closed(struct stream *s, int code)
{
    struct tls_stream *t = s->owner;
    if (!t->dead) die(t, code, code ? STR("read: connection reset by peer") : STR_NIL);
    t->below = NULL;
    timer_stop(&t->timer);
    if (t->base.events && t->base.events->closed) t->base.events->closed(&t->base, t->code);
    tls__pending_free(t);
    buf_deinit(&t->kept);
    SSL_free(t->ssl);
    t->tls->base.counters.open--;
    net__tls_unref(t->tls);
    free(t->name);
    free(t->why);
    free(t);
}

static const struct stream_events below_events = {
    .data = below_data, .eof = below_eof, .drained = below_drained, .closed = below_closed
};

/* --- operations ------------------------------------------------------------------------------ */

static struct tls_stream *self(struct stream *s)
{
    return container_of(s, struct tls_stream, base);
}

static void op_finish(struct stream *s)
{
    struct tls_stream *t = self(s);
    if (t->dead || t->finishing) return;
    t->finishing = true;
    tick_mark(&t->again);
}

/* All that was taken is out: then the peer is told that nothing is missing. */
static void op_close(struct stream *s)
{
    struct tls_stream *t = self(s);
    if (t->dead) {
        if (t->lingering) stream_close(t->below);
        return;
    }
    if (t->ready && tls__queued(s) == 0) {
        ERR_clear_error();
        SSL_shutdown(t->ssl);
        ERR_clear_error();
    }
    die(t, 0, STR_NIL);
    stream_close(t->below);
}

static void op_read(struct stream *s, bool on)
{
    struct tls_stream *t = self(s);
    if (t->dead || t->want_read == on) return;
    t->want_read = on;
    if (t->ready) stream_read(t->below, on);
    if (on) tick_mark(&t->again);
}

static const struct stream_ops ops = {
    .write = tls__write,
    .finish = op_finish,
    .close = op_close,
    .read = op_read,
    .queued = tls__queued,
};

/* --- the beginning --------------------------------------------------------------------------- */

struct stream *tls__start(struct tls *tls, struct stream *below, const struct tls_options *o)
{
    struct net_tls *n = container_of(tls, struct net_tls, base);
    struct tls_stream *t = xcalloc(1, sizeof *t);
    ensure(o->use < TLS_USES && o->events);
    t->base = (struct stream){ .ops = &ops, .events = o->events, .owner = o->owner };
    memcpy(t->base.peer, below->peer, sizeof t->base.peer);
    t->base.peer_port = below->peer_port;
    t->below = below;
    t->tls = n;
    t->o = *o;
    t->o.queue_max = o->queue_max ? o->queue_max : NET_QUEUE_MAX;
    t->accepting = o->use <= TLS_ACCEPT_HTTPS;
    t->want_read = true;
    link_init(&t->pending);
    timer_init(&t->timer, n->world, on_timer);
    tick_init(&t->again, n->world, on_again);
    below->events = &below_events;
    below->owner = t;
    n->refs++;
    tls->counters.open++;
    if (tls->counters.handshaking >= TLS_HANDSHAKES_MAX) {
        tls->counters.refused++;
        tls__fail(t, ERR_LIMIT, STR("too many handshakes at a time"));
        return &t->base;
    }
    t->handshaking = true;
    tls->counters.handshaking++;
    if (!tls__prepare(t, o->server_name)) return &t->base;
    if (o->timeout_ms) timer_start(&t->timer, o->timeout_ms);
    keep(t, o->sniffed);
    tick_mark(&t->again);
    return &t->base;
}
