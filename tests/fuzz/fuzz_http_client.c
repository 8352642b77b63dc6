/* SPDX-License-Identifier: Apache-2.0 */
/* The client machine on any bytes of an answer, cut in pieces of a size the first byte names, and
 * the same bytes as a URL: limits hold, and nothing comes after the end. */
#include <stddef.h>
#include <stdint.h>

#include "consuld/mux/http_client.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define BODY_MAX 256

static void answer(const uint8_t *data, size_t n, size_t piece)
{
    struct http_client c;
    int code = 0;
    http_client_init(&c, BODY_MAX);
    for (size_t at = 0; at < n && !code && !c.done; at += piece) {
        size_t len = n - at < piece ? n - at : piece;
        code = http_client_recv(&c, (struct str){ (const char *)data + at, len });
        ensure(code == 0 || code == ERR_DECODE);
    }
    if (!code && !c.done) {
        code = http_client_eof(&c);
        ensure(code == ERR_EOF || (code == 0 && c.done));
    }
    ensure(http_client_body(&c).n <= BODY_MAX);
    if (c.done) ensure(c.status >= 0 && c.body_total >= http_client_body(&c).n);
    http_client_deinit(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n == 0) return 0;
    struct http_url url;
    struct str text = { (const char *)data + 1, n - 1 };
    if (http_url_parse(text, &url)) {
        ensure(url.host.n > 0 && url.host.n <= n);
        ensure(url.host.p >= text.p && url.host.p + url.host.n <= text.p + text.n);
    }
    answer(data + 1, n - 1, (size_t)1 + data[0] % 64);
    return 0;
}
