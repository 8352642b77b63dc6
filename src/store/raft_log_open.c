/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "consuld/base/log.h"
#include "raft_log.h"

#define SUBSYSTEM "agent.server.raft"

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

int raft_log__find(const char *dir, struct raft_log_numbers *out, struct error *err)
{
    DIR *d = opendir(dir);
    struct dirent *e;
    int code = 0;
    out->n = 0;
    if (!d) return error_set(err, ERR_IO, "raft log: reading %s: %s", dir, strerror(errno));
    while (!code && (e = readdir(d))) {
        struct str name = str_of(e->d_name);
        uint64_t number;
        if (!str_has_prefix(name, STR("log-"))) continue;
        if (!str_to_u64(str_slice(name, 4, name.n), &number)) continue;
        if (out->n == sizeof out->v / sizeof out->v[0])
            code = error_set(err, ERR_IO, "raft log: too many generations in %s", dir);
        else
            out->v[out->n++] = number;
    }
    closedir(d);
    if (out->n) qsort(out->v, out->n, sizeof out->v[0], by_number);
    return code;
}

static int load_one(
    struct raft_log *l, struct generation *g, struct log_stable *stable, struct error *err)
{
    char file[LOG_PATH_MAX + 16];
    struct stat st;
    snprintf(file, sizeof file, "%s/data.mdb", g->path);
    if (stat(file, &st) < 0 && errno == ENOENT)
        return error_set(err, ERR_NOT_FOUND, "raft log: %s is missing", file);
    int code = generation_open(g, l->disk, l->map_size, false, err);
    if (!code) code = generation_load(g, stable, err);
    if (code) generation_close(g);
    return code;
}

static void remove_dead(struct raft_log *l, struct generation *g)
{
    struct error err;
    generation_close(g);
    if (generation_remove(g, l->disk, &err)) log_warn(SUBSYSTEM, err.text);
    free(g);
}

/* The lower end of what newer generations hold. */
static uint64_t lowest_start(const struct raft_log *l)
{
    uint64_t start = UINT64_MAX;
    for (size_t i = 0; i < l->generations_n; i++)
        if (l->generations[i]->start < start) start = l->generations[i]->start;
    return start;
}

/* Takes one generation, newer ones are taken already. It is removed when a newer one does not
 * continue it. One that owns no entry any more is kept like the others: it may be the one that
 * does not continue the older ones. */
static int take(struct raft_log *l, uint64_t number, bool oldest, struct error *err)
{
    struct log_stable stable;
    struct generation *g = xcalloc(1, sizeof *g);
    const struct generation *newer = l->generations_n ? l->generations[l->generations_n - 1] : NULL;
    generation_path(g, l->dir, number);
    if (newer && !newer->continues) {
        remove_dead(l, g);
        return 0;
    }
    int code = load_one(l, g, &stable, err);
    /* The first commit of the newest, or the unlinking of the oldest, did not end. */
    if (code == ERR_NOT_FOUND && (!newer || oldest)) {
        remove_dead(l, g);
        return 0;
    }
    if (code) {
        free(g);
        return code;
    }
    if (newer) {
        uint64_t need = lowest_start(l);
        if (g->start < need && g->disk_last + 1 < need) {
            code = error_set(err, ERR_IO,
                "raft log: entries %llu to %llu are missing: %s ends at %llu and %s begins at %llu",
                (unsigned long long)(g->disk_last ? g->disk_last + 1 : g->start),
                (unsigned long long)need - 1, g->path, (unsigned long long)g->disk_last,
                newer->path, (unsigned long long)need);
            generation_close(g);
            free(g);
            return code;
        }
    } else {
        l->stable = stable;
        l->next = g->disk_last ? g->disk_last + 1 : g->start;
    }
    l->generations[l->generations_n++] = g;
    return 0;
}

int raft_log__load(struct raft_log *l, struct error *err)
{
    struct raft_log_numbers numbers;
    int code = raft_log__find(l->dir, &numbers, err);
    if (code) return code;
    l->first = l->next = 1;
    memset(&l->stable, 0, sizeof l->stable);
    for (size_t i = numbers.n; !code && i-- > 0;)
        code = take(l, numbers.v[i], i == 0, err);
    if (code) {
        raft_log__unload(l);
        return code;
    }
    for (size_t i = 0, j = l->generations_n; i + 1 < j; i++) {
        struct generation *g = l->generations[i];
        l->generations[i] = l->generations[--j];
        l->generations[j] = g;
    }
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
