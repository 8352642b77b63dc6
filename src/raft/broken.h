/* SPDX-License-Identifier: Apache-2.0 */
/* Faults on purpose. The simulator builds the core a second time with RAFT_BROKEN defined and shows
 * that its invariants catch each of them; in every other build these are the constant false. */
#pragma once

#define RAFT_BROKEN_LIST(X) \
    X(VOTE_TWICE, "vote-twice") \
    X(VOTE_EARLY, "vote-early") \
    X(ACK_EARLY, "ack-early") \
    X(CLAIM_EARLY, "claim-early") \
    X(COUNT_SELF_EARLY, "count-self-early") \
    X(COMMIT_OLD_TERM, "commit-old-term") \
    X(SKIP_PREV_CHECK, "skip-prev-check") \
    X(VOTE_STALE_LOG, "vote-stale-log") \
    X(SMALL_QUORUM, "small-quorum") \
    X(KEEP_CONFIGURATION, "keep-configuration") \
    X(READ_UNCONFIRMED, "read-unconfirmed")

enum raft_broken_bit {
#define RAFT_BROKEN_INDEX(name, text) RAFT_BROKEN_INDEX_##name,
    RAFT_BROKEN_LIST(RAFT_BROKEN_INDEX)
};

#ifdef RAFT_BROKEN
extern unsigned raft_broken;
#define BROKEN(name) ((raft_broken >> RAFT_BROKEN_INDEX_##name & 1u) != 0)
#define BROKEN_ANY (raft_broken != 0)
#else
#define BROKEN_ANY false
#define BROKEN(name) false
#endif
