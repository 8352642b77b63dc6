/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "commands.h"

static int fresh_env(struct store *s, struct state_env **out, struct error *err)
{
    if (!s->dir) {
        char *path = state_dir_temporary(s->tmp_dir, err);
        if (!path) return ERR_IO;
        int code = state_env_open(path, true, s->map_size, out, err);
        free(path);
        return code;
    }
    char *path = state_path(s->dir, ".new");
    state_dir_remove(path);
    int code = 0;
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        code = error_set(err, ERR_IO, "cannot make %s: %s", path, strerror(errno));
    if (!code) code = state_env_open(path, false, s->map_size, out, err);
    free(path);
    return code;
}

struct store_batch *store_restore_begin(struct store *s, struct error *err)
{
    struct state_env *env;
    if (fresh_env(s, &env, err)) return NULL;
    state_env_forget(s->env);
    struct store_batch *b = batch_create(s, env);
    b->restoring = true;
    return b;
}

bool store_restore_checkpoint(struct store_batch *b)
{
    if (b->view.code) return false;
    int rc = mdb_txn_commit(b->view.txn);
    b->view.txn = NULL;
    if (!view_check(&b->view, rc, "write")) return false;
    arena_reset(&b->arena);
    rc = mdb_txn_begin(b->view.env->mdb, NULL, 0, &b->view.txn);
    return view_check(&b->view, rc, "begin a change of");
}

void store_restore_abort(struct store_batch *b)
{
    struct store *s = b->view.store;
    struct state_env *env = b->view.env;
    batch_destroy(b);
    state_env_unref(env);
    if (!s->dir) return;
    char *path = state_path(s->dir, ".new");
    state_dir_remove(path);
    free(path);
}

/* A crash between the two renames leaves no state: the next start rebuilds it. */
static int rename_dirs(const char *dir, const char *fresh, const char *old, struct error *err)
{
    state_dir_remove(old);
    if (rename(dir, old) != 0)
        return error_set(err, ERR_IO, "cannot rename %s: %s", dir, strerror(errno));
    if (rename(fresh, dir) == 0) {
        state_dir_remove(old);
        return 0;
    }
    int code = error_set(err, ERR_IO, "cannot rename %s: %s", fresh, strerror(errno));
    if (rename(old, dir) != 0) log_error("agent.server.store", "lost the state's folder");
    return code;
}

static int switch_dirs(struct store *s, struct error *err)
{
    if (!s->dir) return 0;
    char *fresh = state_path(s->dir, ".new"), *old = state_path(s->dir, ".old");
    int code = state_mark_write(fresh, s->boot_id, err);
    if (!code) code = rename_dirs(s->dir, fresh, old, err);
    free(fresh);
    free(old);
    return code;
}

int store_restore_seal(struct store_batch *b, uint64_t index, uint64_t term, struct error *err)
{
    struct store *s = b->view.store;
    b->index = index;
    b->term = term;
    applied_write(b);
    if (!b->view.code) {
        int rc = mdb_txn_commit(b->view.txn);
        b->view.txn = NULL;
        if (!rc && s->dir) rc = mdb_env_sync(b->view.env->mdb, 1);
        view_check(&b->view, rc, "write");
    }
    if (!b->view.code) return 0;
    if (err) *err = b->view.err;
    store_restore_abort(b);
    return ERR_IO;
}

int store_restore_switch(struct store_batch *b, struct error *err)
{
    struct store *s = b->view.store;
    uint64_t index = b->index, term = b->term;
    ensure(!s->batch && !b->view.txn);
    int code = switch_dirs(s, err);
    if (code) {
        store_restore_abort(b);
        return code;
    }
    read_forget(s);
    state_env_unref(s->env);
    s->env = b->view.env;
    s->applied_index = index;
    s->applied_term = term;
    batch_destroy(b);
    store_abandon_all(s);
    return 0;
}

int store_restore_commit(struct store_batch *b, uint64_t index, uint64_t term, struct error *err)
{
    int code = store_restore_seal(b, index, term, err);
    return code ? code : store_restore_switch(b, err);
}
