/* SPDX-License-Identifier: Apache-2.0 */
/* The data directory: made with those above it, under names that a loss of power does not take. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "run/run.h"
#include "world/faulty_disk.h"
#include "world/scratch.h"

static char synced[8][4400]; /* folders, in order */
static size_t synced_n;

static int watched_open(struct disk *d, const char *path, int flags, int *fd)
{
    assert_true(flags & O_DIRECTORY);
    assert_true(synced_n < 8);
    snprintf(synced[synced_n++], sizeof synced[0], "%s", path);
    return disk_system()->open(d, path, flags, fd);
}

static int prepare(struct faulty_disk *disk, const char *base, const char *tail)
{
    char path[4300];
    struct error err = { 0 };
    snprintf(path, sizeof path, "%s/%s", base, tail);
    synced_n = 0;
    int code = run_prepare_folder(&disk->disk, str_of(path), &err);
    if (code) assert_non_null(strstr(err.text, "Failed to create data_dir "));
    return code;
}

static void assert_synced(size_t at, const char *base, const char *tail)
{
    char path[4300];
    snprintf(path, sizeof path, "%s/%s", base, tail);
    assert_true(at < synced_n);
    assert_string_equal(synced[at], path);
}

static void a_new_folder_is_there_after_a_loss_of_power(void **state)
{
    (void)state;
    struct faulty_disk disk;
    char *base = scratch_create();
    faulty_disk_init(&disk, EIO);
    disk.disk.open = watched_open;
    assert_int_equal(prepare(&disk, base, "one/two/data/"), 0);
    assert_int_equal(synced_n, 3);
    assert_synced(0, base, "");
    assert_synced(1, base, "one/");
    assert_synced(2, base, "one/two/");
    assert_int_equal(disk.count, 3); /* syncs */
    assert_int_equal(prepare(&disk, base, "one/two/data"), 0);
    assert_int_equal(synced_n, 1); /* it may have been made by one that was killed */
    assert_synced(0, base, "one/two/");
    scratch_destroy(base);
}

static void a_folder_whose_name_cannot_be_synced_is_refused(void **state)
{
    (void)state;
    struct faulty_disk disk;
    char *base = scratch_create();
    faulty_disk_init(&disk, EIO);
    disk.fail_at = 1;
    assert_int_equal(prepare(&disk, base, "data"), ERR_IO);
    disk.count = 0; /* whoever made this one answers for it */
    assert_int_equal(prepare(&disk, base, "data"), 0);
    assert_int_equal(disk.failures, 2);
    scratch_destroy(base);
}

static void what_is_no_folder_is_named(void **state)
{
    (void)state;
    struct error err;
    assert_int_equal(run_prepare_folder(disk_system(), STR("/dev/null/data"), &err), ERR_IO);
    assert_string_equal(err.text, "Failed to create data_dir /dev/null/data: Not a directory");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_folder_is_there_after_a_loss_of_power),
        cmocka_unit_test(a_folder_whose_name_cannot_be_synced_is_refused),
        cmocka_unit_test(what_is_no_folder_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
