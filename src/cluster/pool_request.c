/* SPDX-License-Identifier: Apache-2.0 */
/* Commands to a pool and their answers. */
#include <string.h>

#include "pool.h"

bool pool__request_begin(struct pool *p, struct pool_request *r)
{
    r->pool = p;
    r->code = 0;
    r->err.text[0] = '\0';
    r->joined = 0;
    r->keys = NULL;
    r->join = NULL;
    r->handle = ++p->next_handle;
    link_init(&r->link);
    p->requests_n++;
    if (p->closed) {
        pool__request_fail(r, ERR_CANCELLED, "the pool is shut down");
        return false;
    }
    if (p->requests_n > POOL_REQUESTS_MAX) {
        p->counters.requests_refused++;
        pool__request_fail(r, ERR_FULL, "too many requests to the pool");
        return false;
    }
    link_push(&p->requests, &r->link);
    return true;
}

static void answer(struct pool_request *r)
{
    link_remove(&r->link);
    link_push(&r->pool->answered, &r->link);
    tick_mark(&r->pool->tick);
}

void pool__request_fail(struct pool_request *r, int code, const char *text)
{
    r->code = error_set(&r->err, code, "%s", text);
    answer(r);
}

/* The core's arrays live until its next step, which `done` may make. */
static const struct serf_key_outcome *copy_outcome(
    struct arena *a, const struct serf_key_outcome *from)
{
    struct serf_key_outcome *to = arena_copy(a, from, sizeof *from);
    struct str_pair *messages = arena_array(a, from->messages_n, sizeof *messages);
    struct serf_key_count *keys = arena_array(a, from->keys_n, sizeof *keys);
    struct serf_key_count *primary = arena_array(a, from->primary_keys_n, sizeof *primary);
    for (size_t i = 0; i < from->messages_n; i++) {
        messages[i].key = str_dup(a, from->messages[i].key);
        messages[i].value = str_dup(a, from->messages[i].value);
    }
    for (size_t i = 0; i < from->keys_n; i++) {
        keys[i].key = str_dup(a, from->keys[i].key);
        keys[i].nodes = from->keys[i].nodes;
    }
    for (size_t i = 0; i < from->primary_keys_n; i++) {
        primary[i].key = str_dup(a, from->primary_keys[i].key);
        primary[i].nodes = from->primary_keys[i].nodes;
    }
    to->messages = messages;
    to->keys = keys;
    to->primary_keys = primary;
    return to;
}

static struct pool_request *find(struct pool *p, uint64_t handle)
{
    link_each (l, &p->requests) {
        struct pool_request *r = container_of(l, struct pool_request, link);
        if (r->handle == handle) return r;
    }
    return NULL;
}

void pool__request_result(struct pool *p, const struct serf_notice *n)
{
    struct pool_request *r = find(p, n->result.handle);
    if (!r) return; /* forgotten */
    if (r->join) {
        pool__join_result(r, n);
    } else {
        r->code = n->result.code;
        if (n->result.code) error_set(&r->err, r->code, "%.*s", STR_ARG(n->result.text));
    }
    if (n->result.keys) r->keys = copy_outcome(&p->arena, n->result.keys);
    answer(r);
}

void pool__requests_tell(struct pool *p)
{
    struct link batch;
    link_init(&batch);
    link_insert_before(&p->answered, &batch);
    link_remove(&p->answered);
    for (struct link *l; (l = link_pop(&batch));) {
        struct pool_request *r = container_of(l, struct pool_request, link);
        pool__join_free(r);
        p->requests_n--;
        r->pool = NULL;
        r->done(r);
    }
}

void pool__requests_fail_all(struct pool *p)
{
    link_each (l, &p->requests)
        pool__request_fail(
            container_of(l, struct pool_request, link), ERR_CANCELLED, "the pool is shut down");
}

void pool_forget(struct pool_request *r)
{
    if (!r->pool) return;
    pool__join_free(r);
    link_remove(&r->link);
    r->pool->requests_n--;
    r->pool = NULL;
}

/* --- commands ----------------------------------------------------------------------------------
 */

void pool_leave(struct pool *p, struct pool_request *r)
{
    if (!pool__request_begin(p, r)) return;
    p->leaving = true;
    struct serf_event ev = { .type = SERF_LEAVE, .leave = { .handle = r->handle } };
    (void)pool__step(p, &ev);
}

void pool_force_leave(struct pool *p, struct pool_request *r, struct str name, bool prune)
{
    if (!pool__request_begin(p, r)) return;
    struct serf_event ev = { .type = SERF_FORCE_LEAVE,
        .force_leave = { .handle = r->handle, .name = name, .prune = prune } };
    (void)pool__step(p, &ev);
}

void pool_fire(struct pool *p, struct pool_request *r, struct str name, struct str payload)
{
    if (!pool__request_begin(p, r)) return;
    struct serf_event ev = { .type = SERF_FIRE,
        .fire = { .handle = r->handle, .name = name, .payload = payload } };
    (void)pool__step(p, &ev);
}

void pool_set_tags(struct pool *p, struct pool_request *r, const struct dict *tags)
{
    if (!pool__request_begin(p, r)) return;
    struct serf_event ev = { .type = SERF_SET_TAGS,
        .set_tags = { .handle = r->handle, .tags = *tags } };
    (void)pool__step(p, &ev);
}

void pool_keys(struct pool *p, struct pool_request *r, enum serf_key_action action, struct str key,
    uint8_t relay_factor)
{
    if (!pool__request_begin(p, r)) return;
    struct serf_event ev = { .type = SERF_KEYS,
        .keys = {
            .handle = r->handle, .action = action, .key = key, .relay_factor = relay_factor } };
    (void)pool__step(p, &ev);
}
