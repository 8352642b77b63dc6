/* SPDX-License-Identifier: Apache-2.0 */
/* Requests in the log: each at debug, those that failed as errors. Tokens are not shown. */
#include <stdio.h>
#include <string.h>

#include "front.h"

#define NAME "agent.http"
#define HIDDEN "<hidden>"
#define URL_MAX ((size_t)64 << 10)

/* Endpoints whose path goes on with a token. */
static const char *const token_paths[] = { "/v1/acl/clone/", "/v1/acl/create/", "/v1/acl/destroy/",
    "/v1/acl/info/", "/v1/acl/list/", "/v1/acl/update/" };

/* The values of token= in the query. */
static struct str without_tokens(struct arena *a, struct str url)
{
    struct str head, rest, part, more;
    if (!str_cut(url, '?', &head, &rest)) return url;
    struct buf out = BUF_INIT(2 * URL_MAX);
    buf_put_str(&out, head);
    for (char sign = '?'; rest.p; sign = '&', rest = more) {
        if (!str_cut(rest, '&', &part, &more)) part = rest, more = STR_NIL;
        buf_put_char(&out, sign);
        if (str_has_prefix(part, STR("token="))) part = STR("token=" HIDDEN);
        buf_put_str(&out, part);
    }
    struct str text = str_dup(a, buf_str(&out));
    buf_deinit(&out);
    return text;
}

static struct str without_path_token(struct arena *a, struct str url)
{
    for (size_t i = 0; i < sizeof token_paths / sizeof token_paths[0]; i++) {
        struct str prefix = str_of(token_paths[i]), token, query;
        if (!str_has_prefix(url, prefix) || url.n == prefix.n) continue;
        bool asks = str_cut(str_slice(url, prefix.n, url.n), '?', &token, &query);
        return str_printf(a, "%s" HIDDEN "%s%.*s", token_paths[i], asks ? "?" : "",
            asks ? (int)query.n : 0, asks ? query.p : "");
    }
    return url;
}

static const char *url_of(struct api_request *req)
{
    struct str url = http_server_target(&conn_of(req)->http);
    if (url.n > URL_MAX) url = str_slice(url, 0, URL_MAX);
    url = without_tokens(req->arena, url);
    return str_c(req->arena, without_path_token(req->arena, url));
}

static const char *from_of(const struct api_request *req)
{
    const struct stream *s = conn_of(req)->stream;
    if (!s || !s->peer[0]) return "@";
    bool v6 = strchr(s->peer, ':') != NULL;
    return str_printf(req->arena, v6 ? "[%s]:%u" : "%s:%u", s->peer, s->peer_port).p;
}

void request_log__failed(struct api_request *req, const char *why)
{
    if (!req->route || !log_wanted(LOG_ERROR)) return;
    log_error(NAME, "Request error", "method", str_c(req->arena, req->method_name), "url",
        url_of(req), "from", from_of(req), "error", why);
}

void request_log__finished(struct conn *c)
{
    struct api_request *req = &c->req;
    char latency[64];
    if (!req->route || !c->began_us || !log_wanted(LOG_DEBUG)) return;
    struct buf text = BUF_INIT(sizeof latency);
    duration_format((int64_t)(world_now_us(c->api->world) - c->began_us) * 1000, &text);
    snprintf(latency, sizeof latency, "%.*s", STR_ARG(buf_str(&text)));
    buf_deinit(&text);
    log_debug(NAME, "Request finished", "method", str_c(req->arena, req->method_name), "url",
        url_of(req), "from", from_of(req), "latency", latency);
}
