/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "consuld/base/log.h"
#include "raft_log.h"

#define SUBSYSTEM "agent.server.raft"

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

int raft_log__find(
    const char *dir, const char *prefix, struct raft_log_numbers *out, struct error *err)
{
    DIR *d = opendir(dir);
    struct dirent *e;
    int code = 0;
    out->n = 0;
    if (!d) return error_set(err, ERR_IO, "raft log: reading %s: %s", dir, strerror(errno));
    while (!code && (e = readdir(d))) {
        struct str name = str_of(e->d_name);
        uint64_t number;
        if (!str_has_prefix(name, str_of(prefix))) continue;
        if (!str_to_u64(str_slice(name, strlen(prefix), name.n), &number)) continue;
        if (out->n == LOG_FOLDERS_MAX)
            code = error_set(err, ERR_IO, "raft log: too many generations in %s", dir);
        else
            out->v[out->n++] = number;
    }
    closedir(d);
    if (out->n) qsort(out->v, out->n, sizeof out->v[0], by_number);
    return code;
}

static struct generation *generation_of(const struct raft_log *l, uint64_t number)
{
    struct generation *g = xcalloc(1, sizeof *g);
    generation_path(g, l->dir, number);
    return g;
}

static int remove_parts(struct raft_log *l, struct error *err)
{
    struct raft_log_numbers parts;
    int code = raft_log__find(l->dir, LOG_PART, &parts, err);
    for (size_t i = 0; !code && i < parts.n; i++) {
        struct generation *g = generation_of(l, parts.v[i]);
        struct error why;
        if (generation_remove_part(g, l->disk, &why)) log_warn(SUBSYSTEM, why.text);
        free(g);
        if (l->next_number <= parts.v[i]) l->next_number = parts.v[i] + 1;
    }
    return code;
}

static int load_one(
    struct raft_log *l, struct generation *g, struct log_stable *stable, struct error *err)
{
    char file[LOG_PATH_MAX + 16];
    snprintf(file, sizeof file, "%s/data.mdb", g->path);
    if (access(file, F_OK)) /* it would be made anew */
        return error_set(err, ERR_IO, "raft log: %s: %s", file, strerror(errno));
    int code = generation_open(g, l->disk, l->map_size, err);
    if (!code) code = generation_load(g, stable, err);
    if (code) generation_close(g);
    return code;
}

/* The lower end of what newer generations hold. */
static uint64_t lowest_start(const struct raft_log *l)
{
    uint64_t start = UINT64_MAX;
    for (size_t i = 0; i < l->generations_n; i++)
        if (l->generations[i]->start < start) start = l->generations[i]->start;
    return start;
}

static int gap(
    const struct generation *g, const struct generation *newer, uint64_t need, struct error *err)
{
    return error_set(err, ERR_IO,
        "raft log: entries %llu to %llu are missing: %s ends at %llu and %s begins at %llu",
        (unsigned long long)(g->disk_last ? g->disk_last + 1 : g->start),
        (unsigned long long)need - 1, g->path, (unsigned long long)g->disk_last, newer->path,
        (unsigned long long)need);
}

/* The last one taken; NULL: none. */
static const struct generation *oldest(const struct raft_log *l)
{
    return l->generations_n ? l->generations[l->generations_n - 1] : NULL;
}

/* Takes one generation, newer ones are taken already. One that owns no entry any more is kept like
 * the others: it may be the one that does not continue the older ones. */
static int take(struct raft_log *l, uint64_t number, struct error *err)
{
    struct log_stable stable;
    const struct generation *newer = oldest(l);
    struct generation *g = generation_of(l, number);
    uint64_t need = lowest_start(l);
    int code = load_one(l, g, &stable, err);
    if (!code && newer && g->start < need && g->disk_last + 1 < need) {
        code = gap(g, newer, need, err);
        generation_close(g);
    }
    if (code) {
        free(g);
        return code;
    }
    if (!newer) {
        l->stable = stable;
        l->next = g->disk_last ? g->disk_last + 1 : g->start;
    }
    l->generations[l->generations_n++] = g;
    return 0;
}

int raft_log__load(struct raft_log *l, struct error *err)
{
    struct raft_log_numbers numbers;
    int code = remove_parts(l, err);
    if (!code) code = raft_log__find(l->dir, LOG_WHOLE, &numbers, err);
    if (code) return code;
    l->first = l->next = 1;
    memset(&l->stable, 0, sizeof l->stable);
    size_t n = numbers.n; /* not taken yet */
    while (!code && n > 0 && !(oldest(l) && !oldest(l)->continues))
        code = take(l, numbers.v[--n], err);
    if (code) {
        raft_log__unload(l);
        return code;
    }
    for (size_t i = 0, j = l->generations_n; i + 1 < j; i++) {
        struct generation *g = l->generations[i];
        l->generations[i] = l->generations[--j];
        l->generations[j] = g;
    }
    for (size_t i = 0; i < n; i++)
        raft_log__unlink(l, generation_of(l, numbers.v[i]));
    if (l->generations_n) l->first = lowest_start(l);
    uint64_t highest = numbers.n ? numbers.v[numbers.n - 1] : 0;
    if (l->next_number <= highest) l->next_number = highest + 1;
    return 0;
}

void raft_log__unload(struct raft_log *l)
{
    for (size_t i = 0; i < l->generations_n; i++) {
        generation_close(l->generations[i]);
        free(l->generations[i]);
    }
    l->generations_n = 0;
}
