/* SPDX-License-Identifier: Apache-2.0 */
#include "consuld/mux/rpc_frame.h"

#include "consuld/wire/msgpack.h"

/* What follows a first byte of 0xc0 and above: a count of so many bytes, then what it counts. */
enum what { BAD, FIXED, RAW, EXT, ARRAY, MAP };

struct lead {
    uint8_t what;
    uint8_t n; /* FIXED: bytes that follow; others: bytes of the count */
};

static const struct lead leads[32] = {
    /* c0 */ { FIXED, 0 },
    { BAD, 0 },
    { FIXED, 0 },
    { FIXED, 0 },
    /* c4 */ { RAW, 1 },
    { RAW, 2 },
    { RAW, 4 },
    { EXT, 1 },
    /* c8 */ { EXT, 2 },
    { EXT, 4 },
    { FIXED, 4 },
    { FIXED, 8 },
    /* cc */ { FIXED, 1 },
    { FIXED, 2 },
    { FIXED, 4 },
    { FIXED, 8 },
    /* d0 */ { FIXED, 1 },
    { FIXED, 2 },
    { FIXED, 4 },
    { FIXED, 8 },
    /* d4 */ { FIXED, 2 },
    { FIXED, 3 },
    { FIXED, 5 },
    { FIXED, 9 },
    /* d8 */ { FIXED, 17 },
    { RAW, 1 },
    { RAW, 2 },
    { RAW, 4 },
    /* dc */ { ARRAY, 2 },
    { ARRAY, 4 },
    { MAP, 2 },
    { MAP, 4 },
};

void rpc_scan_init(struct rpc_scan *s, uint32_t values, size_t size_max)
{
    *s = (struct rpc_scan){ .values = values, .size_max = size_max };
}

static bool elements(struct rpc_scan *s, uint64_t n)
{
    s->elements += n;
    s->values += n;
    return s->elements <= MSGPACK_ELEMENTS_MAX;
}

static bool raw(struct rpc_scan *s, uint64_t n)
{
    s->raw = n;
    return n <= s->size_max;
}

static bool short_head(struct rpc_scan *s, uint8_t b)
{
    if (b >= 0xe0 || b <= 0x7f) return true;
    if (b <= 0x8f) return elements(s, (uint64_t)(b & 0x0f) * 2);
    if (b <= 0x9f) return elements(s, b & 0x0f);
    return raw(s, b & 0x1f);
}

/* A whole head. */
static bool begin_value(struct rpc_scan *s)
{
    uint8_t b = s->head[0];
    uint64_t count = 0;
    s->values--;
    if (b < 0xc0 || b >= 0xe0) return short_head(s, b);
    struct lead l = leads[b - 0xc0];
    for (uint8_t i = 1; i < s->head_n; i++)
        count = count << 8 | s->head[i];
    switch ((enum what)l.what) {
    case BAD:
        return false;
    case FIXED:
        return raw(s, l.n);
    case RAW:
        return raw(s, count);
    case EXT:
        return raw(s, count + 1);
    case ARRAY:
        return elements(s, count);
    case MAP:
        return elements(s, count * 2);
    }
    return false;
}

static uint8_t head_size(uint8_t b)
{
    if (b < 0xc0 || b >= 0xe0) return 1;
    struct lead l = leads[b - 0xc0];
    return l.what == FIXED || l.what == BAD ? 1 : (uint8_t)(1 + l.n);
}

static void pass(struct rpc_scan *s, struct str *in, size_t n)
{
    s->size += n;
    *in = str_slice(*in, n, in->n);
}

/* Bytes of a value that is whole in `n` bytes and of the kinds that are frequent; 0: of others. */
static size_t plain_size(const uint8_t *p, size_t n)
{
    uint8_t b = p[0];
    size_t size = 0;
    if (b >= 0xa0 && b <= 0xbf)
        size = 1 + (size_t)(b & 0x1f);
    else if (b <= 0x7f || b >= 0xe0 || b == 0xc0 || b == 0xc2 || b == 0xc3)
        size = 1;
    else if (b == 0xcf || b == 0xd3)
        size = 9;
    else if (b == 0xda && n >= 3)
        size = 3 + ((size_t)p[1] << 8 | p[2]);
    return size <= n ? size : 0;
}

/* Passes over what needs no state between calls. False: over a bound. */
static bool take_plain(struct rpc_scan *s, struct str *in)
{
    const uint8_t *from = (const uint8_t *)in->p, *p = from, *end = from + in->n;
    bool fits = true;
    while (p < end && s->values && fits) {
        if (*p >= 0x80 && *p <= 0x9f) {
            s->values--;
            fits = elements(s, (uint64_t)(*p & 0x0f) << (*p < 0x90));
            p++;
            continue;
        }
        size_t n = plain_size(p, (size_t)(end - p));
        if (!n) break;
        s->values--;
        p += n;
    }
    pass(s, in, (size_t)(p - from));
    return fits;
}

enum rpc_scan_result rpc_scan_take(struct rpc_scan *s, struct str *in)
{
    for (;;) {
        if (!s->raw && !s->head_n && !take_plain(s, in)) return RPC_SCAN_BAD;
        if (s->raw) {
            size_t n = s->raw < in->n ? (size_t)s->raw : in->n;
            pass(s, in, n);
            s->raw -= n;
        }
        if (s->size > s->size_max) return RPC_SCAN_BAD;
        if (!s->raw && !s->values) return RPC_SCAN_DONE;
        if (!in->n) return RPC_SCAN_MORE;
        s->head[s->head_n++] = (uint8_t)in->p[0];
        pass(s, in, 1);
        if (s->head_n < head_size(s->head[0])) continue;
        if (!begin_value(s)) return RPC_SCAN_BAD;
        s->head_n = 0;
    }
}

/* --- headers -------------------------------------------------------------------------------- */

static int read_header(struct str bytes, const struct type *t, void *out)
{
    struct arena a = ARENA_INIT; /* headers hold no lists: nothing is taken */
    struct cursor c;
    cursor_init(&c, bytes.p, bytes.n, NULL);
    int rc = msgpack_decode(&c, &a, t, out);
    arena_free(&a);
    return rc ? ERR_DECODE : 0;
}

int rpc_read_request(struct str bytes, struct request_header *out)
{
    *out = (struct request_header){ 0 };
    return read_header(bytes, &type_request_header, out);
}

int rpc_read_response(struct str bytes, struct response_header *out)
{
    *out = (struct response_header){ 0 };
    return read_header(bytes, &type_response_header, out);
}

void rpc_write_request(struct buf *out, uint64_t seq, struct str method)
{
    struct request_header h = { .seq = seq, .service_method = method };
    msgpack_encode(&type_request_header, &h, out);
}

void rpc_write_response(struct buf *out, struct str error, uint64_t seq, struct str method)
{
    struct response_header h = { .error = error, .seq = seq, .service_method = method };
    msgpack_encode(&type_response_header, &h, out);
}

bool rpc_method_service(struct str method, struct str *service)
{
    for (size_t n = method.n; n-- > 0;) {
        if (method.p[n] != '.') continue;
        *service = str_slice(method, 0, n);
        return true;
    }
    return false;
}
