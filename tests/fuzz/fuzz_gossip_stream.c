/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes on an accepted stream and as the answer to a join, in pieces of a size the first byte
 * names: the stream ends at most once, the core stays sound. */
#include "gossip_core.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static size_t ends(const struct swim_output *out, uint64_t id)
{
    size_t count = 0;
    for (size_t i = 0; i < out->streams_n; i++)
        count += out->streams[i].id == id && out->streams[i].action != SWIM_DIAL;
    return count;
}

static void feed(struct swim *s, uint64_t id, struct str bytes, size_t piece)
{
    struct swim_output out;
    size_t ended = 0;
    for (size_t at = 0; at < bytes.n; at += piece) {
        struct swim_event ev = { .type = SWIM_STREAM_DATA };
        ev.stream.id = id;
        ev.stream.bytes = str_slice(bytes, at, bytes.n - at < piece ? bytes.n : at + piece);
        (void)swim_step(s, FUZZ_NOW, &ev, &out);
        core_is_sound(s, &out);
        ended += ends(&out, id);
        ensure(ended <= 1);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n < 2) return 0;
    struct keyring ring;
    struct swim_output out;
    struct swim *s = core_create(data[0], &ring);
    struct str bytes = { (const char *)data + 2, n - 2 };
    size_t piece = 1 + (size_t)data[1] * 8;
    struct swim_event accept = { .type = SWIM_ACCEPTED }, join = { .type = SWIM_JOIN };
    accept.stream.id = 1;
    ensure(gossip_address_parse(&accept.stream.from, "10.0.0.3", 1234));
    (void)swim_step(s, FUZZ_NOW, &accept, &out);
    feed(s, 1, bytes, piece);
    join.join.handle = 1;
    ensure(gossip_address_parse(&join.join.address, "10.0.0.4", 7946));
    (void)swim_step(s, FUZZ_NOW, &join, &out);
    ensure(out.streams_n >= 1);
    feed(s, out.streams[out.streams_n - 1].id, bytes, piece);
    swim_destroy(s);
    return 0;
}
