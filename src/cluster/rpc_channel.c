/* SPDX-License-Identifier: Apache-2.0 */
/* Requests of one stream (rpc.md 4): a header, an argument, a call, the answer, then the next. */
#include "rpc_port.h"

#include <stdlib.h>
#include <string.h>

#include "consuld/model.h"

#define MEMO_MSGPACK UINT64_MAX
#define SCRATCH_KEPT ((size_t)1 << 20)
/* An answer of more bytes is not copied on its way out. */
#define LARGE ((size_t)256 << 10)
/* Arena of a request beside message and argument: what the callee needs to let it wait. */
#define CALLEE_ROOM 320

/* Error texts of the dispatcher that peers match on (rpc.md 4). */
#define NO_SERVICE "rpc: can't find service %.*s"
#define NO_METHOD "rpc: can't find method %.*s"
#define ILL_FORMED "rpc: service/method request ill-formed: %.*s"

/* A request in progress; memory of its own arena. */
struct served {
    struct rpc_call rpc;
    struct arena arena;
    struct rpc_channel *channel;
    struct request_header header;
    bool last; /* the conversation ends with the answer */
};

void rpc_channel_init(
    struct rpc_channel *ch, struct rpc_port *port, const struct rpc_channel_ops *ops)
{
    *ch = (struct rpc_channel){
        .ops = ops, .port = port, .input = BUF_INIT(LIMIT_RPC_REQUEST + YAMUX_WINDOW)
    };
    rpc_scan_init(&ch->scan, 1, RPC_HEADER_MAX);
}

static void drop_input(struct rpc_channel *ch)
{
    ch->port->input -= ch->input.n;
    buf_deinit(&ch->input);
}

void rpc_channel_drop(struct rpc_channel *ch)
{
    struct served *q = ch->served;
    ch->ended = true;
    ch->served = NULL;
    drop_input(ch);
    if (!q) return;
    ch->port->counters.calls--;
    rpc_cancel(ch->port->opts.rpc, &q->rpc);
    struct arena a = q->arena;
    arena_free(&a);
}

static void end(struct rpc_channel *ch)
{
    if (ch->ended) return;
    ensure(!ch->served);
    ch->ended = true;
    drop_input(ch);
    ch->ops->end(ch);
}

size_t rpc_channel_waiting(const struct rpc_channel *ch)
{
    return ch->input.n - ch->at;
}

/* --- answers -------------------------------------------------------------------------------- */

struct shared_body *rpc_reply_msgpack(struct rpc_reply *r)
{
    struct shared_body *body = rpc_reply_memo(r, MEMO_MSGPACK);
    if (body) return body;
    struct buf out = BUF_INIT(LIMIT_RPC_ANSWER);
    msgpack_encode(r->type, r->record, &out);
    if (!out.overflow) {
        body = shared_body_take(&out);
        rpc_reply_memo_put(r, MEMO_MSGPACK, body);
        shared_body_unref(body);
    }
    buf_deinit(&out);
    return body;
}

static void send_error(struct rpc_channel *ch, const struct served *q, const char *text)
{
    struct buf *out = &ch->port->scratch;
    buf_clear(out);
    rpc_write_response(out, str_of(text), q->header.seq, q->header.service_method);
    buf_put_c(out, RPC_EMPTY_BODY);
    struct stream_part part = { out->p, out->n, NULL };
    ch->ops->send(ch, &part, 1);
}

/* False: the answer is over the limit of a message. */
static bool send_reply(struct rpc_channel *ch, const struct served *q, struct rpc_reply *r)
{
    struct buf *out = &ch->port->scratch;
    struct stream_part parts[2] = { { 0 }, { 0 } };
    buf_clear(out);
    rpc_write_response(out, STR(""), q->header.seq, q->header.service_method);
    if (!r->type) {
        buf_put_c(out, RPC_EMPTY_BODY);
    } else if (r->refs > 1) {
        struct shared_body *body = rpc_reply_msgpack(r);
        if (!body) return false;
        parts[1] = (struct stream_part){ body->bytes, body->n, body };
    } else {
        msgpack_encode(r->type, r->record, out);
    }
    if (out->overflow) return false;
    struct shared_body *large = out->n > LARGE ? shared_body_take(out) : NULL;
    struct str bytes = large ? shared_body_str(large) : buf_str(out);
    parts[0] = (struct stream_part){ bytes.p, bytes.n, large };
    ch->ops->send(ch, parts, parts[1].n ? 2 : 1);
    shared_body_unref(large);
    return true;
}

