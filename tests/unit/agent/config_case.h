/* SPDX-License-Identifier: Apache-2.0 */
/* Recorded configurations for unit tests: a scratch folder with a case's files, and its command
 * line loaded as the agent would. */
#pragma once
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "consuld/agent/config.h"

#define CASE_ADDR "127.0.34.1"

struct scratch {
    struct arena arena;
    char dir[64];
};

static inline void scratch_open(struct scratch *s)
{
    *s = (struct scratch){ .dir = "/tmp/consuld-config-XXXXXX" };
    if (!mkdtemp(s->dir)) abort();
}

static inline int scratch_remove(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st, (void)kind, (void)at;
    return remove(path);
}

static inline void scratch_close(struct scratch *s)
{
    nftw(s->dir, scratch_remove, 16, FTW_DEPTH | FTW_PHYS);
    arena_free(&s->arena);
}

static inline struct str replaced(struct arena *a, struct str in, struct str what, struct str by)
{
    struct buf b = BUF_INIT(4u << 20);
    for (ptrdiff_t at; (at = str_find(in, what)) >= 0;) {
        buf_put_str(&b, str_slice(in, 0, (size_t)at));
        buf_put_str(&b, by);
        in = str_slice(in, (size_t)at + what.n, in.n);
    }
    buf_put_str(&b, in);
    struct str out = str_dup(a, buf_str(&b));
    buf_deinit(&b);
    return out;
}

/* Placeholders of the recordings to what they stand for, and back. */
static inline struct str put_places(struct scratch *s, struct str in)
{
    in = replaced(&s->arena, in, STR("{DIR}"), str_of(s->dir));
    return replaced(&s->arena, in, STR("{ADDR}"), STR(CASE_ADDR));
}

static inline struct str take_places(struct scratch *s, struct str in)
{
    in = replaced(&s->arena, in, str_of(s->dir), STR("{DIR}"));
    return replaced(&s->arena, in, STR(CASE_ADDR), STR("{ADDR}"));
}

static inline void write_file(struct scratch *s, struct str name, const struct value *content)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%.*s", s->dir, STR_ARG(name));
    for (char *p = path + strlen(s->dir) + 1; (p = strchr(p, '/')); p++) {
        *p = '\0';
        if (mkdir(path, 0700) != 0 && errno != EEXIST) abort();
        *p = '/';
    }
    if (content->kind == V_MAP) {
        struct str to = put_places(s, value_get(content, STR("symlink"))->s);
        if (symlink(to.p, path) != 0) abort();
        return;
    }
    FILE *f = fopen(path, "wb");
    struct str text = put_places(s, content->s);
    if (!f || fwrite(text.p, 1, text.n, f) != text.n) abort();
    fclose(f);
}

static inline void write_files(struct scratch *s, const struct value *files)
{
    for (size_t i = 0; files && files->kind == V_MAP && i < files->map.n; i++)
        write_file(s, files->map.v[i].key, &files->map.v[i].value);
}

static inline struct config_host case_host(void)
{
    static struct config_interface lo = { .name = { "lo", 2 }, .ip = { "127.0.0.1", 9 } };
    return (struct config_host){
        .name = STR("host"), .descriptors_max = 20000, .interfaces = { .v = &lo, .n = 1 }
    };
}

/* Words of a recorded command line, behind the first `skip`. */
static inline char **case_argv(struct scratch *s, const struct value *words, size_t skip, int *argc)
{
    size_t n = words ? words->list.n : 0;
    char **argv = arena_array(&s->arena, n + 1, sizeof *argv);
    *argc = 0;
    for (size_t i = skip; i < n; i++)
        argv[(*argc)++] = (char *)(uintptr_t)put_places(s, words->list.v[i].s).p;
    return argv;
}

/* A recorded file of tests/vectors/agent, whole. */
static inline struct value recorded(struct arena *a, const char *name)
{
    char path[512];
    struct value doc;
    struct error err;
    struct buf b = BUF_INIT(16u << 20);
    snprintf(path, sizeof path, "%s/vectors/agent/%s", TESTS_DIR, name);
    FILE *f = fopen(path, "rb");
    if (!f) abort();
    for (size_t n = 1; n > 0;) {
        uint8_t *room = buf_reserve(&b, 65536);
        n = fread(room, 1, 65536, f);
        b.n += n;
    }
    fclose(f);
    struct str text = str_dup(a, buf_str(&b));
    buf_deinit(&b);
    if (json_parse_whole(text, a, &doc, &err) != 0) abort();
    return doc;
}

static inline struct str str_at(const struct value *v, const char *key)
{
    const struct value *at = value_get(v, str_of(key));
    return at && at->kind == V_STR ? at->s : STR_NIL;
}
