/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "front.h"

#define BATCH_MAX ((size_t)64 << 10)

/* A batch's buffer is flushed above BATCH_MAX, so one part of at most that much always fits. */

static struct conn *self(struct stream *s)
{
    return s->owner;
}

/* --- memory that outlives no request ------------------------------------------------------- */

static void arena_take(struct conn *c)
{
    struct api *api = c->api;
    if (api->n_spare_arenas) c->arena = api->spare_arenas[--api->n_spare_arenas];
}

static void arena_give(struct conn *c)
{
    struct api *api = c->api;
    arena_reset(&c->arena);
    if (c->arena.head && api->n_spare_arenas < SPARE_MAX)
        api->spare_arenas[api->n_spare_arenas++] = c->arena;
    else
        arena_free(&c->arena);
    c->arena = (struct arena)ARENA_INIT;
}

static void output_take(struct conn *c)
{
    struct api *api = c->api;
    c->output = (struct buf)BUF_INIT(BATCH_MAX * 3);
    if (api->n_spare_outputs) c->output = api->spare_outputs[--api->n_spare_outputs];
}

static void output_give(struct conn *c)
{
    struct api *api = c->api;
    if (c->output.cap <= BATCH_MAX && api->n_spare_outputs < SPARE_MAX) {
        buf_clear(&c->output);
        api->spare_outputs[api->n_spare_outputs++] = c->output;
    } else {
        buf_deinit(&c->output);
    }
    c->output = (struct buf){ 0 };
}

static void free_conn(struct conn *c)
{
    struct api *api = c->api;
    ensure(!c->batching && !c->stream);
    link_remove(&c->link);
    timer_stop(&c->linger);
    http_server_deinit(&c->http);
    buf_deinit(&c->input);
    body__forget(c);
    arena_give(c);
    free(c);
    server__conn_gone(api);
}

/* --- ending -------------------------------------------------------------------------------- */

static void end_when_sent(struct conn *c)
{
    if (stream_queued(c->stream)) return;
    if (!c->cut || c->eof)
        stream_close(c->stream);
    else if (!timer_active(&c->linger))
        timer_start(&c->linger, LINGER_MS);
}

/* With unread input a close would reset the connection and could take the answer with it: then end
 * our side only, swallow what comes, close when the client does or soon. */
static void end(struct conn *c)
{
    c->state = CONN_ENDING;
    buf_deinit(&c->input);
    if (c->reading_off) {
        c->reading_off = false;
        stream_read(c->stream, true);
    }
    if (c->cut) stream_finish(c->stream);
    end_when_sent(c);
}

/* --- output -------------------------------------------------------------------------------- */

static int send_parts(struct conn *c, const struct stream_part *parts, size_t n)
{
    int rc = stream_write(c->stream, parts, n);
    if (rc == ERR_FULL) stream_close(c->stream);
    if (rc) c->broken = true;
    return rc;
}

static void flush(struct conn *c)
{
    if (!c->output.n) return;
    struct stream_part part = { c->output.p, c->output.n, NULL };
    (void)send_parts(c, &part, 1);
    buf_clear(&c->output);
}

int conn__write(struct conn *c, const struct stream_part *parts, size_t n)
{
    if (!c->stream || c->broken) return ERR_IO;
    if (!c->batching) return send_parts(c, parts, n);
    for (size_t i = 0; i < n; i++) {
        if (parts[i].shared || parts[i].n > BATCH_MAX) {
            struct stream_part both[2] = { { c->output.p, c->output.n, NULL }, parts[i] };
            int rc = send_parts(c, both, 2);
            buf_clear(&c->output);
            if (rc) return rc;
            continue;
        }
        buf_put(&c->output, parts[i].p, parts[i].n);
        if (c->output.n > BATCH_MAX) flush(c);
    }
    return 0;
}

/* --- input --------------------------------------------------------------------------------- */

void conn__begin_request(struct conn *c)
{
    c->state = CONN_HANDLING;
    bool timed = c->api->config->o.metrics || log_wanted(LOG_DEBUG);
    c->began_us = timed ? world_now_us(c->api->world) : 0;
    route__dispatch(c);
}

