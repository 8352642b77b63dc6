/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "raft_log.h"

#define ENTRY_HEAD 24
#define ENTRY_INLINE_MAX 1900 /* head and body stay below half a page: no overflow page */
#define CHUNK_SIZE 4080       /* with LMDB's 16 bytes exactly one page */

enum { FLAG_CHUNKED = 1, FLAG_DATA_NIL = 2, FLAG_EXTENSIONS_NIL = 4 };

#define KEY_FORMAT "format"
#define KEY_START "start"
#define KEY_CONTINUES "continues"
#define KEY_STABLE "stable"
#define FORMAT_VERSION 1

static void put_be(uint8_t *p, uint64_t v, size_t n)
{
    for (size_t i = n; i-- > 0; v >>= 8)
        p[i] = (uint8_t)v;
}

static uint64_t get_be(const uint8_t *p, size_t n)
{
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++)
        v = v << 8 | p[i];
    return v;
}

static MDB_val val(const void *p, size_t n)
{
    MDB_val v;
    v.mv_data = (void *)(uintptr_t)p;
    v.mv_size = n;
    return v;
}

static MDB_val val_c(const char *c)
{
    return val(c, strlen(c));
}

static int fail(struct error *err, const struct generation *g, const char *what, int code)
{
    return error_set(err, ERR_IO, "raft log: %s %s: %s", what, g->path, disk_strerror(code));
}

void generation_path(struct generation *g, const char *dir, uint64_t number)
{
    g->number = number;
    g->dir_n = strlen(dir);
    ensure(g->dir_n < LOG_PATH_MAX - 32);
    snprintf(g->path, sizeof g->path, "%s/" LOG_WHOLE "%llu", dir, (unsigned long long)number);
    snprintf(g->part, sizeof g->part, "%s/" LOG_PART "%llu", dir, (unsigned long long)number);
}

static int open_tables(struct generation *g, MDB_txn *txn, unsigned flags)
{
    int code = mdb_dbi_open(txn, "meta", flags, &g->meta);
    if (!code) code = mdb_dbi_open(txn, "entries", flags, &g->entries);
    if (!code) code = mdb_dbi_open(txn, "chunks", flags, &g->chunks);
    return code;
}

/* A shortened file would end the process when its missing pages are touched. */
static int check_size(const struct generation *g, struct error *err)
{
    char file[LOG_PATH_MAX + 16];
    MDB_envinfo info;
    MDB_stat pages;
    struct stat st;
    snprintf(file, sizeof file, "%s/data.mdb", g->path);
    mdb_env_info(g->env, &info);
    mdb_env_stat(g->env, &pages);
    if (stat(file, &st) < 0)
        return error_set(err, ERR_IO, "raft log: %s: %s", file, strerror(errno));
    uint64_t need = (info.me_last_pgno + 1) * (uint64_t)pages.ms_psize;
    if ((uint64_t)st.st_size >= need) return 0;
    return error_set(err, ERR_IO, "raft log: %s is cut off: it has %llu bytes and refers to %llu",
        file, (unsigned long long)st.st_size, (unsigned long long)need);
}

static int open_env(struct generation *g, struct disk *disk, const char *path, size_t map_size)
{
    int dead, code = mdb_env_create(&g->env);
    if (code) g->env = NULL;
    if (!code) code = mdb_env_set_mapsize(g->env, map_size);
    if (!code) code = mdb_env_set_maxdbs(g->env, 4);
    if (!code) code = disk->env_open(disk, g->env, path, MDB_NOTLS);
    if (!code) code = mdb_reader_check(g->env, &dead);
    return code;
}

int generation_open(struct generation *g, struct disk *disk, size_t map_size, struct error *err)
{
    MDB_txn *txn;
    int code = open_env(g, disk, g->path, map_size);
    if (!code && check_size(g, err)) {
        generation_close(g);
        return ERR_IO;
    }
    if (!code) code = mdb_txn_begin(g->env, NULL, MDB_RDONLY, &txn);
    if (!code) {
        code = open_tables(g, txn, 0);
        if (code)
            mdb_txn_abort(txn);
        else
            code = mdb_txn_commit(txn); /* that keeps the handles */
    }
    if (!code) return 0;
    generation_close(g);
    return fail(err, g, "opening", code);
}

void generation_close(struct generation *g)
{
    if (g->env) mdb_env_close(g->env);
    g->env = NULL;
}

bool generation_usable(const struct generation *g)
{
    MDB_txn *txn;
    if (!g->env || mdb_txn_begin(g->env, NULL, MDB_RDONLY, &txn)) return false;
    mdb_txn_abort(txn);
    return true;
}

