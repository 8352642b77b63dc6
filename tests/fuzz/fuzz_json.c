/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as JSON and as the body of a request (the first byte picks one): refused, or what is
 * written back reads as the same. */
#include <string.h>

#include "consuld/model.h"
#include "consuld/wire/json.h"

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

static bool translate(struct str text, bool pretty, struct buf *out)
{
    struct arena a = ARENA_INIT;
    struct value v;
    bool ok = json_parse(text, &a, &v, NULL) == 0;
    if (ok) json_encode_value(&v, pretty, out);
    arena_free(&a);
    return ok;
}

static void read_record(const struct type *t, struct str text)
{
    struct arena a = ARENA_INIT;
    struct buf out = BUF_INIT(OUTPUT_MAX);
    struct error err;
    void *obj = arena_alloc(&a, t->size);
    if (json_decode(text, &a, t, obj, 0, &err) == 0) json_encode(t, obj, false, &out);
    arena_free(&a);
    buf_deinit(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n == 0) return 0;
    struct str text = { (const char *)data + 1, n - 1 };
    struct buf pretty = BUF_INIT(OUTPUT_MAX), again = BUF_INIT(OUTPUT_MAX);
    if (translate(text, true, &pretty) && !pretty.overflow) {
        ensure(translate(buf_str(&pretty), true, &again));
        ensure(pretty.n == again.n && memcmp(pretty.p, again.p, pretty.n) == 0);
    }
    buf_deinit(&pretty);
    buf_deinit(&again);
    read_record(method_table[data[0] % method_count].args, text);
    return 0;
}
