/* SPDX-License-Identifier: Apache-2.0 */
/* Confirming leadership for consistent reads (raft.md 6.7). Each request to a peer carries, in the
 * leader's memory, the round in which it was sent; a verification is done when a quorum of voters
 * has answered requests of its round. All that wait share the rounds. */
#include <stdlib.h>

#include "core.h"

static uint64_t read_index(const struct raft *r)
{
    return r->commit_index >= r->term_start ? r->commit_index : 0;
}

void raft__verify(struct raft *r, uint64_t handle)
{
    enum raft_status status = r->role != RAFT_LEADER               ? RAFT_NOT_LEADER
                              : r->installing.active               ? RAFT_BUSY
                              : r->verifies_n >= RAFT_VERIFIES_MAX ? RAFT_BUSY
                                                                   : RAFT_DONE;
    if (status != RAFT_DONE) {
        r->counters.refused_busy += status == RAFT_BUSY;
        raft__result(r, handle, status, 0);
        return;
    }
    if (BROKEN(READ_UNCONFIRMED)) {
        raft__result(r, handle, RAFT_DONE, r->commit_index);
        return;
    }
    if (r->verifies_n == r->verifies_cap) {
        r->verifies_cap = r->verifies_cap ? r->verifies_cap * 2 : 16;
        r->verifies = xrealloc(r->verifies, r->verifies_cap * sizeof *r->verifies);
    }
    r->verifies[r->verifies_n++] = (struct verify){ handle, ++r->round, read_index(r) };
}

void raft__verify_check(struct raft *r)
{
    if (!r->verifies_n || r->commit_index < r->term_start) return;
    uint64_t round = raft__confirmed_round(r);
    size_t done = 0;
    while (done < r->verifies_n && r->verifies[done].round <= round) {
        struct verify *v = &r->verifies[done++];
        raft__result(r, v->handle, RAFT_DONE, v->index ? v->index : r->commit_index);
    }
    r->verifies_n -= done;
    memmove(r->verifies, r->verifies + done, r->verifies_n * sizeof *r->verifies);
}

void raft__verify_fail(struct raft *r, enum raft_status status)
{
    for (size_t i = 0; i < r->verifies_n; i++)
        raft__result(r, r->verifies[i].handle, status, 0);
    r->verifies_n = 0;
}
