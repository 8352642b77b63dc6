/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "consuld/gossip/packet.h"

enum {
    CLEAR = 256,
    END = 257,
    WIDTH_MIN = 9,
    WIDTH_MAX = 12,
    CODES = 1 << WIDTH_MAX,
    LAST_CODE = CODES - 1,
    NO_CODE = CODES,
    SLOTS = 4 * CODES,
};

/* Both sides count codes alike. */
struct codes {
    unsigned width, hi, limit;
};

static const struct codes codes_initial = { WIDTH_MIN, END, 1 << WIDTH_MIN };

/* --- writing ------------------------------------------------------------------------------- */

struct encoder {
    struct buf *out;
    struct codes codes;
    uint32_t bits;
    unsigned bits_n;
    /* (code, byte) -> code: the key in the upper 20 bits, 0 is free */
    uint32_t slots[SLOTS];
};

static void put_code(struct encoder *e, unsigned code)
{
    e->bits |= (uint32_t)code << e->bits_n;
    e->bits_n += e->codes.width;
    while (e->bits_n >= 8) {
        buf_put_char(e->out, (char)(uint8_t)e->bits);
        e->bits >>= 8;
        e->bits_n -= 8;
    }
}

/* The slot that holds the key, or the free one where it belongs. */
static uint32_t *slot_of(struct encoder *e, uint32_t key)
{
    uint32_t at = key * 2654435761u >> (32 - 14);
    while (e->slots[at] != 0 && e->slots[at] >> WIDTH_MAX != key)
        at = (at + 1) % SLOTS;
    return &e->slots[at];
}

/* After a code was written: false if there are no more and all was reset. */
static bool next_code(struct encoder *e)
{
    e->codes.hi++;
    if (e->codes.hi == e->codes.limit) {
        e->codes.width++;
        e->codes.limit <<= 1;
    }
    if (e->codes.hi != LAST_CODE) return true;
    put_code(e, CLEAR);
    e->codes = codes_initial;
    memset(e->slots, 0, sizeof e->slots);
    return false;
}

_Static_assert(SLOTS == 1 << 14, "the hash gives 14 bits");

void lzw_compress(struct str plain, struct buf *out)
{
    struct encoder e = { .out = out, .codes = codes_initial };
    put_code(&e, CLEAR);
    if (plain.n > 0) {
        unsigned code = (uint8_t)plain.p[0];
        for (size_t i = 1; i < plain.n; i++) {
            unsigned byte = (uint8_t)plain.p[i];
            uint32_t key = (uint32_t)(code << 8 | byte);
            uint32_t *slot = slot_of(&e, key);
            if (*slot) {
                code = *slot & LAST_CODE;
                continue;
            }
            put_code(&e, code);
            if (next_code(&e)) *slot = key << WIDTH_MAX | e.codes.hi;
            code = byte;
        }
        put_code(&e, code);
        next_code(&e);
    }
    put_code(&e, END);
    if (e.bits_n > 0) buf_put_char(out, (char)(uint8_t)e.bits);
}

/* --- reading ------------------------------------------------------------------------------- */

struct decoder {
    struct str in;
    size_t at;
    struct codes codes;
    uint32_t bits;
    unsigned bits_n;
    unsigned previous;
    struct {
        uint16_t prefix;
        uint16_t length;
        uint8_t first, last;
    } entries[CODES];
};

static bool get_code(struct decoder *d, unsigned *code)
{
    while (d->bits_n < d->codes.width) {
        if (d->at == d->in.n) return false;
        d->bits |= (uint32_t)(uint8_t)d->in.p[d->at++] << d->bits_n;
        d->bits_n += 8;
    }
    *code = d->bits & ((1u << d->codes.width) - 1);
    d->bits >>= d->codes.width;
    d->bits_n -= d->codes.width;
    return true;
}

/* Enters `previous` followed by `byte` as the newest code. */
static void enter_code(struct decoder *d, uint8_t byte)
{
    unsigned hi = d->codes.hi;
    d->entries[hi].prefix = (uint16_t)d->previous;
    d->entries[hi].first = d->entries[d->previous].first;
    d->entries[hi].last = byte;
    d->entries[hi].length = (uint16_t)(d->entries[d->previous].length + 1);
}

static void put_string(struct decoder *d, unsigned code, struct buf *out)
{
    size_t n = d->entries[code].length;
    uint8_t *p = buf_reserve(out, n);
    if (!p) return;
    out->n += n;
    for (size_t i = n; i-- > 0; code = d->entries[code].prefix)
        p[i] = d->entries[code].last;
}

static void advance(struct decoder *d, unsigned code)
{
    d->previous = code;
    if (++d->codes.hi < d->codes.limit) return;
    if (d->codes.width == WIDTH_MAX) {
        d->previous = NO_CODE;
        d->codes.hi--;
    } else {
        d->codes.width++;
        d->codes.limit <<= 1;
    }
}

int lzw_decompress(struct str packed, struct buf *out, struct error *err)
{
    struct decoder d = { .in = packed, .codes = codes_initial, .previous = NO_CODE };
    for (unsigned i = 0; i < CLEAR; i++) {
        d.entries[i].first = d.entries[i].last = (uint8_t)i;
        d.entries[i].length = 1;
    }
    unsigned code;
    while (get_code(&d, &code)) {
        if (code == END) return 0;
        if (code == CLEAR) {
            d.codes = codes_initial;
            d.previous = NO_CODE;
            continue;
        }
        bool newest = code == d.codes.hi && d.previous != NO_CODE;
        if (code > d.codes.hi) return error_set(err, ERR_DECODE, "lzw: invalid code");
        if (d.previous != NO_CODE) {
            unsigned source = newest ? d.previous : code;
            enter_code(&d, d.entries[source].first);
        }
        put_string(&d, code, out);
        if (out->overflow)
            return error_set(err, ERR_TOO_LARGE, "lzw: more than %zu bytes", out->max);
        advance(&d, code);
    }
    return error_set(err, ERR_DECODE, "unexpected EOF");
}

/* --- messages ------------------------------------------------------------------------------ */

void packet_compress(struct str message, struct buf *out)
{
    swim_message_init();
    struct buf packed = BUF_INIT(2 * message.n + 16);
    lzw_compress(message, &packed);
    struct swim_compressed m = { .bytes = buf_str(&packed) };
    swim_message_encode(SWIM_MSG_COMPRESSED, &type_swim_compressed, &m, out);
    buf_deinit(&packed);
}

int packet_decompress(struct str body, struct buf *out, struct error *err)
{
    struct swim_compressed m;
    struct arena a = ARENA_INIT;
    swim_message_init();
    int rc = swim_message_decode(body, &a, &type_swim_compressed, &m, err);
    if (!rc && m.algo != 0)
        rc = error_set(err, ERR_DECODE, "Cannot decompress unknown algorithm %u", (unsigned)m.algo);
    size_t before = out->n;
    if (!rc) rc = lzw_decompress(m.bytes, out, err);
    if (!rc && out->n == before) rc = error_set(err, ERR_DECODE, "Compressed message is empty");
    arena_free(&a);
    return rc;
}
