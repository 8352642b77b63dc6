/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as compressed data: bounded; what they give can be packed and unpacked again. And any
 * bytes as plain data. */
#include "consuld/gossip/packet.h"

#define PLAIN_MAX (1u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void round_trip(struct str plain)
{
    struct buf packed = BUF_INIT(2 * plain.n + 16), back = BUF_INIT(plain.n);
    lzw_compress(plain, &packed);
    ensure(!packed.overflow);
    ensure(lzw_decompress(buf_str(&packed), &back, NULL) == 0);
    ensure(str_eq(buf_str(&back), plain));
    buf_deinit(&packed);
    buf_deinit(&back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct str bytes = { (const char *)data, n };
    struct buf plain = BUF_INIT(PLAIN_MAX);
    if (lzw_decompress(bytes, &plain, NULL) == 0) round_trip(buf_str(&plain));
    ensure(plain.n <= PLAIN_MAX);
    round_trip(bytes);
    buf_deinit(&plain);
    return 0;
}
