/* SPDX-License-Identifier: Apache-2.0 */
/* Where the log goes besides standard output (agent.md 10): to files that are begun anew by size
 * and age, and to syslog. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "run.h"
#include "system_log.h"

#define ROTATE_DEFAULT_NS (INT64_C(24) * 3600 * 1000000000)

struct run_logfile {
    struct world *world;
    struct arena arena;
    const char *folder;
    struct str stem;      /* "consul" of consul.log */
    struct str extension; /* ".log" */
    int64_t bytes_max;    /* 0: no bound */
    int64_t duration_ns;
    int64_t files_max; /* 0: all are kept, -1: none of the old */
    int fd;
    int64_t opened_ns;
    int64_t bytes;
    int slot;
};

static int open_new(struct run_logfile *f)
{
    char path[4096];
    f->opened_ns = world_wall_ns(f->world);
    int n = snprintf(path, sizeof path, "%s/%.*s-%lld%.*s", f->folder, STR_ARG(f->stem),
        (long long)f->opened_ns, STR_ARG(f->extension));
    if (n < 0 || (size_t)n >= sizeof path) return ENAMETOOLONG;
    f->fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    f->bytes = 0;
    return f->fd < 0 ? errno : 0;
}

static int by_name(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

/* Removes the oldest files but files_max. */
static void prune(struct run_logfile *f)
{
    struct arena a = ARENA_INIT;
    struct list names = { 0 };
    DIR *d = f->files_max ? opendir(f->folder) : NULL;
    const struct dirent *e;
    while (d && (e = readdir(d))) {
        struct str name = str_of(e->d_name);
        if (name.n <= f->stem.n || !str_has_prefix(name, f->stem)) continue;
        if (name.p[f->stem.n] != '-' || !str_has_suffix(name, f->extension)) continue;
        *LIST_PUSH(&a, &names, struct str) = str_dup(&a, name);
    }
    if (d) closedir(d);
    size_t keep = f->files_max > 0 ? (size_t)f->files_max : 0;
    if (names.n) qsort(names.v, names.n, sizeof(struct str), by_name);
    for (size_t i = 0; i + keep < names.n; i++) {
        struct str name = LIST_AT(&names, struct str, i);
        unlink(str_printf(&a, "%s/%.*s", f->folder, STR_ARG(name)).p);
    }
    arena_free(&a);
}

static bool due(const struct run_logfile *f, size_t n)
{
    if (f->bytes_max > 0 && f->bytes + (int64_t)n > f->bytes_max && f->bytes > 0) return true;
    return world_wall_ns(f->world) - f->opened_ns >= f->duration_ns;
}

static void on_line(void *ctx, enum log_level level, const char *line, size_t n)
{
    struct run_logfile *f = ctx;
    (void)level;
    if (f->fd >= 0 && due(f, n + 1)) {
        close(f->fd);
        prune(f);
        (void)open_new(f); /* tried again with the next line */
    } else if (f->fd < 0) {
        (void)open_new(f);
    }
    if (f->fd < 0) return;
    /* a full disk costs lines, not the agent */
    if (write(f->fd, line, n) == (ssize_t)n && write(f->fd, "\n", 1) == 1)
        f->bytes += (int64_t)n + 1;
}

static int file_open(struct run *r, struct error *err)
{
    const struct agent_config *c = r->config;
    struct run_logfile *f = xcalloc(1, sizeof *f);
    struct str path = str_dup(&f->arena, c->logging.log_file_path), name = path;
    f->world = r->world;
    f->folder = ".";
    for (size_t i = path.n; i > 0; i--) {
        if (path.p[i - 1] != '/') continue;
        f->folder = str_c(&f->arena, str_slice(path, 0, i));
        name = str_slice(path, i, path.n);
        break;
    }
    if (name.n == 0) name = STR("consul.log");
    f->stem = name;
    f->extension = STR(".log");
    for (size_t i = name.n; i > 0; i--) {
        if (name.p[i - 1] != '.') continue;
        f->stem = str_slice(name, 0, i - 1);
        f->extension = str_slice(name, i - 1, name.n);
        break;
    }
    f->bytes_max = c->logging.log_rotate_bytes;
    f->duration_ns =
        c->logging.log_rotate_duration > 0 ? c->logging.log_rotate_duration : ROTATE_DEFAULT_NS;
    f->files_max = c->logging.log_rotate_max_files;
    enum log_level level = log_get_level();
    int failed = open_new(f);
    if (failed) {
        error_set(err, ERR_IO, "open %.*s: %s", STR_ARG(path), strerror(failed));
        arena_free(&f->arena);
        free(f);
        return ERR_IO;
    }
    f->slot = log_tap_add(on_line, f, level, c->logging.log_json);
    r->logfile = f;
    return 0;
}

static void to_syslog(void *ctx, enum log_level level, const char *line, size_t n)
{
    static const int priorities[] = {
        [LOG_TRACE] = 7, [LOG_DEBUG] = 7, [LOG_INFO] = 6, [LOG_WARN] = 4, [LOG_ERROR] = 3
    };
    (void)ctx;
    system_log_write(priorities[level], line, n);
}

static int syslog_begin(struct run *r, struct error *err)
{
    const struct agent_config *c = r->config;
    const char *facility = str_c(&r->arena, c->logging.syslog_facility);
    if (!system_log_open(facility)) {
        return error_set(
            err, ERR_BAD_REQUEST, "Syslog setup error: invalid syslog facility: %s", facility);
    }
    r->syslog_slot = log_tap_add(to_syslog, NULL, log_get_level(), c->logging.log_json);
    return 0;
}

int run_log_open(struct run *r, struct error *err)
{
    int failed = 0;
    r->syslog_slot = -1;
    if (r->config->logging.log_file_path.n) failed = file_open(r, err);
    if (!failed && r->config->logging.enable_syslog) failed = syslog_begin(r, err);
    return failed;
}

void run_log_close(struct run *r)
{
    struct run_logfile *f = r->logfile;
    if (r->syslog_slot >= 0) log_tap_remove(r->syslog_slot);
    r->syslog_slot = -1;
    if (!f) return;
    log_tap_remove(f->slot);
    if (f->fd >= 0) close(f->fd);
    arena_free(&f->arena);
    free(f);
    r->logfile = NULL;
}