static int load_stable(MDB_txn *txn, struct generation *g, struct log_stable *s, struct error *err)
{
    MDB_val key = val_c(KEY_STABLE), v;
    int code = mdb_get(txn, g->meta, &key, &v);
    memset(s, 0, sizeof *s);
    if (code == MDB_NOTFOUND) return 0;
    if (code) return fail(err, g, "reading the vote in", code);
    if (v.mv_size < 16 || v.mv_size > 16 + LOG_VOTE_MAX)
        return error_set(err, ERR_IO, "raft log: the vote in %s has %zu bytes", g->path, v.mv_size);
    const uint8_t *p = v.mv_data;
    s->term = get_be(p, 8);
    s->vote_term = get_be(p + 8, 8);
    s->vote_n = v.mv_size - 16;
    memcpy(s->vote, p + 16, s->vote_n);
    return 0;
}

static int meta_number(
    MDB_txn *txn, struct generation *g, const char *name, uint64_t *out, struct error *err)
{
    MDB_val key = val_c(name), v;
    int code = mdb_get(txn, g->meta, &key, &v);
    if (code == MDB_NOTFOUND)
        return error_set(err, ERR_IO, "raft log: %s holds no \"%s\"", g->path, name);
    if (code) return fail(err, g, "reading", code);
    if (v.mv_size != 8)
        return error_set(err, ERR_IO, "raft log: \"%s\" in %s is damaged", name, g->path);
    *out = get_be(v.mv_data, 8);
    return 0;
}

static int load_range(MDB_txn *txn, struct generation *g, struct error *err)
{
    MDB_cursor *c;
    MDB_stat stat;
    MDB_val first, last, v;
    int code = mdb_stat(txn, g->entries, &stat);
    if (code) return fail(err, g, "reading", code);
    g->disk_first = g->disk_last = 0;
    if (stat.ms_entries == 0) return 0;
    code = mdb_cursor_open(txn, g->entries, &c);
    if (code) return fail(err, g, "reading", code);
    code = mdb_cursor_get(c, &first, &v, MDB_FIRST);
    if (!code && first.mv_size == 8) g->disk_first = get_be(first.mv_data, 8);
    if (!code) code = mdb_cursor_get(c, &last, &v, MDB_LAST);
    if (!code && last.mv_size == 8) g->disk_last = get_be(last.mv_data, 8);
    mdb_cursor_close(c);
    if (code) return fail(err, g, "reading", code);
    if (g->disk_first == 0 || g->disk_last - g->disk_first + 1 != stat.ms_entries)
        return error_set(err, ERR_IO, "raft log: %s holds %zu entries between %llu and %llu",
            g->path, stat.ms_entries, (unsigned long long)g->disk_first,
            (unsigned long long)g->disk_last);
    if (g->disk_first != g->start)
        return error_set(err, ERR_IO, "raft log: %s should start at entry %llu, but does at %llu",
            g->path, (unsigned long long)g->start, (unsigned long long)g->disk_first);
    return 0;
}

int generation_load(struct generation *g, struct log_stable *stable, struct error *err)
{
    MDB_txn *txn;
    uint64_t format = 0, continues = 0;
    int code = mdb_txn_begin(g->env, NULL, MDB_RDONLY, &txn);
    if (code) return fail(err, g, "reading", code);
    code = meta_number(txn, g, KEY_FORMAT, &format, err);
    if (!code && format != FORMAT_VERSION)
        code = error_set(err, ERR_IO, "raft log: %s has format %llu, this program reads %d",
            g->path, (unsigned long long)format, FORMAT_VERSION);
    if (!code) code = meta_number(txn, g, KEY_START, &g->start, err);
    if (!code) code = meta_number(txn, g, KEY_CONTINUES, &continues, err);
    g->continues = continues != 0;
    if (!code) code = load_range(txn, g, err);
    if (!code) code = load_stable(txn, g, stable, err);
    mdb_txn_abort(txn);
    return code;
}

/* --- entries -------------------------------------------------------------------------------- */

static uint32_t entry_sum(const uint8_t *head, const uint8_t *body, size_t n)
{
    uLong sum = crc32(0, head, ENTRY_HEAD - 4);
    if (n) sum = crc32_z(sum, body, n);
    return (uint32_t)sum;
}

static void entry_head(const struct log_cached *c, size_t body_n, uint8_t head[ENTRY_HEAD])
{
    const struct log_entry *e = &c->entry;
    uint8_t flags = 0;
    if (body_n > ENTRY_INLINE_MAX) flags |= FLAG_CHUNKED;
    if (!e->data.p) flags |= FLAG_DATA_NIL;
    if (!e->extensions.p) flags |= FLAG_EXTENSIONS_NIL;
    memset(head, 0, ENTRY_HEAD);
    put_be(head, e->term, 8);
    head[8] = e->type;
    head[9] = flags;
    put_be(head + 12, e->extensions.n, 4);
    put_be(head + 16, e->data.n, 4);
    put_be(head + 20, entry_sum(head, c->bytes, body_n), 4);
}

