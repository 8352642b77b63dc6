/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "cluster.h"
#include "consuld/lang/regex.h"

struct member {
    const struct value *value;
    const struct value *tags;
    struct str name, segment;
};

static int by_segment_and_name(const void *a, const void *b)
{
    const struct member *x = a, *y = b;
    int order = str_cmp(x->segment, y->segment);
    return order ? order : str_cmp(x->name, y->name);
}

static struct str status_name(const struct value *member)
{
    static const char *const names[] = { "none", "alive", "leaving", "left", "failed" };
    uint64_t status = value_uint(member, "Status");
    return status < sizeof names / sizeof names[0] ? str_of(names[status]) : STR("unknown");
}

static struct str segment_of(const struct value *tags)
{
    struct str segment = value_text(tags, "segment");
    if (segment.n) return segment;
    return str_is(value_text(tags, "role"), "consul") ? STR("<all>") : STR("<default>");
}

static struct str address_of(struct cli *c, const struct value *member)
{
    struct str ip = value_text(member, "Addr"), port = value_text(member, "Port");
    return str_find_char(ip, ':') >= 0
               ? str_printf(&c->arena, "[%.*s]:%.*s", STR_ARG(ip), STR_ARG(port))
               : str_printf(&c->arena, "%.*s:%.*s", STR_ARG(ip), STR_ARG(port));
}

/* --- forms ----------------------------------------------------------------------------------- */

static void print_standard(struct cli *c, const struct list *members)
{
    struct columns t = { .width = 8 };
    columns_add(c, &t,
        (const struct str[]){ STR("Node"), STR("Address"), STR("Status"), STR("Type"), STR("Build"),
            STR("Protocol"), STR("DC"), STR("Segment") });
    for (size_t i = 0; i < members->n; i++) {
        const struct member *m = &LIST_AT(members, struct member, i);
        struct str role = value_text(m->tags, "role"), build, rest;
        str_cut(value_text(m->tags, "build"), ':', &build, &rest);
        bool server = str_is(role, "consul"), known = server || str_is(role, "node");
        struct str type = server ? STR("server") : known ? STR("client") : STR("unknown");
        columns_add(c, &t,
            (const struct str[]){ m->name, address_of(c, m->value), status_name(m->value), type,
                known && !build.n ? STR("< 0.3") : build, value_text(m->tags, "vsn"),
                value_text(m->tags, "dc"), known ? m->segment : STR("") });
    }
    columns_print(c, &t, 2);
}

static struct str tags_of(struct cli *c, const struct member *m)
{
    struct list sorted, texts = { 0 };
    struct value tags = value_copy(&c->arena, m->tags);
    if (tags.kind != V_MAP) tags = (struct value){ .kind = V_MAP };
    struct value *segment = value_get(&tags, STR("segment"));
    if (!segment) segment = value_map_add(&c->arena, &tags, STR("segment"));
    *segment = value_of_str(m->segment);
    sorted = value_sorted(c, &tags);
    for (size_t i = 0; i < sorted.n; i++) {
        const struct value_entry *e = &LIST_AT(&sorted, struct value_entry, i);
        *LIST_PUSH(&c->arena, &texts, struct str) =
            str_printf(&c->arena, "%.*s=%.*s", STR_ARG(e->key), STR_ARG(e->value.s));
    }
    return texts_join(c, &texts, ",");
}

static void print_detailed(struct cli *c, const struct list *members)
{
    struct columns t = { .width = 4 };
    columns_add(
        c, &t, (const struct str[]){ STR("Node"), STR("Address"), STR("Status"), STR("Tags") });
    for (size_t i = 0; i < members->n; i++) {
        const struct member *m = &LIST_AT(members, struct member, i);
        columns_add(c, &t,
            (const struct str[]){
                m->name, address_of(c, m->value), status_name(m->value), tags_of(c, m) });
    }
    columns_print(c, &t, 2);
}

/* --- the command ----------------------------------------------------------------------------- */

static struct list select_members(
    struct cli *c, const struct value *all, const struct regex *status)
{
    struct list out = { 0 };
    for (size_t i = 0; all->kind == V_LIST && i < all->list.n; i++) {
        struct member m = { .value = &all->list.v[i] };
        if (regex_search(status, status_name(m.value)) != 1) continue;
        m.tags = value_at(m.value, "Tags");
        m.name = value_text(m.value, "Name");
        m.segment = segment_of(m.tags);
        *LIST_PUSH(&c->arena, &out, struct member) = m;
    }
    if (out.n) qsort(out.v, out.n, sizeof(struct member), by_segment_and_name);
    return out;
}

int cluster_members(struct cli *c)
{
    struct error err;
    struct value all;
    struct client_request r = { .method = "GET", .path = STR("/v1/agent/members") };
    client_query(c, &r, "segment", cli_text(c, "segment"));
    if (cli_bool(c, "wan")) client_query(c, &r, "wan", STR("1"));
    struct regex *status = regex_compile(cli_text(c, "status"), &c->arena, &err);
    if (!status) return cli_fail(c, "Failed to compile status regexp: %s", err.text);
    if (client_json(c, &r, &all, &err) != 0)
        return cli_fail(c, "Error retrieving members: %s", err.text);
    struct list members = select_members(c, &all, status);
    if (members.n == 0) return 2;
    if (cli_bool(c, "detailed"))
        print_detailed(c, &members);
    else
        print_standard(c, &members);
    return 0;
}
