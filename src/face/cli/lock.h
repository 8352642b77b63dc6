/* SPDX-License-Identifier: Apache-2.0 */
/* Locks and semaphores on keys, held by a session: what `lock` takes before it runs its child.
 * Layout and flags of the entries are those of Consul's clients, so that both can contend. */
#pragma once
#include "client.h"

#define LOCK_SESSION_TTL_S 15
#define LOCK_WAIT_S 15 /* of one blocking read */
#define LOCK_RETRY_S 5 /* a lock-delay may hold the key back */

struct lock {
    struct str prefix;
    struct str session; /* ID */
    uint64_t limit;     /* holders at most; 1: a lock, more: a semaphore */
    int64_t try_ns;     /* give up acquiring after this; 0: never */
    uint64_t monitor_retries;
};

/* One kind. All but `key` talk to the agent; ERR_CANCELLED of acquire: the time for it is over.
 * `key` is the entry that both kinds keep: PREFIX/.lock. */
struct lock_kind {
    int (*acquire)(struct cli *c, const struct lock *l, struct error *err);
    int (*release)(struct cli *c, const struct lock *l, struct error *err);
    /* Removes the entries when nobody holds them; *in_use instead. */
    int (*clean)(struct cli *c, const struct lock *l, bool *in_use, struct error *err);
    /* Waits for a change after *index; *held says whether it is still ours. */
    int (*watch)(
        struct cli *c, const struct lock *l, uint64_t *index, bool *held, struct error *err);
};
extern const struct lock_kind lock_mutex, lock_semaphore;

struct str lock_key(struct cli *c, const struct lock *l);
/* GET of PREFIX/.lock (`recurse` false) or of all below PREFIX/ (struct dir_entry), waiting for a
 * change after `index` if it is not 0. *index becomes the answer's. */
int lock_read(struct cli *c, const struct lock *l, bool recurse, uint64_t wait_ns, uint64_t *index,
    struct list *out, struct error *err) must_check;
/* PUT or DELETE of a key with one query parameter (NULL: none); *done is the server's answer. */
int lock_write(struct cli *c, const char *method, struct str key, const char *parameter,
    struct str value, uint64_t flags, struct str body, bool *done, struct error *err) must_check;
struct str lock_number(struct cli *c, uint64_t n);
/* Nanoseconds one read may wait, at most LOCK_WAIT_S; 0 when the time to acquire is over. */
uint64_t lock_patience(const struct lock *l, int64_t started_ns);
int64_t lock_now_ns(void);