static int put_chunks(
    MDB_txn *txn, struct generation *g, const uint8_t key8[8], const uint8_t *body, size_t n)
{
    uint8_t key12[12];
    uint32_t seq = 0;
    memcpy(key12, key8, 8);
    for (size_t at = 0; at < n; seq++) {
        size_t part = n - at < CHUNK_SIZE ? n - at : CHUNK_SIZE;
        put_be(key12 + 8, seq, 4);
        MDB_val key = val(key12, 12), v = val(body + at, part);
        int code = mdb_put(txn, g->chunks, &key, &v, MDB_APPEND);
        if (code) return code;
        at += part;
    }
    return 0;
}

static int put_entry(MDB_txn *txn, struct generation *g, const struct log_cached *c)
{
    uint8_t value[ENTRY_HEAD + ENTRY_INLINE_MAX], key8[8];
    size_t body_n = log_entry_bytes(&c->entry), n = ENTRY_HEAD;
    put_be(key8, c->entry.index, 8);
    entry_head(c, body_n, value);
    int code = 0;
    if (body_n > ENTRY_INLINE_MAX) {
        code = put_chunks(txn, g, key8, c->bytes, body_n);
    } else {
        memcpy(value + n, c->bytes, body_n);
        n += body_n;
    }
    MDB_val key = val(key8, 8), v = val(value, n);
    if (!code) code = mdb_put(txn, g->entries, &key, &v, MDB_APPEND);
    return code;
}

static int delete_keys(MDB_txn *txn, MDB_dbi dbi, uint64_t from)
{
    MDB_cursor *c;
    MDB_val key, v;
    int code = mdb_cursor_open(txn, dbi, &c);
    if (code) return code;
    while ((code = mdb_cursor_get(c, &key, &v, MDB_LAST)) == 0) {
        if (key.mv_size < 8 || get_be(key.mv_data, 8) < from) break;
        code = mdb_cursor_del(c, 0);
        if (code) break;
    }
    mdb_cursor_close(c);
    return code == MDB_NOTFOUND ? 0 : code;
}

static int put_meta(MDB_txn *txn, struct generation *g, const char *name, uint64_t number)
{
    uint8_t bytes[8];
    put_be(bytes, number, 8);
    MDB_val key = val_c(name), v = val(bytes, 8);
    return mdb_put(txn, g->meta, &key, &v, 0);
}

static int put_stable(MDB_txn *txn, struct generation *g, const struct log_stable *s)
{
    uint8_t bytes[16 + LOG_VOTE_MAX];
    put_be(bytes, s->term, 8);
    put_be(bytes + 8, s->vote_term, 8);
    memcpy(bytes + 16, s->vote, s->vote_n);
    MDB_val key = val_c(KEY_STABLE), v = val(bytes, 16 + s->vote_n);
    return mdb_put(txn, g->meta, &key, &v, 0);
}

static int put_change(MDB_txn *txn, struct generation *g, const struct log_commit *c)
{
    int code = put_meta(txn, g, KEY_START, c->start);
    if (!code && c->delete_from && !c->create) {
        code = delete_keys(txn, g->entries, c->delete_from);
        if (!code) code = delete_keys(txn, g->chunks, c->delete_from);
    }
    for (size_t i = 0; !code && i < c->n; i++)
        code = put_entry(txn, g, c->entries[i]);
    if (!code && c->stable) code = put_stable(txn, g, c->stable);
    return code;
}

static int put_first(MDB_txn *txn, struct generation *g, const struct log_commit *c)
{
    int code = open_tables(g, txn, MDB_CREATE);
    if (!code) code = put_meta(txn, g, KEY_FORMAT, FORMAT_VERSION);
    if (!code) code = put_meta(txn, g, KEY_CONTINUES, c->continues);
    return code ? code : put_change(txn, g, c);
}

static int commit(struct generation *g, struct disk *disk, const struct log_commit *c)
{
    MDB_txn *txn;
    int code = mdb_txn_begin(g->env, NULL, 0, &txn);
    if (code) return code;
    code = c->create ? put_first(txn, g, c) : put_change(txn, g, c);
    if (!code) return disk->commit(disk, txn);
    mdb_txn_abort(txn);
    return code;
}

int generation_commit(
    struct generation *g, struct disk *disk, const struct log_commit *c, struct error *err)
{
    int code = commit(g, disk, c);
    return code ? fail(err, g, "writing", code) : 0;
}

static int sync_parent(const struct generation *g, struct disk *disk)
{
    char dir[LOG_PATH_MAX];
    snprintf(dir, sizeof dir, "%.*s", (int)g->dir_n, g->path);
    return disk_sync_dir(disk, dir);
}

