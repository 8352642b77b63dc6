/* SPDX-License-Identifier: Apache-2.0 */
/* Messages on any bytes: cut in pieces the boundary is the same, and it agrees with the decoder's;
 * headers and the argument of any procedure decode or are refused. */
#include <stddef.h>
#include <stdint.h>

#include "consuld/model.h"
#include "consuld/mux/rpc_frame.h"
#include "consuld/wire/msgpack.h"

#define SIZE_MAX_TRIED ((size_t)64 << 10)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static size_t end_of(struct str bytes, size_t step, enum rpc_scan_result *r)
{
    struct rpc_scan s;
    rpc_scan_init(&s, 2, SIZE_MAX_TRIED);
    *r = RPC_SCAN_MORE;
    for (size_t at = 0; at < bytes.n && *r == RPC_SCAN_MORE; at += step) {
        struct str piece = str_slice(bytes, at, at + step < bytes.n ? at + step : bytes.n);
        *r = rpc_scan_take(&s, &piece);
    }
    return s.size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static bool ready;
    if (!ready) model_init();
    ready = true;
    if (n < 2) return 0;
    struct str bytes = { (const char *)data + 1, n - 1 };
    enum rpc_scan_result whole, pieces;
    size_t end = end_of(bytes, bytes.n, &whole);
    size_t same = end_of(bytes, 1 + data[0] % 16, &pieces);
    ensure(whole == pieces && (whole != RPC_SCAN_DONE || end == same));
    if (whole != RPC_SCAN_DONE) return 0;
    struct cursor c;
    cursor_init(&c, bytes.p, end, NULL);
    if (msgpack_skip(&c) == 0 && msgpack_skip(&c) == 0) ensure(cursor_left(&c) == 0);
    struct request_header h;
    struct response_header r;
    int refused = rpc_read_request(bytes, &h);
    refused |= rpc_read_response(bytes, &r);
    const struct method_types *m = refused ? NULL : method_find(h.service_method);
    if (!m) m = &method_table[data[0] % method_count];
    struct arena a = ARENA_INIT;
    cursor_init(&c, bytes.p, end, NULL);
    int rc = msgpack_skip(&c);
    if (!rc) rc = msgpack_decode(&c, &a, m->args, arena_alloc(&a, m->args->size));
    ensure(rc <= 0);
    arena_free(&a);
    return 0;
}
