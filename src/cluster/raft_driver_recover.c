/* SPDX-License-Identifier: Apache-2.0 */
/* peers.json (raft.md 7.3): an operator's word that the servers of the cluster are others than the
 * log says. All entries are applied, committed or not, and a snapshot with the new configuration
 * takes the place of the log. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "consuld/wire/json.h"
#include "raft_driver.h"

#define PEERS_SIZE_MAX (1u << 20)
#define BATCH_ENTRIES 1024

/* clang-format off */
#define RECOVERY_PEER_FIELDS(X, S) \
    X(S, id,        STR,  "id") \
    X(S, address,   STR,  "address") \
    X(S, non_voter, BOOL, "non_voter")
DECLARE_RECORD(recovery_peer, RECOVERY_PEER_FIELDS)
/* clang-format on */
DEFINE_RECORD(recovery_peer, RECOVERY_PEER_FIELDS, "configEntry")

static const char info_text[] =
    "A file peers.json placed in this folder while the server is stopped replaces the servers of "
    "the\n"
    "raft configuration at its next start; it is removed when that has happened. Every remaining\n"
    "server must be stopped and get the same file. Its form:\n"
    "\n"
    "[\n"
    "  {\"id\": \"<node ID>\", \"address\": \"<IP>:<server port>\", \"non_voter\": false}\n"
    "]\n"
    "\n"
    "A list of addresses alone, [\"<IP>:<server port>\"], will do too.\n"
    "Entries of the log that were not committed are taken as committed by this: it is the last\n"
    "resort when most servers are lost for good.\n";

static int io_failed(struct error *err, const char *doing, const char *path)
{
    return error_set(err, ERR_IO, "recovery: %s %s: %s", doing, path, strerror(errno));
}

/* The whole file; *out is STR_NIL if there is none. */
static int read_file(const char *path, struct arena *a, struct str *out, struct error *err)
{
    *out = STR_NIL;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) return 0;
    if (fd < 0) return io_failed(err, "opening", path);
    char *text = arena_alloc(a, PEERS_SIZE_MAX);
    ssize_t n = read(fd, text, PEERS_SIZE_MAX);
    int why = errno;
    close(fd);
    errno = why;
    if (n < 0) return io_failed(err, "reading", path);
    *out = (struct str){ text, (size_t)n };
    return 0;
}

static int write_info(struct raft_driver *d, const char *path, struct error *err)
{
    int fd, code = d->disk->open(d->disk, path, O_WRONLY | O_CREAT | O_TRUNC, &fd);
    if (code) return error_set(err, ERR_IO, "opening %s: %s", path, disk_strerror(code));
    code = d->disk->write(d->disk, fd, info_text, sizeof info_text - 1);
    if (!code) code = d->disk->sync(d->disk, fd);
    close(fd);
    return code ? error_set(err, ERR_IO, "writing %s: %s", path, disk_strerror(code)) : 0;
}

/* The older form, addresses alone: who is not this server has its address for an id, until the
 * leader adds it with its own. */
static bool parse_addresses(
    const struct raft_driver *d, struct str text, struct arena *a, struct list *peers)
{
    struct list addresses = { 0 };
    struct error unused;
    if (json_decode(text, a, &type_list_str, &addresses, 0, &unused)) return false;
    for (size_t i = 0; i < addresses.n; i++) {
        struct str address = LIST_AT(&addresses, struct str, i);
        struct recovery_peer *p = LIST_PUSH(a, peers, struct recovery_peer);
        p->address = address;
        p->id = str_is(address, d->address) ? str_of(d->id) : address;
    }
    return true;
}

static int parse(const struct raft_driver *d, struct str text, struct arena *a,
    struct raft_configuration *out, struct error *err)
{
    static const struct type list_of_peers = {
        .kind = KIND_LIST, .size = sizeof(struct list), .elem = &type_recovery_peer
    };
    struct list peers = { 0 };
    struct error why = { 0 };
    record_init(&record_recovery_peer);
    out->n = 0;
    if (!parse_addresses(d, text, a, &peers) &&
        json_decode(text, a, &list_of_peers, &peers, JSON_UNKNOWN_IGNORED, &why))
        return error_set(err, ERR_DECODE, "recovery failed to parse peers.json: %.400s", why.text);
    for (size_t i = 0; i < peers.n; i++) {
        const struct recovery_peer *p = &LIST_AT(&peers, struct recovery_peer, i);
        if (!raft_configuration_add(
                out, p->id, p->address, p->non_voter ? RAFT_NONVOTER : RAFT_VOTER))
            return error_set(err, ERR_DECODE,
                "recovery failed to parse peers.json: entry %zu has no usable id and address", i);
    }
    if (!raft_configuration_valid(out))
        return error_set(err, ERR_DECODE,
            "recovery failed to parse peers.json: it names no voter, or a server twice");
    return 0;
}

