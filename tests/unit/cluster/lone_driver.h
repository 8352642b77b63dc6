/* SPDX-License-Identifier: Apache-2.0 */
/* A driver alone in a fake world, on a disk that can fail. Included by one file of a test binary.
 */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "consuld/cluster.h"
#include "consuld/store.h"
#include "consuld/store_snapshot.h"
#include "world/fake_world.h"
#include "world/faulty_disk.h"
#include "world/openssl_digest.h"
#include "world/scratch.h"

struct fixture {
    struct world world;
    struct faulty_disk disk;
    char *dir;
    char raft_dir[4200];
    struct store *store;
    struct raft_driver *driver;
    struct raft_driver_options options;
    bool stopped;
    struct raft_driver_observer observer;
    int changes;
    enum raft_driver_role role;
};

static inline void on_changed(struct raft_driver_observer *o, const struct raft_driver_state *st)
{
    struct fixture *f = o->ctx;
    f->changes++;
    f->role = st->role;
}

static inline int try_boot(struct fixture *f, struct error *err)
{
    struct store_options so = { .dir = f->dir, .map_size = 1u << 30, .boot_id = "one" };
    struct store_report report;
    if (store_open(&so, &f->store, &report, err)) fail_msg("%s", err->text);
    f->options.world = &f->world;
    f->options.store = f->store;
    f->options.id = STR("11111111-2222-3333-4444-555555555555");
    f->options.address = STR("127.0.0.1:8300");
    f->options.bootstrap = true;
    f->options.multiplier = 1;
    f->options.digest = &digest_openssl;
    if (!f->options.disk) f->options.disk = &f->disk.disk;
    int code = raft_driver_create(&f->options, &f->driver, err);
    if (code) {
        store_close(f->store);
        f->store = NULL;
    }
    return code;
}

static inline void boot(struct fixture *f)
{
    struct error err = { 0 };
    if (try_boot(f, &err)) fail_msg("%s", err.text);
    f->observer = (struct raft_driver_observer){ .changed = on_changed, .ctx = f };
    raft_driver_observe(f->driver, &f->observer);
    raft_driver_start(f->driver);
    fake_world_advance(&f->world, 100);
}

static inline void on_stopped(void *ctx)
{
    ((struct fixture *)ctx)->stopped = true;
}

static inline void halt(struct fixture *f)
{
    if (!f->driver) return;
    f->stopped = false;
    raft_driver_unobserve(&f->observer);
    raft_driver_stop(f->driver, on_stopped, f);
    for (int i = 0; i < 100 && !f->stopped; i++)
        fake_world_advance(&f->world, 10);
    assert_true(f->stopped);
    raft_driver_destroy(f->driver);
    f->driver = NULL;
    fake_world_run_jobs(&f->world);
    store_close(f->store);
    f->store = NULL;
}

static inline int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    fake_world_init(&f->world);
    faulty_disk_init(&f->disk, ENOSPC);
    f->dir = scratch_create();
    snprintf(f->raft_dir, sizeof f->raft_dir, "%s/raft", f->dir);
    f->options.dir = f->raft_dir;
    *state = f;
    return 0;
}

static inline int teardown(void **state)
{
    struct fixture *f = *state;
    halt(f);
    scratch_destroy(f->dir);
    free(f);
    return 0;
}

/* --- words --------------------------------------------------------------------------------- */

struct request {
    struct raft_driver_request r;
    int done;
    int code;
    uint64_t index;
    enum result_kind kind;
    bool ok;
    struct shared_body *saved;
};

static inline void on_done(struct raft_driver_request *r)
{
    struct request *q = r->ctx;
    q->done++;
    q->code = r->code;
    q->index = r->index;
    if (!r->result) return;
    q->kind = r->result->kind;
    q->ok = r->result->ok;
}

static inline struct request request(void)
{
    return (struct request){ .r.done = on_done };
}

static inline void encode_kv(struct buf *out, const char *op, const char *key, struct str value)
{
    struct kvs_request req = { .op = str_of(op),
        .dir_ent = { .key = str_of(key), .value = value } };
    command_encode(COMMAND_KVS, &req, out);
}

static inline void propose(struct fixture *f, struct request *q, const char *key, struct str value)
{
    struct buf out = BUF_INIT(4u << 20);
    encode_kv(&out, "set", key, value);
    q->r.ctx = q;
    raft_driver_propose(f->driver, &q->r, buf_str(&out));
    buf_deinit(&out);
}

static inline void put(struct fixture *f, const char *key, const char *value)
{
    struct request q = request();
    propose(f, &q, key, str_of(value));
    for (int i = 0; i < 100 && !q.done; i++)
        fake_world_advance(&f->world, 10);
    if (q.done != 1 || q.code) fail_msg("put %s: %s", key, q.r.err.text);
}

static inline bool has(struct fixture *f, const char *key, const char *value)
{
    struct arena a = ARENA_INIT;
    struct dir_entry e = { 0 };
    bool found = false;
    store_kv_get(store_read(f->store), NULL, str_of(key), &a, &e, &found);
    found = found && str_is(e.value, value);
    arena_free(&a);
    return found;
}

static inline struct raft_driver_state state_of(struct fixture *f)
{
    return raft_driver_state(f->driver);
}