static void refuse(struct conn *c)
{
    struct buf text = BUF_INIT(512);
    http_server_refusal(&c->http, &text);
    struct stream_part part = { text.p, text.n, NULL };
    (void)conn__write(c, &part, 1);
    buf_deinit(&text);
    c->cut = true;
    c->state = CONN_ENDING;
}

static void send_continue(struct conn *c)
{
    struct stream_part part = { HTTP_CONTINUE_TEXT, sizeof HTTP_CONTINUE_TEXT - 1, NULL };
    (void)conn__write(c, &part, 1);
}

static void take_events(struct conn *c, struct str *in)
{
    while (c->state == CONN_READING && !c->broken && !body__full(c) &&
           stream_queued(c->stream) <= BACKLOG_MAX) {
        enum http_event event = http_server_recv(&c->http, in);
        body__take(c);
        switch (event) {
        case HTTP_EVENT_MORE:
            return;
        case HTTP_EVENT_HEAD:
            arena_take(c);
            route__head(c);
            break;
        case HTTP_EVENT_CONTINUE:
            send_continue(c);
            break;
        case HTTP_EVENT_CUT:
            c->cut = true;
            conn__begin_request(c);
            break;
        case HTTP_EVENT_END:
            if (c->spool)
                body__end(c);
            else
                conn__begin_request(c);
            break;
        case HTTP_EVENT_REFUSED:
            refuse(c);
            break;
        }
    }
}

/* Keeps what could not be taken yet. */
static void keep_input(struct conn *c, struct str rest)
{
    if (c->state == CONN_ENDING || c->broken) return;
    c->input.max = INPUT_CAP;
    buf_put(&c->input, rest.p, rest.n);
    if (c->input.overflow) {
        stream_close(c->stream);
        c->broken = true;
    } else if (c->input.n > INPUT_MAX && !c->reading_off) {
        c->reading_off = true;
        stream_read(c->stream, false);
    }
}

static void take_input(struct conn *c, struct str bytes)
{
    if (c->input.n == 0) {
        take_events(c, &bytes);
        keep_input(c, bytes);
        return;
    }
    keep_input(c, bytes);
    struct str kept = buf_str(&c->input);
    take_events(c, &kept);
    buf_consume(&c->input, c->input.n - kept.n);
    if (c->input.n == 0) buf_deinit(&c->input);
    if (c->input.n <= INPUT_MAX && c->reading_off && !c->broken) {
        c->reading_off = false;
        stream_read(c->stream, true);
    }
}

static bool busy(const struct conn *c)
{
    return c->state == CONN_HANDLING || c->state == CONN_STREAMING;
}

static bool abort_request(struct conn *c)
{
    if (!busy(c) || !c->req.on_abort) return false;
    void (*on_abort)(struct api_request *) = c->req.on_abort;
    c->req.on_abort = NULL;
    c->state = CONN_ENDING;
    on_abort(&c->req);
    return true;
}

static void on_linger(struct timer *t)
{
    struct conn *c = container_of(t, struct conn, linger);
    if (!busy(c) || abort_request(c)) stream_close(c->stream);
}

/* A client that left looks like one that only ended its side. A write is let finish; a read gets a
 * moment, since it may be parked for minutes for nobody. */
static void watch_half_closed(struct conn *c)
{
    if (!c->eof || !busy(c) || c->req.method != API_GET) return;
    if (!timer_active(&c->linger)) timer_start(&c->linger, HALF_CLOSED_MS);
}

/* Works through the input; the answers given meanwhile leave in one write. */
static void feed(struct conn *c, struct str bytes)
{
    ensure(!c->batching);
    c->batching = true;
    output_take(c);
    take_input(c, bytes);
    if (!c->broken) flush(c);
    output_give(c);
    c->batching = false;
    if (c->broken) return;
    watch_half_closed(c);
    bool done = c->eof && c->state == CONN_READING && c->input.n == 0;
    if (done || c->state == CONN_ENDING) end(c);
}

