/* SPDX-License-Identifier: Apache-2.0 */
/* The archive of `snapshot save` (fsm.md 15). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

#include "archive_tar.h"
#include "consuld/base/digest.h"
#include "consuld/store_log.h"
#include "consuld/store_snapshot.h"
#include "consuld/wire/json.h"

#define GZIP_HEADER 10
#define META "meta.json"
#define STATE "state.bin"
#define SUMS "SHA256SUMS"
#define SUM_SIZE DIGEST_SIZE
#define SUM_TEXT (2 * SUM_SIZE)
#define SUMS_MAX 4096
#define GZIP_WINDOW (15 + 16)
#define PART 65536

/* The sum of a member, and its text. */
struct sum {
    const struct digest *digest;
    void *running;
    char text[SUM_TEXT + 1];
};

static void sum_begin(struct sum *s, const struct digest *digest)
{
    s->digest = digest;
    s->running = digest->begin();
}

static void sum_end(struct sum *s)
{
    uint8_t bytes[SUM_SIZE];
    s->digest->end(s->running, bytes);
    for (size_t i = 0; i < SUM_SIZE; i++)
        snprintf(s->text + 2 * i, 3, "%02x", bytes[i]);
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

/* Sums it on the way, if there is a sum. */
static void pack_member(
    struct packer *p, const char *name, struct shared_body *from, int64_t mtime, struct sum *sum)
{
    static const uint8_t zeros[TAR_BLOCK];
    struct str bytes = shared_body_str(from);
    uint8_t header[TAR_BLOCK];
    tar_header(name, bytes.n, mtime, header);
    pack(p, header, sizeof header, Z_NO_FLUSH);
    for (size_t at = 0; at < bytes.n && !p->code;) {
        struct str part = str_slice(bytes, at, bytes.n - at < PART ? bytes.n : at + PART);
        if (sum) sum->digest->add(sum->running, part);
        pack(p, part.p, part.n, Z_NO_FLUSH);
        at += part.n;
        shared_body_passed(from, at);
    }
    if (tar_padding(bytes.n)) pack(p, zeros, tar_padding(bytes.n), Z_NO_FLUSH);
}

static void pack_summed(struct packer *p, const char *name, struct shared_body *from, int64_t mtime,
    const struct digest *digest, struct buf *sums)
{
    struct sum sum;
    sum_begin(&sum, digest);
    pack_member(p, name, from, mtime, &sum);
    sum_end(&sum);
    buf_printf(sums, "%s  %s\n", sum.text, name);
}

static void pack_all(struct packer *p, const struct snapshot_meta *meta, struct shared_body *state,
    const struct digest *digest)
{
    static const uint8_t end[2 * TAR_BLOCK];
    struct buf json = BUF_INIT(SNAPSHOT_META_MAX), sums = BUF_INIT(SUMS_MAX);
    struct snapshot_meta plain = *meta;
    int64_t now = (int64_t)time(NULL);
    plain.crc = STR_NIL;
    plain.size = (int64_t)state->n;
    json_encode(&type_snapshot_meta, &plain, false, &json);
    buf_put_char(&json, '\n');
    struct shared_body text = shared_body_view(buf_str(&json));
    pack_summed(p, META, &text, now, digest, &sums);
    pack_summed(p, STATE, state, now, digest, &sums);
    text = shared_body_view(buf_str(&sums));
    pack_member(p, SUMS, &text, now, NULL);
    pack(p, end, sizeof end, Z_FINISH);
    buf_deinit(&json);
    buf_deinit(&sums);
}

int archive_write(const struct snapshot_meta *meta, struct shared_body *state,
    const struct digest *digest, struct snapshot_sink *sink, struct error *err)
{
    struct packer p = { .sink = sink, .err = err };
    if (state->n > ARCHIVE_STATE_MAX)
        return error_set(
            err, ERR_TOO_LARGE, "archive: a state of %zu bytes is too large", state->n);
    if (deflateInit2(&p.z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, GZIP_WINDOW, 8, Z_DEFAULT_STRATEGY))
        return error_set(err, ERR_INTERNAL, "archive: zlib cannot start");
    pack_all(&p, meta, state, digest);
    deflateEnd(&p.z);
    return p.code;
}

/* --- reading -------------------------------------------------------------------------------- */

struct unpacker {
    z_stream z;
    struct shared_body *archive;
    size_t at; /* what was given to zlib */
    bool end;  /* of the gzip stream */
    const struct digest *digest;
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
            size_t left = u->archive->n - u->at, part = left < PART ? left : PART;
            shared_body_passed(u->archive, u->at);
            u->z.next_in = (Bytef *)(uintptr_t)(u->archive->bytes + u->at);
            u->z.avail_in = (uInt)part;
            u->at += part;
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

struct member {
    const char *name;
    size_t max;
    int fd; /* its bytes go there; MEMORY, NOWHERE */
    bool there;
    uint64_t size;
    struct buf bytes;
    struct sum sum;
};

enum { MEMORY = -1, NOWHERE = -2 };
enum { MEMBER_META, MEMBER_STATE, MEMBER_SUMS, MEMBERS };

/* Memory, or the file, grows with what arrives, not with what the header claims. */
static int unpack_bytes(struct unpacker *u, struct member *to)
{
    struct disk *disk = disk_system();
    struct buf *out = &to->bytes;
    out->max = to->fd == MEMORY ? to->max : PART;
    for (uint64_t left = to->size; left > 0;) {
        size_t part = left < PART ? (size_t)left : PART;
        uint8_t *p = buf_reserve(out, part);
        ensure(p != NULL);
        int code = unpack(u, p, part);
        if (code) return code;
        u->digest->add(to->sum.running, (struct str){ (char *)p, part });
        out->n += part;
        left -= part;
        if (to->fd == MEMORY) continue;
        if (to->fd != NOWHERE) code = disk->write(disk, to->fd, out->p, out->n);
        buf_clear(out);
        if (code)
            return error_set(u->err, ERR_IO, "cannot write a snapshot: %s", disk_strerror(code));
    }
    return 0;
}

static int unpack_member(struct unpacker *u, const struct tar_member *m, struct member *to)
{
    uint8_t pad[TAR_BLOCK];
    if (to->there) return error_set(u->err, ERR_DECODE, "\"%s\" is there twice", m->name);
    to->there = true;
    to->size = m->size;
    if (m->size > to->max)
        return error_set(u->err, ERR_TOO_LARGE, "\"%s\" has %llu bytes, %zu are allowed", m->name,
            (unsigned long long)m->size, to->max);
    sum_begin(&to->sum, u->digest);
    int code = unpack_bytes(u, to);
    sum_end(&to->sum);
    return code ? code : unpack(u, pad, tar_padding(m->size));
}

static int take_member(struct unpacker *u, const struct tar_member *m, struct member *all)
{
    for (size_t i = 0; i < MEMBERS; i++)
        if (strcmp(all[i].name, m->name) == 0) return unpack_member(u, m, &all[i]);
    return error_set(u->err, ERR_DECODE, "unexpected file \"%s\" in snapshot", m->name);
}

static int take_all(struct unpacker *u, struct member *all)
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

static int check_sums(const struct member *all, struct error *err)
{
    struct str rest = buf_str(&all[MEMBER_SUMS].bytes), sum, name;
    bool ok[] = { false, false };
    while (rest.n > 0) {
        if (!cut_sum(&rest, &sum, &name))
            return error_set(err, ERR_DECODE, "malformed line in " SUMS);
        size_t i = str_is(name, META) ? MEMBER_META : MEMBER_STATE;
        if (!str_is(name, all[i].name))
            return error_set(err, ERR_DECODE, "a sum for an unknown file \"%.*s\"", STR_ARG(name));
        if (!str_is(sum, all[i].sum.text))
            return error_set(err, ERR_DECODE, "hash check failed for \"%.*s\"", STR_ARG(name));
        ok[i] = true;
    }
    if (!ok[MEMBER_META] || !ok[MEMBER_STATE])
        return error_set(err, ERR_DECODE, "no sum for %s", ok[MEMBER_META] ? STATE : META);
    return 0;
}

static int check_members(
    const struct member *all, struct arena *a, struct snapshot_meta *meta, struct error *err)
{
    struct error why = { 0 };
    for (size_t i = 0; i < MEMBERS; i++)
        if (!all[i].there) return error_set(err, ERR_DECODE, "%s is missing", all[i].name);
    int code = check_sums(all, err);
    if (code) return code;
    memset(meta, 0, sizeof *meta);
    struct str text = str_dup(a, buf_str(&all[MEMBER_META].bytes));
    if (json_decode(text, a, &type_snapshot_meta, meta, JSON_UNKNOWN_IGNORED, &why))
        return error_set(err, ERR_DECODE, "" META ": %.400s", why.text);
    uint64_t size = all[MEMBER_STATE].size;
    if (meta->size < 0 || (uint64_t)meta->size != size)
        return error_set(err, ERR_DECODE, "" STATE " has %llu bytes, " META " says %lld",
            (unsigned long long)size, (long long)meta->size);
    return 0;
}

static const char *header_fault(struct str bytes)
{
    static const char magic[] = { 0x1f, (char)0x8b, 8 };
    if (bytes.n == 0) return "EOF";
    if (bytes.n < GZIP_HEADER) return "unexpected EOF";
    return memcmp(bytes.p, magic, sizeof magic) == 0 ? NULL : "gzip: invalid header";
}

static int take_state(struct member *state, struct shared_body **out, struct error *err)
{
    *out = state->fd == MEMORY ? shared_body_take(&state->bytes)
                               : shared_body_map(state->fd, (size_t)state->size, err);
    return *out ? 0 : ERR_IO;
}

int archive_read(struct shared_body *archive, const char *dir, const struct digest *digest,
    struct arena *a, struct snapshot_meta *meta, struct shared_body **state, struct error *err)
{
    struct unpacker u = { .archive = archive, .digest = digest, .err = err };
    struct member all[MEMBERS] = {
        [MEMBER_META] = { .name = META, .max = SNAPSHOT_META_MAX, .fd = MEMORY },
        [MEMBER_STATE] = { .name = STATE,
            .max = ARCHIVE_STATE_MAX,
            .fd = state ? MEMORY : NOWHERE },
        [MEMBER_SUMS] = { .name = SUMS, .max = SUMS_MAX, .fd = MEMORY },
    };
    int *fd = &all[MEMBER_STATE].fd;
    if (state) *state = NULL;
    const char *why = header_fault(shared_body_str(archive));
    if (why) return error_set(err, ERR_DECODE, "failed to decompress snapshot: %s", why);
    if (inflateInit2(&u.z, GZIP_WINDOW)) return error_set(err, ERR_INTERNAL, "zlib cannot start");
    int code = dir && state ? file_without_name(dir, fd, err) : 0;
    if (!code) code = take_all(&u, all);
    inflateEnd(&u.z);
    if (!code) code = check_members(all, a, meta, err);
    if (!code && state) code = take_state(&all[MEMBER_STATE], state, err);
    if (code) error_prefix(err, "failed to read snapshot file: ");
    if (*fd >= 0) close(*fd);
    for (size_t i = 0; i < MEMBERS; i++)
        buf_deinit(&all[i].bytes);
    return code;
}
