/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as HCL: refused or turned into a value, never more. */
#include "consuld/lang/hcl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct arena a = ARENA_INIT;
    struct value v;
    struct error err;
    if (hcl_parse((struct str){ (const char *)data, n }, &a, &v, &err) == 0) {
        struct value copy = value_copy(&a, &v);
        ensure(v.kind == V_MAP);
        ensure(copy.map.n == v.map.n);
    }
    arena_free(&a);
    return 0;
}
