/* SPDX-License-Identifier: Apache-2.0 */
#include "consuld/agent/retry_join.h"

#include <stdlib.h>
#include <string.h>

#include "consuld/wire.h"

struct retry_join {
    struct retry_join_options opts;
    struct pool_request request;
    struct timer timer;
    int64_t attempts;
};

/* The next key=value of a discovery text; values may stand in quotes. */
static struct str next_pair(struct str *rest)
{
    struct str text = str_trim(*rest);
    size_t n = 0;
    for (bool quoted = false; n < text.n && (quoted || text.p[n] != ' '); n++)
        if (text.p[n] == '"') quoted = !quoted;
    *rest = str_slice(text, n, text.n);
    return str_slice(text, 0, n);
}

struct str join_discovery_fault(struct str text, struct arena *a)
{
    static const char *const clouds[] = { "aliyun", "aws", "azure", "digitalocean", "gce", "k8s",
        "linode", "mdns", "os", "packet", "scaleway", "softlayer", "tencentcloud", "triton",
        "vsphere" };
    struct str provider = STR_NIL, key, value;
    if (str_find(text, STR("provider=")) < 0) return STR_NIL;
    for (struct str rest = text, pair; (pair = next_pair(&rest)).n;) {
        if (!str_cut(pair, '=', &key, &value))
            return str_printf(a, "discover: %.*s: missing '='", STR_ARG(pair));
        if (value.n == 0) return str_printf(a, "discover: %.*s: missing value", STR_ARG(key));
        if (!str_is(key, "provider")) continue;
        bool quoted = value.n >= 2 && value.p[0] == '"' && value.p[value.n - 1] == '"';
        provider = quoted ? str_slice(value, 1, value.n - 1) : value;
    }
    if (!provider.p) return STR("discover: no provider");
    for (size_t i = 0; i < sizeof clouds / sizeof clouds[0]; i++)
        if (str_is(provider, clouds[i]))
            return str_printf(
                a, "discovery provider \"%.*s\" is not part of this build", STR_ARG(provider));
    return str_printf(a, "discover: unknown provider %.*s", STR_ARG(provider));
}

void join_logged(
    struct pool *p, struct pool_request *r, const char *label, const struct str *texts, size_t n)
{
    struct buf list = BUF_INIT(4096);
    struct arena a = ARENA_INIT;
    bool wan = strcmp(label, "WAN") == 0;
    buf_put_char(&list, '[');
    for (size_t i = 0; i < n; i++)
        buf_printf(&list, "%s%.*s", i ? ", " : "", STR_ARG(texts[i]));
    buf_put_char(&list, ']');
    log_info("agent", str_printf(&a, "(%s) joining", label).p,
        wan ? "wan_addresses" : "lan_addresses", str_c(&a, buf_str(&list)));
    arena_free(&a);
    buf_deinit(&list);
    pool_join(p, r, texts, n);
}

void join_log_outcome(const struct pool_request *r, const char *label)
{
    struct arena a = ARENA_INIT;
    const char *number = str_printf(&a, "%zu", r->joined).p;
    if (r->code == 0) {
        log_info("agent", str_printf(&a, "(%s) joined", label).p, "number_of_nodes", number);
    } else {
        log_warn("agent", str_printf(&a, "(%s) couldn't join", label).p, "number_of_nodes", number,
            "error", r->err.text);
    }
    arena_free(&a);
}

static void failed(struct retry_join *j, const char *why)
{
    struct arena a = ARENA_INIT;
    const struct retry_join_options *o = &j->opts;
    struct buf interval = BUF_INIT(64);
    j->attempts++;
    if (o->attempts_max > 0 && j->attempts > o->attempts_max) {
        log_error("agent", "Retry join failed", "error",
            str_printf(&a, "agent: max join %s retry exhausted, exiting", o->label).p);
        arena_free(&a);
        o->exhausted(o->ctx);
        return;
    }
    duration_format((int64_t)o->interval_ms * 1000000, &interval);
    log_warn("agent", "Join cluster failed, will retry", "cluster", o->label, "retry_interval",
        str_c(&a, buf_str(&interval)), "error", why);
    buf_deinit(&interval);
    arena_free(&a);
    timer_start(&j->timer, o->interval_ms);
}

static void answered(struct pool_request *r)
{
    struct retry_join *j = r->ctx;
    struct arena a = ARENA_INIT;
    join_log_outcome(r, j->opts.label);
    if (r->code) {
        failed(j, r->err.text);
    } else {
        log_info("agent", "Join cluster completed. Synced with initial agents", "cluster",
            j->opts.label, "num_agents", str_printf(&a, "%zu", r->joined).p);
        j->opts.joined(j->opts.ctx);
    }
    arena_free(&a);
}

static void try(struct timer *t)
{
    struct retry_join *j = container_of(t, struct retry_join, timer);
    const struct list *all = &j->opts.addresses;
    struct str plain[POOL_JOIN_TEXTS_MAX];
    size_t n = 0;
    for (size_t i = 0; i < all->n; i++) {
        struct arena a = ARENA_INIT;
        struct str text = LIST_AT(all, struct str, i), why = join_discovery_fault(text, &a);
        if (why.p)
            log_error("agent", "Cannot discover address", "cluster", j->opts.label, "address",
                str_c(&a, text), "error", why.p);
        else if (n < POOL_JOIN_TEXTS_MAX)
            plain[n++] = text;
        arena_free(&a);
    }
    if (n == 0) {
        failed(j, "No servers to join");
        return;
    }
    j->request = (struct pool_request){ .done = answered, .ctx = j };
    join_logged(j->opts.pool, &j->request, j->opts.label, plain, n);
}

struct retry_join *retry_join_create(const struct retry_join_options *o)
{
    struct retry_join *j = xcalloc(1, sizeof *j);
    j->opts = *o;
    timer_init(&j->timer, o->world, try);
    log_info("agent", "Joining cluster...", "cluster", o->label);
    timer_start(&j->timer, 0);
    return j;
}

void retry_join_destroy(struct retry_join *j)
{
    if (!j) return;
    timer_stop(&j->timer);
    pool_forget(&j->request);
    free(j);
}
