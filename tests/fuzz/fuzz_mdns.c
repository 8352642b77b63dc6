/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as an answer of multicast DNS: bounded, and read the same twice. */
#include "consuld/agent/mdns.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct arena a = ARENA_INIT;
    struct list found = { 0 };
    struct mdns_options o = { .name = STR("_x._tcp.local"), .v4 = true, .v6 = true };
    struct str packet = { (const char *)data, n };
    mdns_answer_read(packet, &o, &a, &found);
    size_t once = found.n;
    mdns_answer_read(packet, &o, &a, &found);
    ensure(found.n == once && once <= MDNS_ADDRESSES_MAX);
    arena_free(&a);
    return 0;
}
