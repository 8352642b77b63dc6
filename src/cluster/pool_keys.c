/* SPDX-License-Identifier: Apache-2.0 */
/* The key ring file of a pool (gossip.md 12.7): a JSON list of base64 keys, primary first.
 *
 * A key given on the command line is written at the first start, with an empty file beside the ring
 * that says that no peer was read with it yet. As long as that one is there, another key on the
 * command line takes its place, so that a mistyped key does not stick. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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
    int failed = json_decode(text, a, &type_list_str, &keys, 0, err);
    if (failed && str_has_suffix(str_of(err->text), STR("EOF")))
        return error_set(err, failed, "unexpected end of JSON input");
    if (!failed && keys.n == 0)
        return error_set(err, ERR_DECODE, "no keys present in keyring: %s", path);
    for (size_t i = 0; i < keys.n && !failed; i++) {
        struct str raw;
        failed = base64_parse(LIST_AT(&keys, struct str, i), a, &raw, err);
        if (!failed) failed = keyring_install(ring, raw, err);
    }
    return failed;
}

static struct str mark_path(struct arena *a, const char *path)
{
    return str_printf(a, "%s.unproven", path);
}

static int write_file(const char *path, struct str text, struct error *err)
{
    FILE *f = fopen(path, "we");
    bool failed = !f || fchmod(fileno(f), 0600) != 0 || fwrite(text.p, 1, text.n, f) != text.n;
    int code = errno;
    if (f && fclose(f) != 0 && !failed) failed = true, code = errno;
    return failed ? error_set(err, ERR_IO, "%s: %s", path, strerror(code)) : 0;
}

/* The first start with a key, or the first with another one than the unproven. */
static int write_ring(struct pool *p, struct arena *a, const char *path, struct error *err)
{
    struct buf text = BUF_INIT(256);
    char *folder = arena_copy(a, path, strlen(path) + 1), *slash = strrchr(folder, '/');
    if (slash) *slash = '\0';
    if (slash && mkdir(folder, 0700) != 0 && errno != EEXIST)
        return error_set(err, ERR_IO, "%s: %s", folder, strerror(errno));
    buf_put_c(&text, "[\"");
    base64_encode(keyring_at(p->keys, 0), &text);
    buf_put_c(&text, "\"]");
    int failed = write_file(mark_path(a, path).p, STR(""), err);
    if (!failed) failed = write_file(path, buf_str(&text), err);
    buf_deinit(&text);
    p->keys_unproven = !failed;
    return failed;
}

static int first_key(
    struct pool *p, const struct pool_options *o, struct arena *a, struct error *err)
{
    int failed = keyring_install(p->keys, o->key, err);
    if (failed && o->keyring_path) return error_prefix(err, "Invalid key: ");
    return failed || !o->keyring_path ? failed : write_ring(p, a, o->keyring_path, err);
}

static int use_ring(struct pool *p, const struct pool_options *o, struct arena *a, struct str text,
    struct error *err)
{
    int failed = parse_ring(p->keys, a, o->keyring_path, text, err);
    if (failed) return failed;
    p->keys_unproven = access(mark_path(a, o->keyring_path).p, F_OK) == 0;
    if (o->key.n == 0 || keyring_has(p->keys, o->key)) return 0;
    if (!p->keys_unproven || o->keep_ring) {
        log_warn("agent", " keyring doesn't include key provided with -encrypt, using keyring",
            "keyring", o->label);
        return 0;
    }
    log_warn("agent", "no peer was ever read with the keyring, using the key of -encrypt",
        "keyring", o->label);
    keyring_clear(p->keys);
    return first_key(p, o, a, err);
}

int pool__keys_load(struct pool *p, const struct pool_options *o, struct error *err)
{
    struct arena a = ARENA_INIT;
    struct str text = STR_NIL;
    p->keys = xcalloc(1, sizeof *p->keys);
    if (o->keyring_path) p->keyring_path = xstrdup(o->keyring_path);
    int found = o->keyring_path ? read_file(o->keyring_path, &a, &text, err) : 0;
    int failed = found < 0 ? found : 0;
    if (found > 0) {
        failed = use_ring(p, o, &a, text, err);
    } else if (found == 0 && o->key.n) {
        failed = first_key(p, o, &a, err);
    }
    arena_free(&a);
    return failed ? error_prefix(err, "Failed to configure keyring: ") : 0;
}

static void remove_mark(struct pool *p)
{
    struct arena a = ARENA_INIT;
    p->keys_unproven = false;
    unlink(mark_path(&a, p->keyring_path).p);
    arena_free(&a);
}

void pool__keys_prove(struct pool *p)
{
    if (p->keys_unproven && p->keys->keys[0].opened) remove_mark(p);
}

bool pool_keys_unproven(const struct pool *p)
{
    return p->keys_unproven;
}

void pool__keys_written(void *ctx, uint64_t save, const char *why)
{
    struct pool *p = ctx;
    if (why) {
        p->counters.file_failures++;
        log_error(p->log_name, "the key ring file was not written", "error", why);
    } else if (p->keys_unproven) {
        remove_mark(p); /* somebody means these keys */
    }
    struct serf_event ev = { .type = SERF_KEYS_SAVED,
        .keys_saved = { .save = save, .error = str_of(why ? why : "") } };
    (void)pool__step(p, &ev);
}
