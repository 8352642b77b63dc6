/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core.h"

const struct raft_member *raft_configuration_find(
    const struct raft_configuration *c, const char *id)
{
    for (size_t i = 0; i < c->n; i++)
        if (strcmp(c->servers[i].id, id) == 0) return &c->servers[i];
    return NULL;
}

bool raft_configuration_is_voter(const struct raft_configuration *c, const char *id)
{
    const struct raft_member *s = raft_configuration_find(c, id);
    return s && s->suffrage == RAFT_VOTER;
}

bool raft_configuration_valid(const struct raft_configuration *c)
{
    if (c->n > RAFT_SERVERS_MAX) return false;
    for (size_t i = 0; i < c->n; i++) {
        const struct raft_member *s = &c->servers[i];
        if (!s->id[0] || !s->address[0]) return false;
        for (size_t k = 0; k < i; k++)
            if (!strcmp(c->servers[k].id, s->id) || !strcmp(c->servers[k].address, s->address))
                return false;
    }
    return raft__voters(c) > 0;
}

bool raft_configuration_add(
    struct raft_configuration *c, struct str id, struct str address, enum raft_suffrage suffrage)
{
    if (c->n >= RAFT_SERVERS_MAX) return false;
    if (!raft__fits(id, RAFT_ID_MAX) || !raft__fits(address, RAFT_ADDRESS_MAX)) return false;
    struct raft_member *s = &c->servers[c->n++];
    memset(s, 0, sizeof *s);
    memcpy(s->id, id.p, id.n);
    memcpy(s->address, address.p, address.n);
    s->suffrage = suffrage;
    return true;
}

size_t raft__voters(const struct raft_configuration *c)
{
    size_t n = 0;
    for (size_t i = 0; i < c->n; i++)
        n += c->servers[i].suffrage == RAFT_VOTER;
    return n;
}
