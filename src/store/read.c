/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "state.h"

static void read_renew(struct store *s)
{
    struct view *v = &s->read.view;
    int rc;
    if (s->read_open) {
        rc = mdb_txn_renew(v->txn);
    } else {
        *v = (struct view){ .store = s, .env = s->env };
        rc = mdb_txn_begin(s->env->mdb, NULL, MDB_RDONLY, &v->txn);
        s->read_open = rc == 0;
    }
    s->read_stale = rc != 0;
    view_check(v, rc, "read");
}

struct store_read *store_read(struct store *s)
{
    s->read.view.code = 0;
    if (!s->read_open || s->read_stale) read_renew(s);
    return &s->read;
}

void read_forget(struct store *s)
{
    if (s->read_open) mdb_txn_abort(s->read.view.txn);
    s->read_open = false;
}

bool store_read_failed(const struct store_read *rd, struct error *err)
{
    if (rd->view.code && err) *err = rd->view.err;
    return rd->view.code != 0;
}

struct store_read *store_read_create(struct store *s)
{
    struct store_read *rd = xcalloc(1, sizeof *rd);
    rd->own = true;
    rd->view.store = s;
    rd->view.env = s->env;
    if (mdb_txn_begin(s->env->mdb, NULL, MDB_RDONLY, &rd->view.txn) != 0) {
        free(rd);
        return NULL;
    }
    s->env->refs++;
    return rd;
}

void store_read_destroy(struct store_read *rd)
{
    if (!rd) return;
    ensure(rd->own);
    mdb_txn_abort(rd->view.txn);
    state_env_unref(rd->view.env);
    free(rd);
}

int store_read_sync(struct store_read *rd, struct error *err)
{
    int rc = mdb_env_sync(rd->view.env->mdb, 1);
    if (rc) return error_set(err, ERR_IO, "cannot sync the state: %s", mdb_strerror(rc));
    return 0;
}

uint64_t store_read_applied(const struct store_read *rd, uint64_t *term)
{
    uint64_t index = 0, unused;
    struct view v = rd->view;
    applied_read(&v, &index, term ? term : &unused);
    return index;
}
