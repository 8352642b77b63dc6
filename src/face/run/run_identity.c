/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "consuld/store_log.h"
#include "run.h"

/* One folder and its name. That of the last is synced even if it was there: who made it may not
 * have come so far. */
static int make_folder(struct disk *disk, char *path, bool last, struct error *err)
{
    char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path, first = *name;
    bool made = mkdir(path, 0755) == 0;
    int why = made || errno == EEXIST ? 0 : errno;
    if (!why && (made || last)) {
        *name = '\0';
        int code = disk_sync_dir(disk, path[0] ? path : ".");
        *name = first;
        if (made) why = code;
    }
    return why ? error_set(err, ERR_IO, "Failed to create data_dir %s: %s", path, strerror(why))
               : 0;
}

int run_prepare_folder(struct disk *disk, struct str dir, struct error *err)
{
    struct arena a = ARENA_INIT;
    int failed = 0;
    while (dir.n > 1 && dir.p[dir.n - 1] == '/')
        dir.n--;
    char *path = arena_copy(&a, str_c(&a, dir), dir.n + 1);
    for (char *at = path; at && !failed;) {
        at = strchr(at + 1, '/');
        if (at) *at = '\0';
        failed = make_folder(disk, path, !at, err);
        if (at) *at = '/';
    }
    arena_free(&a);
    return failed;
}

static int node_id_read(const char *path, char out[UUID_TEXT_LEN + 1], struct error *err)
{
    char text[256];
    FILE *f = fopen(path, "re");
    if (!f) return errno == ENOENT ? 0 : error_set(err, ERR_IO, "%s: %s", path, strerror(errno));
    size_t n = fread(text, 1, sizeof text, f);
    fclose(f);
    struct arena a = ARENA_INIT;
    struct str id = str_lower(&a, str_trim((struct str){ text, n }));
    int result = 1;
    if (!uuid_valid(id)) {
        result =
            error_set(err, ERR_IO, "failed to setup node ID: file %s holds no valid UUID", path);
    } else {
        memcpy(out, id.p, UUID_TEXT_LEN + 1);
    }
    arena_free(&a);
    return result;
}

static int node_id_write(const char *path, const char *id, struct error *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool written = fd >= 0 && write(fd, id, UUID_TEXT_LEN) == UUID_TEXT_LEN && fsync(fd) == 0;
    int why = errno;
    if (fd >= 0) close(fd);
    if (written) return 0;
    return error_set(err, ERR_IO, "failed to setup node ID: %s: %s", path, strerror(why));
}

int run_node_id(struct run *r, struct error *err)
{
    struct arena a = ARENA_INIT;
    int failed = 0;
    const char *path = str_printf(&a, "%.*s/node-id", STR_ARG(r->config->data_dir)).p;
    bool kept = r->config->data_dir.n > 0;
    if (r->config->node_id.n) {
        struct str id = str_lower(&a, r->config->node_id);
        if (!uuid_valid(id)) {
            failed = error_set(err, ERR_BAD_REQUEST,
                "failed to setup node ID: specified NodeID is invalid: uuid string is wrong "
                "length");
        } else {
            memcpy(r->node_id, id.p, UUID_TEXT_LEN + 1);
        }
        arena_free(&a);
        return failed;
    }
    int found = kept ? node_id_read(path, r->node_id, err) : 0;
    if (found == 0) {
        uint8_t bytes[16];
        world_random(r->world, bytes, sizeof bytes);
        uuid_format(bytes, r->node_id);
        if (kept) failed = node_id_write(path, r->node_id, err);
    }
    arena_free(&a);
    if (found < 0 || failed) return found < 0 ? found : failed;
    r->config->node_id = str_of(r->node_id);
    return 0;
}

int run_write_pid(const struct run *r, struct error *err)
{
    if (r->config->pid_file.n == 0) return 0;
    struct arena a = ARENA_INIT;
    const char *path = str_c(&a, r->config->pid_file);
    FILE *f = fopen(path, "we");
    bool written = f && fprintf(f, "%d", (int)getpid()) > 0;
    if (f && fclose(f) != 0) written = false;
    int failed =
        written ? 0
                : error_set(err, ERR_IO, "could not write pid file %s: %s", path, strerror(errno));
    arena_free(&a);
    return failed;
}
