/* SPDX-License-Identifier: Apache-2.0 */
/* Network coordinates after Vivaldi (gossip.md 10): every member places itself so that distances
 * tell round-trip times. Values are seconds.
 *
 * The one invariant: our own coordinate is finite and has a height of at least
 * COORDINATE_HEIGHT_MIN; what would break that is refused, or starts it anew. */
#pragma once
#include "consuld/model.h"

#define COORDINATE_DIMENSIONS 8
#define COORDINATE_HEIGHT_MIN 10e-6
#define COORDINATE_ERROR_MAX 1.5
#define COORDINATE_WINDOW 20 /* adjustment samples */
#define COORDINATE_FILTER 3  /* round trips kept per peer */
#define COORDINATE_RTT_MAX_NS INT64_C(10000000000)
#define COORDINATE_PAYLOAD_VERSION 1

struct position {
    double vec[COORDINATE_DIMENSIONS];
    double error;
    double adjustment;
    double height;
};

/* Round trips of one peer, to take the median of. */
struct latency_filter {
    double rtt[COORDINATE_FILTER];
    uint8_t n, next;
};

struct coordinate_client {
    struct position here;
    double samples[COORDINATE_WINDOW];
    size_t sample_next;
    uint64_t resets;
    struct prng random; /* directions between equal places */
};

/* The place to start from. */
struct position position_start(void);
bool position_valid(const struct position *p);
/* Seconds between two places, a whole number of nanoseconds. */
double position_distance(const struct position *a, const struct position *b);

void coordinate_client_init(struct coordinate_client *c, uint64_t seed);
/* Learns from one direct round trip to a peer whose filter is `f`. ERR_BAD_REQUEST with "coordinate
 * is invalid" or "round trip time not in valid range, ..."; nothing changed then. */
int coordinate_client_update(struct coordinate_client *c, struct latency_filter *f,
    const struct position *other, int64_t rtt_ns, struct error *err) must_check;

/* The model's record of a position, its list in `a`; and back: ERR_BAD_REQUEST with "dimensions
 * aren't compatible" or "coordinate is invalid". */
void position_to_record(const struct position *p, struct arena *a, struct vivaldi_coordinate *out);
int position_from_record(
    const struct vivaldi_coordinate *r, struct position *out, struct error *err) must_check;

/* Payload of an ack: version byte and record. */
void position_encode(const struct position *p, struct buf *out);
int position_decode(struct str payload, struct position *out, struct error *err) must_check;
