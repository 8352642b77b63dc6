/* SPDX-License-Identifier: Apache-2.0 */
#include "watch_form.h"

#include "../api/agent_form.h"

#define WATCH_PAIR_FIELDS(X, S) \
    X(S, key, STR, "Key") \
    X(S, create_index, UINT, "CreateIndex") \
    X(S, modify_index, UINT, "ModifyIndex") \
    X(S, lock_index, UINT, "LockIndex") \
    X(S, flags, UINT, "Flags") \
    X(S, value, BYTES, "Value") \
    X(S, session, STR, "Session")
DECLARE_RECORD(watch_pair, WATCH_PAIR_FIELDS)
DEFINE_RECORD(watch_pair, WATCH_PAIR_FIELDS, "KVPair")

#define WATCH_ENTRY_FIELDS(X, S) \
    X(S, node, PTR(node), "Node") \
    X(S, service, PTR(agent_service), "Service") \
    X(S, checks, LIST(agent_health_check), "Checks")
DECLARE_RECORD(watch_entry, WATCH_ENTRY_FIELDS)
DEFINE_RECORD(watch_entry, WATCH_ENTRY_FIELDS, "ServiceEntry")

struct str watch_plain(struct arena *a, const struct type *t, const void *value)
{
    struct buf text = BUF_INIT(WATCH_DATA_MAX);
    struct list none = LIST_EMPTY;
    struct dict empty = DICT_EMPTY;
    if (t->kind == KIND_LIST && !((const struct list *)value)->v) value = &none;
    if (t->kind == KIND_MAP && !((const struct dict *)value)->v) value = &empty;
    json_encode(t, value, false, &text);
    struct str out = str_dup(a, buf_str(&text));
    buf_deinit(&text);
    return out;
}

struct str watch_pairs(struct arena *a, const struct list *entries, bool one)
{
    struct list pairs = { 0 };
    if (entries->n == 0) return STR("null");
    for (size_t i = 0; i < (one ? 1 : entries->n); i++) {
        const struct dir_entry *e = &LIST_AT(entries, struct dir_entry, i);
        *LIST_PUSH(a, &pairs, struct watch_pair) = (struct watch_pair){ .key = e->key,
            .create_index = e->create_index,
            .modify_index = e->modify_index,
            .lock_index = e->lock_index,
            .flags = e->flags,
            .value = e->value.n ? e->value : STR_NIL,
            .session = e->session };
    }
    return one ? watch_plain(a, &type_watch_pair, pairs.v)
               : watch_plain(a, &type_watch_pair_list, &pairs);
}

static struct list check_forms(struct arena *a, const struct list *checks)
{
    struct list out = LIST_EMPTY;
    for (size_t i = 0; i < checks->n; i++) {
        const struct health_check *c = &LIST_AT(checks, struct health_check, i);
        const struct health_check_definition *d = &c->definition;
        struct agent_health_check *form = LIST_PUSH(a, &out, struct agent_health_check);
        agent_check_form(c, form);
        if (!form->service_tags.v) form->service_tags = LIST_EMPTY;
        form->type = c->type;
        form->create_index = c->create_index;
        form->modify_index = c->modify_index;
        form->definition = (struct agent_check_definition){ .interval = d->interval,
            .timeout = d->timeout,
            .deregister_critical_service_after = d->deregister_critical_service_after,
            .http = d->http,
            .header = d->header,
            .method = d->method,
            .body = d->body,
            .tls_skip_verify = d->tls_skip_verify,
            .tcp = d->tcp };
    }
    return out;
}

struct str watch_checks(struct arena *a, const struct list *checks)
{
    struct list forms = check_forms(a, checks);
    return watch_plain(a, &type_agent_health_check_list, &forms);
}

static bool all_pass(const struct list *checks)
{
    for (size_t i = 0; i < checks->n; i++)
        if (!str_is(LIST_AT(checks, struct health_check, i).status, "passing")) return false;
    return true;
}

struct str watch_entries(struct arena *a, const struct list *instances, bool passing)
{
    struct list out = { 0 };
    for (size_t i = 0; i < instances->n; i++) {
        const struct check_service_node *n = &LIST_AT(instances, struct check_service_node, i);
        if (passing && !all_pass(&n->checks)) continue;
        struct watch_entry *e = LIST_PUSH(a, &out, struct watch_entry);
        e->node = n->node;
        e->checks = check_forms(a, &n->checks);
        if (!n->service) continue;
        e->service = arena_new(a, struct agent_service);
        agent_instance_form(a, n->service, e->service);
    }
    return watch_plain(a, &type_watch_entry_list, &out);
}
