/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "front.h"

#define ALL_METHODS (API_GET | API_POST | API_PUT | API_DELETE)

static const struct {
    const char *name;
    enum api_method method;
} methods[] = {
    { "GET", API_GET },
    { "POST", API_POST },
    { "PUT", API_PUT },
    { "DELETE", API_DELETE },
};
#define N_METHODS (sizeof methods / sizeof methods[0])

static enum api_method method_of(struct str name)
{
    for (size_t i = 0; i < N_METHODS; i++)
        if (str_is(name, methods[i].name)) return methods[i].method;
    return API_OTHER;
}

/* --- paths --------------------------------------------------------------------------------- */

static bool is_clean(struct str path)
{
    for (size_t i = 0; i + 1 < path.n; i++) {
        if (path.p[i] != '/') continue;
        struct str rest = str_slice(path, i + 1, path.n);
        if (rest.p[0] == '/') return false;
        if (rest.p[0] != '.') continue;
        if (rest.n > 1 && rest.p[1] == '.') rest = str_slice(rest, 1, rest.n);
        if (rest.n == 1 || rest.p[1] == '/') return false;
    }
    return path.n > 0 && path.p[0] == '/';
}

struct str route__clean(struct arena *a, struct str path)
{
    if (is_clean(path)) return path;
    char *out = arena_alloc(a, path.n + 2);
    size_t n = 0;
    struct str rest = path, part;
    while (rest.n) {
        struct str more;
        str_cut(rest, '/', &part, &more);
        rest = more;
        if (part.n == 0 || str_is(part, ".")) continue;
        if (str_is(part, "..")) {
            while (n > 0 && out[--n] != '/') {
            }
            continue;
        }
        out[n++] = '/';
        memcpy(out + n, part.p, part.n);
        n += part.n;
    }
    bool slash = path.n && path.p[path.n - 1] == '/';
    if (n == 0 || slash) out[n++] = '/';
    return (struct str){ out, n };
}

struct str route__escape(struct arena *a, struct str path)
{
    static const char hex[] = "0123456789ABCDEF";
    char *out = arena_alloc(a, path.n * 3 + 1);
    size_t n = 0;
    for (size_t i = 0; i < path.n; i++) {
        char c = path.p[i];
        bool alnum = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
        if (alnum || (c != '\0' && strchr("-_.~$&+,/:;=@", c))) {
            out[n++] = c;
            continue;
        }
        out[n++] = '%';
        out[n++] = hex[(uint8_t)c >> 4];
        out[n++] = hex[(uint8_t)c & 15];
    }
    return (struct str){ out, n };
}

/* --- the table ----------------------------------------------------------------------------- */

/* The exact pattern, else the longest one ending in '/' above the path. */
static const struct api_route *find(const struct config *config, struct str path)
{
    const struct api_route *exact = map_get(&config->routes, path);
    if (exact) return exact;
    for (size_t n = path.n; n > 0; n--) {
        if (path.p[n - 1] != '/') continue;
        const struct api_route *r = map_get(&config->routes, str_slice(path, 0, n));
        if (r) return r;
    }
    return NULL;
}

uint64_t route__body_max(const struct api_request *req)
{
    const struct api_options *o = &req->api->config->o;
    switch ((enum api_body)req->route->body) {
    case API_BODY_PLAIN:
        break;
    case API_BODY_KV:
        return o->kv_max_value_size;
    case API_BODY_TXN:
        return o->txn_max_req_len;
    case API_BODY_SNAPSHOT:
        return API_ARCHIVE_MAX;
    }
    return API_BODY_MAX;
}

void route__head(struct conn *c)
{
    const struct config *config = c->api->config;
    struct api_request *req = &c->req;
    *req = (struct api_request){
        .api = c->api,
        .ctx = config->o.ctx,
        .arena = &c->arena,
        .method_name = http_server_method(&c->http),
        .peer = c->stream->peer,
        .pretty = config->o.pretty,
    };
    struct str encoded;
    bool ok = http_target_split(http_server_target(&c->http), &encoded, &c->query);
    ensure(ok); /* the machine refuses other targets */
    ok = http_unescape(req->arena, encoded, false, &req->path);
    ensure(ok);
    req->method = method_of(req->method_name);
    req->route = find(config, req->path);
    c->params = NULL;
    c->n_params = 0;
    c->n_headers = c->cap_headers = 0;
    c->cut = false;
    bool wanted = req->route && (req->method & req->route->methods & (unsigned)~API_GET);
    if (!wanted) {
        http_server_discard(&c->http);
        return;
    }
    http_server_collect(&c->http, route__body_max(req));
    if (req->route->body == API_BODY_SNAPSHOT && !c->http.cut) body__begin(c, route__body_max(req));
}

/* --- decisions before an endpoint ------------------------------------------------------------ */

static struct str html_escape(struct arena *a, struct str s)
{
    struct buf out = BUF_INIT(s.n * 5 + 1);
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c == '&')
            buf_put_c(&out, "&amp;");
        else if (c == '\'')
            buf_put_c(&out, "&#39;");
        else if (c == '"')
            buf_put_c(&out, "&#34;");
        else if (c == '<')
            buf_put_c(&out, "&lt;");
        else if (c == '>')
            buf_put_c(&out, "&gt;");
        else
            buf_put_char(&out, c);
    }
    struct str copy = str_dup(a, buf_str(&out));
    buf_deinit(&out);
    return copy;
}

