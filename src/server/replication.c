/* SPDX-License-Identifier: Apache-2.0 */
/* The replicators of a secondary datacenter, one of each kind. */
#include <stdlib.h>

#include "replicator.h"
#include "server.h"

static const struct replication_kind *const kinds[] = { &server__federation_kind,
    &server__config_kind, &server__ca_roots_kind, &server__intention_kind };
#define KINDS (sizeof kinds / sizeof kinds[0])

struct replication {
    struct replicator *each[KINDS]; /* NULL in the primary */
};

void server__replication_init(struct server *s)
{
    struct str primary = s->opts.primary_datacenter;
    s->replication = xcalloc(1, sizeof *s->replication);
    if (primary.n == 0 || str_eq(primary, s->opts.datacenter)) return;
    for (size_t i = 0; i < KINDS; i++)
        s->replication->each[i] = replicator_create(s, kinds[i]);
}

void server__replication_start(struct server *s)
{
    for (size_t i = 0; i < KINDS; i++)
        if (s->replication->each[i]) replicator_start(s->replication->each[i]);
}

void server__replication_stop(struct server *s)
{
    for (size_t i = 0; i < KINDS; i++)
        if (s->replication->each[i]) replicator_stop(s->replication->each[i]);
}

void server__replication_deinit(struct server *s)
{
    for (size_t i = 0; i < KINDS; i++)
        replicator_destroy(s->replication->each[i]);
    free(s->replication);
}

bool server_sync_status(const struct server *s, size_t i, struct server_sync_status *out)
{
    if (i == 0) {
        server__federation_status(s, out);
        return true;
    }
    if (i > KINDS || !s->replication->each[i - 1]) return false;
    replicator_status(s->replication->each[i - 1], out);
    return true;
}
