/* SPDX-License-Identifier: Apache-2.0 */
/* Joining by addresses, and rejoining what the snapshot knows (gossip.md 9.4, 11). */
#include <stdlib.h>

#include "serf_core.h"

/* --- joins --------------------------------------------------------------------------------- */

static struct join_op *find(struct serf *s, uint64_t id)
{
    link_each (l, &s->joins) {
        struct join_op *op = container_of(l, struct join_op, link);
        if (op->id == id) return op;
    }
    return NULL;
}

static void release(struct serf *s, struct join_op *op)
{
    link_remove(&op->link);
    s->joins_n--;
    arena_free(&op->arena);
    free(op);
}

void serf__join(struct serf *s, const struct serf_event *ev)
{
    if (ev->join.n == 0 || ev->join.n > SERF_JOIN_ADDRESSES_MAX || s->joins_n >= SERF_JOINS_MAX) {
        serf__result(s, ev->join.handle, ev->join.n ? ERR_FULL : ERR_BAD_REQUEST,
            ev->join.n ? "too many addresses to join at once" : "no address to join");
        return;
    }
    if (s->state != SERF_STATE_ALIVE) {
        serf__result(s, ev->join.handle, ERR_CANCELLED, "Serf can't Join after Leave or Shutdown");
        return;
    }
    struct join_op *op = xcalloc(1, sizeof *op);
    op->id = s->next_id++;
    op->handle = ev->join.handle;
    op->ignore_old = ev->join.ignore_old;
    op->n = op->pending = ev->join.n;
    op->addresses = arena_array(&op->arena, op->n, sizeof *op->addresses);
    op->failures = arena_array(&op->arena, op->n, sizeof *op->failures);
    link_push(&s->joins, &op->link);
    s->joins_n++;
    for (size_t i = 0; i < op->n; i++) {
        op->addresses[i] = ev->join.v[i].address;
        struct swim_event join = { .type = SWIM_JOIN };
        join.join.handle = serf__call(CALL_JOIN, op->id, i);
        join.join.address = ev->join.v[i].address;
        join.join.node = ev->join.v[i].node;
        swim_step(s->swim, s->now_ms, &join, NULL);
    }
}

/* As Go's multierror prints them. */
static struct str failure_text(struct serf *s, const struct join_op *op)
{
    struct buf out = BUF_INIT(64 * 1024);
    buf_printf(
        &out, op->failures_n == 1 ? "%zu error occurred:" : "%zu errors occurred:", op->failures_n);
    for (size_t i = 0; i < op->failures_n; i++) {
        char ip[GOSSIP_ADDRESS_TEXT_MAX];
        buf_printf(&out, "\n\t* Failed to join %s: %.*s",
            gossip_ip_text(&op->failures[i].address, ip), STR_ARG(op->failures[i].text));
    }
    buf_put_c(&out, "\n\n");
    struct str text = serf__keep(s, buf_str(&out));
    buf_deinit(&out);
    return text;
}

static void done(struct serf *s, struct join_op *op)
{
    struct serf_notice *notice = serf__result(s, op->handle, op->joined ? 0 : ERR_IO, "%s", "");
    if (notice) {
        notice->result.joined = op->joined;
        struct serf_join_failure *failures =
            arena_array(&s->out.arena, op->failures_n, sizeof *failures);
        for (size_t i = 0; i < op->failures_n; i++) {
            failures[i].address = op->failures[i].address;
            failures[i].text = serf__keep(s, op->failures[i].text);
        }
        notice->result.failures = failures;
        notice->result.failures_n = op->failures_n;
        if (!op->joined) notice->result.text = failure_text(s, op);
    }
    if (!op->announce) release(s, op);
}

