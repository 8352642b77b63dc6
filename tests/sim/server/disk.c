/* SPDX-License-Identifier: Apache-2.0 */
/* What the log and the snapshots do to the disk goes through here to real files. Each operation may
 * fail, or be the one in which the node crashes. What a crash of the machine may take back is
 * noted until a sync of the file, or of the folder that has its name, makes it durable. */
#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sim.h"

#define DISK(d) container_of(d, struct node_disk, disk)

/* --- notes ------------------------------------------------------------------------------------ */

static struct note *note_add(struct node_disk *d, enum note_kind kind, const char *path)
{
    if (d->notes_n == d->notes_cap) {
        d->notes_cap = d->notes_cap ? d->notes_cap * 2 : 32;
        d->notes = xrealloc(d->notes, d->notes_cap * sizeof *d->notes);
    }
    struct note *n = &d->notes[d->notes_n++];
    memset(n, 0, sizeof *n);
    n->kind = kind;
    snprintf(n->path, sizeof n->path, "%s", path);
    return n;
}

static void note_drop(struct node_disk *d, size_t i)
{
    memmove(&d->notes[i], &d->notes[i + 1], (--d->notes_n - i) * sizeof d->notes[0]);
}

static bool in_folder(const char *path, const char *folder)
{
    size_t n = strlen(folder);
    return strncmp(path, folder, n) == 0 && path[n] == '/' && !strchr(path + n + 1, '/');
}

static void folder_synced(struct node_disk *d, const char *folder)
{
    for (size_t i = d->notes_n; i-- > 0;)
        if (d->notes[i].kind != NOTE_WRITTEN && in_folder(d->notes[i].path, folder))
            note_drop(d, i);
}

static void file_synced(struct node_disk *d, const char *path)
{
    for (size_t i = d->notes_n; i-- > 0;)
        if (d->notes[i].kind == NOTE_WRITTEN && strcmp(d->notes[i].path, path) == 0)
            note_drop(d, i);
}

static void renamed(struct node_disk *d, const char *from, const char *to)
{
    size_t n = strlen(from);
    for (size_t i = 0; i < d->notes_n; i++) {
        struct note *k = &d->notes[i];
        char tail[PATH_SIZE];
        if (k->kind != NOTE_WRITTEN && k->kind != NOTE_CREATED) continue;
        if (strncmp(k->path, from, n) || (k->path[n] && k->path[n] != '/')) continue;
        snprintf(tail, sizeof tail, "%s", k->path + n);
        snprintf(k->path, sizeof k->path, "%.4000s%.300s", to, tail);
    }
}

/* --- faults ----------------------------------------------------------------------------------- */

/* 0: it happens. What comes behind a crash does nothing more. */
static int fault(struct node_disk *d, bool writes)
{
    struct sim *s = d->node->sim;
    if (d->dead) return EIO;
    if (d->crash_after && --d->crash_after == 0) {
        image_take(d->node, d->crash_in, d->node->image);
        d->dead = true;
        d->faults++;
        return EIO;
    }
    bool full = writes && d->full;
    if (!full && (s->calm || !prng_chance(&s->prng, s->weather.disk_error, 10000))) return 0;
    d->faults++;
    return full ? ENOSPC : EIO;
}

/* --- the log's environments ------------------------------------------------------------------- */

static int on_env_open(struct disk *disk, struct MDB_env *env, const char *path, unsigned flags)
{
    struct node_disk *d = DISK(disk);
    int code = fault(d, true);
    char file[PATH_SIZE];
    if (code) return code;
    snprintf(file, sizeof file, "%.4000s/data.mdb", path);
    bool fresh = access(file, F_OK) != 0;
    code = disk_system()->env_open(disk, env, path, flags);
    if (!code && fresh) {
        note_add(d, NOTE_CREATED, file);
        note_add(d, NOTE_WRITTEN, file);
    }
    return code;
}

/* The crash comes in the middle of this commit. */
static int crash_in_commit(struct node_disk *d, struct MDB_txn *txn, const char *file)
{
    struct sim *s = d->node->sim;
    struct arena a = ARENA_INIT;
    struct str before = STR_NIL, after = STR_NIL;
    char in_image[PATH_SIZE];
    (void)image_read(file, &a, &before);
    (void)disk_system()->commit(&d->disk, txn);
    (void)image_read(file, &a, &after);
    image_take(d->node, d->crash_in, d->node->image);
    snprintf(
        in_image, sizeof in_image, "%.2000s%.2000s", d->node->image, file + strlen(d->node->data));
    if (access(in_image, F_OK) == 0)
        image_write(in_image, image_torn(s, d->crash_in, before, after, &a));
    s->counts.tears++;
    d->dead = true;
    d->faults++;
    arena_free(&a);
    return EIO;
}

