/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consuld/base/metrics.h"
#include "consuld/mux/http_client.h"
#include "front.h"

/* --- configuration ------------------------------------------------------------------------- */

static void build_common(struct config *f)
{
    const struct api_options *o = &f->o;
    struct http_header *h = arena_array(&f->arena, o->n_response_headers + 2, sizeof *h);
    size_t n = 0;
    h[n++] = (struct http_header){ STR("Vary"), STR("Accept-Encoding") };
    for (size_t i = 0; i < o->n_response_headers; i++) {
        h[n].name = http_header_name(&f->arena, o->response_headers[i].name);
        h[n++].value = str_dup(&f->arena, o->response_headers[i].value);
    }
    if (o->translate_wan_addrs)
        h[n++] = (struct http_header){ STR("X-Consul-Translate-Addresses"), STR("true") };
    f->common = h;
    f->n_common = n;
}

static int build_writers(struct config *f, struct error *err)
{
    struct cidr *nets = arena_array(&f->arena, f->o.n_allow_write_http_from, sizeof *nets);
    for (size_t i = 0; i < f->o.n_allow_write_http_from; i++) {
        struct str text = f->o.allow_write_http_from[i];
        if (!cidr__parse(text, &nets[i]))
            return error_set(err, ERR_BAD_REQUEST,
                "http_config.allow_write_http_from: invalid CIDR address: %.*s", STR_ARG(text));
    }
    f->writers = nets;
    return 0;
}

static void config_free(struct config *f)
{
    if (!f) return;
    map_deinit(&f->routes);
    arena_free(&f->arena);
    free(f);
}

static struct config *config_build(const struct api_options *opts, struct error *err)
{
    struct config *f = xcalloc(1, sizeof *f);
    f->o = *opts;
    for (const struct api_route *const *t = opts->tables; t && *t; t++)
        for (const struct api_route *r = *t; r->pattern; r++) {
            const void *twice = map_put(&f->routes, str_of(r->pattern), (void *)(uintptr_t)r);
            ensure(!twice);
        }
    build_common(f);
    struct str *blocked = arena_array(&f->arena, opts->n_block_endpoints, sizeof *blocked);
    for (size_t i = 0; i < opts->n_block_endpoints; i++)
        blocked[i] = str_dup(&f->arena, opts->block_endpoints[i]);
    f->blocked = blocked;
    if (opts->ui_path) f->o.ui_path = str_c(&f->arena, str_of(opts->ui_path));
    f->o.datacenter = str_dup(&f->arena, opts->datacenter);
    if (build_writers(f, err) < 0) {
        config_free(f);
        return NULL;
    }
    return f;
}

int api_configure(struct api *api, const struct api_options *opts, struct error *err)
{
    struct config *f = config_build(opts, err);
    if (!f) return err ? err->code : ERR_BAD_REQUEST;
    config_free(api->config);
    api->config = f;
    api_set_default_token(api, opts->default_token);
    return 0;
}

void api_set_default_token(struct api *api, struct str token)
{
    char *copy = xmalloc(token.n + 1);
    if (token.n) memcpy(copy, token.p, token.n);
    free(api->token_memory);
    api->token_memory = copy;
    api->default_token = (struct str){ copy, token.n };
}

/* --- clients ------------------------------------------------------------------------------- */

/* Of the address, if it is among the first REFUSED_MAX that were refused, and of all. */
static void count_refused(struct api *api, struct str peer)
{
    struct metrics *m = api->config->o.metrics;
    if (!m) return;
    struct metric *own = map_get(&api->refused, peer), *all = metrics_counter(m, "http.refused");
    if (!own && api->refused.n < REFUSED_MAX) {
        struct metric_label label = { "client", peer };
        own = metrics_labelled(m, METRIC_COUNTER, "http.refused_client", &label, 1);
        if (own) map_put(&api->refused, peer, own);
    }
    if (own) metric_add(own, 1);
    if (all) metric_add(all, 1);
}

bool server__client_admit(struct api *api, struct str peer, bool *excess)
{
    uint32_t max = api->config->o.max_conns_per_client;
    *excess = false;
    if (peer.n == 0) return true;
    struct client *client = map_get(&api->clients, peer);
    *excess = client && max && client->n >= max;
    if (*excess) count_refused(api, peer);
    if (*excess && (api->config->o.refuse_silently || client->excess == EXCESS_MAX)) return false;
    if (!client) {
        client = xcalloc(1, sizeof *client);
        map_put(&api->clients, peer, client);
    }
    ++*(*excess ? &client->excess : &client->n);
    return true;
}

void server__client_gone(struct api *api, struct str peer, bool excess)
{
    if (peer.n == 0) return;
    struct client *client = map_get(&api->clients, peer);
    uint32_t *count = excess ? &client->excess : &client->n;
    ensure(client && *count > 0);
    --*count;
    if (client->n || client->excess) return;
    map_remove(&api->clients, peer);
    free(client);
}

