/* SPDX-License-Identifier: Apache-2.0 */
/* Push/pull: the whole of our state against the whole of a peer's, gossip.md 6.2 and 8.9. */
#include "swim_core.h"

static struct swim_push_node *local_nodes(const struct swim *s, struct arena *a)
{
    struct swim_push_node *v = arena_array(a, s->n, sizeof *v);
    for (size_t i = 0; i < s->n; i++)
        v[i] = swim__member_record(s->members[i]);
    return v;
}

void swim__state_write(struct swim *s, bool join, struct buf *out)
{
    const struct swim_delegate *d = &s->o.delegate;
    struct buf user = BUF_INIT(STREAM_MESSAGE_MAX);
    if (d->local_state) d->local_state(d->ctx, join, &user);
    struct swim_push_pull head = {
        .nodes = (int64_t)s->n, .user_state_len = (int64_t)user.n, .join = join
    };
    swim_message_encode(SWIM_MSG_PUSH_PULL, &type_swim_push_pull, &head, out);
    for (size_t i = 0; i < s->n; i++) {
        struct swim_push_node n = swim__member_record(s->members[i]);
        msgpack_encode(&type_swim_push_node, &n, out);
    }
    buf_put_str(out, buf_str(&user));
    buf_deinit(&user);
}

/* --- merging ------------------------------------------------------------------------------- */

static int ask_delegate(
    struct swim *s, const struct swim_push_node *v, size_t n, struct arena *a, struct error *err)
{
    const struct swim_delegate *d = &s->o.delegate;
    if (!d->merge) return 0;
    struct swim_node *nodes = arena_array(a, n, sizeof *nodes);
    for (size_t i = 0; i < n; i++) {
        nodes[i] = (struct swim_node){ .name = v[i].name,
            .meta = v[i].meta,
            .incarnation = (uint32_t)v[i].incarnation,
            .state = (enum swim_state)v[i].state,
            .since_ms = s->now };
        gossip_address_set(&nodes[i].address, v[i].addr, (uint16_t)v[i].port);
        if (v[i].vsn.n == SWIM_VSN_SIZE) memcpy(nodes[i].vsn, v[i].vsn.p, SWIM_VSN_SIZE);
    }
    return d->merge(d->ctx, nodes, n, err);
}

static int states_known(const struct swim_push_node *v, size_t n, struct error *err)
{
    for (size_t i = 0; i < n; i++)
        if (v[i].state < SWIM_ALIVE || v[i].state > SWIM_LEFT)
            return error_set(err, ERR_DECODE, "Node '%.*s' is in unknown state %lld",
                STR_ARG(v[i].name), (long long)v[i].state);
    return 0;
}

static void merge_node(struct swim *s, const struct swim_push_node *n)
{
    struct swim_accusation a = {
        .incarnation = n->incarnation, .node = n->name, .from = s->o.name
    };
    switch ((enum swim_state)n->state) {
    case SWIM_ALIVE: {
        struct swim_alive alive = { .incarnation = n->incarnation,
            .node = n->name,
            .addr = n->addr,
            .port = n->port,
            .meta = n->meta,
            .vsn = n->vsn };
        swim__alive(s, &alive, FROM_STREAM, NULL, 0);
        break;
    }
    case SWIM_LEFT:
        a.from = n->name;
        swim__dead(s, &a, 0);
        break;
    case SWIM_DEAD:
    case SWIM_SUSPECT:
        swim__suspect(s, &a);
        break;
    }
}

int swim__state_merge(struct swim *s, struct str message, struct error *err)
{
    struct arena a = ARENA_INIT;
    struct push_pull p;
    int rc = push_pull_decode(message, &a, &p, err);
    const struct swim_push_node *v = p.nodes.v;
    size_t n = p.nodes.n;
    if (!rc) rc = states_known(v, n, err);
    if (!rc) rc = push_pull_versions(v, n, local_nodes(s, &a), s->n, err);
    if (!rc && p.join) rc = ask_delegate(s, v, n, &a, err);
    for (size_t i = 0; !rc && i < n; i++)
        merge_node(s, &v[i]);
    const struct swim_delegate *d = &s->o.delegate;
    if (!rc && p.user_state.n > 0 && d->merge_state) d->merge_state(d->ctx, p.user_state, p.join);
    arena_free(&a);
    s->counters.push_pulls += !rc;
    s->counters.push_pulls_failed += rc != 0;
    return rc;
}

/* --- rounds -------------------------------------------------------------------------------- */

static bool alive_peer(const struct swim *s, const struct member *m, const void *arg)
{
    (void)arg;
    return m != s->self && m->node.state == SWIM_ALIVE;
}

void swim__push_pull_run(struct swim *s)
{
    struct member *m;
    if (s->now < s->push_pull_ms) return;
    s->push_pull_ms = s->now + swim_push_pull_interval_ms(s->o.push_pull_interval_ms, s->n);
    if (swim__members_pick(s, 1, alive_peer, NULL, &m))
        swim__dial(s, CONN_PUSH_PULL, &m->node.address, m->node.name, 0);
}
