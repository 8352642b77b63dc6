/* SPDX-License-Identifier: Apache-2.0 */
#include "watch_handler.h"

#include <stdlib.h>

#include "consuld/base/stream.h"

#define TIMEOUT_DEFAULT_NS INT64_C(10000000000)

/* --- configuration ---------------------------------------------------------------------------- */

static void read_program(struct watch_handler *h, const struct value *args)
{
    size_t n = args->kind == V_LIST ? args->list.n : 1;
    h->argv = arena_array(&h->arena, n + 1, sizeof *h->argv);
    for (size_t i = 0; i < n; i++) {
        const struct value *v = args->kind == V_LIST ? &args->list.v[i] : args;
        h->argv[i] = str_c(&h->arena, v->kind == V_STR ? v->s : STR(""));
    }
    struct buf name = BUF_INIT(WATCH_OUTPUT_MAX);
    for (size_t i = 0; i < n; i++)
        buf_printf(&name, "%s%s", i ? ", " : "[", h->argv[i]);
    buf_put_char(&name, ']');
    h->name = str_dup(&h->arena, buf_str(&name));
    buf_deinit(&name);
}

static void read_script(struct watch_handler *h, struct str line)
{
    const char *shell = getenv("SHELL");
    h->argv = arena_array(&h->arena, 4, sizeof *h->argv);
    h->argv[0] = shell && *shell ? shell : "/bin/sh";
    h->argv[1] = "-c";
    h->argv[2] = str_c(&h->arena, line);
    h->name = str_of(h->argv[2]);
}

static struct str text_at(struct watch_handler *h, const struct value *v, const char *key)
{
    const struct value *at = value_get(v, str_of(key));
    return at && at->kind == V_STR ? str_dup(&h->arena, at->s) : STR("");
}

static void read_headers(struct watch_handler *h, const struct value *headers)
{
    for (size_t i = 0; headers && headers->kind == V_MAP && i < headers->map.n; i++) {
        const struct value *v = &headers->map.v[i].value;
        struct str key = str_dup(&h->arena, headers->map.v[i].key);
        struct list *texts = dict_put(&h->arena, &h->header, type_map_list_str.elem, key);
        for (size_t k = 0; k < (v->kind == V_LIST ? v->list.n : 1); k++) {
            const struct value *one = v->kind == V_LIST ? &v->list.v[k] : v;
            if (one->kind == V_STR)
                *LIST_PUSH(&h->arena, texts, struct str) = str_dup(&h->arena, one->s);
        }
    }
}

static void read_request(struct watch_handler *h, const struct value *config)
{
    int64_t ns = 0;
    const struct value *skip = value_get(config, STR("tls_skip_verify"));
    h->url = h->name = text_at(h, config, "path");
    h->method = text_at(h, config, "method");
    if (h->method.n == 0) h->method = STR("POST");
    struct str timeout = text_at(h, config, "timeout");
    if (timeout.n == 0 || duration_parse(timeout, &ns, NULL) != 0 || ns <= 0)
        ns = TIMEOUT_DEFAULT_NS;
    h->timeout_ms = (uint64_t)(ns / 1000000);
    h->unverified = skip && skip->kind == V_BOOL && skip->b;
    read_headers(h, value_get(config, STR("header")));
}

static void finish(struct watch_handler *h);

static void not_started(struct timer *t)
{
    finish(container_of(t, struct watch_handler, timer));
}

void watch_handler_init(struct watch_handler *h, const struct value *watch)
{
    const struct value *script = value_get(watch, STR("handler"));
    const struct value *args = value_get(watch, STR("args"));
    const struct value *http = value_get(watch, STR("http_handler_config"));
    h->output.max = 2 * WATCH_OUTPUT_MAX;
    timer_init(&h->timer, h->world, not_started);
    if (script && script->kind == V_STR)
        read_script(h, script->s);
    else if (args)
        read_program(h, args);
    else if (http)
        read_request(h, http);
}

/* --- output ----------------------------------------------------------------------------------- */

static void on_output(void *ctx, struct str bytes)
{
    struct watch_handler *h = ctx;
    h->total += bytes.n;
    if (bytes.n > WATCH_OUTPUT_MAX) bytes = str_slice(bytes, bytes.n - WATCH_OUTPUT_MAX, bytes.n);
    if (h->output.n + bytes.n > h->output.max)
        buf_consume(&h->output, h->output.n - (WATCH_OUTPUT_MAX - bytes.n));
    buf_put_str(&h->output, bytes);
}

static const char *captured(struct watch_handler *h, struct str all, uint64_t total)
{
    if (all.n > WATCH_OUTPUT_MAX) all = str_slice(all, all.n - WATCH_OUTPUT_MAX, all.n);
    if (total <= all.n) return str_c(&h->run, all);
    return str_printf(&h->run, "Captured %zu of %llu bytes\n...\n%.*s", all.n,
        (unsigned long long)total, STR_ARG(all))
        .p;
}

