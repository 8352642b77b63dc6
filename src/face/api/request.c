/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "front.h"

#define PARAMS_MAX 1000

static bool param_add(struct conn *c, struct str name, struct str value, size_t *cap)
{
    struct arena *a = &c->arena;
    if (c->n_params == PARAMS_MAX) return false;
    if (c->n_params == *cap) {
        size_t more = *cap ? *cap * 2 : 8;
        struct param *grown = arena_array(a, more, sizeof *grown);
        if (c->n_params) memcpy(grown, c->params, c->n_params * sizeof *grown);
        c->params = grown;
        *cap = more;
    }
    struct param *p = &c->params[c->n_params];
    if (!http_unescape(a, name, true, &p->name)) return false;
    if (!http_unescape(a, value, true, &p->value)) return false;
    c->n_params++;
    return true;
}

bool request__params(struct conn *c)
{
    struct str rest = c->query;
    size_t cap = 0;
    while (rest.n) {
        struct str part, more, name, value;
        str_cut(rest, '&', &part, &more);
        rest = more;
        if (part.n == 0) continue;
        if (str_find_char(part, ';') >= 0) return false;
        if (!str_cut(part, '=', &name, &value)) value = STR("");
        if (!param_add(c, name, value, &cap)) return false;
    }
    return true;
}

bool api_param_next(const struct api_request *req, const char *name, size_t *it, struct str *value)
{
    const struct conn *c = conn_of(req);
    while (*it < c->n_params) {
        const struct param *p = &c->params[(*it)++];
        if (!str_is(p->name, name)) continue;
        *value = p->value.p ? p->value : STR("");
        return true;
    }
    return false;
}

bool api_param(const struct api_request *req, const char *name, struct str *value)
{
    size_t it = 0;
    return api_param_next(req, name, &it, value);
}

struct str api_param_str(const struct api_request *req, const char *name)
{
    struct str value = STR_NIL;
    api_param(req, name, &value);
    return value;
}

bool api_has_param(const struct api_request *req, const char *name)
{
    struct str value;
    return api_param(req, name, &value);
}

struct str api_request_header(const struct api_request *req, const char *name)
{
    return http_server_field(&conn_of(req)->http, name);
}

static struct str bearer(struct str authorization)
{
    struct str scheme, rest, word, more;
    if (!str_cut(str_trim(authorization), ' ', &scheme, &rest)) return STR_NIL;
    if (!str_eq_nocase(scheme, STR("Bearer"))) return STR_NIL;
    str_cut(str_trim(rest), ' ', &word, &more);
    return word;
}

struct str api_token(const struct api_request *req)
{
    struct str token = api_param_str(req, "token");
    if (token.n == 0) token = api_request_header(req, "X-Consul-Token");
    if (token.n == 0) token = bearer(api_request_header(req, "Authorization"));
    return token.n ? token : req->api->default_token;
}

int api_refuse_namespace(struct api_request *req)
{
    const char *feature = "Namespaces are a Consul Enterprise feature";
    if (api_request_header(req, "X-Consul-Namespace").n) {
        api_reply_bad_request(req, "Invalid header: \"X-Consul-Namespace\" - %s", feature);
        return -1;
    }
    if (api_param_str(req, "ns").n) {
        api_reply_bad_request(req, "Invalid query parameter: \"ns\" - %s", feature);
        return -1;
    }
    return 0;
}

int api_body_decode(struct api_request *req, const struct type *t, void *obj, struct error *err)
{
    if (req->body_cut) return error_set(err, ERR_TOO_LARGE, "http: request body too large");
    return json_decode(req->body, req->arena, t, obj, 0, err);
}

int api_body_refused(struct api_request *req)
{
    const struct conn *c = conn_of(req);
    if (!req->body_cut) return 0;
    uint64_t max = route__body_max(req);
    const char *option = NULL;
    if (req->route->body == API_BODY_KV) option = "kv_max_value_size";
    if (req->route->body == API_BODY_TXN) option = "txn_max_req_len";
    char size[40] = "";
    if (c->http.content_length >= 0)
        snprintf(size, sizeof size, "(%lld bytes)", (long long)c->http.content_length);
    api_reply_text(req, 413, "Request body%s too large, max size: %llu bytes.%s%s%s", size,
        (unsigned long long)max,
        option ? " See https://www.consul.io/docs/agent/options.html#" : "", option ? option : "",
        option ? "." : "");
    return -1;
}
