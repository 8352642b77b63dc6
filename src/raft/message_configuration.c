/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "message.h"

void raft_configuration_encode(const struct raft_configuration *c, struct buf *out)
{
    raft_message_init();
    struct wire_server servers[RAFT_SERVERS_MAX];
    memset(servers, 0, sizeof servers);
    for (size_t i = 0; i < c->n; i++)
        servers[i] = (struct wire_server){ .suffrage = (uint64_t)c->servers[i].suffrage,
            .id = str_of(c->servers[i].id),
            .address = str_of(c->servers[i].address) };
    struct wire_configuration w = { .servers = { .v = servers, .n = c->n } };
    msgpack_encode(&type_wire_configuration, &w, out);
}

static int from_servers(
    const struct wire_configuration *w, struct raft_configuration *out, struct error *err)
{
    for (size_t i = 0; i < w->servers.n; i++) {
        const struct wire_server *s = &LIST_AT(&w->servers, struct wire_server, i);
        if (s->suffrage > RAFT_STAGING)
            return error_set(err, ERR_DECODE, "raft configuration: unknown suffrage");
        if (!raft_configuration_add(out, s->id, s->address, (enum raft_suffrage)s->suffrage))
            return error_set(
                err, ERR_DECODE, "raft configuration: server %zu is empty or too large", i);
    }
    return 0;
}

/* Protocol 0 and 1 lists: addresses only. */
static int from_addresses(
    struct str addresses, struct arena *a, struct raft_configuration *out, struct error *err)
{
    struct cursor c;
    struct list l = { 0 };
    cursor_init(&c, addresses.p, addresses.n, err);
    int code = msgpack_decode(&c, a, &type_list_str, &l);
    for (size_t i = 0; !code && i < l.n; i++) {
        struct str s = LIST_AT(&l, struct str, i);
        if (!raft_configuration_add(out, s, s, RAFT_VOTER))
            code = error_set(err, ERR_DECODE, "raft peers: address %zu is empty or too large", i);
    }
    return code;
}

int raft_configuration_decode(
    uint8_t entry_type, struct str data, struct raft_configuration *out, struct error *err)
{
    raft_message_init();
    struct arena a = ARENA_INIT;
    memset(out, 0, sizeof *out);
    int code;
    if (entry_type != RAFT_CONFIGURATION) {
        code = from_addresses(data, &a, out, err);
    } else {
        struct cursor c;
        struct wire_configuration w = { 0 };
        cursor_init(&c, data.p, data.n, err);
        code = msgpack_decode(&c, &a, &type_wire_configuration, &w);
        if (!code) code = from_servers(&w, out, err);
    }
    if (!code && !raft_configuration_valid(out))
        code = error_set(err, ERR_DECODE, "raft configuration: not valid");
    arena_free(&a);
    return code == ERR_EOF ? ERR_DECODE : code;
}