static void run_end(struct watch_handler *h)
{
    timer_stop(&h->timer);
    http_ask_end(&h->ask);
    buf_clear(&h->output);
    h->total = 0;
}

static void finish(struct watch_handler *h)
{
    run_end(h);
    arena_reset(&h->run);
    h->done(h);
}

/* --- programs --------------------------------------------------------------------------------- */

static void exited(void *ctx, int status)
{
    struct watch_handler *h = ctx;
    const char *name = str_c(&h->run, h->name);
    h->process = NULL;
    if (status > 0)
        log_error("agent", "Failed to run watch handler", "watch_handler", name, "error",
            str_printf(&h->run, "exit status %d", status).p);
    else if (status < 0)
        log_error("agent", "Failed to run watch handler", "watch_handler", name, "error",
            str_printf(&h->run, "signal %d", -status).p);
    log_debug("agent", "watch handler output", "watch_handler", name, "output",
        captured(h, buf_str(&h->output), h->total));
    finish(h);
}

static void run_program(struct watch_handler *h)
{
    struct error err;
    const char *env[] = { str_printf(&h->run, "CONSUL_INDEX=%llu", (unsigned long long)h->index).p,
        NULL };
    struct process_options o = { .argv = h->argv,
        .env = env,
        .input = str_printf(&h->run, "%.*s\n", STR_ARG(h->data)),
        .ctx = h,
        .output = on_output,
        .exited = exited };
    h->process = process_start(h->world, &o, &err);
    if (h->process) return;
    log_error("agent", "Failed to run watch handler", "watch_handler", str_c(&h->run, h->name),
        "error", err.text);
    timer_start(&h->timer, 0);
}

/* --- requests --------------------------------------------------------------------------------- */

static void answered(struct http_ask *k)
{
    struct watch_handler *h = container_of(k, struct watch_handler, ask);
    const char *name = str_c(&h->run, h->name);
    if (k->error.n) {
        log_error("agent", "Failed to invoke http watch handler", "watch", name, "error",
            str_c(&h->run, k->error));
        finish(h);
        return;
    }
    const char *output = captured(h, http_client_body(&k->client), k->client.body_total);
    int status = k->client.status;
    if (status >= 200 && status <= 299)
        log_trace("agent", "http watch handler output", "watch", name, "output", output);
    else
        log_error("agent", "http watch handler failed with output", "watch", name, "status",
            str_printf(&h->run, "%d %.*s", status, STR_ARG(buf_str(&k->client.reason))).p, "output",
            output);
    finish(h);
}

static void add_header(struct arena *a, struct dict *header, struct str name, struct str text)
{
    *LIST_PUSH(a, (struct list *)dict_put(a, header, type_map_list_str.elem, name), struct str) =
        text;
}

static void run_request(struct watch_handler *h)
{
    struct dict *header = arena_new(&h->run, struct dict);
    struct str index = str_printf(&h->run, "%llu", (unsigned long long)h->index);
    add_header(&h->run, header, STR("Content-Type"), STR("application/json"));
    add_header(&h->run, header, STR("X-Consul-Index"), index);
    for (size_t i = 0; i < h->header.n; i++) {
        const struct list *texts = dict_at(&h->header, type_map_list_str.elem, i);
        struct str name =
            http_header_name(&h->run, dict_key(&h->header, type_map_list_str.elem, i));
        for (size_t k = 0; k < texts->n; k++)
            add_header(&h->run, header, name, LIST_AT(texts, struct str, k));
    }
    h->ask = (struct http_ask){ .world = h->world,
        .tls = h->tls,
        .request = { .url = h->url,
            .method = h->method,
            .header = header,
            .body = str_printf(&h->run, "%.*s\n", STR_ARG(h->data)),
            .agent = "Go-http-client/1.1" },
        .unverified = h->unverified,
        .body_max = WATCH_OUTPUT_MAX,
        .timeout_ms = h->timeout_ms,
        .arena = &h->run,
        .done = answered };
    http_ask_start(&h->ask);
}

/* --- both ------------------------------------------------------------------------------------- */

void watch_handler_run(struct watch_handler *h, uint64_t index, struct str data)
{
    h->index = index;
    h->data = str_dup(&h->run, data);
    if (h->argv)
        run_program(h);
    else
        run_request(h);
}

void watch_handler_deinit(struct watch_handler *h)
{
    if (h->process) process_forget(h->process);
    h->process = NULL;
    run_end(h);
    buf_deinit(&h->output);
    arena_free(&h->run);
    arena_free(&h->arena);
}
