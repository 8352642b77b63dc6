/* SPDX-License-Identifier: Apache-2.0 */
#include "consuld/store_raft_db.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bolt.h"
#include "consuld/wire/msgpack.h"
#include "raft_log.h"
#include "state.h"

#define BATCH_BYTES ((size_t)8 << 20)
#define BATCH_ENTRIES 4096

/* clang-format off */
#define RAFT_DB_ENTRY_FIELDS(X, S) \
    X(S, index,      UINT, "Index") \
    X(S, term,       UINT, "Term") \
    X(S, type,       UINT, "Type", .bits = 8) \
    X(S, data,       BYTES, "Data") \
    X(S, extensions, BYTES, "Extensions")
DECLARE_RECORD(raft_db_entry, RAFT_DB_ENTRY_FIELDS)
/* clang-format on */
DEFINE_RECORD(raft_db_entry, RAFT_DB_ENTRY_FIELDS, "Log")

static const char note[] =
    "The raft log of this server is kept by consuld, in the folders log-<n> beside this file.\n"
    "To go back to Consul, stop consuld and run\n"
    "\n"
    "    consuld operator raft give-back -data-dir=<the data directory>\n"
    "\n"
    "It puts the log, the term and the vote into this file again. An empty raft.db instead would "
    "make\n"
    "this server forget what it promised to the others.\n";

/* Where things are. */
struct places {
    struct disk *disk;
    char raft[LOG_PATH_MAX], db[LOG_PATH_MAX + 16], fresh[LOG_PATH_MAX + 16];
    char state[LOG_PATH_MAX];
};

static int io_failed(struct error *err, const char *doing, const char *path, int code)
{
    return error_set(err, ERR_IO, "raft log: %s %s: %s", doing, path, disk_strerror(code));
}

static int places_set(struct places *p, struct disk *disk, const char *data_dir, struct error *err)
{
    record_init(&record_raft_db_entry);
    p->disk = disk;
    if (strlen(data_dir) > LOG_PATH_MAX - 64)
        return error_set(err, ERR_IO, "raft log: the path %s is too long", data_dir);
    snprintf(p->raft, sizeof p->raft, "%s/raft", data_dir);
    snprintf(p->state, sizeof p->state, "%s/state", data_dir);
    snprintf(p->db, sizeof p->db, "%s/raft.db", p->raft);
    snprintf(p->fresh, sizeof p->fresh, "%s/raft.db.new", p->raft);
    return 0;
}

/* raft.db.new takes the place of raft.db. */
static int replace(const struct places *p, struct error *err)
{
    int code = p->disk->rename(p->disk, p->fresh, p->db);
    if (!code) code = disk_sync_dir(p->disk, p->raft);
    return code ? io_failed(err, "replacing", p->db, code) : 0;
}

static int write_note(const struct places *p, struct error *err)
{
    int fd, code = p->disk->open(p->disk, p->fresh, O_WRONLY | O_CREAT | O_TRUNC, &fd);
    if (code) return io_failed(err, "writing", p->fresh, code);
    code = p->disk->write(p->disk, fd, note, sizeof note - 1);
    if (!code) code = p->disk->sync(p->disk, fd);
    close(fd);
    return code ? io_failed(err, "writing", p->fresh, code) : replace(p, err);
}

/* Opens raft.db under a lock; *fd -1: there is none, or an empty one. */
static int open_locked(const struct places *p, int *fd, bool *is_note, struct error *err)
{
    char head[sizeof note - 1];
    *fd = open(p->db, O_RDWR | O_CLOEXEC);
    if (*fd < 0 && errno == ENOENT) return 0;
    if (*fd < 0) return io_failed(err, "opening", p->db, errno);
    int code = 0;
    if (flock(*fd, LOCK_EX | LOCK_NB) < 0) {
        code = error_set(err, ERR_IO,
            "raft log: %s is in use: another agent runs in this data directory", p->db);
    } else {
        ssize_t n = read(*fd, head, sizeof head);
        *is_note = n == (ssize_t)sizeof head && memcmp(head, note, sizeof head) == 0;
        if (n > 0) return 0;
        if (n < 0) code = io_failed(err, "reading", p->db, errno);
    }
    close(*fd);
    *fd = -1;
    return code;
}

static int remove_generations(const struct places *p, struct error *err)
{
    struct raft_log_numbers whole, parts;
    struct generation g = { 0 };
    int code = raft_log__find(p->raft, LOG_WHOLE, &whole, err);
    if (!code) code = raft_log__find(p->raft, LOG_PART, &parts, err);
    for (size_t i = 0; !code && i < parts.n; i++) {
        generation_path(&g, p->raft, parts.v[i]);
        code = generation_remove_part(&g, p->disk, err);
    }
    for (size_t i = 0; !code && i < whole.n; i++) {
        generation_path(&g, p->raft, whole.v[i]);
        code = generation_remove(&g, p->disk, err);
    }
    return code;
}

