/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pack.h"
#include "state.h"

#define STATE_VERSION 3 /* of what descriptors do not tell: keys, own forms of rows */
#define MARK_CLEAN "clean"
#define MARK_MAX 128
#define DATABASES_MAX (TABLE_COUNT * (1 + TABLE_INDEXES_MAX) + 8)

static int databases_open(struct state_env *env, struct error *err)
{
    MDB_txn *txn;
    int rc = mdb_txn_begin(env->mdb, NULL, 0, &txn);
    if (rc) return error_set(err, ERR_IO, "cannot begin on the state: %s", mdb_strerror(rc));
    const struct {
        const char *name;
        MDB_dbi *dbi;
    } fixed[] = { { "!meta", &env->meta }, { "!index", &env->index }, { "!chunks", &env->chunks } };
    for (size_t i = 0; i < 3 && !rc; i++)
        rc = mdb_dbi_open(txn, fixed[i].name, MDB_CREATE, fixed[i].dbi);
    for (size_t t = 0; t < TABLE_COUNT && !rc; t++) {
        MDB_dbi *dbi = env->dbi + t * (1 + TABLE_INDEXES_MAX);
        rc = mdb_dbi_open(txn, state_tables[t]->name, MDB_CREATE, dbi);
        for (size_t i = 0; i < TABLE_INDEXES_MAX && !rc && state_tables[t]->index[i].name; i++) {
            char name[128];
            snprintf(
                name, sizeof name, "%s.%s", state_tables[t]->name, state_tables[t]->index[i].name);
            rc = mdb_dbi_open(txn, name, MDB_CREATE, dbi + 1 + i);
        }
    }
    if (rc) {
        mdb_txn_abort(txn);
        return error_set(err, ERR_IO, "cannot open the tables of the state: %s", mdb_strerror(rc));
    }
    rc = mdb_txn_commit(txn);
    if (rc) return error_set(err, ERR_IO, "cannot write the state: %s", mdb_strerror(rc));
    return 0;
}

char *state_path(const char *dir, const char *tail)
{
    size_t n = strlen(dir), m = strlen(tail) + 1;
    char *path = xmalloc(n + m);
    memcpy(path, dir, n);
    memcpy(path + n, tail, m);
    return path;
}

static void unlink_in(const char *dir, const char *tail)
{
    char *path = state_path(dir, tail);
    unlink(path);
    free(path);
}

void state_dir_remove(const char *dir)
{
    unlink_in(dir, "/data.mdb");
    unlink_in(dir, "/lock.mdb");
    unlink_in(dir, "/mark");
    unlink_in(dir, "/mark.new");
    rmdir(dir);
}

char *state_dir_temporary(const char *tmp_dir, struct error *err)
{
    const char *base = tmp_dir ? tmp_dir : getenv("TMPDIR");
    char *path = state_path(base && *base ? base : "/tmp", "/consuld-XXXXXX");
    if (mkdtemp(path)) return path;
    error_set(err, ERR_IO, "cannot make a temporary folder %s: %s", path, strerror(errno));
    free(path);
    return NULL;
}

/* LMDB does not tell where its map is. */
static void find_map(struct state_env *env)
{
    MDB_envinfo info;
    struct stat st;
    int fd;
    char line[512];
    FILE *maps = fopen("/proc/self/maps", "re");
    mdb_env_info(env->mdb, &info);
    bool known = mdb_env_get_fd(env->mdb, &fd) == 0 && fstat(fd, &st) == 0;
    while (maps && known && !env->map && fgets(line, sizeof line, maps)) {
        uintptr_t from, to;
        unsigned long inode;
        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %*s %*s %*s %lu", &from, &to, &inode) == 3 &&
            inode == st.st_ino && to - from == info.me_mapsize)
            env->map = (void *)from;
    }
    env->map_size = info.me_mapsize;
    if (maps) fclose(maps);
}

void state_env_forget(const struct state_env *env)
{
    if (env->map) (void)madvise(env->map, env->map_size, MADV_DONTNEED);
}

