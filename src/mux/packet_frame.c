/* SPDX-License-Identifier: Apache-2.0 */
#include "consuld/mux/packet_frame.h"

#include <stdio.h>

#define KEPT_MAX 65536 /* memory held between frames */

void packet_frames_init(struct packet_frames *f)
{
    *f = (struct packet_frames){ .input = BUF_INIT(PACKET_FRAME_HEADER + PACKET_FRAME_MAX) };
}

void packet_frames_deinit(struct packet_frames *f)
{
    buf_deinit(&f->input);
}

void packet_frame_header(uint8_t out[PACKET_FRAME_HEADER], size_t n)
{
    for (int i = 0; i < PACKET_FRAME_HEADER; i++)
        out[i] = (uint8_t)(n >> (24 - 8 * i));
}

static uint32_t length_of(const char *p)
{
    const uint8_t *b = (const uint8_t *)p;
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static bool refuse(struct packet_frames *f, uint32_t n)
{
    if (n > 0 && n <= PACKET_FRAME_MAX) return false;
    f->failed = true;
    if (n == 0)
        snprintf(f->why, sizeof f->why, "packet too short (0 bytes)");
    else
        snprintf(f->why, sizeof f->why, "gossip packet size %u exceeds threshold of %u", n,
            PACKET_FRAME_MAX);
    return true;
}

/* Moves up to `want` bytes in all into the buffer; true when it holds them. */
static bool fill(struct packet_frames *f, struct str *in, size_t want)
{
    size_t missing = want - f->input.n, n = in->n < missing ? in->n : missing;
    buf_put(&f->input, in->p, n);
    *in = str_slice(*in, n, in->n);
    return n == missing;
}

enum packet_frame_result packet_frames_take(
    struct packet_frames *f, struct str *in, struct str *out)
{
    if (f->failed) return PACKET_FRAME_FAILED;
    size_t have = f->input.n;
    if (have >= PACKET_FRAME_HEADER &&
        have == PACKET_FRAME_HEADER + (size_t)length_of((const char *)f->input.p)) {
        if (f->input.cap > KEPT_MAX) buf_deinit(&f->input);
        buf_clear(&f->input);
        have = 0;
    }
    if (have == 0 && in->n >= PACKET_FRAME_HEADER) { /* most often it is all there */
        uint32_t n = length_of(in->p);
        if (refuse(f, n)) return PACKET_FRAME_FAILED;
        if (in->n - PACKET_FRAME_HEADER >= n) {
            *out = str_slice(*in, PACKET_FRAME_HEADER, PACKET_FRAME_HEADER + n);
            *in = str_slice(*in, PACKET_FRAME_HEADER + n, in->n);
            return PACKET_FRAME_WHOLE;
        }
    }
    if (have < PACKET_FRAME_HEADER && !fill(f, in, PACKET_FRAME_HEADER)) return PACKET_FRAME_MORE;
    uint32_t n = length_of((const char *)f->input.p);
    if (refuse(f, n)) return PACKET_FRAME_FAILED;
    if (!fill(f, in, PACKET_FRAME_HEADER + n)) return PACKET_FRAME_MORE;
    *out = str_slice(buf_str(&f->input), PACKET_FRAME_HEADER, f->input.n);
    return PACKET_FRAME_WHOLE;
}

struct str packet_frames_rest(const struct packet_frames *f)
{
    struct str all = buf_str(&f->input);
    bool whole =
        all.n >= PACKET_FRAME_HEADER && all.n == PACKET_FRAME_HEADER + (size_t)length_of(all.p);
    if (f->failed || whole || all.n <= PACKET_FRAME_HEADER) return STR("");
    return str_slice(all, PACKET_FRAME_HEADER, all.n);
}
