/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <zlib.h>

#include "front.h"

#define LEVEL Z_BEST_SPEED
#define WINDOW_GZIP (15 + 16)

static bool quality_is_zero(struct str q)
{
    bool digit = false;
    for (size_t i = 0; i < q.n; i++) {
        if (q.p[i] >= '1' && q.p[i] <= '9') return false;
        if (q.p[i] == '0')
            digit = true;
        else if (q.p[i] != '.')
            return true; /* malformed: the coding does not count */
    }
    return digit || q.n == 0;
}

/* One element of the list: "gzip;q=0.5". */
static bool is_gzip(struct str element)
{
    struct str name, rest, param;
    str_cut(element, ';', &name, &rest);
    if (!str_eq_nocase(str_trim(name), STR("gzip"))) return false;
    while (rest.n) {
        struct str more;
        str_cut(rest, ';', &param, &more);
        param = str_trim(param);
        if (str_has_prefix(param, STR("q=")) && quality_is_zero(str_slice(param, 2, param.n)))
            return false;
        rest = more;
    }
    return true;
}

bool gzip__accepted(struct str accept_encoding)
{
    struct str element, rest = accept_encoding;
    while (rest.n) {
        struct str more;
        str_cut(rest, ',', &element, &more);
        if (is_gzip(element)) return true;
        rest = more;
    }
    return false;
}

bool api_takes_gzip(const struct api_request *req)
{
    return gzip__accepted(api_request_header(req, "Accept-Encoding"));
}

static z_stream *deflater(struct api *api)
{
    z_stream *z = api->deflater;
    if (z) {
        deflateReset(z);
        return z;
    }
    z = xcalloc(1, sizeof *z);
    int rc = deflateInit2(z, LEVEL, Z_DEFLATED, WINDOW_GZIP, 8, Z_DEFAULT_STRATEGY);
    ensure(rc == Z_OK);
    api->deflater = z;
    return z;
}

struct str gzip__pack(struct api *api, struct str body)
{
    z_stream *z = deflater(api);
    ensure(body.n <= ANSWER_MAX);
    buf_clear(&api->packed);
    size_t bound = deflateBound(z, body.n);
    uint8_t *to = buf_reserve(&api->packed, bound);
    ensure(to);
    z->next_in = (Bytef *)(uintptr_t)body.p;
    z->avail_in = (uInt)body.n;
    z->next_out = to;
    z->avail_out = (uInt)bound;
    int rc = deflate(z, Z_FINISH);
    ensure(rc == Z_STREAM_END);
    api->packed.n = bound - z->avail_out;
    return buf_str(&api->packed);
}

void gzip__deinit(struct api *api)
{
    if (!api->deflater) return;
    deflateEnd(api->deflater);
    free(api->deflater);
}
