/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as any message (the first byte picks one) and as a free value: refused, or what is
 * written back reads as the same. */
#include <string.h>

#include "consuld/model.h"
#include "consuld/wire/msgpack.h"

#define OUTPUT_MAX ((size_t)64 << 20)

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    model_init();
    return 0;
}

/* Encodes what the bytes hold; false if they are refused. */
static bool translate(const struct type *t, struct str bytes, struct buf *out)
{
    struct arena a = ARENA_INIT;
    struct error err;
    struct cursor c;
    cursor_init(&c, bytes.p, bytes.n, &err);
    void *obj = arena_alloc(&a, t->size);
    bool ok = msgpack_decode(&c, &a, t, obj) == 0;
    if (ok) msgpack_encode(t, obj, out);
    arena_free(&a);
    return ok && !out->overflow;
}

static void check(const struct type *t, struct str bytes)
{
    struct buf first = BUF_INIT(OUTPUT_MAX), second = BUF_INIT(OUTPUT_MAX);
    if (translate(t, bytes, &first)) {
        ensure(translate(t, buf_str(&first), &second));
        ensure(first.n == second.n && memcmp(first.p, second.p, first.n) == 0);
    }
    buf_deinit(&first);
    buf_deinit(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n == 0) return 0;
    const struct method_types *m = &method_table[(data[0] & 0x7f) % method_count];
    struct str rest = { (const char *)data + 1, n - 1 };
    check(data[0] & 0x80 ? m->reply : m->args, rest);
    check(&type_any, rest);
    return 0;
}