static void release(struct rpc_channel *ch, struct served *q)
{
    struct arena a = q->arena;
    struct buf *scratch = &ch->port->scratch;
    rpc_reply_unref(q->rpc.reply);
    arena_free(&a);
    if (scratch->cap > SCRATCH_KEPT) buf_deinit(scratch);
}

/* The request is over; the next one may begin when `running` or resume gets to it. */
static void answered(struct rpc_channel *ch, struct served *q)
{
    bool last = q->last;
    ch->served = NULL;
    release(ch, q);
    if (last) end(ch);
}

static void done(struct rpc_call *rpc)
{
    struct served *q = rpc->ctx;
    struct rpc_channel *ch = q->channel;
    ch->port->counters.calls--;
    if (rpc->code) {
        send_error(ch, q, rpc->err->text);
    } else if (!send_reply(ch, q, rpc->reply)) {
        send_error(ch, q, "rpc: the answer is too large");
    }
    answered(ch, q);
    if (!ch->running) rpc_channel_resume(ch);
}

/* --- requests ------------------------------------------------------------------------------- */

static bool service_exists(struct str service, bool insecure)
{
    struct str other;
    if (method_service_insecure(service) != insecure) return false;
    for (size_t i = 0; i < method_count; i++) {
        if (rpc_method_service(str_of(method_table[i].method), &other) && str_eq(other, service))
            return true;
    }
    return false;
}

static const struct method_types *find_method(struct str name, bool insecure, struct error *err)
{
    struct str service;
    if (!rpc_method_service(name, &service)) {
        error_set(err, ERR_BAD_REQUEST, ILL_FORMED, STR_ARG(name));
        return NULL;
    }
    const struct method_types *m = method_find(name);
    if (m && method_service_insecure(service) == insecure) return m;
    bool known = service_exists(service, insecure);
    error_set(err, ERR_NOT_FOUND, known ? NO_METHOD : NO_SERVICE, STR_ARG(name));
    return NULL;
}

static void tell(struct rpc_channel *ch, const char *why)
{
    ch->port->counters.requests_bad++;
    log_error(RPC_PORT_LOG, "RPC error", "conn", rpc_port__from(ch->ops->connection(ch)).text,
        "error", why);
}

static void refuse(struct rpc_channel *ch, struct served *q, const char *text)
{
    q->last = true;
    tell(ch, text);
    send_error(ch, q, text);
    answered(ch, q);
}

/* A whole message: header and argument. */
static void begin(struct rpc_channel *ch, struct str message, size_t header_n)
{
    struct rpc_port *port = ch->port;
    struct error *err = &port->err;
    struct request_header h;
    int rc = rpc_read_request(str_slice(message, 0, header_n), &h);
    ensure(rc == 0); /* it was read once */
    const struct method_types *m = find_method(h.service_method, ch->insecure, err);
    struct arena a = ARENA_INIT;
    size_t args_n = m ? m->args->size : 0;
    arena_reserve(&a, sizeof(struct served) + message.n + 16 + args_n + CALLEE_ROOM);
    struct served *q = arena_new(&a, struct served);
    message = str_dup(&a, message);
    rc = rpc_read_request(str_slice(message, 0, header_n), &q->header);
    ensure(rc == 0);
    q->channel = ch;
    ch->served = q;
    void *args = m ? arena_alloc(&a, args_n) : NULL;
    if (m) {
        struct cursor c;
        cursor_init(&c, message.p + header_n, message.n - header_n, err);
        rc = msgpack_decode(&c, &a, m->args, args);
    }
    q->arena = a;
    if (!m || rc) {
        if (!m) port->counters.requests_unknown++;
        refuse(ch, q, err->text);
        return;
    }
    q->rpc = (struct rpc_call){
        .method = m->method, .args = args, .arena = &q->arena, .done = done, .ctx = q, .err = err
    };
    port->counters.requests++;
    port->counters.calls++;
    rpc_submit(port->opts.rpc, &q->rpc);
}

