/* SPDX-License-Identifier: Apache-2.0 */
/* Several holders: PREFIX/.lock lists the sessions that hold it, PREFIX/SESSION says of each
 * contender that its session lives. */
#include "consuld/model.h"
#include "lock.h"

#define SEMAPHORE_FLAGS UINT64_C(0xe0f69a2baa414de0)

/* PREFIX/.lock as it was read. */
struct state {
    uint64_t modify_index; /* 0: there is none */
    uint64_t limit;
    struct list holders; /* struct str: sessions, the dead left out */
};

static struct str contender_key(struct cli *c, const struct lock *l)
{
    return str_printf(&c->arena, "%.*s/%.*s", STR_ARG(l->prefix), STR_ARG(l->session));
}

static bool is_alive(
    struct cli *c, const struct lock *l, const struct list *entries, struct str session)
{
    struct str lock = lock_key(c, l);
    for (size_t i = 0; i < entries->n; i++) {
        const struct dir_entry *e = &LIST_AT(entries, struct dir_entry, i);
        if (!str_eq(e->key, lock) && str_eq(e->session, session)) return true;
    }
    return false;
}

static int parse(struct cli *c, const struct lock *l, const struct list *entries, struct state *out,
    struct error *err)
{
    struct str lock = lock_key(c, l);
    *out = (struct state){ .limit = l->limit };
    for (size_t i = 0; i < entries->n; i++) {
        const struct dir_entry *e = &LIST_AT(entries, struct dir_entry, i);
        struct value v;
        if (!str_eq(e->key, lock)) continue;
        if (e->flags != SEMAPHORE_FLAGS)
            return error_set(err, ERR_CONFLICT, "Existing key does not match semaphore use");
        out->modify_index = e->modify_index;
        if (json_parse(e->value, &c->arena, &v, err) != 0) return err->code;
        out->limit = value_uint(&v, "Limit");
        struct list holders = value_sorted(c, value_at(&v, "Holders"));
        for (size_t k = 0; k < holders.n; k++) {
            struct str session = LIST_AT(&holders, struct value_entry, k).key;
            if (is_alive(c, l, entries, session))
                *LIST_PUSH(&c->arena, &out->holders, struct str) = session;
        }
    }
    return 0;
}

static int read_state(struct cli *c, const struct lock *l, uint64_t wait_ns, uint64_t *index,
    struct state *out, struct error *err)
{
    struct list entries;
    int rc = lock_read(c, l, true, wait_ns, index, &entries, err);
    return rc ? rc : parse(c, l, &entries, out, err);
}

static bool holds(const struct state *s, struct str session)
{
    for (size_t i = 0; i < s->holders.n; i++)
        if (str_eq(LIST_AT(&s->holders, struct str, i), session)) return true;
    return false;
}

/* Writes the state with our session in or out, if nobody wrote it meanwhile. */
static int write_state(struct cli *c, const struct lock *l, const struct state *s, bool in,
    bool *done, struct error *err)
{
    struct buf body = BUF_INIT(CLIENT_HEAD_MAX);
    struct json_writer w;
    json_begin(&w, &body, false);
    json_object(&w);
    json_key(&w, "Limit");
    json_u64(&w, s->limit);
    json_key(&w, "Holders");
    json_object(&w);
    for (size_t i = 0; i < s->holders.n; i++) {
        struct str session = LIST_AT(&s->holders, struct str, i);
        if (str_eq(session, l->session)) continue;
        json_key_str(&w, session);
        json_bool(&w, true);
    }
    if (in) {
        json_key_str(&w, l->session);
        json_bool(&w, true);
    }
    json_object_end(&w);
    json_object_end(&w);
    struct str text = str_dup(&c->arena, buf_str(&body));
    buf_deinit(&body);
    return lock_write(c, "PUT", lock_key(c, l), "cas", lock_number(c, s->modify_index),
        SEMAPHORE_FLAGS, text, done, err);
}

static int acquire(struct cli *c, const struct lock *l, struct error *err)
{
    int64_t started = lock_now_ns();
    uint64_t index = 0, patience;
    bool done;
    struct state s;
    int rc = lock_write(
        c, "PUT", contender_key(c, l), "acquire", l->session, SEMAPHORE_FLAGS, STR(""), &done, err);
    if (rc == 0 && !done) rc = error_set(err, ERR_CONFLICT, "failed to make contender entry");
    while (rc == 0 && (patience = lock_patience(l, started)) > 0) {
        rc = read_state(c, l, patience, &index, &s, err);
        if (rc) break;
        if (s.limit != l->limit)
            return error_set(err, ERR_CONFLICT,
                "Semaphore limit conflict (lock: %llu, local: %llu)", (unsigned long long)s.limit,
                (unsigned long long)l->limit);
        if (s.holders.n >= s.limit) continue;
        rc = write_state(c, l, &s, true, &done, err);
        if (rc == 0 && done) return 0;
        index = 0;
    }
    return rc ? rc : error_set(err, ERR_CANCELLED, "the time to acquire the lock is over");
}

static int release(struct cli *c, const struct lock *l, struct error *err)
{
    struct state s;
    bool done = false;
    int rc = 0;
    while (rc == 0 && !done) {
        uint64_t index = 0;
        rc = read_state(c, l, 0, &index, &s, err);
        if (rc || !holds(&s, l->session)) break;
        rc = write_state(c, l, &s, false, &done, err);
    }
    if (rc) return rc;
    return lock_write(c, "DELETE", contender_key(c, l), NULL, STR_NIL, 0, STR_NIL, &done, err);
}

static int clean(struct cli *c, const struct lock *l, bool *in_use, struct error *err)
{
    struct state s;
    uint64_t index = 0;
    bool done = true;
    int rc = read_state(c, l, 0, &index, &s, err);
    *in_use = rc == 0 && s.holders.n > 0;
    if (rc || *in_use || s.modify_index == 0) return rc;
    rc = lock_write(
        c, "DELETE", lock_key(c, l), "cas", lock_number(c, s.modify_index), 0, STR_NIL, &done, err);
    *in_use = !done;
    return rc;
}

static int watch(
    struct cli *c, const struct lock *l, uint64_t *index, bool *held, struct error *err)
{
    struct state s;
    int rc = read_state(c, l, (uint64_t)LOCK_WAIT_S * 1000000000, index, &s, err);
    *held = rc == 0 && holds(&s, l->session);
    return rc;
}

const struct lock_kind lock_semaphore = { acquire, release, clean, watch };
