/* SPDX-License-Identifier: Apache-2.0 */
/* The real disk, but the k-th operation fails (once or from then on). */
#pragma once
#include <errno.h>
#include <lmdb.h>

#include "consuld/store_log.h"

struct faulty_disk {
    struct disk disk;
    long count;
    long fail_at; /* 1-based; 0: never */
    bool stays;   /* every later operation fails too */
    bool after;   /* a failing commit has happened nevertheless, as a failed sync may */
    int error;
    long failures;
};

static bool faulty_hit(struct faulty_disk *f)
{
    f->count++;
    bool hit = f->fail_at && (f->count == f->fail_at || (f->stays && f->count > f->fail_at));
    if (hit) f->failures++;
    return hit;
}

#define FAULTY(d) container_of(d, struct faulty_disk, disk)

static int faulty_env_open(struct disk *d, struct MDB_env *env, const char *path, unsigned flags)
{
    if (faulty_hit(FAULTY(d))) return FAULTY(d)->error;
    return disk_system()->env_open(d, env, path, flags);
}
static int faulty_commit(struct disk *d, struct MDB_txn *txn)
{
    if (!faulty_hit(FAULTY(d))) return disk_system()->commit(d, txn);
    if (FAULTY(d)->after) {
        int code = disk_system()->commit(d, txn);
        if (code) return code;
    } else {
        mdb_txn_abort(txn);
    }
    return FAULTY(d)->error;
}
static int faulty_open(struct disk *d, const char *path, int flags, int *fd)
{
    if (faulty_hit(FAULTY(d))) return FAULTY(d)->error;
    return disk_system()->open(d, path, flags, fd);
}
static int faulty_write(struct disk *d, int fd, const void *p, size_t n)
{
    if (!faulty_hit(FAULTY(d))) return disk_system()->write(d, fd, p, n);
    /* A full disk takes a part. */
    if (n > 1) disk_system()->write(d, fd, p, n / 2);
    return FAULTY(d)->error;
}
static int faulty_sync(struct disk *d, int fd)
{
    if (faulty_hit(FAULTY(d))) return FAULTY(d)->error;
    return disk_system()->sync(d, fd);
}
static int faulty_make_dir(struct disk *d, const char *path)
{
    if (faulty_hit(FAULTY(d))) return FAULTY(d)->error;
    return disk_system()->make_dir(d, path);
}
static int faulty_rename(struct disk *d, const char *from, const char *to)
{
    if (faulty_hit(FAULTY(d))) return FAULTY(d)->error;
    return disk_system()->rename(d, from, to);
}
static int faulty_unlink(struct disk *d, const char *path)
{
    if (faulty_hit(FAULTY(d))) return FAULTY(d)->error;
    return disk_system()->unlink(d, path);
}

static void faulty_disk_init(struct faulty_disk *f, int error)
{
    *f = (struct faulty_disk){ .error = error,
        .disk = { .env_open = faulty_env_open,
            .commit = faulty_commit,
            .open = faulty_open,
            .write = faulty_write,
            .sync = faulty_sync,
            .make_dir = faulty_make_dir,
            .rename = faulty_rename,
            .unlink = faulty_unlink } };
}
