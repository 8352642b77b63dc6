/* SPDX-License-Identifier: Apache-2.0 */
#include "consuld/cluster/member.h"
#include "consuld/base/host_port.h"
#include "consuld/gossip/serf.h"

#define ID_VERSION_MIN "0.8.5" /* builds that give each node an id of its own */

static bool digit(char c)
{
    return c >= '0' && c <= '9';
}

/* The first digits.digits.digits anywhere in `text`. */
static struct str version_in(struct str text)
{
    for (size_t from = 0; from < text.n; from++) {
        if (!digit(text.p[from])) continue;
        size_t at = from;
        int dots = 0;
        for (;;) {
            while (at < text.n && digit(text.p[at]))
                at++;
            if (dots == 2) return str_slice(text, from, at);
            if (at + 1 >= text.n || text.p[at] != '.' || !digit(text.p[at + 1])) break;
            dots++, at++;
        }
    }
    return STR_NIL;
}

bool consul_version_at_least(struct str text, const char *least)
{
    struct str rest = version_in(text), min = str_of(least), head, min_head;
    for (int i = 0; i < 3; i++) {
        uint64_t v, m;
        str_cut(rest, '.', &head, &rest);
        str_cut(min, '.', &min_head, &min);
        if (!str_to_u64(head, &v) || !str_to_u64(min_head, &m)) return false;
        if (v != m) return v > m;
    }
    return true;
}

static bool has(const struct dict *tags, const char *key)
{
    return dict_get(tags, type_map_str.elem, str_of(key)) != NULL;
}

static struct str tag(const struct dict *tags, const char *key)
{
    struct str v = dict_str(tags, str_of(key));
    return v.p ? v : STR("");
}

static bool optional(const struct dict *tags, const char *key, int64_t *out)
{
    *out = 0;
    return !has(tags, key) || str_to_i64(tag(tags, key), out);
}

static bool is_place(struct str text)
{
    struct str host, port;
    int64_t number;
    return !host_port_split(text, &host, &port) && str_to_i64(port, &number);
}

/* Tags whose names begin with a prefix. */
static bool families_readable(const struct dict *tags)
{
    for (size_t i = 0; i < tags->n; i++) {
        const struct str_pair *pair = &((const struct str_pair *)tags->v)[i];
        int64_t number;
        if (str_has_prefix(pair->key, STR("sl_")) && !is_place(pair->value)) return false;
        if (str_has_prefix(pair->key, STR("ft_")) && !str_to_i64(pair->value, &number))
            return false;
    }
    return true;
}

static struct str without_suffix(struct str name, struct str datacenter)
{
    if (name.n <= datacenter.n || !str_has_suffix(name, datacenter)) return name;
    size_t dot = name.n - datacenter.n - 1;
    return name.p[dot] == '.' ? str_slice(name, 0, dot) : name;
}

bool consul_server_read(struct str name, const struct dict *tags, struct consul_server *out)
{
    struct str build = tag(tags, "build");
    *out = (struct consul_server){ .name = name,
        .id = tag(tags, "id"),
        .datacenter = tag(tags, "dc"),
        .segment = tag(tags, "segment"),
        .acls = has(tags, "acls") ? tag(tags, "acls") : STR("3"),
        .version = version_in(build),
        .bootstrap = has(tags, "bootstrap"),
        .use_tls = has(tags, "use_tls"),
        .non_voter = has(tags, "nonvoter") };
    out->short_name = without_suffix(name, out->datacenter);
    return str_is(tag(tags, "role"), "consul") && out->version.n > 0 &&
           str_to_i64(tag(tags, "port"), &out->port) &&
           str_to_i64(tag(tags, "vsn"), &out->protocol) && optional(tags, "expect", &out->expect) &&
           optional(tags, "raft_vsn", &out->raft_version) &&
           optional(tags, "wan_join_port", &out->wan_join_port) && families_readable(tags);
}

bool consul_client_read(const struct dict *tags, struct str *datacenter)
{
    *datacenter = dict_str(tags, STR("dc"));
    return str_is(tag(tags, "role"), "node");
}

/* --- who may join ------------------------------------------------------------------------------
 */

static int lan_check(const struct merge_rules *own, const struct merge_member *m, struct map *seen,
    struct error *err)
{
    struct str id = tag(&m->tags, "id"), dc, segment = tag(&m->tags, "segment");
    struct consul_server server;
    if (id.n) {
        if (m->left) return 0;
        if (str_eq(id, own->id) && !str_eq(m->name, own->name))
            return error_set(err, ERR_DENIED,
                "Member '%.*s' has conflicting node ID '%.*s' with this agent's ID",
                STR_ARG(m->name), STR_ARG(id));
        const struct merge_member *other = map_get(seen, id);
        if (other)
            return error_set(err, ERR_DENIED,
                "Member '%.*s' has conflicting node ID '%.*s' with member '%.*s'", STR_ARG(m->name),
                STR_ARG(id), STR_ARG(other->name));
        if (consul_version_at_least(tag(&m->tags, "build"), ID_VERSION_MIN))
            map_put(seen, id, (void *)(uintptr_t)m);
    }
    if (!consul_client_read(&m->tags, &dc)) {
        dc = own->datacenter;
        if (consul_server_read(m->name, &m->tags, &server)) dc = server.datacenter;
    }
    if (!str_eq(dc, own->datacenter))
        return error_set(err, ERR_DENIED, "Member '%.*s' part of wrong datacenter '%.*s'",
            STR_ARG(m->name), STR_ARG(dc));
    if (!str_eq(segment, own->segment))
        return error_set(err, ERR_DENIED,
            "Member '%.*s' part of wrong segment '%.*s' (expected '%.*s')", STR_ARG(m->name),
            STR_ARG(segment), STR_ARG(own->segment));
    return 0;
}

int consul_merge_check(
    const struct merge_rules *own, const struct merge_member *members, size_t n, struct error *err)
{
    struct map seen = MAP_INIT;
    struct consul_server server;
    int refused = 0;
    for (size_t i = 0; i < n && !refused; i++) {
        if (!own->wan)
            refused = lan_check(own, &members[i], &seen, err);
        else if (!consul_server_read(members[i].name, &members[i].tags, &server))
            refused = error_set(
                err, ERR_DENIED, "Member '%.*s' is not a server", STR_ARG(members[i].name));
    }
    map_deinit(&seen);
    return refused;
}

int consul_merge_nodes(
    const struct merge_rules *own, const struct swim_node *nodes, size_t n, struct error *err)
{
    struct arena a = ARENA_INIT;
    struct merge_member *all = arena_array(&a, n, sizeof *all);
    for (size_t i = 0; i < n; i++) {
        struct error ignored;
        all[i].name = nodes[i].name;
        all[i].left = nodes[i].state == SWIM_LEFT;
        if (serf_tags_decode(nodes[i].meta, &a, &all[i].tags, &ignored) != 0)
            all[i].tags = (struct dict){ 0 };
    }
    int refused = consul_merge_check(own, all, n, err);
    arena_free(&a);
    return refused;
}
