/* SPDX-License-Identifier: Apache-2.0 */
/* A body too large for memory goes to a file as it comes; its request begins when all is there. */
#include "consuld/cluster/spool.h"

#include "front.h"

static void moved(void *ctx)
{
    struct conn *c = ctx;
    if (c->state == CONN_SPOOLING && spool_done(c->spool)) body__end(c);
    conn__resume(c);
}

void body__begin(struct conn *c, uint64_t max)
{
    struct spool_options o = { .world = c->api->world, .max = max, .ready = moved, .ctx = c };
    o.dir = c->api->config->o.spool_dir;
    c->spool = spool_create(&o);
}

void body__take(struct conn *c)
{
    if (!c->spool || !c->http.body.n) return;
    spool_put(c->spool, buf_str(&c->http.body));
    buf_clear(&c->http.body);
}

bool body__full(const struct conn *c)
{
    return c->spool && spool_full(c->spool);
}

void body__end(struct conn *c)
{
    struct error err;
    spool_end(c->spool);
    c->state = CONN_SPOOLING;
    if (!spool_done(c->spool)) return;
    c->req.large = spool_take(c->spool, &err);
    spool_destroy(c->spool);
    c->spool = NULL;
    if (c->req.large) {
        conn__begin_request(c);
        return;
    }
    c->cut = true;
    c->state = CONN_HANDLING;
    api_reply_text(&c->req, err.code == ERR_TOO_LARGE ? 413 : 500, "%s", err.text);
}

void body__forget(struct conn *c)
{
    spool_destroy(c->spool);
    shared_body_unref(c->req.large);
    c->spool = NULL;
    c->req.large = NULL;
}
