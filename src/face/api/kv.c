/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/kv/ (http-api.md 3.1). */
#include <stdlib.h>

#include "front.h"
#include "sniff.h"
#include "state_call.h"
#include "state_routes.h"

/* --- GET ------------------------------------------------------------------------------------ */

static void not_found(struct state_call *c)
{
    state_headers(c);
    api_reply_empty(c->req, 404);
}

/* Entries as JSON, written straight: this is the hot path. Nobody reads them afterwards. */
static void write_entries(
    struct json_writer *w, const struct list *entries, struct rpc_reply *reply)
{
    json_array(w);
    for (size_t i = 0; i < entries->n; i++) {
        const struct dir_entry *e = &LIST_AT(entries, struct dir_entry, i);
        json_object(w);
        json_key(w, "LockIndex");
        json_u64(w, e->lock_index);
        json_key(w, "Key");
        json_str(w, e->key);
        json_key(w, "Flags");
        json_u64(w, e->flags);
        json_key(w, "Value");
        if (e->value.n)
            json_base64(w, e->value);
        else
            json_null(w);
        if (e->session.n) {
            json_key(w, "Session");
            json_str(w, e->session);
        }
        json_key(w, "CreateIndex");
        json_u64(w, e->create_index);
        json_key(w, "ModifyIndex");
        json_u64(w, e->modify_index);
        json_object_end(w);
        if (reply->bytes && e->value.n) rpc_reply_spent(reply, e->value.p + e->value.n);
    }
    json_array_end(w);
}

static const void *entries_view(struct state_call *c)
{
    struct list *l = arena_new(c->req->arena, struct list);
    const struct list *entries = &state_reply(c, indexed_dir_entries)->entries;
    for (size_t i = 0; i < entries->n; i++) {
        struct dir_entry *e = LIST_PUSH(c->req->arena, l, struct dir_entry);
        *e = LIST_AT(entries, struct dir_entry, i);
        if (e->value.n == 0) e->value = STR_NIL;
    }
    return l;
}

static void finish_entries(struct state_call *c)
{
    const struct list *entries = &state_reply(c, indexed_dir_entries)->entries;
    if (entries->n == 0) {
        not_found(c);
    } else if (c->rpc.reply->refs > 1) {
        state_finish_json(c);
    } else {
        state_headers(c);
        write_entries(api_json_begin(c->req), entries, c->rpc.reply);
        api_json_end(c->req, 200);
    }
}

static void finish_raw(struct state_call *c)
{
    const struct list *entries = &state_reply(c, indexed_dir_entries)->entries;
    if (entries->n == 0) {
        not_found(c);
        return;
    }
    struct str value = LIST_AT(entries, struct dir_entry, 0).value;
    state_headers(c);
    api_reply_raw(c->req, 200, value.n ? content_sniff(value) : NULL, value);
}

static const void *keys_view(struct state_call *c)
{
    struct list *l = arena_new(c->req->arena, struct list);
    *l = state_list(state_reply(c, indexed_key_list)->keys);
    return l;
}

static void finish_keys(struct state_call *c)
{
    bool none = state_reply(c, indexed_key_list)->keys.n == 0;
    if (none && c->req->tail.n)
        not_found(c);
    else
        state_finish_json(c);
}

static void get_keys(struct state_call *c)
{
    struct api_request *req = c->req;
    struct key_list_request *args = arena_new(req->arena, struct key_list_request);
    args->datacenter = c->q.datacenter;
    args->prefix = req->tail;
    args->seperator = api_has_param(req, "separator") ? api_param_str(req, "separator")
                                                      : api_param_str(req, "seperator");
    api_query_fill(args, &c->q);
    c->view = keys_view;
    c->type = &type_list_str;
    c->finish = finish_keys;
    state_call_submit(c, "KVS.ListKeys", args);
}

static bool key_missing(struct api_request *req)
{
    return state_tail_missing(req, "Missing key name");
}

static void get(struct state_call *c)
{
    struct api_request *req = c->req;
    struct key_request *args = arena_new(req->arena, struct key_request);
    bool recurse = api_has_param(req, "recurse");
    if (!recurse && key_missing(req)) return;
    args->datacenter = c->q.datacenter;
    args->key = req->tail;
    api_query_fill(args, &c->q);
    c->view = entries_view;
    c->type = &type_dir_entry_list;
    c->finish = !recurse && api_has_param(req, "raw") ? finish_raw : finish_entries;
    state_call_submit(c, recurse ? "KVS.List" : "KVS.Get", args);
}

/* --- PUT, DELETE ---------------------------------------------------------------------------- */

