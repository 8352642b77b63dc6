/* SPDX-License-Identifier: Apache-2.0 */
/* Two ends of a session, and frames made by hand. Included by one file of a test binary. */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "consuld/mux/yamux.h"

/* One end, with an owner that accepts, collects and consumes. */
struct end {
    struct yamux y;
    struct buf got;  /* bytes of streams, as they came */
    struct buf sent; /* output pulled */
    size_t opened, eofs, resets, pongs, goaways, failed, drained;
    struct yamux_stream *last; /* the last one that an event named */
    bool keep;                 /* does not consume */
    bool passive;              /* does not accept */
};

static inline void end_init_with(struct end *e, struct yamux_options o)
{
    *e = (struct end){ .got = BUF_INIT(4u << 20), .sent = BUF_INIT(4u << 20) };
    yamux_init(&e->y, &o);
}

static inline void end_init(struct end *e, enum yamux_role role)
{
    end_init_with(e, (struct yamux_options){ .role = role, .now_ms = 1000 });
}

static inline void end_free(struct end *e)
{
    yamux_deinit(&e->y);
    buf_deinit(&e->got);
    buf_deinit(&e->sent);
}

/* A client and the server that it talks to. */
static inline void ends_init(struct end *c, struct end *s)
{
    end_init(c, YAMUX_CLIENT);
    end_init(s, YAMUX_SERVER);
}

static inline void ends_free(struct end *c, struct end *s)
{
    end_free(c);
    end_free(s);
}

static inline void on_event(struct end *e, const struct yamux_event *ev)
{
    if (ev->stream) e->last = ev->stream;
    switch (ev->kind) {
    case YAMUX_MORE:
        break;
    case YAMUX_OPENED:
        e->opened++;
        if (!e->passive) yamux_accept(&e->y, ev->stream);
        break;
    case YAMUX_DATA:
        buf_put_str(&e->got, ev->bytes);
        if (!e->keep) yamux_consumed(&e->y, ev->stream, ev->bytes.n);
        break;
    case YAMUX_EOF:
        e->eofs++;
        break;
    case YAMUX_RESET:
        e->resets++;
        break;
    case YAMUX_PONG:
        e->pongs++;
        break;
    case YAMUX_GOAWAY:
        e->goaways++;
        break;
    case YAMUX_FAILED:
        e->failed++;
        break;
    }
}

static inline void feed(struct end *e, struct str in)
{
    struct yamux_event ev;
    do {
        yamux_recv(&e->y, &in, &ev);
        on_event(e, &ev);
    } while (ev.kind != YAMUX_MORE && ev.kind != YAMUX_FAILED);
    assert_int_equal(in.n, 0);
}

static inline void pull(struct end *e)
{
    struct yamux_chunk c;
    while (yamux_next(&e->y, &c)) {
        size_t before = e->sent.n;
        for (size_t i = 0; i < c.n; i++)
            buf_put(&e->sent, c.parts[i].p, c.parts[i].n);
        assert_int_equal(e->sent.n - before, c.bytes);
        if (c.drained) e->drained++;
    }
}

/* Carries output to the other end until both are quiet. */
static inline void talk(struct end *a, struct end *b)
{
    for (;;) {
        pull(a);
        pull(b);
        if (!a->sent.n && !b->sent.n) return;
        feed(b, buf_str(&a->sent));
        buf_clear(&a->sent);
        feed(a, buf_str(&b->sent));
        buf_clear(&b->sent);
    }
}

static inline void put(struct end *e, struct yamux_stream *st, const char *text)
{
    struct stream_part part = { text, strlen(text), NULL };
    assert_int_equal(yamux_write(&e->y, st, &part, 1), 0);
}

/* A frame by its numbers, with n bytes of payload that are there. */
static inline struct str frame(
    uint8_t type, uint16_t flags, uint32_t id, uint32_t length, size_t payload)
{
    static uint8_t out[YAMUX_HEADER + YAMUX_WINDOW + 2];
    uint8_t head[YAMUX_HEADER] = { 0, type, (uint8_t)(flags >> 8), (uint8_t)flags,
        (uint8_t)(id >> 24), (uint8_t)(id >> 16), (uint8_t)(id >> 8), (uint8_t)id,
        (uint8_t)(length >> 24), (uint8_t)(length >> 16), (uint8_t)(length >> 8), (uint8_t)length };
    memcpy(out, head, sizeof head);
    memset(out + sizeof head, 'x', payload);
    return (struct str){ (const char *)out, sizeof head + payload };
}

static inline void assert_sent(struct end *e, struct str want)
{
    pull(e);
    assert_int_equal(e->sent.n, want.n);
    assert_memory_equal(e->sent.p, want.p, want.n);
    buf_clear(&e->sent);
}

enum { DATA, WINDOW, PING, GOAWAY, SYN = 1, ACK = 2, FIN = 4, RST = 8 };
