/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as the log entry of a command, or as a chunk of one, on a small state: applied or
 * refused; the state goes on and stays readable. The first byte says how many bytes are the
 * extensions of a chunk. */
#include "consuld/store.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static struct store *store;

static void apply(const struct store_entry *e)
{
    struct arena a = ARENA_INIT;
    struct command_result res;
    struct error err;
    struct store_batch *b = store_apply_begin(store, 1);
    int code = store_apply(b, e, &a, &res, &err);
    ensure(code != ERR_IO);
    ensure(store_apply_commit(b, &err) == 0);
    ensure(store_applied_index(store) == (code ? e->index - 1 : e->index));
    struct list nodes = { 0 }, checks = { 0 }, keys = { 0 };
    struct store_read *rd = store_read(store);
    store_nodes(rd, NULL, NULL, &a, &nodes);
    store_service_dump(rd, NULL, NULL, &a, &checks);
    store_kv_list(rd, NULL, STR(""), &a, &keys);
    ensure(!store_read_failed(rd, NULL));
    arena_free(&a);
}

static void begin(void)
{
    struct store_options opts = { .map_size = (uint64_t)256 << 20 };
    struct error err;
    struct buf data = BUF_INIT(4096);
    model_init();
    log_setup(&(struct log_options){ .level = LOG_ERROR, .hold = true });
    store_close(store);
    ensure(store_open(&opts, &store, NULL, &err) == 0);
    struct register_request node = { .node = STR("n"), .address = STR("10.0.0.1") };
    command_encode(COMMAND_REGISTER, &node, &data);
    apply(&(struct store_entry){ .index = 1, .term = 1, .data = buf_str(&data) });
    buf_deinit(&data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n < 2) return 0;
    if (!store || store_applied_index(store) > 200) begin();
    size_t ext = data[0] % 24 < n - 1 ? data[0] % 24 : 0;
    struct str in = { (const char *)data + 1, n - 1 };
    apply(&(struct store_entry){ .index = store_applied_index(store) + 1,
        .term = 1,
        .data = str_slice(in, ext, in.n),
        .extensions = str_slice(in, 0, ext) });
    return 0;
}