void conn__answered(struct conn *c)
{
    bool keep = c->http.keep_alive && !c->cut;
    c->req.on_abort = NULL;
    timer_stop(&c->linger);
    request_log__finished(c);
    timing__take(c);
    http_server_next(&c->http);
    body__forget(c);
    arena_give(c);
    c->state = keep ? CONN_READING : CONN_ENDING;
    if (!c->stream)
        free_conn(c);
    else if (!c->batching)
        feed(c, STR_NIL);
}

void conn__resume(struct conn *c)
{
    if (c->state == CONN_READING && c->stream && !c->batching && c->input.n) feed(c, STR_NIL);
}

/* --- events of the stream ------------------------------------------------------------------ */

static void on_data(struct stream *s, struct str bytes)
{
    struct conn *c = self(s);
    if (c->state == CONN_READING)
        feed(c, bytes);
    else
        keep_input(c, bytes);
}

static void on_eof(struct stream *s)
{
    struct conn *c = self(s);
    c->eof = true;
    if (c->state == CONN_STREAMING && abort_request(c))
        stream_close(s);
    else if (c->state == CONN_ENDING)
        end_when_sent(c);
    else if (c->state == CONN_READING && c->input.n == 0)
        end(c);
    else
        watch_half_closed(c);
}

static void on_drained(struct stream *s)
{
    struct conn *c = self(s);
    if (c->state == CONN_ENDING)
        end_when_sent(c);
    else if (c->state == CONN_READING && !c->batching)
        feed(c, STR_NIL);
}

static void on_closed(struct stream *s, int code)
{
    struct conn *c = self(s);
    if (c->tls && code) {
        struct tls_state state;
        tls_state(c->tls, s, &state);
        if (!state.ready) server__refused(c->api, s, "TLS handshake failed", state.why);
    }
    c->stream = NULL;
    server__client_gone(c->api, str_of(s->peer), c->excess);
    if (abort_request(c) || !busy(c)) free_conn(c);
}

static const struct stream_events events = {
    .data = on_data,
    .eof = on_eof,
    .drained = on_drained,
    .closed = on_closed,
};

/* As Go's server answers a client that takes the port for one of clear text. */
#define NOT_TLS_TEXT \
    "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"

static struct stream *begin_tls(const struct api_listener *l, struct conn *c, struct stream *s)
{
    static const char *const protocols[] = { "http/1.1" };
    struct tls_options o = { .use = TLS_ACCEPT_HTTPS,
        .alpn = protocols,
        .n_alpn = sizeof protocols / sizeof protocols[0],
        .timeout_ms = l->handshake_timeout_ms,
        .queue_max = QUEUE_MAX,
        .plain_text = STR(NOT_TLS_TEXT),
        .events = &events,
        .owner = c };
    c->tls = l->tls;
    return tls_start(l->tls, s, &o);
}

#define EXCESS_TEXT "too many connections from this address (limits.http_max_conns_per_client)\n"

static void refuse_excess(struct conn *c)
{
    char text[256];
    int n = snprintf(text, sizeof text,
        "HTTP/1.1 429 Too Many Requests\r\nContent-Type: text/plain; charset=utf-8\r\n"
        "Date: %s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n" EXCESS_TEXT,
        server__date(c->api), sizeof EXCESS_TEXT - 1);
    struct stream_part part = { text, (size_t)n, NULL };
    c->cut = true;
    (void)conn__write(c, &part, 1);
    if (!c->broken) end(c);
}

void conn__accept(void *listener, struct stream *s)
{
    const struct api_listener *l = listener;
    struct api *api = l->api;
    bool excess;
    bool admitted = server__client_admit(api, str_of(s->peer), &excess);
    if (excess) server__refused(api, s, "connection refused", "http_max_conns_per_client");
    if (!admitted) {
        stream_close(s);
        return;
    }
    struct conn *c = xcalloc(1, sizeof *c);
    c->api = api;
    c->excess = excess;
    c->stream = s;
    s->owner = c;
    s->events = &events;
    if (l->tls) c->stream = begin_tls(l, c, s);
    http_server_init(&c->http);
    timer_init(&c->linger, api->world, on_linger);
    link_push(&api->conns, &c->link);
    if (excess) refuse_excess(c);
}