int generation_create(struct generation *g, struct disk *disk, size_t map_size,
    const struct log_commit *c, struct error *err)
{
    int code = generation_remove(g, disk, err); /* what an attempt that failed has left */
    if (code) return code;
    code = disk->make_dir(disk, g->part);
    if (!code) code = open_env(g, disk, g->part, map_size);
    if (!code) code = commit(g, disk, c);
    generation_close(g);
    if (!code) code = disk_sync_dir(disk, g->part);
    if (!code) code = disk->rename(disk, g->part, g->path);
    if (!code) code = sync_parent(g, disk);
    return code ? fail(err, g, "making", code) : generation_open(g, disk, map_size, err);
}

static int read_body(MDB_txn *txn, struct generation *g, uint64_t index, uint8_t *body, size_t n)
{
    uint8_t key12[12];
    uint32_t seq = 0;
    put_be(key12, index, 8);
    for (size_t at = 0; at < n; seq++) {
        put_be(key12 + 8, seq, 4);
        MDB_val key = val(key12, 12), v;
        size_t part = n - at < CHUNK_SIZE ? n - at : CHUNK_SIZE;
        int code = mdb_get(txn, g->chunks, &key, &v);
        if (code) return code;
        if (v.mv_size != part) return MDB_CORRUPTED;
        memcpy(body + at, v.mv_data, part);
        at += part;
    }
    return 0;
}

static int decode_entry(
    MDB_txn *txn, struct generation *g, MDB_val v, struct arena *a, struct log_entry *out)
{
    const uint8_t *head = v.mv_data;
    if (v.mv_size < ENTRY_HEAD) return MDB_CORRUPTED;
    out->term = get_be(head, 8);
    out->type = head[8];
    uint8_t flags = head[9];
    size_t ext_n = get_be(head + 12, 4), data_n = get_be(head + 16, 4), n = ext_n + data_n;
    if (n > (size_t)LOG_ENTRY_MAX * 2) return MDB_CORRUPTED;
    if (!(flags & FLAG_CHUNKED) && v.mv_size != ENTRY_HEAD + n) return MDB_CORRUPTED;
    out->extensions = (struct str){ NULL, ext_n };
    out->data = (struct str){ NULL, data_n };
    if (!a) return 0;
    char *body = arena_alloc(a, n + 1);
    int code = 0;
    if (flags & FLAG_CHUNKED)
        code = read_body(txn, g, out->index, (uint8_t *)body, n);
    else
        memcpy(body, head + ENTRY_HEAD, n);
    if (code) return code == MDB_NOTFOUND ? MDB_CORRUPTED : code;
    if (entry_sum(head, (uint8_t *)body, n) != get_be(head + 20, 4)) return MDB_CORRUPTED;
    out->extensions.p = flags & FLAG_EXTENSIONS_NIL ? NULL : body;
    out->data.p = flags & FLAG_DATA_NIL ? NULL : body + ext_n;
    return 0;
}

int generation_read(
    struct generation *g, uint64_t index, struct arena *a, struct log_entry *out, struct error *err)
{
    MDB_txn *txn;
    uint8_t key8[8];
    int code = mdb_txn_begin(g->env, NULL, MDB_RDONLY, &txn);
    if (code) return fail(err, g, "reading", code);
    put_be(key8, index, 8);
    MDB_val key = val(key8, 8), v;
    memset(out, 0, sizeof *out);
    out->index = index;
    code = mdb_get(txn, g->entries, &key, &v);
    if (code == 0) code = decode_entry(txn, g, v, a, out);
    mdb_txn_abort(txn);
    if (code == 0) return 0;
    if (code == MDB_NOTFOUND)
        return error_set(err, ERR_IO, "raft log: entry %llu is missing in %s",
            (unsigned long long)index, g->path);
    if (code == MDB_CORRUPTED)
        return error_set(err, ERR_IO, "raft log: entry %llu in %s is damaged",
            (unsigned long long)index, g->path);
    return fail(err, g, "reading", code);
}

int generation_remove_part(const struct generation *g, struct disk *disk, struct error *err)
{
    static const char *const files[] = { "/data.mdb", "/lock.mdb", "" };
    char path[LOG_PATH_MAX + 16];
    int code = 0;
    for (size_t i = 0; !code && i < sizeof files / sizeof files[0]; i++) {
        snprintf(path, sizeof path, "%s%s", g->part, files[i]);
        code = disk->unlink(disk, path);
        if (code == ENOENT) code = 0;
    }
    return code ? fail(err, g, "unlinking", code) : 0;
}

int generation_remove(const struct generation *g, struct disk *disk, struct error *err)
{
    int code = access(g->path, F_OK) ? 0 : disk->rename(disk, g->path, g->part);
    if (!code) code = sync_parent(g, disk);
    return code ? fail(err, g, "unlinking", code) : generation_remove_part(g, disk, err);
}