int state_env_open(
    const char *path, bool unlink_it, uint64_t map_size, struct state_env **out, struct error *err)
{
    struct state_env *env = xcalloc(1, sizeof *env);
    env->refs = 1;
    env->dbi = xcalloc(TABLE_COUNT * (1 + TABLE_INDEXES_MAX), sizeof *env->dbi);
    int code = 0, dead;
    int rc = mdb_env_create(&env->mdb);
    if (!rc) rc = mdb_env_set_mapsize(env->mdb, (size_t)map_size);
    if (!rc) rc = mdb_env_set_maxdbs(env->mdb, DATABASES_MAX);
    if (!rc) rc = mdb_env_set_maxreaders(env->mdb, STORE_READERS_MAX);
    if (!rc) rc = mdb_env_open(env->mdb, path, MDB_NOSYNC | MDB_NOTLS, 0600);
    if (!rc) rc = mdb_reader_check(env->mdb, &dead);
    if (rc)
        code = error_set(err, ERR_IO, "cannot open the state in %s: %s", path, mdb_strerror(rc));
    else
        code = databases_open(env, err);
    if (!code) find_map(env);
    if (unlink_it) state_dir_remove(path);
    if (code) {
        state_env_unref(env);
        return code;
    }
    *out = env;
    return 0;
}

void state_env_unref(struct state_env *env)
{
    if (--env->refs) return;
    if (env->mdb) mdb_env_close(env->mdb);
    free(env->dbi);
    free(env);
}

static int sync_dir(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return -1;
    int rc = fsync(fd);
    close(fd);
    return rc;
}

static int mark_fill(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) return -1;
    size_t n = strlen(text);
    bool ok = write(fd, text, n) == (ssize_t)n && fsync(fd) == 0;
    return close(fd) == 0 && ok ? 0 : -1;
}

/* Begins every mark: a state of another shape is not read. */
static int format_text(char out[MARK_MAX])
{
    uint64_t shape = pack_fingerprint(STATE_VERSION, &type_node_service);
    for (size_t t = 0; t < TABLE_COUNT; t++)
        shape = pack_fingerprint(shape, state_tables[t]->type);
    return snprintf(out, MARK_MAX, "consuld-state %016llx ", (unsigned long long)shape);
}

int state_mark_write(const char *dir, const char *content, struct error *err)
{
    char *path = state_path(dir, "/mark"), *fresh = state_path(dir, "/mark.new");
    char text[MARK_MAX];
    int n = format_text(text);
    snprintf(text + n, sizeof text - (size_t)n, "%.64s\n", content);
    int code = 0;
    if (mark_fill(fresh, text) != 0 || rename(fresh, path) != 0 || sync_dir(dir) != 0)
        code = error_set(err, ERR_IO, "cannot write %s: %s", path, strerror(errno));
    free(path);
    free(fresh);
    return code;
}

static bool mark_read(const char *dir, char out[MARK_MAX])
{
    char *path = state_path(dir, "/mark");
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    free(path);
    if (fd < 0) return false;
    ssize_t n = read(fd, out, MARK_MAX - 1);
    close(fd);
    if (n <= 0 || out[n - 1] != '\n') return false;
    out[n - 1] = 0;
    return true;
}

/* NULL: the state on disk can be trusted. */
static const char *distrust(const char *dir, const char *boot_id)
{
    char mark[MARK_MAX];
    char *path = state_path(dir, "/data.mdb");
    bool there = access(path, F_OK) == 0;
    free(path);
    if (!there) return "there is no state yet";
    if (!mark_read(dir, mark)) return "the state has no mark";
    char format[MARK_MAX];
    int head = format_text(format);
    if (strncmp(mark, format, (size_t)head) != 0) return "the state has another format";
    if (strcmp(mark + head, MARK_CLEAN) == 0 || strcmp(mark + head, boot_id) == 0) return NULL;
    return "the machine went down without a clean stop";
}

/* Without a boot id no crash of the machine can be told from a restart: a random one trusts nothing
 * but the clean mark. */
static char *boot_id_read(void)
{
    char text[64];
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
    if (fd >= 0) close(fd);
    if (n > 0) {
        text[text[n - 1] == '\n' ? n - 1 : n] = 0;
        return xstrdup(text);
    }
    uint8_t bytes[16] = { 0 };
    if (getrandom(bytes, sizeof bytes, 0) < 0)
        log_warn("agent.server.store", "the kernel tells no boot id and gives no random bytes");
    uuid_format(bytes, text);
    return xstrdup(text);
}

