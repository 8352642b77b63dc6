/* SPDX-License-Identifier: Apache-2.0 */
/* Address texts of a join (gossip.md 8.13): names are looked up side by side, then the core asks
 * all addresses at once. */
#include <stdlib.h>
#include <string.h>

#include "consuld/base/host_port.h"
#include "pool.h"

#define JOIN_ERROR_MAX (ERROR_TEXT_MAX - 64)

struct join_text {
    struct pool_join *join;
    struct resolve resolve;
    struct str text; /* as given */
    struct str node; /* before the slash, nil without */
    struct str host;
    uint16_t port;
    struct gossip_address address; /* ip_n == 0: none */
    bool look_up;
};

struct pool_join {
    struct arena arena;
    struct pool_request *request;
    struct pool *pool;
    struct join_text *texts;
    size_t n;
    size_t waiting; /* for lookups */
    struct buf errors;
    size_t errors_n;
};

static void note(struct pool_join *j, const char *verb, struct str what, struct str why)
{
    j->errors_n++;
    buf_printf(&j->errors, "\t* Failed to %s %.*s: %.*s\n", verb, STR_ARG(what), STR_ARG(why));
}

/* True if there is one behind the host; IPv6 addresses without brackets have none. */
static bool has_port(struct str text)
{
    ptrdiff_t first = str_find_char(text, ':'), last = str_find_last(text, ':');
    if (str_find_last(text, '[') == 0) return last > str_find_last(text, ']');
    return first >= 0 && first == last;
}

static struct str without_brackets(struct str text)
{
    while (text.n && (text.p[0] == '[' || text.p[0] == ']'))
        text = str_slice(text, 1, text.n);
    while (text.n && (text.p[text.n - 1] == '[' || text.p[text.n - 1] == ']'))
        text.n--;
    return text;
}

/* Nil, or why the text is malformed. Without a port it is `port`. */
static struct str parse(struct arena *a, struct join_text *t, uint16_t port)
{
    struct str rest = t->text, number;
    uint64_t v;
    if (!str_cut(t->text, '/', &t->node, &rest)) {
        rest = t->text;
        t->node = STR_NIL;
    } else if (t->node.n == 0) {
        return STR("empty node name provided");
    }
    if (!has_port(rest)) {
        rest = without_brackets(rest);
        rest = str_printf(a, str_find_char(rest, ':') >= 0 ? "[%.*s]:%u" : "%.*s:%u", STR_ARG(rest),
            (unsigned)port);
    }
    const char *why = host_port_split(rest, &t->host, &number);
    if (why) return str_printf(a, "address %.*s: %s", STR_ARG(rest), why);
    bool digits = number.n > 0;
    for (size_t i = 0; i < number.n; i++)
        digits = digits && number.p[i] >= '0' && number.p[i] <= '9';
    if (!digits || !str_to_u64(number, &v) || v > UINT16_MAX)
        return str_printf(a, "strconv.ParseUint: parsing \"%.*s\": %s", STR_ARG(number),
            digits ? "value out of range" : "invalid syntax");
    if (t->host.n == 0) return STR("lookup : no such host");
    t->port = (uint16_t)v;
    if (!gossip_address_parse(&t->address, str_c(a, t->host), t->port)) t->address.ip_n = 0;
    return STR_NIL;
}

static void add(struct serf_join_address *all, size_t *n, const struct gossip_address *address,
    const struct join_text *t)
{
    if (*n == SERF_JOIN_ADDRESSES_MAX) return;
    for (size_t i = 0; i < *n; i++)
        if (gossip_address_equal(&all[i].address, address) && str_eq(all[i].node, t->node)) return;
    all[(*n)++] = (struct serf_join_address){ .address = *address, .node = t->node };
}

static void finish_errors(struct pool_join *j, struct pool_request *r)
{
    if (j->errors_n == 0) note(j, "join", STR("anybody"), STR("no address"));
    r->code = error_set(&r->err, ERR_IO, "%zu error%s occurred:\n%.*s\n", j->errors_n,
        j->errors_n == 1 ? "" : "s", STR_ARG(buf_str(&j->errors)));
}

