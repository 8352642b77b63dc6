/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "sim.h"

struct parcel *network_post(struct sim *s, enum parcel_kind kind, uint32_t to, uint64_t at);
/* The next parcel due until then; its bytes are the caller's. */
bool network_take(struct sim *s, uint64_t until, struct parcel *out);
void network_packet(struct sim *s, uint32_t from, const struct swim_packet *packet);
void network_stream(struct sim *s, uint32_t from, const struct swim_stream *stream);
