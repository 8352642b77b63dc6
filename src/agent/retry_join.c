/* SPDX-License-Identifier: Apache-2.0 */
#include "consuld/agent/retry_join.h"

#include <stdlib.h>
#include <string.h>

#include "consuld/agent/mdns.h"
#include "consuld/wire.h"

#define SEARCHES_MAX 8
#define SEARCH_NS INT64_C(5000000000) /* unless its text says something else */

/* A discovery text whose answer is awaited. */
struct discovery {
    struct retry_join *join;
    struct mdns_search *search;
};

struct retry_join {
    struct retry_join_options opts;
    struct pool_request request;
    struct timer timer;
    int64_t attempts;
    struct arena arena; /* of one try */
    struct list found;  /* -> struct str: addresses to join */
    struct discovery discoveries[SEARCHES_MAX];
    size_t discoveries_n, searching;
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

static struct str without(struct str text, char c)
{
    if (text.n && text.p[0] == c) text = str_slice(text, 1, text.n);
    if (text.n && text.p[text.n - 1] == c) text.n--;
    return text;
}

/* Of a well-formed discovery text; nil if it is missing. */
static struct str argument(struct str text, const char *name)
{
    struct str key, value, found = STR_NIL;
    for (struct str rest = text, pair; (pair = next_pair(&rest)).n;)
        if (str_cut(pair, '=', &key, &value) && str_is(key, name)) found = without(value, '"');
    return found;
}

/* Nil for a well-formed discovery text. */
static struct str malformed(struct str text, struct arena *a)
{
    struct str key, value;
    for (struct str rest = text, pair; (pair = next_pair(&rest)).n;) {
        if (!str_cut(pair, '=', &key, &value))
            return str_printf(a, "discover: %.*s: missing '='", STR_ARG(pair));
        if (value.n == 0) return str_printf(a, "discover: %.*s: missing value", STR_ARG(key));
    }
    return argument(text, "provider").p ? STR_NIL : STR("discover: no provider");
}

struct str join_discovery_fault(struct str text, struct arena *a)
{
    static const char *const known[] = { "aliyun", "aws", "azure", "digitalocean", "gce", "k8s",
        "linode", "mdns", "os", "packet", "scaleway", "softlayer", "tencentcloud", "triton",
        "vsphere" };
    if (str_find(text, STR("provider=")) < 0) return STR_NIL;
    struct str fault = malformed(text, a), provider = argument(text, "provider");
    if (fault.p) return fault;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (str_is(provider, known[i]))
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

/* --- discovery ------------------------------------------------------------------------------- */

static void join_found(struct retry_join *j)
{
    if (j->found.n == 0) {
        failed(j, "No servers to join");
        return;
    }
    j->request = (struct pool_request){ .done = answered, .ctx = j };
    join_logged(j->opts.pool, &j->request, j->opts.label, j->found.v, j->found.n);
}

static void add(struct retry_join *j, struct str address)
{
    if (j->found.n < POOL_JOIN_TEXTS_MAX)
        *LIST_PUSH(&j->arena, &j->found, struct str) = str_dup(&j->arena, address);
}

static void searched(void *ctx, const struct str *found, size_t n)
{
    struct discovery *d = ctx;
    struct retry_join *j = d->join;
    struct buf all = BUF_INIT(8192);
    d->search = NULL;
    for (size_t i = 0; i < n; i++) {
        buf_printf(&all, "%s%.*s", i ? " " : "", STR_ARG(found[i]));
        add(j, found[i]);
    }
    log_info("agent", "Discovered servers", "cluster", j->opts.label, "servers",
        str_c(&j->arena, buf_str(&all)));
    buf_deinit(&all);
    if (--j->searching == 0) join_found(j);
}

static struct str read_switch(struct str text, const char *name, struct arena *a, bool *out)
{
    struct str value = argument(text, name);
    *out = !value.p || str_is(value, "true") || str_is(value, "1");
    if (*out || str_is(value, "false") || str_is(value, "0")) return STR_NIL;
    return str_printf(a,
        "discover-mdns: Failed to parse %s: strconv.ParseBool: parsing \"%.*s\": invalid syntax",
        name, STR_ARG(value));
}

/* Begins a search; nil, or why not. */
static struct str search(struct retry_join *j, struct str text)
{
    struct str service = argument(text, "service"), domain = argument(text, "domain");
    struct str timeout = argument(text, "timeout"), fault;
    struct discovery *d = &j->discoveries[j->discoveries_n];
    struct mdns_options o = { .world = j->opts.world, .done = searched, .ctx = d };
    int64_t ns = SEARCH_NS;
    struct error err;
    if (j->discoveries_n == SEARCHES_MAX) return STR("too many discovery texts");
    if (service.n == 0)
        return STR("discover-mdns: Service record not provided.  Please specify a service record "
                   "for the mDNS lookup.");
    if (timeout.n && duration_parse(timeout, &ns, &err) != 0)
        return str_printf(&j->arena, "discover-mdns: Failed to parse timeout: %s", err.text);
    if ((fault = read_switch(text, "v6", &j->arena, &o.v6)).p) return fault;
    if ((fault = read_switch(text, "v4", &j->arena, &o.v4)).p) return fault;
    o.name = str_printf(&j->arena, "%.*s.%.*s", STR_ARG(without(service, '.')),
        STR_ARG(without(domain.n ? domain : STR("local"), '.')));
    o.timeout_ms = ns > 0 ? (uint64_t)ns / 1000000 : 0;
    d->join = j;
    d->search = mdns_search_begin(&o, &err);
    if (!d->search) return str_printf(&j->arena, "discover-mdns: %s", err.text);
    j->discoveries_n++;
    j->searching++;
    return STR_NIL;
}

static void try(struct timer *t)
{
    struct retry_join *j = container_of(t, struct retry_join, timer);
    const struct list *all = &j->opts.addresses;
    arena_reset(&j->arena);
    j->found = LIST_EMPTY;
    j->discoveries_n = 0;
    for (size_t i = 0; i < all->n; i++) {
        struct str text = LIST_AT(all, struct str, i);
        struct str fault = join_discovery_fault(text, &j->arena);
        if (!fault.p) {
            add(j, text);
            continue;
        }
        if (!malformed(text, &j->arena).p && str_is(argument(text, "provider"), "mdns"))
            fault = search(j, text);
        if (fault.p)
            log_error("agent", "Cannot discover address", "cluster", j->opts.label, "address",
                str_c(&j->arena, text), "error", str_c(&j->arena, fault));
    }
    if (j->searching == 0) join_found(j);
}

struct retry_join *retry_join_create(const struct retry_join_options *o)
{
    struct retry_join *j = xcalloc(1, sizeof *j);
    j->opts = *o;
    timer_init(&j->timer, o->world, try);
    log_info("agent", "Retry join is supported for the following discovery methods", "cluster",
        o->label, "discovery_methods", "mdns");
    log_info("agent", "Joining cluster...", "cluster", o->label);
    timer_start(&j->timer, 0);
    return j;
}

void retry_join_destroy(struct retry_join *j)
{
    if (!j) return;
    timer_stop(&j->timer);
    for (size_t i = 0; i < j->discoveries_n; i++)
        mdns_search_cancel(j->discoveries[i].search);
    pool_forget(&j->request);
    arena_free(&j->arena);
    free(j);
}