void server__refused(struct api *api, const struct stream *s, const char *what, const char *why)
{
    char from[PEER_TEXT_MAX + 16], more[32];
    uint64_t now = world_now_ms(api->world);
    if (api->destroyed) return;
    if (api->refusal_told_ms && now - api->refusal_told_ms < REFUSALS_MS) {
        api->refusals_untold++;
        return;
    }
    snprintf(from, sizeof from, strchr(s->peer, ':') ? "[%s]:%u" : "%s:%u", s->peer, s->peer_port);
    snprintf(more, sizeof more, "%zu", api->refusals_untold);
    log_warn("agent.http", what, "from", from, "error", why ? why : "closed", "before", more);
    api->refusal_told_ms = now;
    api->refusals_untold = 0;
}

const char *server__date(struct api *api)
{
    int64_t s = world_wall_ns(api->world) / 1000000000;
    if (s != api->date_s) {
        api->date_s = s;
        http_date(s, api->date);
    }
    return api->date;
}

/* --- life ---------------------------------------------------------------------------------- */

static void api_free(struct api *api)
{
    void (*destroyed)(void *) = api->destroyed;
    void *arg = api->destroyed_arg;
    config_free(api->config);
    free(api->token_memory);
    map_deinit(&api->clients);
    map_deinit(&api->timings);
    map_deinit(&api->refused);
    buf_deinit(&api->scratch);
    buf_deinit(&api->packed);
    buf_deinit(&api->head);
    gzip__deinit(api);
    for (size_t i = 0; i < api->n_spare_arenas; i++)
        arena_free(&api->spare_arenas[i]);
    for (size_t i = 0; i < api->n_spare_outputs; i++)
        buf_deinit(&api->spare_outputs[i]);
    free(api);
    destroyed(arg);
}

/* In a tick of its own: the last connection may end within an answer that still uses the api. */
static void on_gone(struct tick *t)
{
    api_free(container_of(t, struct api, gone));
}

void server__conn_gone(struct api *api)
{
    if (api->destroyed && link_empty(&api->conns)) tick_mark(&api->gone);
}

struct api *api_create(struct world *w, const struct api_options *opts, struct error *err)
{
    struct api *api = xcalloc(1, sizeof *api);
    api->world = w;
    link_init(&api->conns);
    tick_init(&api->gone, w, on_gone);
    api->scratch = (struct buf)BUF_INIT(ANSWER_MAX);
    api->packed = (struct buf)BUF_INIT(ANSWER_MAX * 2);
    api->head = (struct buf)BUF_INIT((size_t)4 << 20);
    if (api_configure(api, opts, err) < 0) {
        free(api);
        return NULL;
    }
    return api;
}

static int listen_with(struct api *api, struct net_listen_options *opts, struct api_listener how,
    uint16_t *port_out, struct error *err)
{
    if (api->n_listeners == LISTENERS_MAX)
        return error_set(err, ERR_FULL, "more than %d HTTP listeners", LISTENERS_MAX);
    struct api_listener *l = &api->listeners[api->n_listeners];
    *l = how;
    l->api = api;
    opts->queue_max = QUEUE_MAX;
    opts->accept = conn__accept;
    opts->ctx = l;
    int rc = net_listen(api->world, opts, &l->net, err);
    if (rc) return rc;
    api->n_listeners++;
    if (port_out) *port_out = net_listener_port(l->net);
    return 0;
}

int api_listen_tcp(
    struct api *api, const char *ip, uint16_t port, uint16_t *port_out, struct error *err)
{
    struct net_listen_options opts = { .ip = ip, .port = port };
    return listen_with(api, &opts, (struct api_listener){ 0 }, port_out, err);
}

int api_listen_unix(struct api *api, const char *path, uint32_t mode, struct error *err)
{
    struct net_listen_options opts = { .unix_path = path, .unix_mode = mode };
    return listen_with(api, &opts, (struct api_listener){ 0 }, NULL, err);
}

int api_listen_tls(
    struct api *api, const struct api_listen_tls *o, uint16_t *port_out, struct error *err)
{
    struct net_listen_options opts = {
        .ip = o->ip, .port = o->port, .unix_path = o->unix_path, .unix_mode = o->unix_mode
    };
    struct api_listener how = { .tls = o->tls, .handshake_timeout_ms = o->handshake_timeout_ms };
    ensure(o->tls);
    return listen_with(api, &opts, how, o->unix_path ? NULL : port_out, err);
}

void api_destroy(struct api *api, void (*done)(void *arg), void *arg)
{
    ensure(done && !api->destroyed);
    api->destroyed = done;
    api->destroyed_arg = arg;
    for (size_t i = 0; i < api->n_listeners; i++)
        net_listener_destroy(api->listeners[i].net);
    link_each (l, &api->conns) {
        struct conn *c = container_of(l, struct conn, link);
        if (c->stream) stream_close(c->stream);
    }
    server__conn_gone(api);
}
