/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP machine on any bytes, cut in pieces of a size the first byte names: no event is out of
 * order, all input is taken in the end, and limits hold. */
#include <stddef.h>
#include <stdint.h>

#include "consuld/mux/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static bool step(struct http_server *m, struct str *in, uint64_t max)
{
    switch (http_server_recv(m, in)) {
    case HTTP_EVENT_MORE:
        ensure(in->n == 0);
        return false;
    case HTTP_EVENT_HEAD:
        ensure(http_server_method(m).n > 0 && http_server_target(m).n > 0);
        if (http_server_field(m, "x-unwanted").p)
            http_server_discard(m);
        else
            http_server_collect(m, max);
        return true;
    case HTTP_EVENT_CONTINUE:
        return true;
    case HTTP_EVENT_END:
        ensure(http_server_body(m).n <= max);
        http_server_next(m);
        return true;
    case HTTP_EVENT_CUT:
    case HTTP_EVENT_REFUSED:
        ensure(!m->keep_alive);
        return true;
    }
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n == 0) return 0;
    struct http_server m;
    size_t piece = 1 + data[0] % 64;
    http_server_init(&m);
    for (size_t at = 1; at < n; at += piece) {
        size_t len = n - at < piece ? n - at : piece;
        struct str in = { (const char *)data + at, len };
        while (step(&m, &in, data[0])) {
        }
    }
    http_server_deinit(&m);
    return 0;
}
