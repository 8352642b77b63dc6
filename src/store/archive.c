/* SPDX-License-Identifier: Apache-2.0 */
/* The archive of `snapshot save` (fsm.md 15). */
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

#include "archive_tar.h"
#include "consuld/store_log.h"
#include "consuld/store_snapshot.h"
#include "consuld/wire/json.h"

#define GZIP_HEADER 10
#define META "meta.json"
#define STATE "state.bin"
#define SUMS "SHA256SUMS"
#define SUM_SIZE 32
#define SUM_TEXT (2 * SUM_SIZE)
#define SUMS_MAX 4096
#define GZIP_WINDOW (15 + 16)
#define PART 65536

static void sha256(struct str bytes, char text[SUM_TEXT + 1])
{
    unsigned char sum[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    ensure(EVP_Digest(bytes.p ? bytes.p : "", bytes.n, sum, &n, EVP_sha256(), NULL) == 1);
    ensure(n == SUM_SIZE);
    for (size_t i = 0; i < SUM_SIZE; i++)
        snprintf(text + 2 * i, 3, "%02x", sum[i]);
}

/* --- writing -------------------------------------------------------------------------------- */

struct packer {
    z_stream z;
    struct snapshot_sink *sink;
    struct error *err;
    int code;
};

static void pack(struct packer *p, const void *bytes, size_t n, int how)
{
    uint8_t out[PART];
    const uint8_t *at = bytes;
    do {
        size_t part = n < PART ? n : PART;
        p->z.next_in = (Bytef *)(uintptr_t)at;
        p->z.avail_in = (uInt)part;
        at += part;
        n -= part;
        do {
            p->z.next_out = out;
            p->z.avail_out = sizeof out;
            int rc = deflate(&p->z, n == 0 ? how : Z_NO_FLUSH);
            if (!p->code && rc == Z_STREAM_ERROR)
                p->code = error_set(p->err, ERR_INTERNAL, "archive: zlib refused to compress");
            size_t have = sizeof out - p->z.avail_out;
            if (!p->code && have) p->code = p->sink->write(p->sink, out, have, p->err);
        } while (!p->code && p->z.avail_out == 0);
    } while (!p->code && n > 0);
}

static void pack_member(struct packer *p, const char *name, struct str bytes, int64_t mtime)
{
    static const uint8_t zeros[TAR_BLOCK];
    uint8_t header[TAR_BLOCK];
    tar_header(name, bytes.n, mtime, header);
    pack(p, header, sizeof header, Z_NO_FLUSH);
    if (bytes.n) pack(p, bytes.p, bytes.n, Z_NO_FLUSH);
    if (tar_padding(bytes.n)) pack(p, zeros, tar_padding(bytes.n), Z_NO_FLUSH);
}

static void pack_all(struct packer *p, const struct snapshot_meta *meta, struct str state)
{
    static const uint8_t end[2 * TAR_BLOCK];
    struct buf json = BUF_INIT(SNAPSHOT_META_MAX);
    struct snapshot_meta plain = *meta;
    char meta_sum[SUM_TEXT + 1], state_sum[SUM_TEXT + 1], sums[2 * (SUM_TEXT + 16)];
    int64_t now = (int64_t)time(NULL);
    plain.crc = STR_NIL;
    plain.size = (int64_t)state.n;
    json_encode(&type_snapshot_meta, &plain, false, &json);
    buf_put_char(&json, '\n');
    sha256(buf_str(&json), meta_sum);
    sha256(state, state_sum);
    int n = snprintf(sums, sizeof sums, "%s  " META "\n%s  " STATE "\n", meta_sum, state_sum);
    pack_member(p, META, buf_str(&json), now);
    pack_member(p, STATE, state, now);
    pack_member(p, SUMS, (struct str){ sums, (size_t)n }, now);
    pack(p, end, sizeof end, Z_FINISH);
    buf_deinit(&json);
}

int archive_write(const struct snapshot_meta *meta, struct str state, struct snapshot_sink *sink,
    struct error *err)
{
    struct packer p = { .sink = sink, .err = err };
    if (state.n > ARCHIVE_STATE_MAX)
        return error_set(err, ERR_TOO_LARGE, "archive: a state of %zu bytes is too large", state.n);
    if (deflateInit2(&p.z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, GZIP_WINDOW, 8, Z_DEFAULT_STRATEGY))
        return error_set(err, ERR_INTERNAL, "archive: zlib cannot start");
    pack_all(&p, meta, state);
    deflateEnd(&p.z);
    return p.code;
}

/* --- reading -------------------------------------------------------------------------------- */

struct unpacker {
    z_stream z;
    struct str in; /* not given to zlib yet */
    bool end;      /* of the gzip stream */
    struct error *err;
};

/* Up to n bytes; *got is less only at the end of the stream. */
static int unpack_some(struct unpacker *u, void *out, size_t n, size_t *got)
{
    uint8_t *at = out;
    *got = 0;
    while (*got < n && !u->end) {
        size_t want = n - *got < PART ? n - *got : PART;
        if (u->z.avail_in == 0) {
            size_t part = u->in.n < PART ? u->in.n : PART;
            u->z.next_in = (Bytef *)(uintptr_t)u->in.p;
            u->z.avail_in = (uInt)part;
            u->in = str_slice(u->in, part, u->in.n);
        }
        u->z.next_out = at + *got;
        u->z.avail_out = (uInt)want;
        bool starved = u->z.avail_in == 0;
        int rc = inflate(&u->z, Z_NO_FLUSH);
        *got += want - u->z.avail_out;
        if (rc == Z_STREAM_END)
            u->end = true;
        else if (rc == Z_BUF_ERROR && starved)
            return error_set(
                u->err, ERR_DECODE, "failed to read or write snapshot data: unexpected EOF");
        else if (rc != Z_OK)
            return error_set(u->err, ERR_DECODE, "damaged gzip stream: %s",
                u->z.msg ? u->z.msg : "no reason given");
    }
    return 0;
}

static int unpack(struct unpacker *u, void *out, size_t n)
{
    size_t got;
    int code = unpack_some(u, out, n, &got);
    if (code || got == n) return code;
    return error_set(u->err, ERR_DECODE, "unexpected end of the tar stream");
}

/* A member's bytes: memory, or the file, grows with what arrives, not with what the header claims.
 */
static int unpack_member(
    struct unpacker *u, const struct tar_member *m, size_t max, struct buf *out, int fd)
{
    struct disk *disk = disk_system();
    uint8_t pad[TAR_BLOCK];
    out->max = fd < 0 ? max : PART;
    if (m->size > max)
        return error_set(u->err, ERR_TOO_LARGE, "\"%s\" has %llu bytes, %zu are allowed", m->name,
            (unsigned long long)m->size, max);
    for (uint64_t left = m->size; left > 0;) {
        size_t part = left < PART ? (size_t)left : PART;
        uint8_t *p = buf_reserve(out, part);
        ensure(p != NULL);
        int code = unpack(u, p, part);
        if (code) return code;
        out->n += part;
        left -= part;
        if (fd < 0) continue;
        code = disk->write(disk, fd, out->p, out->n);
        buf_clear(out);
        if (code)
            return error_set(u->err, ERR_IO, "cannot write a snapshot: %s", disk_strerror(code));
    }
    return unpack(u, pad, tar_padding(m->size));
}

struct members {
    struct buf meta, state, sums;
    bool has_meta, has_state, has_sums;
    int fd; /* the state goes there; -1: to memory */
    uint64_t state_n;
    struct shared_body *body; /* the state when it is whole */
};

static int take_member(struct unpacker *u, const struct tar_member *m, struct members *all)
{
    const struct {
        const char *name;
        struct buf *to;
        bool *has;
        size_t max;
    } rows[] = {
        { META, &all->meta, &all->has_meta, SNAPSHOT_META_MAX },
        { STATE, &all->state, &all->has_state, ARCHIVE_STATE_MAX },
        { SUMS, &all->sums, &all->has_sums, SUMS_MAX },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (strcmp(rows[i].name, m->name) != 0) continue;
        if (*rows[i].has) return error_set(u->err, ERR_DECODE, "\"%s\" is there twice", m->name);
        *rows[i].has = true;
        bool state = rows[i].to == &all->state;
        if (state) all->state_n = m->size;
        return unpack_member(u, m, rows[i].max, rows[i].to, state ? all->fd : -1);
    }
    return error_set(u->err, ERR_DECODE, "unexpected file \"%s\" in snapshot", m->name);
}

static int take_all(struct unpacker *u, struct members *all)
{
    uint8_t block[TAR_BLOCK];
    struct tar_member m;
    size_t got;
    for (;;) {
        int code = unpack(u, block, sizeof block);
        if (code) return code;
        code = tar_parse(block, &m, u->err);
        if (code < 0) return code;
        if (code == 0) break;
        code = take_member(u, &m, all);
        if (code) return code;
    }
    int code = unpack(u, block, sizeof block);
    if (code) return code;
    if (tar_parse(block, &m, u->err) != 0)
        return error_set(u->err, ERR_DECODE, "damaged end of the tar stream");
    code = unpack_some(u, block, 1, &got);
    if (!code && got)
        code = error_set(u->err, ERR_DECODE, "bytes follow the end of the tar stream");
    return code;
}

/* One line of SHA256SUMS; *name is what it is for. */
static bool cut_sum(struct str *rest, struct str *sum, struct str *name)
{
    struct str line;
    str_cut(*rest, '\n', &line, rest);
    if (line.n < SUM_TEXT + 3 || line.p[SUM_TEXT] != ' ' || line.p[SUM_TEXT + 1] != ' ')
        return false;
    *sum = str_slice(line, 0, SUM_TEXT);
    *name = str_slice(line, SUM_TEXT + 2, line.n);
    return true;
}

static int check_sums(const struct members *all, struct error *err)
{
    struct str rest = buf_str(&all->sums), sum, name;
    char meta[SUM_TEXT + 1], state[SUM_TEXT + 1];
    bool meta_ok = false, state_ok = false;
    sha256(buf_str(&all->meta), meta);
    sha256(shared_body_str(all->body), state);
    while (rest.n > 0) {
        if (!cut_sum(&rest, &sum, &name))
            return error_set(err, ERR_DECODE, "malformed line in " SUMS);
        bool is_meta = str_is(name, META);
        if (!is_meta && !str_is(name, STATE))
            return error_set(err, ERR_DECODE, "a sum for an unknown file \"%.*s\"", STR_ARG(name));
        if (!str_is(sum, is_meta ? meta : state))
            return error_set(err, ERR_DECODE, "hash check failed for \"%.*s\"", STR_ARG(name));
        *(is_meta ? &meta_ok : &state_ok) = true;
    }
    if (!meta_ok || !state_ok)
        return error_set(err, ERR_DECODE, "no sum for %s", meta_ok ? STATE : META);
    return 0;
}

static int check_members(
    const struct members *all, struct arena *a, struct snapshot_meta *meta, struct error *err)
{
    struct error why = { 0 };
    if (!all->has_meta || !all->has_state || !all->has_sums)
        return error_set(err, ERR_DECODE, "%s is missing",
            !all->has_meta    ? META
            : !all->has_state ? STATE
                              : SUMS);
    int code = check_sums(all, err);
    if (code) return code;
    memset(meta, 0, sizeof *meta);
    struct str text = str_dup(a, buf_str(&all->meta));
    if (json_decode(text, a, &type_snapshot_meta, meta, JSON_UNKNOWN_IGNORED, &why))
        return error_set(err, ERR_DECODE, "" META ": %.400s", why.text);
    if (meta->size < 0 || (uint64_t)meta->size != all->body->n)
        return error_set(err, ERR_DECODE, "" STATE " has %zu bytes, " META " says %lld",
            all->body->n, (long long)meta->size);
    return 0;
}

static const char *header_fault(struct str bytes)
{
    static const char magic[] = { 0x1f, (char)0x8b, 8 };
    if (bytes.n == 0) return "EOF";
    if (bytes.n < GZIP_HEADER) return "unexpected EOF";
    return memcmp(bytes.p, magic, sizeof magic) == 0 ? NULL : "gzip: invalid header";
}

static int whole_state(struct members *all, struct error *err)
{
    if (all->fd < 0) {
        all->body = shared_body_take(&all->state);
    } else {
        all->body = shared_body_map(all->fd, (size_t)all->state_n, err);
    }
    return all->body ? 0 : ERR_IO;
}

int archive_read(struct str bytes, const char *dir, struct arena *a, struct snapshot_meta *meta,
    struct shared_body **state, struct error *err)
{
    struct unpacker u = { .in = bytes, .err = err };
    struct members all = { .fd = -1 };
    *state = NULL;
    const char *why = header_fault(bytes);
    if (why) return error_set(err, ERR_DECODE, "failed to decompress snapshot: %s", why);
    if (inflateInit2(&u.z, GZIP_WINDOW)) return error_set(err, ERR_INTERNAL, "zlib cannot start");
    int code = dir ? file_without_name(dir, &all.fd, err) : 0;
    if (!code) code = take_all(&u, &all);
    inflateEnd(&u.z);
    if (!code) code = whole_state(&all, err);
    if (!code) code = check_members(&all, a, meta, err);
    if (code)
        error_prefix(err, "failed to read snapshot file: ");
    else
        *state = shared_body_ref(all.body);
    shared_body_unref(all.body);
    if (all.fd >= 0) close(all.fd);
    buf_deinit(&all.meta);
    buf_deinit(&all.state);
    buf_deinit(&all.sums);
    return code;
}
