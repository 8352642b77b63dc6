/* SPDX-License-Identifier: Apache-2.0 */
/* A store in a private folder, and recorded logs to apply to it. */
#pragma once
#include "unit/model/vectors.h"

#include "commands.h"

static inline struct store *store_fresh(void)
{
    struct store *s = NULL;
    struct error err;
    struct store_options opts = { .map_size = UINT64_C(1) << 30 };
    if (store_open(&opts, &s, NULL, &err) != 0) fail_msg("%s", err.text);
    return s;
}

/* One entry in a batch of its own. */
static inline int apply_one(struct store *s, const struct store_entry *e, struct arena *a,
    struct command_result *res, struct error *err)
{
    struct store_batch *b = store_apply_begin(s, 1000);
    int code = store_apply(b, e, a, res, err);
    if (code != STORE_APPLIED) {
        store_apply_abort(b);
        return code;
    }
    return store_apply_commit(b, err);
}

static inline struct store_entry recorded_entry(struct arena *a, const struct value *line)
{
    struct store_entry e = { .index = (uint64_t)get_number(line, "index"),
        .term = (uint64_t)get_number(line, "term") };
    const struct value *ext = get(line, "extensions_hex");
    if (get_number(line, "log_type") == 0) e.data = recorded_bytes(a, line, "data_");
    if (ext) e.extensions = hex_bytes(a, ext->s);
    return e;
}

/* Builds and applies one command at the next index; fails the test if the store does. */
static inline struct command_result command(
    struct store *s, struct arena *a, enum command_type type, const void *body)
{
    struct buf data = BUF_INIT(4u << 20);
    struct command_result res;
    struct error err;
    command_encode(type, body, &data);
    struct store_entry e = { .index = store_applied_index(s) + 1, .term = 1 };
    e.data = str_dup(a, buf_str(&data));
    buf_deinit(&data);
    if (apply_one(s, &e, a, &res, &err) != 0) fail_msg("%s", err.text);
    return res;
}