static void redirect(struct conn *c, struct str to)
{
    struct api_request *req = &c->req;
    struct str where = route__escape(req->arena, to);
    if (c->query.p && c->query.n)
        where = str_printf(req->arena, "%.*s?%.*s", STR_ARG(where), STR_ARG(c->query));
    api_header(req, "Location", where);
    bool get = req->method == API_GET;
    if (!get && !str_is(req->method_name, "HEAD")) {
        respond__plain(c, 301, NULL, STR_NIL);
        return;
    }
    struct str text = html_escape(req->arena, where);
    struct str body =
        str_printf(req->arena, "<a href=\"%.*s\">Moved Permanently</a>.\n\n", STR_ARG(text));
    respond__plain(c, 301, "text/html; charset=utf-8", body);
}

/* Unclean paths, and prefix patterns without their final slash. True when redirected. */
static bool redirected(struct conn *c)
{
    struct api_request *req = &c->req;
    const struct config *config = c->api->config;
    struct str clean = route__clean(req->arena, req->path);
    if (!map_get(&config->routes, clean) && clean.p[clean.n - 1] != '/') {
        struct str slash = str_printf(req->arena, "%.*s/", STR_ARG(clean));
        if (map_get(&config->routes, slash)) {
            redirect(c, slash);
            return true;
        }
    }
    if (str_eq(clean, req->path)) return false;
    redirect(c, clean);
    return true;
}

/* The web interface has a place, and nothing is there. */
static bool no_ui(struct conn *c, struct str ui)
{
    struct str path = c->req.path;
    if (path.n + 1 == ui.n && str_has_prefix(ui, path)) {
        redirect(c, ui);
        return true;
    }
    if (!str_has_prefix(path, ui) && !str_is(path, "/robots.txt")) return false;
    api_header(&c->req, "X-Content-Type-Options", STR("nosniff"));
    respond__plain(c, 404, "text/plain; charset=utf-8",
        STR("404 page not found: consuld has no web interface, only the API below /v1/\n"));
    return true;
}

static void no_endpoint(struct conn *c)
{
    const char *ui = c->api->config->o.ui_path;
    if (ui && !str_is(c->req.path, "/") && no_ui(c, str_of(ui))) return;
    if (!str_is(c->req.path, "/"))
        respond__plain(c, 404, NULL, STR_NIL);
    else if (ui)
        redirect(c, str_of(ui));
    else
        respond__plain(c, 200, "text/plain; charset=utf-8", STR("Consul Agent"));
}

/* --- decisions all endpoints share ----------------------------------------------------------- */

static bool blocked(const struct config *config, struct str path)
{
    for (size_t i = 0; i < config->o.n_block_endpoints; i++)
        if (str_has_prefix(path, config->blocked[i])) return true;
    return false;
}

static void allow_header(struct api_request *req)
{
    struct buf text = BUF_INIT(64);
    buf_put_c(&text, "OPTIONS");
    for (size_t i = 0; i < N_METHODS; i++) {
        if (!(req->route->methods & methods[i].method)) continue;
        buf_put_char(&text, ',');
        buf_put_c(&text, methods[i].name);
    }
    api_header(req, "Allow", buf_str(&text));
    buf_deinit(&text);
}

/* True when the method was answered: OPTIONS, or one that the endpoint does not have. */
static bool method_answered(struct api_request *req)
{
    if (req->route->flags & API_OWN_METHODS) return false;
    if (str_is(req->method_name, "OPTIONS")) {
        allow_header(req);
        api_reply_empty(req, 200);
        return true;
    }
    if (req->method & req->route->methods) return false;
    allow_header(req);
    api_reply_text(req, 405, "method %.*s not allowed", STR_ARG(req->method_name));
    return true;
}

static bool write_restricted(const struct api_request *req, const struct config *config)
{
    size_t n = config->o.n_allow_write_http_from;
    if (n == 0 || req->method == API_GET) return false;
    if (str_is(req->method_name, "HEAD") || str_is(req->method_name, "OPTIONS")) return false;
    return !cidr__contains(config->writers, n, req->peer);
}

static void endpoint(struct conn *c)
{
    struct api_request *req = &c->req;
    const struct config *config = c->api->config;
    for (size_t i = 0; i < config->n_common; i++)
        api_header(req, config->common[i].name.p, config->common[i].value);
    if (!request__params(c)) {
        api_reply_empty(req, 500);
        return;
    }
    if (blocked(config, req->path)) {
        api_reply_text(req, 403, "Endpoint is blocked by agent configuration");
        return;
    }
    if (method_answered(req)) return;
    if (write_restricted(req, config)) {
        api_reply_text(req, 403, "Access is restricted");
        return;
    }
    size_t n = strlen(req->route->pattern);
    req->tail = str_slice(req->path, n, req->path.n);
    req->body_cut = c->http.cut;
    req->body = http_server_body(&c->http);
    if (api_has_param(req, "pretty")) req->pretty = true;
    req->route->handler(req);
}

void route__dispatch(struct conn *c)
{
    const struct api_request *req = &c->req;
    const struct config *config = c->api->config;
    if (!config->o.disable_unprintable_char_filter && !printable__text(req->path))
        respond__plain(c, 400, NULL, STR_NIL);
    else if (str_is(req->path, "*"))
        respond__plain(c, str_is(req->method_name, "OPTIONS") ? 200 : 400, NULL, STR_NIL);
    else if (redirected(c))
        return;
    else if (!req->route)
        no_endpoint(c);
    else
        endpoint(c);
}
