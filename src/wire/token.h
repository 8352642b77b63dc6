/* SPDX-License-Identifier: Apache-2.0 */
/* One msgpack head with its scalar or the position of its bytes. */
#pragma once
#include "consuld/wire/msgpack.h"

enum token_kind {
    TOKEN_NONE, /* the cursor failed */
    TOKEN_NIL,
    TOKEN_BOOL,  /* u */
    TOKEN_INT,   /* i: fixints and d0..d3 */
    TOKEN_UINT,  /* u: cc..cf */
    TOKEN_F32,   /* f */
    TOKEN_F64,   /* f */
    TOKEN_RAW,   /* p, n: fixraw, d9, da, db */
    TOKEN_BIN,   /* p, n */
    TOKEN_ARRAY, /* n elements */
    TOKEN_MAP,   /* n pairs */
    TOKEN_EXT,   /* p, n: type and data; never valid in a message, but can be stepped over */
    TOKEN_BAD,   /* c1 */
};

struct token {
    enum token_kind kind;
    uint8_t byte;
    uint32_t n;
    union {
        int64_t i;
        uint64_t u;
        double f;
        const uint8_t *p;
    };
};

/* Reads a head; bytes of raws are stepped over, counts of arrays and maps are within what is left
 * and taken off the element budget. */
struct token token_next(struct cursor *c);
/* Fails with the text of a container that is not of the kind wanted. */
void token_refuse(struct cursor *c, struct token t);

static inline struct str token_str(struct token t)
{
    return (struct str){ (const char *)t.p, t.n };
}

/* Scalars out of a token; nil gives zero. `bits` 0 means 64. They fail the cursor with Go's texts.
 */
int64_t token_int(struct cursor *c, struct token t, unsigned bits);
uint64_t token_uint(struct cursor *c, struct token t, unsigned bits);
bool token_bool(struct cursor *c, struct token t);