/* For a disk that lies: what a crash of the machine goes back to is renewed now and then only. */
static void hold(struct node_disk *d, const char *file)
{
    struct sim *s = d->node->sim;
    struct arena a = ARENA_INIT;
    struct str bytes;
    char held[PATH_SIZE];
    bool same = strcmp(d->held_of, file) == 0;
    if (s->wrong != WRONG_SYNC || (same && !prng_chance(&s->prng, 1, 40))) return;
    snprintf(held, sizeof held, "%.4000s/held", d->node->folder);
    snprintf(d->held_of, sizeof d->held_of, "%s", file);
    if (image_read(file, &a, &bytes)) image_write(held, bytes);
    arena_free(&a);
}

static int on_commit(struct disk *disk, struct MDB_txn *txn)
{
    struct node_disk *d = DISK(disk);
    struct sim *s = d->node->sim;
    const char *path = NULL;
    char file[PATH_SIZE];
    mdb_env_get_path(mdb_txn_env(txn), &path);
    snprintf(file, sizeof file, "%.4000s/data.mdb", path);
    if (d->crash_after == 1) return crash_in_commit(d, txn, file);
    int code = fault(d, true);
    if (code) {
        /* A sync that failed may have worked. */
        if (code == EIO && !d->dead && prng_chance(&s->prng, 1, 3))
            (void)disk_system()->commit(disk, txn);
        else
            mdb_txn_abort(txn);
        return code;
    }
    code = disk_system()->commit(disk, txn);
    if (!code) file_synced(d, file);
    if (!code) hold(d, file);
    return code;
}

/* --- files ------------------------------------------------------------------------------------ */

static int on_open(struct disk *disk, const char *path, int flags, int *fd)
{
    struct node_disk *d = DISK(disk);
    int code = fault(d, (flags & O_CREAT) != 0);
    if (code) return code;
    bool fresh = access(path, F_OK) != 0;
    code = disk_system()->open(disk, path, flags, fd);
    if (code) return code;
    ensure(*fd < (int)(sizeof d->fds / sizeof d->fds[0]));
    snprintf(d->fds[*fd], sizeof d->fds[*fd], "%s", path);
    if (fresh) note_add(d, NOTE_CREATED, path);
    if (flags & O_TRUNC) note_add(d, NOTE_WRITTEN, path);
    return 0;
}

static int on_write(struct disk *disk, int fd, const void *p, size_t n)
{
    struct node_disk *d = DISK(disk);
    int code = fault(d, true);
    if (!code) return disk_system()->write(disk, fd, p, n);
    if (!d->dead && n > 1) (void)disk_system()->write(disk, fd, p, n / 2);
    return code;
}

static int on_sync(struct disk *disk, int fd)
{
    struct node_disk *d = DISK(disk);
    int code = fault(d, false);
    if (code) return code;
    code = disk_system()->sync(disk, fd);
    if (code) return code;
    file_synced(d, d->fds[fd]);
    folder_synced(d, d->fds[fd]);
    return 0;
}

static int on_make_dir(struct disk *disk, const char *path)
{
    struct node_disk *d = DISK(disk);
    int code = fault(d, true);
    if (code) return code;
    bool fresh = access(path, F_OK) != 0;
    code = disk_system()->make_dir(disk, path);
    if (!code && fresh) note_add(d, NOTE_DIR, path);
    return code;
}

static int on_rename(struct disk *disk, const char *from, const char *to)
{
    struct node_disk *d = DISK(disk);
    int code = fault(d, true);
    if (code) return code;
    code = disk_system()->rename(disk, from, to);
    if (code) return code;
    renamed(d, from, to);
    struct note *n = note_add(d, NOTE_RENAMED, to);
    snprintf(n->from, sizeof n->from, "%s", from);
    return 0;
}

/* Files are kept aside: the machine may crash before the folder knows that they are gone. */
static int on_unlink(struct disk *disk, const char *path)
{
    struct node_disk *d = DISK(disk);
    int code = fault(d, false);
    char grave[PATH_SIZE];
    if (code) return code;
    snprintf(grave, sizeof grave, "%.4000s/grave-%u", d->node->folder, ++d->graves);
    if (access(path, F_OK) != 0 || rename(path, grave) != 0)
        return disk_system()->unlink(disk, path);
    if (rmdir(grave) != 0 && errno == ENOTEMPTY) {
        (void)rename(grave, path);
        return ENOTEMPTY;
    }
    struct note *n = note_add(d, NOTE_UNLINKED, path);
    snprintf(n->from, sizeof n->from, "%s", grave);
    return 0;
}

void disk_init(struct sim_node *n)
{
    struct node_disk *d = &n->disk;
    memset(d, 0, sizeof *d);
    d->node = n;
    d->disk = (struct disk){ .env_open = on_env_open,
        .commit = on_commit,
        .open = on_open,
        .write = on_write,
        .sync = on_sync,
        .make_dir = on_make_dir,
        .rename = on_rename,
        .unlink = on_unlink };
}

void disk_deinit(struct sim_node *n)
{
    free(n->disk.notes);
    n->disk.notes = NULL;
    n->disk.notes_n = n->disk.notes_cap = 0;
}
