/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the state: environment, views, tables, index entries. Private to the module.
 *
 * A view is a transaction to look through; a batch is a view that may write. Failures of the
 * database are sticky in the view: accessors then find nothing and write nothing, and whoever
 * opened the view checks once. Rows are records; memory of what is read is the arena's given. */
#pragma once
#include <lmdb.h>
#include <stdio.h>

#include "consuld/store.h"
#include "consuld/wire.h"

/* One LMDB environment with its open tables; the store's own reference plus one per worker view. */
struct state_env {
    MDB_env *mdb;
    MDB_dbi *dbi; /* TABLE_COUNT rows of 1 + TABLE_INDEXES_MAX */
    MDB_dbi meta, index, chunks;
    void *map; /* where its file is mapped, NULL if that is not known */
    size_t map_size;
    unsigned refs;
};

struct view {
    struct store *store;
    struct state_env *env;
    MDB_txn *txn;
    int code; /* 0 or the first failure */
    struct error err;
};

struct store_read {
    struct view view;
    bool own; /* made by store_read_create */
};

struct store_batch {
    struct view view;
    MDB_txn *outer; /* while a command runs in a nested transaction, else NULL */
    bool restoring; /* records of a snapshot are being put: indexes are kept as they come */
    uint64_t now_ms;
    uint64_t index, term; /* of the entry being applied or applied last */
    struct arena arena;   /* what lives until the commit */
    struct list touched;  /* struct str, kind byte in front: what to wake */
    struct list delays;   /* lock delays to start at commit */
    struct buf key, row, index_key, keys_old, keys_new; /* scratch of table_put and table_delete */
};

