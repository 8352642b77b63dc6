/* SPDX-License-Identifier: Apache-2.0 */
/* Figures of the state: applying batches, reading keys and health, waking watchers.
 *   ninja -C build/release bench_store && build/release/bench_store [folder] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "consuld/store.h"

#define KEYS 100000
#define BATCH 64
#define GETS 1000000
#define INSTANCES 1000
#define WATCHERS 5000

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void die(const struct error *err)
{
    fprintf(stderr, "bench_store: %s\n", err->text);
    exit(1);
}

static void show(const char *what, size_t n, double took)
{
    printf("%-44s %10.0f /s  %8.2f us each\n", what, (double)n / took, took / (double)n * 1e6);
}

static void apply(struct store_batch *b, uint64_t index, enum command_type type, const void *body,
    struct arena *a, struct buf *data)
{
    struct command_result res;
    struct error err;
    buf_clear(data);
    command_encode(type, body, data);
    struct store_entry e = { .index = index, .term = 1, .data = buf_str(data) };
    if (store_apply(b, &e, a, &res, &err) != STORE_APPLIED) die(&err);
    if (res.kind == RESULT_ERROR) {
        fprintf(stderr, "bench_store: refused: %.*s\n", STR_ARG(res.text));
        exit(1);
    }
    arena_reset(a);
}

static void commit(struct store_batch *b)
{
    struct error err;
    if (store_apply_commit(b, &err) != 0) die(&err);
}

static void put_keys(struct store *s, size_t batch, const char *what, char fill)
{
    struct arena a = ARENA_INIT;
    struct buf data = BUF_INIT(1u << 20);
    char value[512], key[32];
    memset(value, fill, sizeof value);
    uint64_t index = store_applied_index(s);
    double from = seconds();
    for (size_t i = 0; i < KEYS; i += batch) {
        struct store_batch *b = store_apply_begin(s, 0);
        for (size_t k = i; k < i + batch && k < KEYS; k++) {
            snprintf(key, sizeof key, "bench/%08zu", k * 7919 % KEYS);
            struct kvs_request r = { .op = STR("set"),
                .dir_ent = { .key = str_of(key), .value = { value, sizeof value } } };
            apply(b, ++index, COMMAND_KVS, &r, &a, &data);
        }
        commit(b);
    }
    show(what, KEYS, seconds() - from);
    buf_deinit(&data);
    arena_free(&a);
}

static void get_keys(struct store *s)
{
    struct arena a = ARENA_INIT;
    char key[32];
    size_t missing = 0;
    double from = seconds();
    for (size_t i = 0; i < GETS; i++) {
        struct dir_entry e;
        bool found;
        snprintf(key, sizeof key, "bench/%08zu", i * 7919 % KEYS);
        store_kv_get(store_read(s), NULL, str_of(key), &a, &e, &found);
        missing += !found;
        arena_reset(&a);
    }
    show("KV get, 512-byte values", GETS, seconds() - from);
    if (missing) printf("  %zu missing\n", missing);
    arena_free(&a);
}

static void list_keys(struct store *s)
{
    struct arena a = ARENA_INIT;
    struct list out = { 0 };
    double from = seconds();
    store_kv_list(store_read(s), NULL, STR("bench/0000"), &a, &out);
    show("KV list, per entry", out.n, seconds() - from);
    arena_free(&a);
}

static void register_services(struct store *s)
{
    struct arena a = ARENA_INIT;
    struct buf data = BUF_INIT(1u << 20);
    char name[32];
    uint64_t index = store_applied_index(s);
    double from = seconds();
    for (size_t i = 0; i < INSTANCES; i += BATCH) {
        struct store_batch *b = store_apply_begin(s, 0);
        for (size_t k = i; k < i + BATCH && k < INSTANCES; k++) {
            snprintf(name, sizeof name, "node-%05zu", k);
            struct node_service svc = { .id = STR("web"), .service = STR("web"), .port = 80 };
            struct health_check check = { .node = str_of(name),
                .check_id = STR("service:web"),
                .name = STR("web"),
                .service_id = STR("web"),
                .status = STR("passing") };
            struct register_request r = {
                .node = str_of(name), .address = STR("10.0.0.1"), .service = &svc, .check = &check
            };
            apply(b, ++index, COMMAND_REGISTER, &r, &a, &data);
        }
        commit(b);
    }
    show("register node, service, check; batches of 64", INSTANCES, seconds() - from);
    buf_deinit(&data);
    arena_free(&a);
}

static void read_health(struct store *s)
{
    struct arena a = ARENA_INIT;
    size_t rounds = 100, n = 0;
    double from = seconds();
    for (size_t i = 0; i < rounds; i++) {
        struct list out = { 0 };
        store_check_service_nodes(store_read(s), NULL, STR("web"), NULL, &a, &out);
        n += out.n;
        arena_reset(&a);
    }
    show("health of a service with 1000 instances", rounds, seconds() - from);
    if (n != rounds * INSTANCES) printf("  %zu instances seen\n", n);
    arena_free(&a);
}

static size_t fired;

static void on_fire(struct watch_set *ws)
{
    (void)ws;
    fired++;
}

static void wake_watchers(struct store *s)
{
    struct arena a = ARENA_INIT;
    struct buf data = BUF_INIT(1u << 20);
    struct watch_set *w = xcalloc(WATCHERS, sizeof *w);
    struct dir_entry e;
    bool found;
    for (size_t i = 0; i < WATCHERS; i++) {
        watch_set_init(&w[i], s, on_fire);
        store_kv_get(store_read(s), &w[i], STR("bench/watched"), &a, &e, &found);
    }
    struct kvs_request r = { .op = STR("set"), .dir_ent = { .key = STR("bench/watched") } };
    struct store_batch *b = store_apply_begin(s, 0);
    apply(b, store_applied_index(s) + 1, COMMAND_KVS, &r, &a, &data);
    double from = seconds();
    commit(b);
    show("commit that wakes 5000 watchers of a key", fired, seconds() - from);
    free(w);
    buf_deinit(&data);
    arena_free(&a);
}

int main(int argc, char **argv)
{
    struct store *s;
    struct error err;
    struct store_options opts = { .dir = argc > 1 ? argv[1] : NULL };
    model_init();
    if (store_open(&opts, &s, NULL, &err) != 0) die(&err);
    put_keys(s, BATCH, "KV set, new keys, batches of 64", 'a');
    put_keys(s, BATCH, "KV set, present keys, batches of 64", 'b');
    put_keys(s, 1, "KV set, present keys, one a batch", 'c');
    get_keys(s);
    list_keys(s);
    register_services(s);
    read_health(s);
    wake_watchers(s);
    double from = seconds();
    if (store_read_sync(store_read(s), &err) != 0) die(&err);
    printf("%-44s %10.1f ms\n", "sync of all of it", (seconds() - from) * 1e3);
    printf("%-44s %10.1f MB\n", "state", (double)store_stats(s).map_used / 1e6);
    store_close(s);
    return 0;
}
