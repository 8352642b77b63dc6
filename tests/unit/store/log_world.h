/* SPDX-License-Identifier: Apache-2.0 */
/* A log in a fake world, on a disk that can fail. Included by one file of a test binary. */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "world/fake_world.h"
#include "world/faulty_disk.h"
#include "world/scratch.h"

struct fixture {
    struct world world;
    struct faulty_disk disk;
    char *dir;
    struct raft_log *log;
    uint64_t generation_entries; /* for the next open */
    int flushes, failures;
    struct error err;
};

static inline void on_flushed(void *ctx, const struct error *err)
{
    struct fixture *f = ctx;
    f->flushes++;
    if (!err) return;
    f->failures++;
    f->err = *err;
}

static inline int try_open(struct fixture *f, const char *dir, struct error *err)
{
    struct raft_log_options opts = { .world = &f->world,
        .dir = dir,
        .map_size = 64u << 20,
        .disk = &f->disk.disk,
        .generation_entries = f->generation_entries,
        .flushed = on_flushed,
        .ctx = f };
    return raft_log_open(&opts, &f->log, err);
}

static inline void open_log(struct fixture *f, const char *dir)
{
    struct error err = { 0 };
    if (try_open(f, dir, &err)) fail_msg("%s", err.text);
}

static inline void close_log(struct fixture *f)
{
    raft_log_close(f->log);
    f->log = NULL;
    fake_world_run_jobs(&f->world);
}

static inline void reopen(struct fixture *f)
{
    close_log(f);
    open_log(f, f->dir);
}

static inline int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    fake_world_init(&f->world);
    faulty_disk_init(&f->disk, ENOSPC);
    f->dir = scratch_create();
    open_log(f, f->dir);
    *state = f;
    return 0;
}

static inline int teardown(void **state)
{
    struct fixture *f = *state;
    close_log(f);
    scratch_destroy(f->dir);
    free(f);
    return 0;
}

/* --- words --------------------------------------------------------------------------------- */

static inline void append_bytes(struct fixture *f, uint64_t index, uint64_t term, struct str data)
{
    struct error err = { 0 };
    struct log_entry e = { .index = index, .term = term, .data = data };
    if (raft_log_append(f->log, &e, &err)) fail_msg("%s", err.text);
}

static inline void append(struct fixture *f, uint64_t from, uint64_t to, uint64_t term)
{
    char text[64];
    for (uint64_t i = from; i <= to; i++) {
        int n = snprintf(text, sizeof text, "entry %llu of term %llu", (unsigned long long)i,
            (unsigned long long)term);
        append_bytes(f, i, term, (struct str){ text, (size_t)n });
    }
}

static inline void flush(struct fixture *f)
{
    raft_log_flush(f->log);
    fake_world_run_jobs(&f->world);
}

static inline void assert_entries(struct fixture *f, uint64_t from, uint64_t to, uint64_t term)
{
    struct arena a = ARENA_INIT;
    struct error err = { 0 };
    struct log_entry e;
    char text[64];
    for (uint64_t i = from; i <= to; i++) {
        snprintf(text, sizeof text, "entry %llu of term %llu", (unsigned long long)i,
            (unsigned long long)term);
        if (raft_log_entry(f->log, i, &a, &e, &err)) fail_msg("%s", err.text);
        assert_int_equal(e.index, i);
        assert_int_equal(e.term, term);
        assert_true(str_is(e.data, text));
        assert_int_equal(raft_log_term(f->log, i), term);
    }
    arena_free(&a);
}

static inline void assert_range(struct fixture *f, uint64_t first, uint64_t last)
{
    assert_int_equal(raft_log_first(f->log), first);
    assert_int_equal(raft_log_last(f->log), last);
}

static inline size_t folders(const char *dir)
{
    size_t n = 0;
    DIR *d = opendir(dir);
    for (struct dirent *e; (e = readdir(d));)
        n += strncmp(e->d_name, "log-", 4) == 0;
    closedir(d);
    return n;
}

static inline void new_generation(struct fixture *f, uint64_t keep)
{
    raft_log_compact(f->log, keep);
    flush(f);
}