static void on_flushed(void *ctx, const struct error *err)
{
    (void)ctx;
    (void)err;
}

/* --- taking over ---------------------------------------------------------------------------- */

struct take {
    struct disk *disk;
    struct log_stable stable;
    uint64_t first, next; /* the last entries without a gap: [first, next) */
    struct generation g;
    bool made;
    struct log_cached *batch[BATCH_ENTRIES];
    size_t n, bytes;
};

static bool read_be64(struct str s, uint64_t *out)
{
    *out = 0;
    for (size_t i = 0; i < s.n; i++)
        *out = *out << 8 | (uint8_t)s.p[i];
    return s.n == 8;
}

static int take_setting(void *ctx, struct str key, struct str value, struct error *err)
{
    struct log_stable *s = ctx;
    bool good = true;
    if (str_is(key, "CurrentTerm")) good = read_be64(value, &s->term);
    if (str_is(key, "LastVoteTerm")) good = read_be64(value, &s->vote_term);
    if (str_is(key, "LastVoteCand")) {
        good = value.n <= LOG_VOTE_MAX;
        s->vote_n = good ? value.n : 0;
        if (s->vote_n) memcpy(s->vote, value.p, s->vote_n);
    }
    return good ? 0
                : error_set(err, ERR_DECODE, "raft.db: %.*s has %zu bytes", STR_ARG(key), value.n);
}

/* A snapshot that came from a leader leaves a gap, what is before it is dead. */
static int take_bounds(void *ctx, struct str key, struct str value, struct error *err)
{
    struct take *t = ctx;
    uint64_t index;
    (void)value;
    if (!read_be64(key, &index) || index == 0)
        return error_set(err, ERR_DECODE, "raft.db: the key of an entry has %zu bytes", key.n);
    if (index != t->next) t->first = index;
    t->next = index + 1;
    return 0;
}

static int commit_batch(struct take *t, struct error *err)
{
    struct log_commit c = { .create = !t->made,
        .start = t->first ? t->first : 1,
        .entries = t->batch,
        .n = t->n,
        .stable = t->made ? NULL : &t->stable };
    int code = t->made ? generation_commit(&t->g, t->disk, &c, err)
                       : generation_create(&t->g, t->disk, LOG_MAP_SIZE, &c, err);
    t->made = true;
    while (t->n)
        log_cached_unref(t->batch[--t->n]);
    t->bytes = 0;
    return code;
}

static int take_entry(void *ctx, struct str key, struct str value, struct error *err)
{
    struct take *t = ctx;
    struct arena a = ARENA_INIT;
    struct raft_db_entry e = { 0 };
    struct cursor c;
    uint64_t index;
    if (!read_be64(key, &index) || index < t->first) return 0;
    cursor_init(&c, value.p, value.n, err);
    int code = msgpack_decode(&c, &a, &type_raft_db_entry, &e);
    if (!code && (e.index != index || e.data.n > LOG_ENTRY_MAX))
        code = error_set(err, ERR_DECODE, "it says it is entry %llu of %zu bytes",
            (unsigned long long)e.index, e.data.n);
    if (code) {
        error_prefix(err, "raft.db: reading entry ");
        return arena_free(&a), code;
    }
    struct log_entry entry = { e.index, e.term, (uint8_t)e.type, e.data, e.extensions };
    t->batch[t->n++] = log_cached_create(&entry);
    t->bytes += log_entry_bytes(&entry);
    arena_free(&a);
    return t->n == BATCH_ENTRIES || t->bytes >= BATCH_BYTES ? commit_batch(t, err) : 0;
}

/* Generations here are what a crash left of a hand-over: never ahead of the file. Else both
 * programs have gone on, and nobody may forget what either promised. */
static int check_behind(const struct places *p, const struct take *t, struct error *err)
{
    struct raft_log_options o = { .dir = p->raft, .disk = p->disk, .flushed = on_flushed };
    struct raft_log *l;
    int code = raft_log_open(&o, &l, err);
    if (code) return code;
    uint64_t term = raft_log_stable(l)->term, last = raft_log_last(l);
    raft_log_close(l);
    if (term < t->stable.term || (term == t->stable.term && last < t->next)) return 0;
    if (term == 0 && last == 0) return 0;
    return error_set(err, ERR_IO,
        "raft log: %s and the folders log-<n> beside it both hold a log, and the folders' is "
        "ahead, "
        "at entry %llu of term %llu: move away the one that is not to be used",
        p->db, (unsigned long long)last, (unsigned long long)term);
}

static int copy_log(const struct places *p, const struct bolt *b, struct take *t, struct error *err)
{
    int code = bolt_each(b, STR("conf"), take_setting, &t->stable, err);
    if (!code) code = bolt_each(b, STR("logs"), take_bounds, t, err);
    if (!code) code = check_behind(p, t, err);
    if (!code) code = remove_generations(p, err);
    if (code) return code;
    generation_path(&t->g, p->raft, 1);
    code = bolt_each(b, STR("logs"), take_entry, t, err);
    if (!code && (t->n || !t->made)) code = commit_batch(t, err);
    while (t->n)
        log_cached_unref(t->batch[--t->n]);
    generation_close(&t->g);
    if (!code) state_dir_remove(p->state);
    return code;
}

