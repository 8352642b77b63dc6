/* SPDX-License-Identifier: Apache-2.0 */
/* Times and durations as Go writes and reads them. */
#pragma once
#include "consuld/base.h"

/* The 15-byte binary form's fields (rpc.md 5.3): seconds since year 1, nanoseconds, minutes east
 * of UTC (-1 is the UTC marker). All zero sec/nsec is the zero time whatever the offset. */
struct gotime {
    int64_t sec;
    int32_t nsec;
    int16_t offset_min;
};

#define GOTIME_UNIX_EPOCH INT64_C(62135596800)
#define GOTIME_ZERO ((struct gotime){ 0, 0, -1 })

struct gotime gotime_from_unix_ns(int64_t ns); /* UTC */
int64_t gotime_to_unix_ns(struct gotime t);
bool gotime_is_zero(struct gotime t);
/* RFC 3339 with nanoseconds, trailing zeros cut: 2020-01-02T03:04:05.6Z. */
void gotime_format(struct gotime t, struct buf *out);
int gotime_parse(struct str text, struct gotime *out, struct error *err) must_check;

/* "1h30m0s", "300ms", "0s" (Go's Duration.String). */
void duration_format(int64_t ns, struct buf *out);
/* Go's ParseDuration with its error texts, e.g.: time: missing unit in duration "5". */
int duration_parse(struct str text, int64_t *ns, struct error *err) must_check;
