/* SPDX-License-Identifier: Apache-2.0 */
/* Gossip packets on a stream (wanfed.md 5.1): a length of four bytes, the highest first, then one
 * datagram. A byte machine for the receiving side; the sending one is a header. */
#pragma once
#include "consuld/base.h"

#define PACKET_FRAME_HEADER 4
#define PACKET_FRAME_MAX (4u << 20)
#define PACKET_FRAME_WHY_MAX 80

struct packet_frames {
    struct buf input; /* of the frame that is not whole */
    bool failed;
    char why[PACKET_FRAME_WHY_MAX]; /* in Consul's words */
};

enum packet_frame_result {
    PACKET_FRAME_MORE,   /* *in is used up */
    PACKET_FRAME_WHOLE,  /* *out is a datagram, valid until the next call; there may be more */
    PACKET_FRAME_FAILED, /* `why` says it: the stream is of no use any more */
};

void packet_frames_init(struct packet_frames *f);
void packet_frames_deinit(struct packet_frames *f);
enum packet_frame_result packet_frames_take(
    struct packet_frames *f, struct str *in, struct str *out);
/* At the end of the stream: what came of a datagram that was cut short; empty if there is none. */
struct str packet_frames_rest(const struct packet_frames *f);

void packet_frame_header(uint8_t out[PACKET_FRAME_HEADER], size_t n);
