/* SPDX-License-Identifier: Apache-2.0 */
/* Files of BoltDB, format 2, as far as a raft.db needs them: buckets at the top that hold plain
 * keys. A file is pages; page 0 and 1 name the root, of which the newer whole one counts; a bucket
 * is a tree of branch and leaf pages in the order of its keys. Numbers are in the machine's order.
 */
#pragma once
#include "consuld/base.h"
#include "consuld/wire.h"

struct disk;

/* --- reading -------------------------------------------------------------------------------- */

struct bolt {
    struct str map;
    uint64_t page_size, root;
};

/* Maps an open file; it stays the caller's. Fails on what is not such a file. */
int bolt_open(struct bolt *b, int fd, const char *path, struct error *err) must_check;
void bolt_close(struct bolt *b);

/* Calls `each` for every key of a bucket in their order until it fails; a bucket that is not there
 * has none. Key and value are borrowed from the file. ERR_DECODE: damaged. */
typedef int (*bolt_each_fn)(void *ctx, struct str key, struct str value, struct error *err);
int bolt_each(const struct bolt *b, struct str bucket, bolt_each_fn each, void *ctx,
    struct error *err) must_check;

/* --- writing a new file --------------------------------------------------------------------- */

#define BOLT_PAGE 4096
#define BOLT_HEAD 16 /* of a page, of an element, of a bucket */
#define BOLT_ITEMS_MAX (BOLT_PAGE / BOLT_HEAD)

struct bolt_item {
    struct str key, value;
    uint64_t child; /* of a branch */
    bool bucket;
};

struct bolt_writer {
    struct disk *disk;
    const char *path;
    int fd;
    uint64_t next; /* page */
    struct bolt_item items[BOLT_ITEMS_MAX];
    size_t items_n, items_bytes;
    struct arena bytes;   /* of the items */
    struct list children; /* struct bolt_item: pages of the level under way */
    struct list buckets;  /* struct bolt_item */
    struct arena arena;
};

/* Keys are put in ascending order, bucket after bucket in the order of their names; bolt_end syncs
 * the file. Each fails with the disk's reason; bolt_abort frees everything at any time, also after
 * the end. */
int bolt_begin(
    struct bolt_writer *w, struct disk *disk, const char *path, struct error *err) must_check;
int bolt_put(struct bolt_writer *w, struct str key, struct str value, struct error *err) must_check;
int bolt_bucket(struct bolt_writer *w, struct str name, struct error *err) must_check;
int bolt_end(struct bolt_writer *w, struct error *err) must_check;
void bolt_abort(struct bolt_writer *w);

/* --- both ----------------------------------------------------------------------------------- */

enum { BOLT_BRANCH = 1, BOLT_LEAF = 2, BOLT_META = 4, BOLT_FREELIST = 16 };
#define BOLT_MAGIC 0xED0CDAEDu
#define BOLT_VERSION 2
#define BOLT_META_SUMMED 56 /* bytes of a meta page's body before their sum */
uint64_t bolt_sum(const uint8_t *p, size_t n);
