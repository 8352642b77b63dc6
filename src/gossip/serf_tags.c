/* SPDX-License-Identifier: Apache-2.0 */
#include "consuld/gossip/serf.h"
#include "serf_message.h"

#define TAGS_MAP 0xff /* first byte of meta that is a map */

static bool is_map(struct str meta)
{
    return meta.n > 0 && (uint8_t)meta.p[0] == TAGS_MAP;
}

int serf_tags_encode(const struct dict *tags, struct buf *out, struct error *err)
{
    struct dict written = *tags;
    if (!written.v) written = DICT_EMPTY;
    size_t before = out->n;
    buf_put_char(out, (char)TAGS_MAP);
    msgpack_encode(&type_map_str, &written, out);
    if (out->overflow || out->n - before > SERF_TAGS_MAX)
        return error_set(
            err, ERR_TOO_LARGE, "Encoded length of tags exceeds limit of %d bytes", SERF_TAGS_MAX);
    return 0;
}

int serf_tags_decode(struct str meta, struct arena *a, struct dict *out, struct error *err)
{
    *out = DICT_EMPTY;
    if (!is_map(meta)) {
        dict_set_str(a, out, STR("role"), meta.p ? meta : STR(""));
        return 0;
    }
    int code = serf_message_decode(str_slice(meta, 1, meta.n), a, &type_map_str, out, NULL, err);
    if (code || !out->v) *out = DICT_EMPTY;
    return code;
}

struct str serf_tag(struct str meta, const char *name)
{
    if (!is_map(meta)) return str_is(STR("role"), name) ? meta : STR_NIL;
    struct cursor c;
    cursor_init(&c, meta.p + 1, meta.n - 1, NULL);
    struct str found = STR_NIL;
    for (uint32_t n = msgpack_get_map(&c); n > 0 && !c.code; n--) {
        struct str key = msgpack_get_str(&c);
        struct str value = msgpack_get_str(&c);
        if (str_is(key, name)) found = value.p ? value : STR("");
    }
    return c.code ? STR_NIL : found;
}
