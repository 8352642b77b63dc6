/* SPDX-License-Identifier: Apache-2.0 */
/* Scratch folders of a test, removed at its end. */
#pragma once
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static inline char *scratch_create(void)
{
    const char *base = getenv("TMPDIR");
    char *path = malloc(4096);
    snprintf(path, 4096, "%s/consuld-test-XXXXXX", base && *base ? base : "/tmp");
    if (!mkdtemp(path)) abort();
    return path;
}

static void scratch_remove_tree(const char *path)
{
    DIR *d = opendir(path);
    struct dirent *e;
    char sub[4096 + 300];
    while (d && (e = readdir(d))) {
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..")) continue;
        snprintf(sub, sizeof sub, "%s/%s", path, e->d_name);
        if (remove(sub) < 0) scratch_remove_tree(sub);
    }
    if (d) closedir(d);
    remove(path);
}

static inline void scratch_destroy(char *path)
{
    scratch_remove_tree(path);
    free(path);
}

static void scratch_copy_file(const char *from, const char *to)
{
    char bytes[65536];
    FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
    if (!in || !out) abort();
    for (size_t n; (n = fread(bytes, 1, sizeof bytes, in)) > 0;)
        if (fwrite(bytes, 1, n, out) != n) abort();
    fclose(in);
    fclose(out);
}

/* What a killed process would leave behind: everything but LMDB's lock files. */
__attribute__((unused)) static void scratch_copy_tree(const char *from, const char *to)
{
    DIR *d = opendir(from);
    struct dirent *e;
    char a[4096 + 300], b[4096 + 300];
    mkdir(to, 0700);
    while (d && (e = readdir(d))) {
        if (e->d_name[0] == '.' || !strcmp(e->d_name, "lock.mdb")) continue;
        struct stat st;
        snprintf(a, sizeof a, "%s/%s", from, e->d_name);
        snprintf(b, sizeof b, "%s/%s", to, e->d_name);
        if (stat(a, &st) == 0 && S_ISDIR(st.st_mode))
            scratch_copy_tree(a, b);
        else
            scratch_copy_file(a, b);
    }
    if (d) closedir(d);
}
