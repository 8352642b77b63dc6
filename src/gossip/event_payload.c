/* SPDX-License-Identifier: Apache-2.0 */
#include "consuld/gossip/event_payload.h"

#include "serf_message.h"

DEFINE_RECORD(event_payload, EVENT_PAYLOAD_FIELDS, "UserEvent")

static void prepare(void)
{
    static bool done;
    if (done) return;
    record_init(&record_event_payload);
    done = true;
}

/* `first` and the two after it take lengths of 1, 2 and 4 bytes. */
static void put_head(struct buf *out, uint8_t first, size_t n)
{
    unsigned bytes = n <= UINT8_MAX ? 1 : n <= UINT16_MAX ? 2 : 4;
    buf_put_char(out, (char)(first + bytes / 2));
    while (bytes-- > 0)
        buf_put_char(out, (char)(n >> 8 * bytes));
}

static void put_text(struct buf *out, struct str s)
{
    if (s.n < 32) {
        buf_put_char(out, (char)(0xa0 | s.n));
    } else {
        put_head(out, 0xd9, s.n);
    }
    buf_put_str(out, s);
}

static void put_member(struct buf *out, const struct field *f, const void *member)
{
    put_text(out, str_of(f->name));
    if (f->type->kind == KIND_INT) {
        msgpack_put_int(out, *(const int64_t *)member);
    } else if (f->type->kind == KIND_STR) {
        put_text(out, *(const struct str *)member);
    } else {
        ensure(f->type->kind == KIND_BYTES);
        put_head(out, 0xc4, ((const struct str *)member)->n);
        buf_put_str(out, *(const struct str *)member);
    }
}

void event_payload_encode(const struct event_payload *e, struct buf *out)
{
    const struct record *r = &record_event_payload;
    uint32_t n = 0;
    prepare();
    for (int pass = 0; pass < 2; pass++) {
        if (pass) msgpack_put_map(out, n);
        for (uint16_t i = 0; i < r->n; i++) {
            const struct field *f = &r->fields[r->sorted[i]];
            const void *member = (const char *)e + f->offset;
            if ((f->flags & WIRE_OMIT) && record_is_empty(f->type, member)) continue;
            n++;
            if (pass) put_member(out, f, member);
        }
    }
}

int event_payload_decode(struct str bytes, struct event_payload *out, struct error *err)
{
    struct arena a = ARENA_INIT;
    prepare();
    int code = serf_message_decode(bytes, &a, &type_event_payload, out, NULL, err);
    arena_free(&a);
    return code;
}
