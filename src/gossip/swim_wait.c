/* SPDX-License-Identifier: Apache-2.0 */
/* Leaving and announcing anew, each answered when its broadcast has been transmitted: gossip.md
 * 8.14 and 8.15. */
#include <stdlib.h>

#include "swim_core.h"

static uint64_t wait_for(struct swim *s, uint64_t handle, uint64_t timeout_ms, const char *late)
{
    struct waiter *w = xcalloc(1, sizeof *w);
    w->tag = ++s->next_tag;
    w->handle = handle;
    w->deadline_ms = timeout_ms < SWIM_NEVER - s->now ? s->now + timeout_ms : SWIM_NEVER;
    w->late = late;
    link_init(&w->link);
    link_push(&s->waiters, &w->link);
    s->waiters_n++;
    return w->tag;
}

static void end(struct swim *s, struct waiter *w, int code, const char *text)
{
    swim__put_result(s, w->handle, code, text);
    link_remove(&w->link);
    s->waiters_n--;
    free(w);
}

static struct waiter *find(const struct swim *s, uint64_t tag)
{
    link_each (it, &s->waiters) {
        struct waiter *w = container_of(it, struct waiter, link);
        if (w->tag == tag) return w;
    }
    return NULL;
}

void swim__broadcast_finished(void *ctx, uint64_t tag, enum broadcast_end how)
{
    struct swim *s = ctx;
    struct waiter *w = find(s, tag);
    if (!w) return;
    if (how == BROADCAST_DROPPED) {
        end(s, w, ERR_FULL, "broadcast was dropped");
    } else {
        end(s, w, 0, "");
    }
}

void swim__waiters_run(struct swim *s)
{
    link_each (it, &s->waiters) {
        struct waiter *w = container_of(it, struct waiter, link);
        if (s->now >= w->deadline_ms) end(s, w, ERR_CANCELLED, w->late);
    }
}

void swim__waiters_free(struct swim *s)
{
    link_each (it, &s->waiters) {
        free(container_of(it, struct waiter, link));
    }
    link_init(&s->waiters);
}

/* Nobody is there to hear it, or too many wait already. */
static bool settled_at_once(struct swim *s, uint64_t handle)
{
    if (s->waiters_n == SWIM_WAITERS_MAX) {
        swim__put_result(s, handle, ERR_LIMIT, "too many broadcasts are waited for");
        return true;
    }
    if (!swim__alone(s)) return false;
    swim__put_result(s, handle, 0, "");
    return true;
}

void swim__leave(struct swim *s, uint64_t handle, uint64_t timeout_ms)
{
    if (s->left) {
        swim__put_result(s, handle, 0, "");
        return;
    }
    s->left = true;
    bool settled = settled_at_once(s, handle);
    uint64_t tag =
        settled ? 0 : wait_for(s, handle, timeout_ms, "timeout waiting for leave broadcast");
    struct swim_accusation a = {
        .incarnation = s->self->node.incarnation, .node = s->o.name, .from = s->o.name
    };
    swim__dead(s, &a, tag);
}

void swim__update(struct swim *s, uint64_t handle, uint64_t timeout_ms)
{
    const struct swim_delegate *d = &s->o.delegate;
    struct swim_alive a = swim__alive_of_self(s);
    if (d->meta) a.meta = d->meta(d->ctx);
    if (a.meta.n > SWIM_META_MAX) {
        swim__put_result(s, handle, ERR_TOO_LARGE, "node meta exceeds the limit of 512 bytes");
        return;
    }
    bool settled = settled_at_once(s, handle);
    uint64_t tag =
        settled ? 0 : wait_for(s, handle, timeout_ms, "timeout waiting for update broadcast");
    if (s->incarnation < UINT32_MAX) s->incarnation++;
    a.incarnation = s->incarnation;
    swim__alive(s, &a, FROM_SELF, NULL, tag);
    struct waiter *w = tag ? find(s, tag) : NULL;
    /* The alive message was not taken (we have left, or the delegate refuses): nothing to wait for.
     */
    if (w && s->self->node.incarnation != s->incarnation) end(s, w, ERR_DENIED, "not announced");
}
