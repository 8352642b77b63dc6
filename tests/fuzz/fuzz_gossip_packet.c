/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a datagram, twice, then time: the core stays sound and answers with no more packets
 * than there are messages in it. The first byte picks the setup. */
#include "gossip_core.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n == 0) return 0;
    struct keyring ring;
    struct swim_output out;
    struct swim *s = core_create(data[0], &ring);
    struct swim_event ev = packet_from("10.0.0.3", (struct str){ (const char *)data + 1, n - 1 });
    swim_collect(s, &out);
    for (int i = 0; i < 2; i++) {
        (void)swim_step(s, FUZZ_NOW, &ev, &out);
        core_is_sound(s, &out);
        ensure(out.packets_n <= 4096);
    }
    uint64_t now = FUZZ_NOW;
    for (int i = 0; i < 20 && out.wake_ms != SWIM_NEVER; i++) {
        if (out.wake_ms > now) now = out.wake_ms;
        (void)swim_step(s, now, &(struct swim_event){ .type = SWIM_TICK }, &out);
        core_is_sound(s, &out);
    }
    swim_destroy(s);
    return 0;
}