/* Everything the log holds, committed or not. */
static int apply_log(struct raft_driver *d, struct error *err)
{
    uint64_t next = driver_applied(d) + 1, end = raft_log_next(d->log);
    while (raft_log_last(d->log) && next < end) {
        struct store_batch *b = store_apply_begin(d->store, world_now_ms(d->world));
        int code = 0;
        for (size_t n = 0; !code && n < BATCH_ENTRIES && next < end; n++, next++) {
            struct log_entry e;
            struct command_result res = { 0 };
            code = raft_log_entry(d->log, next, &d->arena, &e, err);
            struct store_entry se = { .index = next, .term = e.term };
            if (!code && e.type == RAFT_COMMAND) {
                se.data = e.data;
                se.extensions = e.extensions;
            }
            if (!code) code = store_apply(b, &se, &d->arena, &res, err);
        }
        if (code) {
            store_apply_abort(b);
            return code;
        }
        code = store_apply_commit(b, err);
        arena_reset(&d->arena);
        if (code) return code;
    }
    return 0;
}

static int write_snapshot(struct raft_driver *d, const struct raft_configuration *c, uint64_t index,
    uint64_t term, struct arena *a, struct error *err)
{
    struct snapshot_meta meta = { .index = index, .term = term, .configuration_index = 1 };
    struct store_read *rd = store_read_create(d->store);
    if (!rd) return error_set(err, ERR_INTERNAL, "too many readers of the state");
    driver_meta_configuration(&meta, c, a);
    int64_t now_ms = world_wall_ns(d->world) / 1000000;
    int code = snapshot_file_write(d->disk, d->snapshots, now_ms, rd, &meta, a, err);
    if (!code) code = store_read_sync(rd, err);
    store_read_destroy(rd);
    return code;
}

static int recover(
    struct raft_driver *d, const struct raft_configuration *c, struct arena *a, struct error *err)
{
    struct snapshot_meta meta = { 0 };
    bool found = false;
    int code = snapshot_file_newest(d->snapshots, a, &meta, &found, err);
    if (code) return code;
    if (!found && !raft_log_last(d->log) && !raft_log_stable(d->log)->term)
        return error_set(err, ERR_BAD_REQUEST,
            "recovery failed: refused to recover cluster with no initial state, this is probably "
            "an operator error");
    if (found) code = driver_restore_state(d, &meta, a, err);
    if (!code) code = driver_check_state(d, found ? meta.index : 0, err);
    if (!code) code = apply_log(d, err);
    if (code) return code;
    uint64_t last = raft_log_last(d->log), term = raft_log_term(d->log, last);
    if (last < meta.index || last == 0) {
        last = meta.index;
        term = meta.term;
    }
    if (last == 0) {
        last = 1; /* a term, and nothing else */
        term = 1;
    }
    code = write_snapshot(d, c, last, term, a, err);
    if (!code) raft_log_reset(d->log, last + 1);
    return code;
}

int driver_recover(struct raft_driver *d, struct error *err)
{
    char info[DRIVER_PATH_MAX + 16], peers[DRIVER_PATH_MAX + 16];
    struct arena a = ARENA_INIT;
    struct raft_configuration c;
    struct str text;
    snprintf(info, sizeof info, "%s/peers.info", d->dir);
    snprintf(peers, sizeof peers, "%s/peers.json", d->dir);
    if (access(info, F_OK) != 0) {
        /* A first start: what lies here is not meant for this server. */
        if (unlink(peers) == 0) log_info(SUBSYSTEM, "deleted a peers.json left from before");
        return write_info(d, info, err);
    }
    int code = read_file(peers, &a, &text, err);
    if (!code && text.p) {
        log_info(SUBSYSTEM, "found peers.json file, recovering Raft configuration...");
        code = parse(d, text, &a, &c, err);
        if (!code) code = recover(d, &c, &a, err);
        if (!code && unlink(peers) != 0) code = io_failed(err, "deleting", peers);
        if (!code) log_info(SUBSYSTEM, "deleted peers.json file after successful recovery");
    }
    arena_free(&a);
    return code;
}
