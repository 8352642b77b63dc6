/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "consuld/cluster/spool.h"
#include "world/fake_world.h"

struct fixture {
    struct world world;
    char dir[32];
    int told;
};

static void ready(void *ctx)
{
    ((struct fixture *)ctx)->told++;
}

static int setup(void **state)
{
    struct fixture *f = *state = calloc(1, sizeof *f);
    fake_world_init(&f->world);
    memcpy(f->dir, "/tmp/spool-XXXXXX", sizeof "/tmp/spool-XXXXXX");
    return mkdtemp(f->dir) ? 0 : -1;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    fake_world_run_jobs(&f->world);
    int rc = rmdir(f->dir); /* nothing is left behind */
    free(f);
    return rc;
}

static struct spool *spool(struct fixture *f, const char *dir, uint64_t max)
{
    return spool_create(&(struct spool_options){
        .world = &f->world, .dir = dir, .max = max, .ready = ready, .ctx = f });
}

static struct str pattern(size_t n)
{
    char *p = malloc(n + 1);
    for (size_t i = 0; i < n; i++)
        p[i] = (char)(i * 7 + i / 251);
    return (struct str){ p, n };
}

static void pieces_come_back_whole(void **state)
{
    struct fixture *f = *state;
    const size_t sizes[] = { 0, 1, 262143, 262144, 3000001 };
    struct error err;
    for (size_t i = 0; i < 2 * sizeof sizes / sizeof sizes[0]; i++) {
        struct spool *s = spool(f, i % 2 ? f->dir : NULL, 1u << 30);
        struct str all = pattern(sizes[i / 2]);
        for (size_t at = 0; at < all.n; at += 70001) {
            spool_put(s, str_slice(all, at, at + 70001 < all.n ? at + 70001 : all.n));
            if (at % 3 == 0) fake_world_run_jobs(&f->world);
        }
        spool_end(s);
        while (!spool_done(s))
            fake_world_run_jobs(&f->world);
        struct shared_body *b = spool_take(s, &err);
        assert_non_null(b);
        spool_destroy(s);
        assert_int_equal(b->n, all.n);
        if (all.n) assert_memory_equal(b->bytes, all.p, all.n);
        shared_body_unref(b);
        free((void *)(uintptr_t)all.p);
    }
}

static void what_waits_for_the_worker_is_told_to_stop(void **state)
{
    struct fixture *f = *state;
    struct spool *s = spool(f, f->dir, 1u << 30);
    struct str piece = pattern(300000);
    size_t n = 0;
    for (; !spool_full(s); n++) {
        spool_put(s, piece);
        assert_true(n < 100);
    }
    assert_int_equal(f->told, 0);
    while (spool_full(s))
        fake_world_run_jobs(&f->world);
    assert_true(f->told > 0);
    spool_destroy(s); /* its job may run */
    free((void *)(uintptr_t)piece.p);
}

static void too_many_bytes_are_an_error_at_the_end(void **state)
{
    struct fixture *f = *state;
    struct error err = { 0 };
    for (int i = 0; i < 2; i++) {
        struct spool *s = spool(f, i ? f->dir : NULL, 10);
        spool_put(s, STR("0123456789"));
        spool_put(s, STR("a"));
        assert_false(spool_full(s));
        spool_end(s);
        while (!spool_done(s))
            fake_world_run_jobs(&f->world);
        assert_null(spool_take(s, &err));
        assert_int_equal(err.code, ERR_TOO_LARGE);
        spool_destroy(s);
    }
}

static void a_folder_that_cannot_be_is_an_error(void **state)
{
    struct fixture *f = *state;
    struct error err = { 0 };
    struct spool *s = spool(f, "/proc/none/at/all", 100);
    spool_put(s, STR("x"));
    spool_end(s);
    while (!spool_done(s))
        fake_world_run_jobs(&f->world);
    assert_null(spool_take(s, &err));
    assert_int_equal(err.code, ERR_IO);
    assert_int_equal(f->told, 1);
    spool_destroy(s);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(pieces_come_back_whole),
        T(what_waits_for_the_worker_is_told_to_stop),
        T(too_many_bytes_are_an_error_at_the_end),
        T(a_folder_that_cannot_be_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
