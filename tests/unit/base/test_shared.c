/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "consuld/base.h"
#include "consuld/base/shared.h"

#define SIZE (((size_t)10 << 20) + 100)

static bool in_memory(const char *p)
{
    uint64_t entry = 0;
    uintptr_t page = (uintptr_t)p / (uintptr_t)sysconf(_SC_PAGESIZE);
    int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &entry, sizeof entry, (off_t)(page * sizeof entry)), sizeof entry);
    close(fd);
    return entry >> 63;
}

static uint64_t sum_upto(struct shared_body *b, size_t n)
{
    uint64_t sum = 0;
    for (size_t at = 0; at < n; at++)
        sum += (uint8_t)b->bytes[at] * (at + 1);
    return sum;
}

static void mapped_pages_leave_memory_behind_the_reader_and_come_back(void **state)
{
    (void)state;
    struct error err;
    char *bytes = malloc(SIZE);
    int fd;
    for (size_t i = 0; i < SIZE; i++)
        bytes[i] = (char)(i * 31 + i / 4096);
    if (file_without_name("/tmp", &fd, &err)) fail_msg("%s", err.text);
    assert_int_equal(write(fd, bytes, SIZE), SIZE);
    free(bytes);
    struct shared_body *b = shared_body_map(fd, SIZE, &err);
    assert_non_null(b);
    close(fd);
    uint64_t sum = sum_upto(b, SIZE);
    for (int round = 0; round < 2; round++) {
        assert_true(in_memory(b->bytes) && in_memory(b->bytes + SIZE - 1));
        shared_body_passed(b, (size_t)9 << 20);
        assert_false(in_memory(b->bytes) || in_memory(b->bytes + ((size_t)8 << 20) - 1));
        assert_true(in_memory(b->bytes + ((size_t)9 << 20)));
        shared_body_passed(b, SIZE);
        assert_false(in_memory(b->bytes + SIZE - 1));
        assert_int_equal(sum_upto(b, SIZE), sum);
        shared_body_passed(b, 0);
    }
    shared_body_unref(b);
}

static void spent_bytes_in_memory_are_given_back_and_those_beside_them_stay(void **state)
{
    (void)state;
    struct buf out = BUF_INIT(2 * SIZE);
    uint8_t *bytes = buf_reserve(&out, SIZE);
    memset(bytes, 'x', SIZE);
    out.n = SIZE;
    struct shared_body *b = shared_body_take(&out);
    shared_body_passed(b, (size_t)9 << 20);
    assert_true(in_memory(b->bytes + 4096));
    shared_body_spent(b, (size_t)9 << 20);
    assert_false(in_memory(b->bytes + 8192) || in_memory(b->bytes + ((size_t)8 << 20) - 8192));
    assert_int_equal(b->bytes[0], 'x'); /* its page is not all ours */
    for (size_t at = (size_t)8 << 20; at < SIZE; at++)
        assert_true(b->bytes[at] == 'x');
    shared_body_spent(b, SIZE);
    assert_false(in_memory(b->bytes + SIZE - 8192));
    shared_body_unref(b);
}

static void bytes_in_memory_stay(void **state)
{
    (void)state;
    struct shared_body *copy = shared_body_create(STR("bytes")), view;
    shared_body_passed(copy, 5);
    assert_true(str_is(shared_body_str(copy), "bytes"));
    view = shared_body_view(shared_body_str(copy));
    shared_body_passed(&view, 5);
    assert_true(str_is(shared_body_str(&view), "bytes"));
    shared_body_unref(copy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mapped_pages_leave_memory_behind_the_reader_and_come_back),
        cmocka_unit_test(spent_bytes_in_memory_are_given_back_and_those_beside_them_stay),
        cmocka_unit_test(bytes_in_memory_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
