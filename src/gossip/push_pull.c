/* SPDX-License-Identifier: Apache-2.0 */
#include "consuld/gossip/packet.h"
#include "consuld/gossip/swim.h"

int push_pull_decode(struct str message, struct arena *a, struct push_pull *out, struct error *err)
{
    struct cursor c;
    struct swim_push_pull head = { 0 };
    swim_message_init();
    *out = (struct push_pull){ .nodes = LIST_EMPTY };
    cursor_init(&c, message.p + 1, message.n - 1, err);
    if (msgpack_decode(&c, a, &type_swim_push_pull, &head)) return c.code;
    if (head.nodes < 0 || head.user_state_len < 0 || head.nodes > (int64_t)cursor_left(&c))
        return error_set(err, ERR_DECODE, "push/pull claims an impossible length");
    for (int64_t i = 0; i < head.nodes; i++) {
        struct swim_push_node *node = LIST_PUSH(a, &out->nodes, struct swim_push_node);
        *node = (struct swim_push_node){ 0 };
        if (msgpack_decode(&c, a, &type_swim_push_node, node)) return c.code;
    }
    if ((uint64_t)head.user_state_len > cursor_left(&c))
        return error_set(err, ERR_DECODE, "unexpected EOF");
    out->join = head.join;
    out->user_state = (struct str){ (const char *)c.p, (size_t)head.user_state_len };
    return 0;
}

/* --- versions ------------------------------------------------------------------------------------
 */

struct bounds {
    uint8_t min, max;
};

static uint8_t vsn_at(const struct swim_push_node *n, size_t i)
{
    return n->vsn.n == SWIM_VSN_SIZE ? (uint8_t)n->vsn.p[i] : 0;
}

/* `which`: 0 protocol, 3 delegate. */
static void narrow(struct bounds *b, const struct swim_push_node *v, size_t n, size_t which)
{
    for (size_t i = 0; i < n; i++) {
        if (v[i].state != SWIM_ALIVE || v[i].vsn.n == 0) continue;
        uint8_t min = vsn_at(&v[i], which), max = vsn_at(&v[i], which + 1);
        if (min > b->min) b->min = min;
        if (max < b->max) b->max = max;
    }
}

static int within(
    const struct bounds b[2], const struct swim_push_node *v, size_t n, struct error *err)
{
    static const char *const what[2] = { "protocol", "delegate protocol" };
    for (size_t i = 0; i < n; i++) {
        for (size_t which = 0; which < 2; which++) {
            uint8_t current = vsn_at(&v[i], 3 * which + 2);
            if (current >= b[which].min && current <= b[which].max) continue;
            return error_set(err, ERR_CONFLICT,
                "Node '%.*s' %s version (%u) is incompatible: [%u, %u]", STR_ARG(v[i].name),
                what[which], current, b[which].min, b[which].max);
        }
    }
    return 0;
}

int push_pull_versions(const struct swim_push_node *remote, size_t remote_n,
    const struct swim_push_node *local, size_t local_n, struct error *err)
{
    struct bounds b[2] = { { 0, UINT8_MAX }, { 0, UINT8_MAX } };
    for (size_t i = 0; i < remote_n; i++) {
        if (remote[i].vsn.n == 0 || remote[i].vsn.n == SWIM_VSN_SIZE) continue;
        return error_set(err, ERR_DECODE, "Node '%.*s' has versions of %zu bytes",
            STR_ARG(remote[i].name), remote[i].vsn.n);
    }
    for (size_t which = 0; which < 2; which++) {
        narrow(&b[which], remote, remote_n, 3 * which);
        narrow(&b[which], local, local_n, 3 * which);
    }
    int rc = within(b, remote, remote_n, err);
    return rc ? rc : within(b, local, local_n, err);
}