void serf__join_result(struct serf *s, uint64_t id, size_t index, const struct swim_result *r)
{
    struct join_op *op = find(s, id);
    if (!op || op->pending == 0 || index >= op->n) return;
    op->pending--;
    if (r->code == 0) {
        if (op->joined++ == 0) op->announce = s->todo = true;
    } else {
        struct serf_join_failure *f = &op->failures[op->failures_n++];
        f->address = op->addresses[index];
        f->text = str_dup(&op->arena, r->text);
    }
    if (op->pending == 0) done(s, op);
}

/* The intent goes out with the first success: others wait for it, not for our dead addresses. */
void serf__join_advance(struct serf *s)
{
    link_each (l, &s->joins) {
        struct join_op *op = container_of(l, struct join_op, link);
        if (!op->announce) continue;
        op->announce = false;
        if (s->state == SERF_STATE_ALIVE) serf__announce(s);
        if (op->pending == 0) release(s, op);
    }
}

bool serf__joining_new_only(const struct serf *s)
{
    for (const struct link *l = s->joins.next; l != &s->joins; l = l->next)
        if (container_of(l, struct join_op, link)->ignore_old) return true;
    return false;
}

/* --- rejoin -------------------------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
    const struct serf_join_address *x = a, *y = b;
    return str_cmp(x->node, y->node);
}

static void shuffle(struct serf *s)
{
    for (size_t i = s->previous_n; i > 1; i--) {
        size_t j = (size_t)swim_random(s->swim, i);
        struct serf_join_address other = s->previous[i - 1];
        s->previous[i - 1] = s->previous[j];
        s->previous[j] = other;
    }
}

void serf__rejoin_begin(struct serf *s)
{
    struct str name;
    void *address;
    size_t bytes = 0;
    for (size_t it = 0; map_next(&s->snapshot.alive, &it, &name, &address);)
        bytes += name.n;
    s->previous = xcalloc(s->snapshot.alive.n + 1, sizeof *s->previous);
    s->previous_names = xmalloc(bytes + 1);
    char *at = s->previous_names;
    for (size_t it = 0; map_next(&s->snapshot.alive, &it, &name, &address);) {
        if (str_eq(name, s->o.swim.name)) continue;
        memcpy(at, name.p, name.n);
        struct serf_join_address *p = &s->previous[s->previous_n++];
        p->node = (struct str){ at, name.n };
        p->address = *(const struct gossip_address *)address;
        at += name.n;
    }
    /* The order of a map is the process's; the choice is the seed's. */
    qsort(s->previous, s->previous_n, sizeof *s->previous, compare);
    shuffle(s);
    if (s->previous_n) s->todo = true;
}

void serf__rejoin_advance(struct serf *s)
{
    if (s->rejoining || s->previous_n == 0) return;
    if (s->state != SERF_STATE_ALIVE) {
        s->previous_n = 0;
        return;
    }
    const struct serf_join_address *p = &s->previous[--s->previous_n];
    char address[GOSSIP_ADDRESS_TEXT_MAX];
    serf__log(s, LOG_INFO, "serf: Attempting re-join to previously known node: %.*s: %s",
        STR_ARG(p->node), gossip_address_text(&p->address, address));
    struct swim_event join = { .type = SWIM_JOIN };
    join.join.handle = serf__call(CALL_REJOIN, 0, s->previous_n);
    join.join.address = p->address;
    join.join.node = p->node;
    s->rejoining = true;
    swim_step(s->swim, s->now_ms, &join, NULL);
}

void serf__rejoin_result(struct serf *s, const struct swim_result *r)
{
    s->rejoining = false;
    if (r->code == 0) {
        serf__log(s, LOG_INFO, "serf: Re-joined to previously known node");
        s->previous_n = 0;
    } else if (s->previous_n == 0) {
        serf__log(s, LOG_WARN, "serf: Failed to re-join any previously known node");
    } else {
        s->todo = true;
    }
}

void serf__joins_free(struct serf *s)
{
    link_each (l, &s->joins)
        release(s, container_of(l, struct join_op, link));
    free(s->previous);
    free(s->previous_names);
}
