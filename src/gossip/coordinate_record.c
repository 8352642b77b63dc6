/* SPDX-License-Identifier: Apache-2.0 */
#include "consuld/gossip/coordinate.h"

#include <string.h>

#include "consuld/wire.h"

void position_to_record(const struct position *p, struct arena *a, struct vivaldi_coordinate *out)
{
    *out = (struct vivaldi_coordinate){
        .vec = { .v = arena_copy(a, p->vec, sizeof p->vec), .n = COORDINATE_DIMENSIONS },
        .error = p->error,
        .adjustment = p->adjustment,
        .height = p->height,
    };
}

int position_from_record(
    const struct vivaldi_coordinate *r, struct position *out, struct error *err)
{
    if (r->vec.n != COORDINATE_DIMENSIONS)
        return error_set(err, ERR_BAD_REQUEST, "dimensions aren't compatible");
    struct position p = { .error = r->error, .adjustment = r->adjustment, .height = r->height };
    memcpy(p.vec, r->vec.v, sizeof p.vec);
    if (!position_valid(&p)) return error_set(err, ERR_BAD_REQUEST, "coordinate is invalid");
    *out = p;
    return 0;
}

void position_encode(const struct position *p, struct buf *out)
{
    struct arena a = ARENA_INIT;
    struct vivaldi_coordinate record;
    position_to_record(p, &a, &record);
    buf_put_char(out, COORDINATE_PAYLOAD_VERSION);
    msgpack_encode(&type_vivaldi_coordinate, &record, out);
    arena_free(&a);
}

int position_decode(struct str payload, struct position *out, struct error *err)
{
    if (payload.n == 0 || payload.p[0] != COORDINATE_PAYLOAD_VERSION)
        return error_set(
            err, ERR_DECODE, "Unsupported ping version: %d", payload.n ? (uint8_t)payload.p[0] : 0);
    struct arena a = ARENA_INIT;
    struct cursor c;
    struct vivaldi_coordinate record = { 0 };
    cursor_init(&c, payload.p + 1, payload.n - 1, err);
    c.elements_max = payload.n;
    c.memory_max = 64 * payload.n;
    int code = msgpack_decode(&c, &a, &type_vivaldi_coordinate, &record);
    if (!code) code = position_from_record(&record, out, err);
    arena_free(&a);
    return code;
}