static int take_over(
    const struct places *p, int fd, struct raft_db_report *report, struct error *err)
{
    struct bolt b;
    int code = bolt_open(&b, fd, p->db, err);
    if (code) return code;
    struct take *t = xcalloc(1, sizeof *t);
    t->disk = p->disk;
    code = copy_log(p, &b, t, err);
    bolt_close(&b);
    if (!code) code = write_note(p, err);
    *report = (struct raft_db_report){
        .moved = true, .first = t->first, .last = t->first ? t->next - 1 : 0, .term = t->stable.term
    };
    free(t);
    return code;
}

int raft_db_take(struct disk *disk, const char *data_dir, int *fd, struct raft_db_report *report,
    struct error *err)
{
    struct places p;
    bool is_note = false;
    *fd = -1;
    *report = (struct raft_db_report){ 0 };
    int code = places_set(&p, disk, data_dir, err);
    if (!code && (code = disk_make_dir(disk, p.raft)))
        code = io_failed(err, "making", p.raft, code);
    if (!code) code = open_locked(&p, fd, &is_note, err);
    if (code || is_note) return code;
    code = *fd < 0 ? write_note(&p, err) : take_over(&p, *fd, report, err);
    if (*fd >= 0) close(*fd);
    *fd = -1;
    return code ? code : open_locked(&p, fd, &is_note, err);
}

/* --- giving back ---------------------------------------------------------------------------- */

static struct str be64(uint64_t v, char out[8])
{
    for (size_t i = 8; i-- > 0; v >>= 8)
        out[i] = (char)(v & 0xff);
    return (struct str){ out, 8 };
}

static int give_settings(struct bolt_writer *w, const struct log_stable *s, struct error *err)
{
    char number[8];
    struct str vote = { (const char *)s->vote, s->vote_n };
    int code = s->term ? bolt_put(w, STR("CurrentTerm"), be64(s->term, number), err) : 0;
    if (!code && s->vote_term) code = bolt_put(w, STR("LastVoteCand"), vote, err);
    if (!code && s->vote_term)
        code = bolt_put(w, STR("LastVoteTerm"), be64(s->vote_term, number), err);
    return code ? code : bolt_bucket(w, STR("conf"), err);
}

static int give_entries(struct bolt_writer *w, struct raft_log *l, struct error *err)
{
    struct arena a = ARENA_INIT;
    int code = 0;
    for (uint64_t i = raft_log_first(l); !code && i && i < raft_log_next(l); i++) {
        struct buf out = BUF_INIT(LOG_ENTRY_MAX * 2);
        struct log_entry e;
        char key[8];
        code = raft_log_entry(l, i, &a, &e, err);
        if (code) break;
        struct raft_db_entry entry = {
            .index = i, .term = e.term, .type = e.type, .data = e.data, .extensions = e.extensions
        };
        msgpack_encode(&type_raft_db_entry, &entry, &out);
        code = bolt_put(w, be64(i, key), buf_str(&out), err);
        buf_deinit(&out);
        arena_reset(&a);
    }
    arena_free(&a);
    return code ? code : bolt_bucket(w, STR("logs"), err);
}

static int write_db(const struct places *p, struct raft_log *l, struct error *err)
{
    struct bolt_writer w;
    int code = bolt_begin(&w, p->disk, p->fresh, err);
    if (!code) code = give_settings(&w, raft_log_stable(l), err);
    if (!code) code = give_entries(&w, l, err);
    if (!code) code = bolt_end(&w, err);
    bolt_abort(&w);
    return code;
}

static int give_back(const struct places *p, struct raft_db_report *report, struct error *err)
{
    struct raft_log_options o = { .dir = p->raft, .disk = p->disk, .flushed = on_flushed };
    struct raft_log *l;
    int code = raft_log_open(&o, &l, err);
    if (code) return code;
    *report = (struct raft_db_report){ .moved = true,
        .first = raft_log_first(l),
        .last = raft_log_last(l),
        .term = raft_log_stable(l)->term };
    code = write_db(p, l, err);
    raft_log_close(l);
    if (!code) code = replace(p, err);
    if (!code) code = remove_generations(p, err);
    if (!code) state_dir_remove(p->state);
    return code;
}

int raft_db_give(
    struct disk *disk, const char *data_dir, struct raft_db_report *report, struct error *err)
{
    struct places p;
    bool is_note = false;
    int fd;
    *report = (struct raft_db_report){ 0 };
    int code = places_set(&p, disk, data_dir, err);
    if (!code) code = open_locked(&p, &fd, &is_note, err);
    if (code) return code;
    if (is_note) code = give_back(&p, report, err);
    if (fd >= 0) close(fd);
    return code;
}
