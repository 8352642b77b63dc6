/* SPDX-License-Identifier: Apache-2.0 */
/* A folder as a compressed tar archive: ustar headers, one level of folders below the first. */
#include "debug_archive.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

#define BLOCK 512
#define NAME_MAX_BYTES 100
#define PIECE 65536

static void octal(char *to, size_t width, unsigned long long n)
{
    snprintf(to, width, "%0*llo", (int)width - 1, n);
}

static bool put_header(gzFile out, const char *name, const struct stat *st)
{
    char h[BLOCK] = { 0 };
    bool folder = S_ISDIR(st->st_mode);
    unsigned sum = 0;
    if (snprintf(h, NAME_MAX_BYTES, "%s%s", name, folder ? "/" : "") >= NAME_MAX_BYTES)
        return false;
    octal(h + 100, 8, folder ? 0755 : 0644);
    octal(h + 108, 8, 0);
    octal(h + 116, 8, 0);
    octal(h + 124, 12, folder ? 0 : (unsigned long long)st->st_size);
    octal(h + 136, 12, (unsigned long long)st->st_mtime);
    memset(h + 148, ' ', 8);
    h[156] = folder ? '5' : '0';
    memcpy(h + 257, "ustar\00000", 8);
    for (size_t i = 0; i < BLOCK; i++)
        sum += (unsigned char)h[i];
    snprintf(h + 148, 7, "%06o", sum);
    return gzwrite(out, h, BLOCK) == BLOCK;
}

static bool put_file(gzFile out, const char *path, uint64_t size)
{
    static char piece[PIECE];
    FILE *f = fopen(path, "rb");
    uint64_t left = size;
    size_t n = 0;
    while (f && left && (n = fread(piece, 1, left < PIECE ? (size_t)left : PIECE, f)) > 0) {
        if (gzwrite(out, piece, (unsigned)n) != (int)n) break;
        left -= n;
    }
    if (f) fclose(f);
    memset(piece, 0, BLOCK);
    unsigned rest = (unsigned)(size % BLOCK);
    return left == 0 && (rest == 0 || gzwrite(out, piece, BLOCK - rest) == (int)(BLOCK - rest));
}

/* The folder at `path` under `name`, and what is in it. */
static bool put_tree(struct arena *a, gzFile out, const char *path, const char *name)
{
    struct stat st;
    if (lstat(path, &st) != 0 || !put_header(out, name, &st)) return false;
    if (S_ISREG(st.st_mode)) return put_file(out, path, (uint64_t)st.st_size);
    struct dirent **entries;
    int n = scandir(path, &entries, NULL, alphasort);
    bool good = n >= 0;
    for (int i = 0; i < n; i++) {
        const char *entry = entries[i]->d_name;
        if (good && strcmp(entry, ".") != 0 && strcmp(entry, "..") != 0)
            good = put_tree(a, out, str_printf(a, "%s/%s", path, entry).p,
                str_printf(a, "%s/%s", name, entry).p);
        free(entries[i]);
    }
    if (n >= 0) free(entries);
    return good;
}

int debug_archive(struct arena *a, const char *folder, const char *path, struct error *err)
{
    static const char end[2 * BLOCK];
    const char *slash = strrchr(folder, '/');
    const char *unfinished = str_printf(a, "%s.tmp", path).p;
    int fd = open(unfinished, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    gzFile out = fd >= 0 ? gzdopen(fd, "wb") : NULL;
    if (!out && fd >= 0) close(fd);
    if (!out)
        return error_set(
            err, ERR_IO, "failed to create compressed temp archive: %s", strerror(errno));
    bool good = put_tree(a, out, folder, slash ? slash + 1 : folder);
    good = good && gzwrite(out, end, sizeof end) == (int)sizeof end;
    good = (gzclose(out) == Z_OK) && good;
    if (good && rename(unfinished, path) == 0) return 0;
    unlink(unfinished);
    return error_set(err, ERR_IO, "failed to write %s", path);
}

void debug_remove(struct arena *a, const char *folder)
{
    DIR *d = opendir(folder);
    struct dirent *e;
    while (d && (e = readdir(d))) {
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..")) continue;
        const char *path = str_printf(a, "%s/%s", folder, e->d_name).p;
        if (unlink(path) != 0) debug_remove(a, path);
    }
    if (d) closedir(d);
    rmdir(folder);
}
