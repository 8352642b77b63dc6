/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "server.h"

struct rpc_reply *write_reply(struct write *w)
{
    if (!w->reply) {
        const struct type *t = w->p.layout->reply;
        w->reply = rpc_reply_create(t);
        w->reply->record = arena_alloc(&w->reply->arena, t->size);
    }
    return w->reply;
}

int write_reply_bool(struct write *w, bool v)
{
    ensure(w->p.layout->reply->kind == KIND_BOOL);
    *(bool *)write_reply(w)->record = v;
    return WRITE_DONE;
}

int write_reply_str(struct write *w, struct str v)
{
    struct rpc_reply *r = write_reply(w);
    ensure(w->p.layout->reply->kind == KIND_STR);
    *(struct str *)r->record = str_dup(&r->arena, v);
    return WRITE_DONE;
}

int write_finish(struct write *w, const struct command_result *res)
{
    const struct type *t = w->p.layout->reply;
    if (res->kind == RESULT_ERROR) {
        return error_set(w->err, ERR_INTERNAL, "%.*s", STR_ARG(res->text));
    }
    if (t->kind == KIND_BOOL) return write_reply_bool(w, res->kind == RESULT_BOOL && res->ok);
    if (t->kind == KIND_STR) {
        return write_reply_str(w, res->kind == RESULT_STR ? res->text : STR(""));
    }
    write_reply(w);
    return WRITE_DONE;
}

static void abandon(struct pending *p)
{
    if (p->abandon) p->abandon(p);
    p->abandon = NULL;
}

static void settle(struct write *w, int rc)
{
    struct pending *p = &w->p;
    if (rc == WRITE_PENDING) return;
    server__measure_call(p->server, p->method, p->began_us);
    timer_stop(&p->timer);
    abandon(p);
    link_remove(&p->link);
    struct rpc_reply *reply = w->reply;
    w->reply = NULL;
    if (rc == WRITE_DONE) {
        ensure(reply != NULL);
        server__finish(p->call, reply);
        return;
    }
    rpc_reply_unref(reply);
    server__fail(p->call, rc);
}

/* Nothing was written, so the call may go to the leader that comes next. */
static bool go_elsewhere(struct write *w, const struct raft_driver_request *r)
{
    if (w->p.proposals != 1) return false; /* what came before is done */
    if (w->p.server->leaving || !server__not_written(str_of(r->err.text))) return false;
    abandon(&w->p);
    if (!server__hold_again(&w->p)) return false;
    rpc_reply_unref(w->reply);
    w->reply = NULL;
    w->p.raft = NULL;
    return true;
}

static void proposed(struct raft_driver_request *r)
{
    struct write *w = r->ctx;
    int rc = r->code;
    if (rc && go_elsewhere(w, r)) return;
    server__measure(w->p.server, MEASURE_COMMIT, w->p.began_us);
    if (rc)
        *w->err = r->err;
    else
        rc = w->p.finish ? w->p.finish(w, r->result) : write_finish(w, r->result);
    settle(w, rc);
}

void write_answer(struct write *w, int rc)
{
    settle(w, rc);
}

void write_end(struct write *w, const struct raft_driver_request *r)
{
    if (r->code)
        *w->err = r->err;
    else
        write_reply(w);
    settle(w, r->code);
}

void server__propose(
    struct server *s, struct raft_driver_request *r, enum command_type type, const void *body)
{
    buf_clear(&s->scratch);
    command_encode(type, body, &s->scratch);
    ensure(!s->scratch.overflow);
    raft_driver_propose(s->raft, r, buf_str(&s->scratch));
}

int write_propose_then(struct write *w, enum command_type type, const void *body,
    int (*finish)(struct write *w, const struct command_result *res))
{
    w->p.finish = finish;
    w->p.proposals++;
    server__propose(w->p.server, server__request(&w->p, proposed, w), type, body);
    return WRITE_PENDING;
}

int write_propose(struct write *w, enum command_type type, const void *body)
{
    return write_propose_then(w, type, body, NULL);
}

void server__write(struct pending *p)
{
    struct write *w = (struct write *)p;
    p->kind = PENDING_WRITE;
    link_remove(&p->link);
    link_push(&p->server->calls, &p->link);
    w->err = p->call->err;
    p->proposals = 0;
    p->began_us = server__measure_from(p->server);
    settle(w, p->method->write(w));
}

/* --- commands outside of calls --------------------------------------------------------------- */

struct detached {
    struct raft_driver_request raft;
    struct link link;
    const char *failure;
};

static void detached_done(struct raft_driver_request *r)
{
    struct detached *d = r->ctx;
    if (r->code) log_error(SERVER_LOG, d->failure, "error", r->err.text);
    link_remove(&d->link);
    free(d);
}

void server__propose_detached(
    struct server *s, enum command_type type, const void *body, const char *failure)
{
    struct detached *d = xcalloc(1, sizeof *d);
    d->raft = (struct raft_driver_request){ .done = detached_done, .ctx = d };
    d->failure = failure;
    link_push(&s->detached, &d->link);
    server__propose(s, &d->raft, type, body);
}

void server__forget_detached(struct server *s)
{
    for (struct link *it; (it = link_pop(&s->detached));) {
        struct detached *d = container_of(it, struct detached, link);
        raft_driver_forget(&d->raft);
        free(d);
    }
}
