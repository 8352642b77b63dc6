/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "consuld/store_log.h"
#include "consuld/store_snapshot.h"
#include "consuld/wire/json.h"
#include "consuld/wire/msgpack.h"

#define PATH_SIZE 4352
#define PIECE_SIZE ((size_t)1 << 20)
#define SUBSYSTEM "agent.server.snapshot"

DEFINE_RECORD(snapshot_server, SNAPSHOT_SERVER_FIELDS, "Server")
DEFINE_RECORD(snapshot_configuration, SNAPSHOT_CONFIGURATION_FIELDS, "Configuration")
DEFINE_RECORD(snapshot_meta, SNAPSHOT_META_FIELDS, "fileSnapshotMeta")

void snapshot_init(void)
{
    record_init(&record_snapshot_server);
    record_init(&record_snapshot_configuration);
    record_init(&record_snapshot_meta);
}

/* Bits of CRC-64/ECMA from the low end, as the reference's table has them. */
uint64_t snapshot_crc(uint64_t crc, const void *p, size_t n)
{
    static const uint64_t polynomial = UINT64_C(0xc96c5795d7870f42);
    uint64_t table[256];
    const uint8_t *bytes = p;
    for (unsigned i = 0; i < 256; i++) {
        uint64_t v = i;
        for (int bit = 0; bit < 8; bit++)
            v = v & 1 ? v >> 1 ^ polynomial : v >> 1;
        table[i] = v;
    }
    crc = ~crc;
    for (size_t i = 0; i < n; i++)
        crc = table[(uint8_t)crc ^ bytes[i]] ^ crc >> 8;
    return ~crc;
}

static int fail(struct error *err, const char *doing, const char *path, int code)
{
    return error_set(err, ERR_IO, "snapshot: %s %s: %s", doing, path, disk_strerror(code));
}

/* --- writing -------------------------------------------------------------------------------- */

struct file_sink {
    struct snapshot_sink sink;
    struct disk *disk;
    const char *path;
    int fd;
    uint64_t size, crc;
};

static int file_write(struct snapshot_sink *s, const void *p, size_t n, struct error *err)
{
    struct file_sink *f = container_of(s, struct file_sink, sink);
    int code = f->disk->write(f->disk, f->fd, p, n);
    if (code) return fail(err, "writing", f->path, code);
    f->size += n;
    f->crc = snapshot_crc(f->crc, p, n);
    return 0;
}

static void set_peers(struct snapshot_meta *meta, struct arena *a)
{
    struct buf out = BUF_INIT(SNAPSHOT_META_MAX);
    uint32_t voters = 0;
    const struct list *servers = &meta->configuration.servers;
    for (size_t i = 0; i < servers->n; i++)
        voters += LIST_AT(servers, struct snapshot_server, i).suffrage == 0;
    msgpack_put_array(&out, voters);
    for (size_t i = 0; i < servers->n; i++) {
        const struct snapshot_server *s = &LIST_AT(servers, struct snapshot_server, i);
        if (s->suffrage == 0) msgpack_put_str(&out, s->address);
    }
    meta->peers = str_dup(a, buf_str(&out));
    buf_deinit(&out);
}

static void set_sum(struct snapshot_meta *meta, uint64_t size, uint64_t crc, struct arena *a)
{
    uint8_t bytes[8];
    for (size_t i = 8; i-- > 0; crc >>= 8)
        bytes[i] = (uint8_t)crc;
    meta->size = (int64_t)size;
    meta->crc = (struct str){ arena_copy(a, bytes, 8), 8 };
}

static int write_meta(
    struct disk *disk, const char *path, const struct snapshot_meta *meta, struct error *err)
{
    struct buf out = BUF_INIT(SNAPSHOT_META_MAX);
    int fd, code = disk->open(disk, path, O_WRONLY | O_CREAT | O_TRUNC, &fd);
    if (code) return fail(err, "opening", path, code);
    json_encode(&type_snapshot_meta, meta, false, &out);
    buf_put_char(&out, '\n');
    code = disk->write(disk, fd, out.p, out.n);
    if (!code) code = disk->sync(disk, fd);
    close(fd);
    buf_deinit(&out);
    return code ? fail(err, "writing", path, code) : 0;
}

/* Either of the two sources of state.bin. */
struct source {
    struct store_read *rd;
    struct shared_body *state;
};

static int write_body(struct file_sink *f, struct shared_body *state, struct error *err)
{
    int code = 0;
    for (size_t at = 0; at < state->n && !code;) {
        size_t n = state->n - at < PIECE_SIZE ? state->n - at : PIECE_SIZE;
        code = file_write(&f->sink, state->bytes + at, n, err);
        shared_body_passed(state, at += n);
    }
    return code;
}

