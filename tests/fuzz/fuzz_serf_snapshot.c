/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as the snapshot file of a pool: replayed within bounds, and rewritten to a file that
 * says the same. The first byte picks whether a leave is to be overlooked. */
#include "gossip/serf_snapshot.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void same(const struct serf_snapshot *a, const struct serf_snapshot *b)
{
    struct str name;
    void *address;
    ensure(a->alive.n == b->alive.n && a->clock == b->clock);
    ensure(a->event_clock == b->event_clock && a->query_clock == b->query_clock);
    for (size_t it = 0; map_next(&a->alive, &it, &name, &address);) {
        const struct gossip_address *other = map_get(&b->alive, name);
        ensure(other && gossip_address_equal(other, address));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n == 0) return 0;
    struct serf_snapshot f, again;
    serf_snapshot_init(&f, true, data[0] & 1);
    serf_snapshot_replay(&f, (struct str){ (const char *)data + 1, n - 1 });
    f.broken = true;
    serf_snapshot_tick(&f, 0);
    ensure(f.rewriting && !f.rewrite.overflow && f.size == f.rewrite.n);
    serf_snapshot_init(&again, true, false);
    ensure(serf_snapshot_replay(&again, buf_str(&f.rewrite)) == 0);
    ensure(!again.broken);
    same(&f, &again);
    serf_snapshot_deinit(&again);
    serf_snapshot_deinit(&f);
    return 0;
}