static void put_query_text(struct buf *out, struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char ch = (unsigned char)s.p[i];
        bool plain = (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') ||
                     (ch >= '0' && ch <= '9') || ch == '-' || ch == '_' || ch == '.' || ch == '~';
        if (plain)
            buf_put_char(out, (char)ch);
        else if (ch == ' ')
            buf_put_char(out, '+');
        else
            buf_printf(out, "%%%02X", ch);
    }
}

static int param_order(const void *a, const void *b)
{
    const struct param *const *x = a, *const *y = b;
    int order = str_cmp((*x)->name, (*y)->name);
    return order ? order : (*x < *y ? -1 : *x > *y);
}

/* The query string encoded anew, sorted by key, as the refusal shows it. */
static struct str query_text(struct api_request *req)
{
    const struct conn *conn = conn_of(req);
    const struct param **sorted = arena_array(req->arena, conn->n_params + 1, sizeof *sorted);
    struct buf out = BUF_INIT((size_t)1 << 20);
    for (size_t i = 0; i < conn->n_params; i++)
        sorted[i] = &conn->params[i];
    qsort(sorted, conn->n_params, sizeof *sorted, param_order);
    for (size_t i = 0; i < conn->n_params; i++) {
        if (i) buf_put_char(&out, '&');
        put_query_text(&out, sorted[i]->name);
        buf_put_char(&out, '=');
        put_query_text(&out, sorted[i]->value);
    }
    struct str text = str_dup(req->arena, buf_str(&out));
    buf_deinit(&out);
    return text;
}

static bool flags_conflict(struct api_request *req, const char *const *names)
{
    unsigned found = 0;
    for (size_t i = 0; names[i]; i++)
        found += api_has_param(req, names[i]);
    if (found < 2) return false;
    api_reply_text(req, 400, "Conflicting flags: %.*s", STR_ARG(query_text(req)));
    return true;
}

static void finish_applied(struct state_call *c)
{
    api_reply_bool(c->req, *(const bool *)c->rpc.reply->record);
}

static void put(struct state_call *c)
{
    static const char *const exclusive[] = { "cas", "acquire", "release", NULL };
    struct api_request *req = c->req;
    struct kvs_request *args = arena_new(req->arena, struct kvs_request);
    struct dir_entry *entry = &args->dir_ent;
    struct str text;
    if (key_missing(req) || flags_conflict(req, exclusive)) return;
    args->datacenter = c->q.datacenter;
    args->token = c->q.token;
    args->op = STR("set");
    entry->key = req->tail;
    c->finish = state_finish_true;
    if (api_param(req, "flags", &text) && !state_parse_u64(req, text, &entry->flags)) return;
    if (api_param(req, "cas", &text)) {
        if (!state_parse_u64(req, text, &entry->modify_index)) return;
        args->op = STR("cas");
        c->finish = finish_applied;
    }
    if (api_param(req, "acquire", &entry->session)) {
        args->op = STR("lock");
        c->finish = finish_applied;
    }
    if (api_param(req, "release", &entry->session)) {
        args->op = STR("unlock");
        c->finish = finish_applied;
    }
    if (api_body_refused(req)) return;
    entry->value = req->body.n ? req->body : STR_NIL;
    state_call_submit(c, "KVS.Apply", args);
}

static void del(struct state_call *c)
{
    static const char *const exclusive[] = { "recurse", "cas", NULL };
    struct api_request *req = c->req;
    struct kvs_request *args = arena_new(req->arena, struct kvs_request);
    bool recurse = api_has_param(req, "recurse");
    struct str text;
    if (flags_conflict(req, exclusive) || (!recurse && key_missing(req))) return;
    args->datacenter = c->q.datacenter;
    args->token = c->q.token;
    args->op = recurse ? STR("delete-tree") : STR("delete");
    args->dir_ent.key = req->tail;
    c->finish = state_finish_true;
    if (api_param(req, "cas", &text)) {
        if (!state_parse_u64(req, text, &args->dir_ent.modify_index)) return;
        args->op = STR("delete-cas");
        c->finish = finish_applied;
    }
    state_call_submit(c, "KVS.Apply", args);
}

static void handle(struct api_request *req)
{
    struct state_call *c = state_call_read(req, CALL_READ_HEADERS | CALL_NAMESPACE_LAST);
    if (!c) return;
    switch (req->method) {
    case API_GET:
        if (api_has_param(req, "keys"))
            get_keys(c);
        else
            get(c);
        break;
    case API_PUT:
        put(c);
        break;
    case API_DELETE:
        del(c);
        break;
    case API_POST:
    case API_OTHER:
        api_reply_empty(req, 405);
        break;
    }
}

const struct api_route api_kv_routes[] = {
    { "/v1/kv/", API_GET | API_PUT | API_DELETE, API_BODY_KV, 0, handle },
    { 0 },
};
