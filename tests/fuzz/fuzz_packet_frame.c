/* SPDX-License-Identifier: Apache-2.0 */
/* Gossip packets on a stream of any bytes: cut in pieces the datagrams are the same, and so is the
 * reason why the stream ends. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "consuld/mux/packet_frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

struct outcome {
    uint64_t hash;
    size_t datagrams, rest;
    char why[PACKET_FRAME_WHY_MAX];
};

static void read_all(struct str bytes, size_t step, struct outcome *out)
{
    struct packet_frames f;
    packet_frames_init(&f);
    *out = (struct outcome){ 0 };
    for (size_t at = 0; at < bytes.n; at += step) {
        struct str piece = str_slice(bytes, at, at + step < bytes.n ? at + step : bytes.n), one;
        while (packet_frames_take(&f, &piece, &one) == PACKET_FRAME_WHOLE) {
            ensure(one.n > 0 && one.n <= PACKET_FRAME_MAX);
            for (size_t i = 0; i < one.n; i++)
                out->hash = (out->hash ^ (uint8_t)one.p[i]) * UINT64_C(0x100000001b3);
            out->datagrams++;
        }
    }
    out->rest = packet_frames_rest(&f).n;
    memcpy(out->why, f.why, sizeof out->why);
    packet_frames_deinit(&f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct outcome whole, pieces;
    if (n < 2) return 0;
    struct str bytes = { (const char *)data + 1, n - 1 };
    read_all(bytes, bytes.n, &whole);
    read_all(bytes, 1 + data[0] % 16, &pieces);
    ensure(whole.hash == pieces.hash && whole.datagrams == pieces.datagrams);
    ensure(whole.rest == pieces.rest && strcmp(whole.why, pieces.why) == 0);
    return 0;
}