/* --- input ---------------------------------------------------------------------------------- */

/* Without an answer: there is no header to answer to. */
static void give_up(struct rpc_channel *ch, const char *why)
{
    tell(ch, why);
    end(ch);
}

static bool header_whole(struct rpc_channel *ch, struct str bytes)
{
    struct request_header h;
    if (rpc_read_request(bytes, &h)) return false;
    ch->header_n = ch->at;
    rpc_scan_init(&ch->scan, 1, LIMIT_RPC_REQUEST);
    return true;
}

static void next_message(struct rpc_channel *ch)
{
    ch->at = 0;
    ch->header_n = 0;
    rpc_scan_init(&ch->scan, 1, RPC_HEADER_MAX);
}

/* Begins the requests that are whole in `all`, as far as they may. Bytes that are done with. */
static size_t process(struct rpc_channel *ch, struct str all)
{
    size_t start = 0;
    while (!ch->ended && !ch->served && ch->ops->ready(ch)) {
        struct str rest = str_slice(all, start + ch->at, all.n);
        size_t before = rest.n;
        if (before == 0) break;
        enum rpc_scan_result r = rpc_scan_take(&ch->scan, &rest);
        ch->at += before - rest.n;
        if (r == RPC_SCAN_MORE) break;
        bool fine = r == RPC_SCAN_DONE;
        struct str message = str_slice(all, start, start + ch->at);
        if (fine && !ch->header_n) {
            if (header_whole(ch, message)) continue;
            fine = false;
        }
        if (!fine) {
            give_up(ch, "the request is no msgpack, or too large");
            return all.n;
        }
        size_t header_n = ch->header_n;
        start += ch->at;
        next_message(ch);
        begin(ch, message, header_n);
    }
    return ch->ended ? all.n : start;
}

static void keep(struct rpc_channel *ch, struct str bytes)
{
    struct rpc_port *p = ch->port;
    buf_put_str(&ch->input, bytes);
    if (!ch->input.overflow) p->input += bytes.n;
    if (ch->input.overflow || p->input > RPC_PORT_INPUT_MAX)
        give_up(ch, "too many bytes of unfinished requests");
}

/* Reports what was read: all but the bytes that wait behind a request. */
static void report(struct rpc_channel *ch)
{
    size_t waiting = ch->ended ? 0 : rpc_channel_waiting(ch);
    if (waiting >= ch->unread) return;
    size_t n = ch->unread - waiting;
    ch->unread = waiting;
    if (ch->ops->consumed && !ch->ended) ch->ops->consumed(ch, n);
}

/* Everything that was asked for is answered and nothing more can come. */
static void end_if_over(struct rpc_channel *ch)
{
    if (!ch->eof || ch->ended || ch->served) return;
    if (rpc_channel_waiting(ch) == 0) end(ch);
}

static void run(struct rpc_channel *ch, struct str fresh)
{
    ensure(!ch->running);
    ch->running = true;
    if (ch->input.n == 0) {
        size_t used = process(ch, fresh);
        if (!ch->ended && used < fresh.n) keep(ch, str_slice(fresh, used, fresh.n));
    } else {
        keep(ch, fresh);
        size_t used = ch->ended ? 0 : process(ch, buf_str(&ch->input));
        if (!ch->ended) {
            ch->port->input -= used;
            buf_consume(&ch->input, used);
            if (ch->input.n == 0) buf_deinit(&ch->input);
        }
    }
    ch->running = false;
    report(ch);
    end_if_over(ch);
}

void rpc_channel_data(struct rpc_channel *ch, struct str bytes)
{
    if (ch->ended) return;
    ch->unread += bytes.n;
    run(ch, bytes);
}

void rpc_channel_eof(struct rpc_channel *ch)
{
    ch->eof = true;
    if (!ch->running) end_if_over(ch);
}

void rpc_channel_resume(struct rpc_channel *ch)
{
    if (ch->ended || ch->running || ch->served) return;
    if (ch->input.n && ch->ops->ready(ch)) {
        run(ch, STR(""));
    } else {
        end_if_over(ch);
    }
}
