/* SPDX-License-Identifier: Apache-2.0 */
/* Reload: the whole configuration is read and checked, then everything is switched, or nothing
 * changes (agent.md 1.7). */
#include <string.h>

#include "consuld/model.h"
#include "consuld/net/tls.h"
#include "run.h"

#include "../watch/watch.h"

static void end(struct run *r, const struct error *err)
{
    struct api_request *req = r->reload_req;
    r->reloading = false;
    r->reload_req = NULL;
    if (err) log_error("agent", "Reload config failed", "error", err->text);
    if (!req) return;
    req->on_abort = NULL;
    if (err) {
        api_reply_error(req, err);
    } else {
        api_reply_empty(req, 200);
    }
}

static void forget_request(struct api_request *req)
{
    struct run *r = req->state;
    r->reload_req = NULL;
}

static void apply_log_level(const struct agent_config *c)
{
    struct arena a = ARENA_INIT;
    enum log_level level;
    const char *text = str_c(&a, c->logging.log_level);
    if (log_level_parse(text, &level)) {
        log_set_level(level);
    } else {
        log_warn("agent", "Invalid log level in new configuration", "level", text);
    }
    arena_free(&a);
}

static int load(struct run *r, struct arena *a, struct agent_config **out, struct dict *node_meta,
    struct error *err)
{
    struct buf warnings = BUF_INIT(CONFIG_MESSAGE_MAX), text = BUF_INIT(CONFIG_MESSAGE_MAX);
    struct agent_config *fresh;
    int failed = config_load(r->args, a, &fresh, &warnings, &text);
    if (failed) {
        failed = error_set(err, ERR_INTERNAL, "%.*s", STR_ARG(buf_str(&text)));
    } else if ((failed = config_check_watches(fresh, &text)) != 0) {
        failed = error_set(err, ERR_INTERNAL, "%.*s", STR_ARG(buf_str(&text)));
    } else {
        *out = config_reload(a, r->config, fresh);
        (*out)->services = fresh->services;
        (*out)->checks = fresh->checks;
        *node_meta = fresh->node_meta;
    }
    buf_deinit(&warnings);
    buf_deinit(&text);
    return failed;
}

/* Takes what does not fail first; the former configuration lives until the new one is in place. */
static int switch_to(struct run *r, struct error *err)
{
    struct arena a = ARENA_INIT;
    struct agent_config *fresh = NULL, *former = r->config;
    struct dict meta, former_meta = r->context.node_meta;
    struct error again;
    struct api_options api;
    struct tls_material *tls = NULL;
    int failed = load(r, &a, &fresh, &meta, err);
    if (!failed) failed = run_tls_load(r, fresh, &tls, err);
    if (failed) {
        arena_free(&a);
        return failed;
    }
    struct agent_config *whole = arena_new(&a, struct agent_config);
    record_copy(&a, &type_agent_config, whole, fresh);
    record_copy(&a, &type_map_str, &r->context.node_meta, &meta);
    dict_set_str(&a, &r->context.node_meta, STR("consul-network-segment"), STR(""));
    r->config = whole;
    r->context.config = whole;
    struct local_configured present = { &former->services, &former->checks, former_meta };
    struct local_configured next = { &whole->services, &whole->checks, r->context.node_meta };
    failed = local_reload(r->local, &present, &next, err);
    if (!failed) {
        run_api_options(r, &a, &api);
        failed = api_configure(r->api, &api, err);
        if (failed && local_reload(r->local, &next, &present, &again) != 0)
            log_error("agent", "Failed to go back", "error", again.text);
    }
    if (failed) {
        tls_material_free(tls);
        r->config = former;
        r->context.config = former;
        r->context.node_meta = former_meta;
        arena_free(&a);
        return failed;
    }
    run_metrics_reload(r);
    arena_free(&r->reload_arena);
    r->reload_arena = a;
    net_tls_switch(r->tls, tls);
    /* What the catalog lost meanwhile is put back. */
    local_sync_full(r->local, 0);
    if (r->auto_encrypt) auto_encrypt_token(r->auto_encrypt);
    run_calls_limit(r);
    cache_limit(
        r->cache, whole->cache.entry_fetch_rate, (uint64_t)whole->cache.entry_fetch_max_burst);
    apply_log_level(whole);
    run_tls_tell(r);
    if (r->watches) watches_set(r->watches, &whole->watches);
    return 0;
}

static void pushed(struct local_push *p)
{
    struct run *r = container_of(p, struct run, reload_push);
    struct error err;
    int failed = switch_to(r, &err);
    if (failed) err.code = ERR_INTERNAL;
    end(r, failed ? &err : NULL);
}

void run_reload(struct run *r, struct api_request *req)
{
    struct error err;
    if (r->reloading || r->stopping) {
        error_set(&err, ERR_INTERNAL, "A reload or shutdown is under way");
        if (req) api_reply_error(req, &err);
        return;
    }
    /* refuse a bad configuration before anything is touched */
    struct arena a = ARENA_INIT;
    struct agent_config *fresh;
    struct dict meta;
    r->reload_req = req;
    struct tls_material *tls = NULL;
    if (load(r, &a, &fresh, &meta, &err) != 0 || run_tls_load(r, fresh, &tls, &err) != 0) {
        end(r, &err);
        arena_free(&a);
        return;
    }
    tls_material_free(tls);
    arena_free(&a);
    r->reloading = true;
    if (req) {
        req->state = r;
        req->on_abort = forget_request;
    }
    r->reload_push.done = pushed;
    r->reload_push.whole = true;
    local_push(r->local, &r->reload_push);
}