static int write_state(struct disk *disk, const char *path, const struct source *from,
    struct snapshot_meta *meta, struct arena *a, struct error *err)
{
    struct file_sink f = { .sink.write = file_write, .disk = disk, .path = path };
    int code = disk->open(disk, path, O_WRONLY | O_CREAT | O_TRUNC, &f.fd);
    if (code) return fail(err, "opening", path, code);
    if (from->rd)
        code = snapshot_write(from->rd, &f.sink, err);
    else
        code = write_body(&f, from->state, err);
    if (!code && (code = disk->sync(disk, f.fd))) code = fail(err, "syncing", path, code);
    close(f.fd);
    set_sum(meta, f.size, f.crc, a);
    return code;
}

static void remove_one(struct disk *disk, const char *dir, const char *name)
{
    static const char *const files[] = { "/state.bin", "/meta.json", "" };
    char path[PATH_SIZE + 300];
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        snprintf(path, sizeof path, "%s/%s%s", dir, name, files[i]);
        int code = disk->unlink(disk, path);
        if (code && code != ENOENT)
            log_warn(SUBSYSTEM, "failed to remove", "path", path, "error", disk_strerror(code));
    }
}

static int write_files(struct disk *disk, const char *dir, const char *id,
    const struct source *from, struct snapshot_meta *meta, struct arena *a, struct error *err)
{
    char tmp[PATH_SIZE], path[PATH_SIZE + 16], final[PATH_SIZE];
    snprintf(tmp, sizeof tmp, "%s/%s.tmp", dir, id);
    snprintf(final, sizeof final, "%s/%s", dir, id);
    int code = disk_make_dir(disk, dir);
    if (code) return fail(err, "making", dir, code);
    code = disk->make_dir(disk, tmp);
    if (code) return fail(err, "making", tmp, code);
    snprintf(path, sizeof path, "%s/state.bin", tmp);
    code = write_state(disk, path, from, meta, a, err);
    snprintf(path, sizeof path, "%s/meta.json", tmp);
    if (!code) code = write_meta(disk, path, meta, err);
    if (code) return code;
    code = disk_sync_dir(disk, tmp);
    if (!code) code = disk->rename(disk, tmp, final);
    if (code) return fail(err, "finishing", final, code);
    code = disk_sync_dir(disk, dir);
    if (!code) return 0;
    /* It must not be found as the newest when its writer believes that it failed. */
    int back = disk->rename(disk, final, tmp);
    if (back) log_error(SUBSYSTEM, "a failed snapshot stays", "path", final);
    return fail(err, "finishing", final, code);
}

/* --- finding -------------------------------------------------------------------------------- */

struct found {
    char id[SNAPSHOT_ID_MAX];
    uint64_t term, index;
};

struct found_list {
    struct found v[64];
    size_t n;
};

static bool parse_id(const char *name, struct found *out)
{
    struct str text = str_of(name), term, index, rest;
    uint64_t ms;
    if (text.n >= sizeof out->id || !str_cut(text, '-', &term, &rest)) return false;
    if (!str_cut(rest, '-', &index, &rest)) return false;
    memcpy(out->id, name, text.n + 1);
    return str_to_u64(term, &out->term) && str_to_u64(index, &out->index) && str_to_u64(rest, &ms);
}

static int newest_first(const void *x, const void *y)
{
    const struct found *a = x, *b = y;
    if (a->term != b->term) return a->term > b->term ? -1 : 1;
    if (a->index != b->index) return a->index > b->index ? -1 : 1;
    return -strcmp(a->id, b->id);
}

/* Finished snapshots, newest first; with `disk` the unfinished ones are removed. */
static int list(struct disk *disk, const char *dir, struct found_list *out, struct error *err)
{
    DIR *d = opendir(dir);
    out->n = 0;
    if (!d && errno == ENOENT) return 0;
    if (!d) return fail(err, "reading", dir, errno);
    for (struct dirent *e; (e = readdir(d));) {
        if (disk && str_has_suffix(str_of(e->d_name), STR(".tmp")))
            remove_one(disk, dir, e->d_name);
        if (out->n < sizeof out->v / sizeof out->v[0] && parse_id(e->d_name, &out->v[out->n]))
            out->n++;
    }
    closedir(d);
    if (out->n) qsort(out->v, out->n, sizeof out->v[0], newest_first);
    return 0;
}