static void ask(struct pool_join *j)
{
    struct serf_join_address *all = arena_array(&j->arena, SERF_JOIN_ADDRESSES_MAX, sizeof *all);
    size_t n = 0;
    for (size_t i = 0; i < j->n; i++) {
        struct join_text *t = &j->texts[i];
        if (t->address.ip_n) add(all, &n, &t->address, t);
        for (size_t k = 0; k < t->resolve.n; k++) {
            const struct resolved_ip *ip = &t->resolve.addresses[k];
            struct gossip_address found;
            if (gossip_address_set(&found, (struct str){ (const char *)ip->ip, ip->ip_n }, t->port))
                add(all, &n, &found, t);
        }
    }
    if (n == 0) {
        finish_errors(j, j->request);
        pool__request_fail(j->request, ERR_IO,
            arena_copy(&j->arena, j->request->err.text, strlen(j->request->err.text) + 1));
        return;
    }
    struct serf_event ev = { .type = SERF_JOIN,
        .join = { .handle = j->request->handle, .v = all, .n = n, .ignore_old = true } };
    (void)pool__step(j->pool, &ev);
}

static void resolved(struct resolve *resolve)
{
    struct join_text *t = container_of(resolve, struct join_text, resolve);
    struct pool_join *j = t->join;
    if (resolve->n == 0) {
        note(j, "resolve", t->text, str_of(resolve->err.text));
        log_warn(j->pool->log_name, "cannot resolve", "address", str_c(&j->arena, t->text), "error",
            resolve->err.text);
    }
    if (--j->waiting == 0) ask(j);
}

void pool_join(struct pool *p, struct pool_request *r, const struct str *texts, size_t n)
{
    if (!pool__request_begin(p, r)) return;
    struct pool_join *j = r->join = xcalloc(1, sizeof *j);
    if (n > POOL_JOIN_TEXTS_MAX) n = POOL_JOIN_TEXTS_MAX;
    j->request = r;
    j->pool = p;
    j->errors = (struct buf)BUF_INIT(JOIN_ERROR_MAX);
    j->texts = arena_array(&j->arena, n, sizeof *j->texts);
    j->n = n;
    for (size_t i = 0; i < n; i++) {
        struct join_text *t = &j->texts[i];
        t->join = j;
        t->text = str_dup(&j->arena, texts[i]);
        struct str why = parse(&j->arena, t, p->port);
        if (why.p) note(j, "resolve", t->text, why);
        t->look_up = !why.p && t->address.ip_n == 0;
        j->waiting += t->look_up;
    }
    if (j->waiting == 0) {
        ask(j);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        struct join_text *t = &j->texts[i];
        if (!t->look_up) continue;
        t->resolve = (struct resolve){ .world = p->world, .host = t->host, .done = resolved };
        resolve_start(&t->resolve);
    }
}

void pool__join_result(struct pool_request *r, const struct serf_notice *n)
{
    struct pool_join *j = r->join;
    r->joined = n->result.joined;
    r->code = n->result.code;
    for (size_t i = 0; i < n->result.failures_n; i++) {
        char ip[GOSSIP_ADDRESS_TEXT_MAX];
        gossip_ip_text(&n->result.failures[i].address, ip);
        note(j, "join", str_of(ip), n->result.failures[i].text);
    }
    if (r->joined > 0)
        r->code = 0;
    else if (j->errors_n == 0 && n->result.text.n)
        r->code = error_set(&r->err, n->result.code, "%.*s", STR_ARG(n->result.text));
    else
        finish_errors(j, r);
}

void pool__join_free(struct pool_request *r)
{
    struct pool_join *j = r->join;
    if (!j) return;
    for (size_t i = 0; i < j->n; i++)
        resolve_cancel(&j->texts[i].resolve);
    buf_deinit(&j->errors);
    arena_free(&j->arena);
    free(j);
    r->join = NULL;
}
