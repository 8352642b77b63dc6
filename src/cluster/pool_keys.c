/* SPDX-License-Identifier: Apache-2.0 */
/* The key ring file of a pool (gossip.md 12.7): a JSON list of base64 keys, primary first. A key
 * given on the command line is kept in memory until a peer was read with it, so that a mistyped one
 * does not stick. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consuld/wire/json.h"
#include "pool.h"

#define KEYRING_FILE_MAX (64u << 10)

/* 1: read; 0: there is none. */
static int read_file(const char *path, struct arena *a, struct str *out, struct error *err)
{
    FILE *f = fopen(path, "re");
    if (!f && errno == ENOENT) return 0;
    if (!f) return error_set(err, ERR_IO, "%s: %s", path, strerror(errno));
    char *bytes = arena_alloc(a, KEYRING_FILE_MAX);
    size_t n = fread(bytes, 1, KEYRING_FILE_MAX, f);
    bool failed = ferror(f) != 0;
    fclose(f);
    if (failed) return error_set(err, ERR_IO, "%s: read failed", path);
    *out = (struct str){ bytes, n };
    return 1;
}

static int parse_ring(
    struct keyring *ring, struct arena *a, const char *path, struct str text, struct error *err)
{
    struct list keys = { 0 };
    if (json_decode(text, a, &type_list_str, &keys, 0, err) != 0)
        return error_prefix(err, "%s: ", path);
    if (keys.n == 0) return error_set(err, ERR_DECODE, "no keys present in keyring: %s", path);
    for (size_t i = 0; i < keys.n; i++) {
        struct str raw;
        if (base64_parse(LIST_AT(&keys, struct str, i), a, &raw, err) != 0 ||
            keyring_install(ring, raw, err) != 0)
            return error_prefix(err, "%s: ", path);
    }
    return 0;
}

int pool__keys_load(struct pool *p, const struct pool_options *o, struct error *err)
{
    struct arena a = ARENA_INIT;
    struct str text;
    int failed = 0;
    p->keys = xcalloc(1, sizeof *p->keys);
    int found = o->keyring_path ? read_file(o->keyring_path, &a, &text, err) : 0;
    if (found < 0) {
        failed = found;
    } else if (found) {
        failed = parse_ring(p->keys, &a, o->keyring_path, text, err);
        if (!failed && o->key.n && !keyring_has(p->keys, o->key)) {
            struct str line = str_printf(&a,
                "%s keyring doesn't include key provided with -encrypt, using keyring", o->label);
            log_warn("agent", line.p);
        }
    } else if (o->key.n) {
        failed = keyring_install(p->keys, o->key, err);
        p->keys_unsaved = o->keyring_path != NULL;
    }
    arena_free(&a);
    return failed;
}

void pool__keys_prove(struct pool *p)
{
    if (!p->keys_unsaved || p->keys->keys[0].opened == 0 || !p->keyring) return;
    struct buf text = BUF_INIT(256);
    p->keys_unsaved = false;
    buf_put_c(&text, "[\"");
    base64_encode(keyring_at(p->keys, 0), &text);
    buf_put_c(&text, "\"]");
    append_file_put(p->keyring, buf_str(&text), STR(""), true, 0);
    buf_deinit(&text);
}

/* `save` 0 is ours, others are changes the core waits for. */
void pool__keys_written(void *ctx, uint64_t save, const char *why)
{
    struct pool *p = ctx;
    if (why) {
        p->counters.file_failures++;
        log_error(p->log_name, "the key ring file was not written", "error", why);
    }
    if (save == 0) {
        p->keys_unsaved = why != NULL;
        return;
    }
    struct serf_event ev = { .type = SERF_KEYS_SAVED,
        .keys_saved = { .save = save, .error = str_of(why ? why : "") } };
    (void)pool__step(p, &ev);
}
