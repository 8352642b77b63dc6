/* SPDX-License-Identifier: Apache-2.0 */
#include "shared_text.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "consuld/base.h"

struct shared_text {
    uint32_t owners;
    char bytes[];
};

static struct shared_text *text_of(struct str text)
{
    return (struct shared_text *)(void *)((uintptr_t)text.p - offsetof(struct shared_text, bytes));
}

struct str shared_text_make(struct str bytes)
{
    if (bytes.n == 0) return STR_NIL;
    struct shared_text *t = xmalloc(sizeof *t + bytes.n);
    t->owners = 1;
    memcpy(t->bytes, bytes.p, bytes.n);
    return (struct str){ t->bytes, bytes.n };
}

struct str shared_text_ref(struct str text)
{
    if (text.n == 0) return STR_NIL;
    ensure(text_of(text)->owners < UINT32_MAX);
    text_of(text)->owners++;
    return text;
}

void shared_text_drop(struct str *text)
{
    if (text->n && --text_of(*text)->owners == 0) free(text_of(*text));
    *text = STR_NIL;
}