/* Records the first failure of a view. Returns code. */
int view_fail(struct view *v, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* LMDB's return code as a failure of the view (0 and NOTFOUND are none). Returns true if ok. */
bool view_check(struct view *v, int rc, const char *doing);

/* --- keys ---------------------------------------------------------------------------------- */

/* Keys are parts, each ended by a zero byte; lookups of names fold ASCII case. A key over
 * KEY_INLINE_MAX is cut and completed by a hash, the whole key standing in front of the value:
 * scans still deliver rows in the order of whole keys. */
#define KEY_INLINE_MAX 490
#define KEY_MAX (1u << 21)
#define KEY_BUF \
    { \
        .max = KEY_MAX \
    }

void key_lower(struct buf *key, struct str part);
void key_exact(struct buf *key, struct str part);
/* One-part and two-part keys in the arena, lower-cased. */
struct str key_of(struct arena *a, struct str part);
struct str key_of2(struct arena *a, struct str one, struct str two);
struct str key_of3(struct arena *a, struct str one, struct str two, struct str three);
struct str key_of_exact(struct arena *a, struct str part);

/* In double quotes, for refusals. */
struct str store_quoted(struct arena *a, struct str s);

/* --- tables -------------------------------------------------------------------------------- */

/* X(ID, name): the definition `const struct table table_<name>` stands in the table's own file. */
#define STATE_TABLES(X) \
    X(NODES, nodes) \
    X(SERVICES, services) \
    X(CHECKS, checks) \
    X(KVS, kvs) \
    X(TOMBSTONES, tombstones) \
    X(SESSIONS, sessions) \
    X(SESSION_CHECKS, session_checks) \
    X(GATEWAY_SERVICES, gateway_services) \
    X(COORDINATES, coordinates) \
    X(PREPARED_QUERIES, prepared_queries) \
    X(AUTOPILOT, autopilot) \
    X(INTENTIONS, intentions) \
    X(CA_ROOTS, ca_roots) \
    X(CA_CONFIG, ca_config) \
    X(CA_BUILTIN, ca_builtin) \
    X(CONFIG_ENTRIES, config_entries) \
    X(FEDERATION_STATES, federation_states) \
    X(ACL_TOKENS, acl_tokens) \
    X(ACL_POLICIES, acl_policies) \
    X(ACL_ROLES, acl_roles) \
    X(ACL_BINDING_RULES, acl_binding_rules) \
    X(ACL_AUTH_METHODS, acl_auth_methods)

enum table_id {
#define TABLE_ENUM(id, name) TABLE_##id,
    STATE_TABLES(TABLE_ENUM)
#undef TABLE_ENUM
        TABLE_COUNT
};

#define TABLE_INDEXES_MAX 5

/* A secondary index: `keys` appends each index key of a row to `out` by calling index_key, once
 * per key; a row without keys is not in the index. Entries are ordered by index key, then primary
 * key. */
struct index_keys;
struct table_index {
    const char *name;
    void (*keys)(const void *row, struct index_keys *out);
};
/* Adds one key; buf_clear(key) and build the next after it. */
void index_key(struct index_keys *out, const struct buf *key);

struct table {
    const char *name;        /* as in fsm.md 2; also the database's name */
    const struct type *type; /* KIND_REC of the row */
    void (*key)(const void *row, struct buf *key);
    struct table_index index[TABLE_INDEXES_MAX];
    /* Compact forms of rows; NULL: its fields in a row (pack.h). `bytes` are the arena's, `key` is
     * borrowed. */
    void (*pack)(const void *row, struct buf *out);
    bool (*unpack)(struct str key, struct str bytes, struct arena *a, void *row);
};
#define TABLE_EXTERN(id, name) extern const struct table table_##name;
STATE_TABLES(TABLE_EXTERN)
#undef TABLE_EXTERN
extern const struct table *const state_tables[TABLE_COUNT];

/* Row under the whole primary key: false and *row untouched if absent. */
bool table_get(struct view *v, enum table_id t, struct str key, struct arena *a, void *row);
bool table_has(struct view *v, enum table_id t, struct str key);
/* Writes a row. `old` is the row stored under its key now, NULL if there is none: its index keys
 * are dropped where they differ. */
void table_put(struct store_batch *b, enum table_id t, const void *old, const void *row);
void table_delete(struct store_batch *b, enum table_id t, const void *old);
/* Removes every row. */
void table_clear(struct store_batch *b, enum table_id t);

#define BY_KEY (-1) /* else the position of a secondary index in the table */

/* Appends the rows whose (primary or index) key begins with `prefix`, in key order, to *out. */
void table_list(struct view *v, enum table_id t, int index, struct str prefix, struct arena *a,
    struct list *out);
/* First such row, false if none. */
bool table_first(
    struct view *v, enum table_id t, int index, struct str prefix, struct arena *a, void *row);
bool table_any(struct view *v, enum table_id t, int index, struct str prefix);
uint64_t table_count(struct view *v, enum table_id t);

/* Streaming form for long tables. The table must not be written to until scan_end. */
struct scan {
    struct view *view;
    enum table_id table;
    int index;
    MDB_cursor *cursor;
    struct buf prefix;
    struct buf floor;
    bool started, peeked;
    struct str key;   /* whole key of the present row, valid until the next step */
    struct str value; /* its bytes */
    struct arena run; /* rows with long keys of one beginning, put in order */
    struct scan_item *items;
    size_t item_n, item_at;
};
void scan_begin(struct scan *s, struct view *v, enum table_id t, int index, struct str prefix);
bool scan_next(struct scan *s);
/* Decodes the present row; false (and the view failed) if damaged. */
bool scan_row(struct scan *s, struct arena *a, void *row);
/* Continues at the first key that is not below `key`. */
void scan_seek(struct scan *s, struct str key);
void scan_end(struct scan *s);

/* --- index entries (fsm.md 3) -------------------------------------------------------------- */

/* Writing an entry touches it for the watch sets. Keys in any case. */
uint64_t index_get(struct view *v, struct str key);
void index_set(struct store_batch *b, struct str key, uint64_t value);
void index_max(struct store_batch *b, struct str key, uint64_t value);
void index_delete(struct store_batch *b, struct str key);
/* Reads an entry and registers it; ws may be NULL. */
uint64_t index_watch(struct store_read *rd, struct watch_set *ws, struct str key);
/* "service." + name and the like, in the arena. */
struct str index_name(struct arena *a, const char *prefix, struct str name);
/* All entries in key order. */
void index_each(struct view *v, void (*fn)(void *ctx, struct str key, uint64_t value), void *ctx);
/* What a read reports: never 0. */
static inline uint64_t index_report(uint64_t index)
{
    return index ? index : 1;
}

/* --- touching and watching (watch.c) ------------------------------------------------------- */

/* Registration; ws may be NULL. Things without an entry in the index table use a name of their own
 * ("autopilot-config", "connect-ca-config"). */
void watch_entry(struct watch_set *ws, struct str name);
void watch_key(struct watch_set *ws, struct str key);
void watch_prefix(struct watch_set *ws, struct str prefix);
/* Marks for the commit of the batch. */
void touch_entry(struct store_batch *b, struct str name);
void touch_key(struct store_batch *b, struct str key);

/* --- restoring (restore.c) ----------------------------------------------------------------- */

/* A batch over a new, empty environment; the old state stays readable and untouched. */
struct store_batch *store_restore_begin(struct store *s, struct error *err);
/* Commits what was put so far to bound memory; false: the batch failed. */
bool store_restore_checkpoint(struct store_batch *b);
/* Sets the applied index and syncs; nothing can be put any more. Up to here a worker may do it. The
 * batch is gone on failure. */
int store_restore_seal(
    struct store_batch *b, uint64_t index, uint64_t term, struct error *err) must_check;
/* Makes the new environment the state, frees the batch, fires every watch set. On failure the old
 * state stays. */
int store_restore_switch(struct store_batch *b, struct error *err) must_check;
/* Both. */
int store_restore_commit(
    struct store_batch *b, uint64_t index, uint64_t term, struct error *err) must_check;
void store_restore_abort(struct store_batch *b);

/* Puts of snapshot records, indexes kept (fsm.md 14). Errors as the commands give them. */
int restore_register(struct store_batch *b, uint64_t index, const struct register_request *req,
    struct arena *a, struct error *err) must_check;
void restore_kv(struct store_batch *b, const struct dir_entry *e);
void restore_tombstone(struct store_batch *b, const struct dir_entry *e);
void restore_session(struct store_batch *b, const struct session *s, struct arena *a);
void restore_index(struct store_batch *b, struct str key, uint64_t value);

/* Chunks of commands not complete yet, as snapshots carry them (chunk.c). The type is that of one
 * record of chunk state. */
void chunk_state_put(struct store_batch *b, const struct chunking_state *st);
void chunk_state_get(struct view *v, struct arena *a, struct chunking_state *out);

/* --- the store ----------------------------------------------------------------------------- */

struct store {
    struct state_env *env;
    char *dir;     /* of the environment; NULL in dev mode */
    char *tmp_dir; /* dev mode */
    char *boot_id;
    uint64_t map_size;
    struct store_read read; /* the loop's view */
    bool read_open;         /* its transaction exists; it shows the newest state if !read_stale */
    bool read_stale;
    struct store_batch *batch;
    uint64_t applied_index, applied_term;
    struct map watches; /* kind byte + key -> struct watch_node */
    struct list prefix_lengths;
    size_t watch_sets, watch_links;
    struct map delays; /* key -> struct lock_delay */
    size_t delays_swept;
};

/* env.c */
int state_env_open(const char *path, bool unlink_it, uint64_t map_size, struct state_env **out,
    struct error *err) must_check;
void state_env_unref(struct state_env *env);
/* Mapped pages leave the memory of the process; they come back when they are read. Any thread. */
void state_env_forget(const struct state_env *env);
int state_mark_write(const char *dir, const char *content, struct error *err) must_check;
void state_dir_remove(const char *dir);
/* dir + tail; the caller frees. */
char *state_path(const char *dir, const char *tail);
/* A folder for dev mode's environment; the caller frees. NULL if none can be made. */
char *state_dir_temporary(const char *tmp_dir, struct error *err);

/* Raw values of a database under a whole key; how long keys are kept is their business. */
bool raw_get(struct view *v, MDB_dbi dbi, struct str key, struct str *value);
void raw_put(struct store_batch *b, MDB_dbi dbi, struct str key, struct str value);
bool raw_delete(struct store_batch *b, MDB_dbi dbi, struct str key);

/* apply.c: applied index and term in the environment. */
void applied_write(struct store_batch *b);
void applied_read(struct view *v, uint64_t *index, uint64_t *term);
struct store_batch *batch_create(struct store *s, struct state_env *env);
void batch_destroy(struct store_batch *b);
/* read.c: the loop's view ends; the next store_read makes a new one. */
void read_forget(struct store *s);
/* watch.c */
void watch_fire_touched(struct store *s, const struct store_batch *b);
void watch_deinit(struct store *s);

/* chunk.c: keeps one chunk. True when its command is complete: *command is then the whole of it. */
bool chunk_apply(
    struct store_batch *b, const struct store_entry *e, struct arena *a, struct str *command);

/* lock_delay.c: a session lost its hold on a key; counts from the batch's time, at commit. */
void lock_delay_begin(struct store_batch *b, struct str key, int64_t delay_ns);
void lock_delay_commit(struct store *s, const struct store_batch *b);
