/* SPDX-License-Identifier: Apache-2.0 */
/* One holder: the session that has acquired the entry. */
#include <time.h>

#include "consuld/model.h"
#include "lock.h"

#define MUTEX_FLAGS UINT64_C(0x2ddccbc058a50c18)

static int check_use(const struct list *entries, struct error *err)
{
    if (entries->n == 0 || LIST_AT(entries, struct dir_entry, 0).flags == MUTEX_FLAGS) return 0;
    return error_set(err, ERR_CONFLICT, "Existing key does not match lock use");
}

static bool is_held(const struct list *entries, struct str session)
{
    if (entries->n == 0) return false;
    struct str holder = LIST_AT(entries, struct dir_entry, 0).session;
    return session.p ? str_eq(holder, session) : holder.n > 0;
}

static int acquire(struct cli *c, const struct lock *l, struct error *err)
{
    int64_t started = lock_now_ns();
    uint64_t index = 0, patience;
    struct list entries;
    bool done = false;
    while ((patience = lock_patience(l, started)) > 0) {
        int rc = lock_read(c, l, false, patience, &index, &entries, err);
        if (rc == 0) rc = check_use(&entries, err);
        if (rc) return rc;
        if (is_held(&entries, STR_NIL)) continue;
        rc = lock_write(
            c, "PUT", lock_key(c, l), "acquire", l->session, MUTEX_FLAGS, STR(""), &done, err);
        if (rc || done) return rc;
        index = 0;
        rc = lock_read(c, l, false, 0, &index, &entries, err);
        if (rc) return rc;
        if (is_held(&entries, STR_NIL)) continue;
        patience = lock_patience(l, started);
        struct timespec pause = { .tv_sec = LOCK_RETRY_S };
        if (patience < (uint64_t)LOCK_RETRY_S * 1000000000) {
            pause.tv_sec = (time_t)(patience / 1000000000);
            pause.tv_nsec = (long)(patience % 1000000000);
        }
        nanosleep(&pause, NULL);
        index = 0;
    }
    return error_set(err, ERR_CANCELLED, "the time to acquire the lock is over");
}

static int release(struct cli *c, const struct lock *l, struct error *err)
{
    bool done;
    return lock_write(
        c, "PUT", lock_key(c, l), "release", l->session, MUTEX_FLAGS, STR(""), &done, err);
}

static int clean(struct cli *c, const struct lock *l, bool *in_use, struct error *err)
{
    struct list entries;
    uint64_t index = 0;
    bool done = true;
    int rc = lock_read(c, l, false, 0, &index, &entries, err);
    *in_use = rc == 0 && is_held(&entries, STR_NIL);
    if (rc || *in_use || entries.n == 0) return rc;
    const struct dir_entry *e = &LIST_AT(&entries, struct dir_entry, 0);
    rc = check_use(&entries, err);
    if (rc == 0)
        rc = lock_write(c, "DELETE", lock_key(c, l), "cas", lock_number(c, e->modify_index), 0,
            STR_NIL, &done, err);
    *in_use = !done;
    return rc;
}

static int watch(
    struct cli *c, const struct lock *l, uint64_t *index, bool *held, struct error *err)
{
    struct list entries;
    int rc = lock_read(c, l, false, (uint64_t)LOCK_WAIT_S * 1000000000, index, &entries, err);
    *held = rc == 0 && is_held(&entries, l->session);
    return rc;
}

const struct lock_kind lock_mutex = { acquire, release, clean, watch };