static void reap(struct disk *disk, const char *dir)
{
    struct found_list found;
    if (list(NULL, dir, &found, NULL)) return;
    for (size_t i = SNAPSHOTS_KEPT; i < found.n; i++)
        remove_one(disk, dir, found.v[i].id);
}

static int write_snapshot(struct disk *disk, const char *dir, int64_t now_ms,
    const struct source *from, struct snapshot_meta *meta, struct arena *a, struct error *err)
{
    struct found_list unused;
    meta->version = 1;
    meta->id = str_printf(a, "%llu-%llu-%lld", (unsigned long long)meta->term,
        (unsigned long long)meta->index, (long long)now_ms);
    set_peers(meta, a);
    int code = list(disk, dir, &unused, err);
    if (!code) code = write_files(disk, dir, str_c(a, meta->id), from, meta, a, err);
    if (!code) reap(disk, dir);
    return code;
}

int snapshot_file_write(struct disk *disk, const char *dir, int64_t now_ms, struct store_read *rd,
    struct snapshot_meta *meta, struct arena *a, struct error *err)
{
    struct source from = { .rd = rd };
    return write_snapshot(disk, dir, now_ms, &from, meta, a, err);
}

int snapshot_file_store(struct disk *disk, const char *dir, int64_t now_ms,
    struct shared_body *state, struct snapshot_meta *meta, struct arena *a, struct error *err)
{
    struct source from = { .state = state };
    return write_snapshot(disk, dir, now_ms, &from, meta, a, err);
}

/* --- reading -------------------------------------------------------------------------------- */

static int read_meta(
    const char *dir, const char *id, struct arena *a, struct snapshot_meta *meta, struct error *err)
{
    char path[PATH_SIZE];
    char *text = arena_alloc(a, SNAPSHOT_META_MAX);
    snprintf(path, sizeof path, "%s/%s/meta.json", dir, id);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return fail(err, "opening", path, errno);
    ssize_t n = read(fd, text, SNAPSHOT_META_MAX);
    int why = errno;
    close(fd);
    if (n < 0) return fail(err, "reading", path, why);
    memset(meta, 0, sizeof *meta);
    struct error parse = { 0 };
    if (json_decode((struct str){ text, (size_t)n }, a, &type_snapshot_meta, meta,
            JSON_UNKNOWN_IGNORED, &parse))
        return error_set(err, ERR_DECODE, "snapshot: %s: %.400s", path, parse.text);
    if (!str_is(meta->id, id) || meta->size < 0)
        return error_set(err, ERR_DECODE, "snapshot: %s does not describe its folder", path);
    return 0;
}

int snapshot_file_newest(
    const char *dir, struct arena *a, struct snapshot_meta *meta, bool *found, struct error *err)
{
    struct found_list all;
    *found = false;
    int code = list(NULL, dir, &all, err);
    if (code || all.n == 0) return code;
    *found = true;
    return read_meta(dir, all.v[0].id, a, meta, err);
}

static int check_sum(const char *path, struct shared_body *state, const struct snapshot_meta *meta,
    struct error *err)
{
    uint64_t crc = 0;
    for (size_t at = 0; at < state->n;) {
        size_t n = state->n - at < PIECE_SIZE ? state->n - at : PIECE_SIZE;
        crc = snapshot_crc(crc, state->bytes + at, n);
        shared_body_passed(state, at += n);
    }
    bool same = meta->crc.n == 8;
    for (size_t i = 8; same && i-- > 0; crc >>= 8)
        same = (uint8_t)meta->crc.p[i] == (uint8_t)crc;
    return same ? 0 : error_set(err, ERR_DECODE, "snapshot: the sum of %s is wrong", path);
}

int snapshot_file_open(const char *dir, const struct snapshot_meta *meta,
    struct shared_body **state, struct error *err)
{
    char path[PATH_SIZE];
    struct stat st;
    *state = NULL;
    snprintf(path, sizeof path, "%s/%.*s/state.bin", dir, STR_ARG(meta->id));
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return fail(err, "opening", path, errno);
    if (fstat(fd, &st) < 0 || st.st_size != meta->size) {
        close(fd);
        return error_set(err, ERR_DECODE, "snapshot: %s has %lld bytes, not %lld", path,
            (long long)st.st_size, (long long)meta->size);
    }
    struct shared_body *mapped = shared_body_map(fd, (size_t)st.st_size, err);
    close(fd);
    int code = mapped ? check_sum(path, mapped, meta, err) : ERR_IO;
    if (code)
        shared_body_unref(mapped);
    else
        *state = mapped;
    return code;
}