static int open_known(struct store *s, struct error *err)
{
    int code = state_env_open(s->dir, false, s->map_size, &s->env, err);
    if (code) return code;
    struct store_read *rd = store_read(s);
    applied_read(&rd->view, &s->applied_index, &s->applied_term);
    if (!store_read_failed(rd, err)) return 0;
    read_forget(s);
    state_env_unref(s->env);
    s->env = NULL;
    s->applied_index = s->applied_term = 0;
    return ERR_IO;
}

static int open_in_dir(struct store *s, struct store_report *report, struct error *err)
{
    if (mkdir(s->dir, 0700) != 0 && errno != EEXIST)
        return error_set(err, ERR_IO, "cannot make %s: %s", s->dir, strerror(errno));
    char *fresh = state_path(s->dir, ".new");
    state_dir_remove(fresh);
    free(fresh);
    report->reason = distrust(s->dir, s->boot_id);
    if (report->reason) {
        unlink_in(s->dir, "/data.mdb");
        unlink_in(s->dir, "/lock.mdb");
    }
    int code = state_mark_write(s->dir, s->boot_id, err);
    if (code) return code;
    code = open_known(s, err);
    if (code && !report->reason) {
        report->reason = "the state cannot be read";
        unlink_in(s->dir, "/data.mdb");
        unlink_in(s->dir, "/lock.mdb");
        code = open_known(s, err);
    }
    return code;
}

static int open_temporary(struct store *s, struct store_report *report, struct error *err)
{
    char *path = state_dir_temporary(s->tmp_dir, err);
    if (!path) return ERR_IO;
    report->reason = "the state is kept in a temporary file";
    int code = state_env_open(path, true, s->map_size, &s->env, err);
    free(path);
    return code;
}

int store_open(const struct store_options *opts, struct store **out, struct store_report *report,
    struct error *err)
{
    struct store *s = xcalloc(1, sizeof *s);
    struct store_report unused, *r = report ? report : &unused;
    *r = (struct store_report){ 0 };
    s->map_size = opts->map_size ? opts->map_size : STORE_MAP_SIZE_DEFAULT;
    s->boot_id = opts->boot_id ? xstrdup(opts->boot_id) : boot_id_read();
    if (opts->tmp_dir) s->tmp_dir = xstrdup(opts->tmp_dir);
    int code;
    if (opts->dir) {
        s->dir = state_path(opts->dir, "/state");
        code = open_in_dir(s, r, err);
    } else {
        code = open_temporary(s, r, err);
    }
    if (code) {
        store_close(s);
        return code;
    }
    r->needs_rebuild = r->reason != NULL;
    *out = s;
    return 0;
}

void store_close(struct store *s)
{
    if (!s) return;
    if (s->batch) store_apply_abort(s->batch);
    read_forget(s);
    watch_deinit(s);
    if (s->env) {
        bool synced = s->dir && mdb_env_sync(s->env->mdb, 1) == 0;
        state_env_unref(s->env);
        struct error err;
        if (synced && state_mark_write(s->dir, MARK_CLEAN, &err) != 0)
            log_warn("agent.server.store", "state keeps no clean mark", "error", err.text);
    }
    free(s->dir);
    free(s->tmp_dir);
    free(s->boot_id);
    free(s);
}

uint64_t store_applied_index(const struct store *s)
{
    return s->applied_index;
}

uint64_t store_applied_term(const struct store *s)
{
    return s->applied_term;
}

struct store_stats store_stats(const struct store *s)
{
    MDB_envinfo info = { 0 };
    MDB_stat stat = { 0 };
    mdb_env_info(s->env->mdb, &info);
    mdb_env_stat(s->env->mdb, &stat);
    return (struct store_stats){
        .watch_sets = s->watch_sets,
        .watch_links = s->watch_links,
        .map_size = info.me_mapsize,
        .map_used = (uint64_t)(info.me_last_pgno + 1) * stat.ms_psize,
        .lock_delays = s->delays.n,
    };
}
