/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "consuld/store_log.h"

#define NEARLY_FULL (256u << 10)

int disk_reason(int code, const char *path)
{
    struct statvfs st;
    if (code != EIO || !path || statvfs(path, &st) != 0) return code;
    return (uint64_t)st.f_bavail * st.f_frsize < NEARLY_FULL ? ENOSPC : code;
}

static int system_env_open(struct disk *d, struct MDB_env *env, const char *path, unsigned flags)
{
    (void)d;
    return mdb_env_open(env, path, flags, 0600);
}

static int system_commit(struct disk *d, struct MDB_txn *txn)
{
    const char *path = NULL;
    (void)d;
    mdb_env_get_path(mdb_txn_env(txn), &path);
    return disk_reason(mdb_txn_commit(txn), path);
}

static int system_open(struct disk *d, const char *path, int flags, int *fd)
{
    (void)d;
    *fd = open(path, flags | O_CLOEXEC, 0600);
    return *fd < 0 ? errno : 0;
}

static int system_write(struct disk *d, int fd, const void *p, size_t n)
{
    const char *at = p;
    (void)d;
    while (n > 0) {
        ssize_t w = write(fd, at, n);
        if (w < 0 && errno == EINTR) continue;
        if (w < 0) return errno;
        at += w;
        n -= (size_t)w;
    }
    return 0;
}

static int system_sync(struct disk *d, int fd)
{
    (void)d;
    return fsync(fd) < 0 ? errno : 0;
}

static int system_make_dir(struct disk *d, const char *path)
{
    (void)d;
    return mkdir(path, 0700) < 0 && errno != EEXIST ? errno : 0;
}

static int system_rename(struct disk *d, const char *from, const char *to)
{
    (void)d;
    return rename(from, to) < 0 ? errno : 0;
}

static int system_unlink(struct disk *d, const char *path)
{
    (void)d;
    return remove(path) < 0 ? errno : 0;
}

struct disk *disk_system(void)
{
    static struct disk disk = {
        .env_open = system_env_open,
        .commit = system_commit,
        .open = system_open,
        .write = system_write,
        .sync = system_sync,
        .make_dir = system_make_dir,
        .rename = system_rename,
        .unlink = system_unlink,
    };
    return &disk;
}

const char *disk_strerror(int code)
{
    return mdb_strerror(code);
}

int disk_sync_dir(struct disk *d, const char *path)
{
    int fd, code = d->open(d, path, O_RDONLY | O_DIRECTORY, &fd);
    if (code) return code;
    code = d->sync(d, fd);
    close(fd);
    return code;
}

int disk_make_dir(struct disk *d, const char *path)
{
    const char *slash = strrchr(path, '/');
    char parent[4352];
    int code = d->make_dir(d, path);
    if (code) return code;
    int n = slash ? (int)(slash - path) : 0;
    if (n >= (int)sizeof parent) return ENAMETOOLONG;
    snprintf(parent, sizeof parent, "%.*s", n ? n : 1, n ? path : slash ? "/" : ".");
    return disk_sync_dir(d, parent);
}
