/* SPDX-License-Identifier: Apache-2.0 */
#include "front.h"

#define SECOND INT64_C(1000000000)

static bool is_discovery(const struct api_request *req)
{
    return str_has_prefix(req->path, STR("/v1/catalog")) ||
           str_has_prefix(req->path, STR("/v1/health"));
}

/* As Go's %q shows text: what is not printable ASCII is escaped. */
static struct str quoted(struct arena *a, struct str s)
{
    struct buf out = BUF_INIT(s.n * 4 + 2);
    buf_put_char(&out, '"');
    for (size_t i = 0; i < s.n; i++) {
        uint8_t c = (uint8_t)s.p[i];
        if (c == '"' || c == '\\')
            buf_printf(&out, "\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            buf_printf(&out, "\\x%02x", c);
        else
            buf_put_char(&out, (char)c);
    }
    buf_put_char(&out, '"');
    struct str text = str_dup(a, buf_str(&out));
    buf_deinit(&out);
    return text;
}

static int parse_consistency(struct api_request *req, struct api_query *q, struct error *err)
{
    const struct api_options *o = &req->api->config->o;
    bool cached = api_has_param(req, "cached");
    q->allow_stale = api_has_param(req, "stale");
    q->require_consistent = api_has_param(req, "consistent");
    bool named = q->allow_stale || q->require_consistent || cached || api_has_param(req, "leader");
    struct str max_stale = api_param_str(req, "max_stale");
    if (max_stale.n) {
        if (duration_parse(max_stale, &q->max_stale_duration, NULL) < 0)
            return error_set(err, ERR_BAD_REQUEST, "Invalid max_stale value %.*s",
                STR_ARG(quoted(req->arena, max_stale)));
        if (q->max_stale_duration > 0) named = q->allow_stale = true;
    }
    if (!named && o->discovery_max_stale > 0 && is_discovery(req)) {
        q->max_stale_duration = o->discovery_max_stale;
        q->allow_stale = true;
    }
    if (q->allow_stale && q->require_consistent)
        return error_set(
            err, ERR_BAD_REQUEST, "Cannot specify ?stale with ?consistent, conflicting semantics.");
    if (cached && q->require_consistent)
        return error_set(err, ERR_BAD_REQUEST,
            "Cannot specify ?cached with ?consistent, conflicting semantics.");
    q->use_cache = cached && o->use_cache;
    return 0;
}

static bool seconds(struct str text, int64_t *ns)
{
    int64_t s;
    if (text.n && text.p[0] == '+') text = str_slice(text, 1, text.n);
    if (!str_to_i64(text, &s) || s > INT64_MAX / SECOND || s < INT64_MIN / SECOND) return false;
    *ns = s * SECOND;
    return true;
}

static int parse_cache_control(struct api_request *req, struct api_query *q, struct error *err)
{
    struct str rest = str_lower(req->arena, str_trim(api_request_header(req, "Cache-Control")));
    while (rest.n) {
        struct str part, more;
        bool ok = true;
        str_cut(rest, ',', &part, &more);
        rest = more;
        part = str_trim(part);
        if (str_is(part, "must-revalidate")) {
            q->must_revalidate = true;
        } else if (str_has_prefix(part, STR("max-age="))) {
            ok = seconds(str_slice(part, sizeof "max-age", part.n), &q->max_age);
            if (ok && q->max_age == 0) q->must_revalidate = true;
        } else if (str_has_prefix(part, STR("stale-if-error="))) {
            ok = seconds(str_slice(part, sizeof "stale-if-error", part.n), &q->stale_if_error);
        }
        if (!ok) return error_set(err, ERR_BAD_REQUEST, "Invalid Cache-Control header.");
    }
    return 0;
}

int api_query_consistency(struct api_request *req, struct api_query *q, struct error *err)
{
    int rc = parse_consistency(req, q, err);
    return rc ? rc : parse_cache_control(req, q, err);
}

static int parse_wait(struct api_request *req, struct api_query *q, struct error *err)
{
    struct str wait = api_param_str(req, "wait");
    struct str index = api_param_str(req, "index");
    if (wait.n && duration_parse(wait, &q->max_query_time, NULL) < 0)
        return error_set(err, ERR_BAD_REQUEST, "Invalid wait time");
    if (index.n && !str_to_u64(index, &q->min_query_index))
        return error_set(err, ERR_BAD_REQUEST, "Invalid index");
    return 0;
}

void api_write_parse(struct api_request *req, struct str *datacenter, struct str *token)
{
    *datacenter = api_param_str(req, "dc");
    if (datacenter->n == 0) *datacenter = req->api->config->o.datacenter;
    *token = api_token(req);
}

int api_query_wait(struct api_request *req, struct api_query *q)
{
    struct error err = { 0 };
    *q = (struct api_query){ .filter = api_param_str(req, "filter") };
    api_write_parse(req, &q->datacenter, &q->token);
    if (!parse_wait(req, q, &err)) return 0;
    api_reply_text(req, 400, "%s", err.text);
    return -1;
}

int api_query_parse(struct api_request *req, struct api_query *q)
{
    struct error err = { 0 };
    *q = (struct api_query){ .filter = api_param_str(req, "filter") };
    api_write_parse(req, &q->datacenter, &q->token);
    int rc = api_query_consistency(req, q, &err);
    if (!rc) rc = parse_wait(req, q, &err);
    if (!rc) return 0;
    api_reply_text(req, 400, "%s", err.text);
    return -1;
}

void api_consistency_header(struct api_request *req, const struct api_query *q)
{
    struct str level = q->require_consistent ? STR("consistent")
                       : q->allow_stale      ? STR("stale")
                                             : STR("leader");
    api_header(req, "X-Consul-Effective-Consistency", level);
}
