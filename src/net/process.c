/* SPDX-License-Identifier: Apache-2.0 */
/* Child processes in groups of their own, their output read through one pipe. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "consuld/base/outside.h"
#include "world.h"

extern char **environ;

struct process {
    uv_process_t child;
    uv_pipe_t out;
    struct process_options opts; /* output, exited and ctx alone */
    struct world *world;
    bool forgotten;
    bool started;
    bool reaped; /* its id may be another's */
    int handles; /* not closed yet */
    int status;
};

static void handle_closed(uv_handle_t *handle)
{
    struct process *p = handle->data;
    if (--p->handles) return;
    if (!p->forgotten) p->opts.exited(p->opts.ctx, p->status);
    free(p);
}

static void child_exited(uv_process_t *child, int64_t status, int signum)
{
    struct process *p = child->data;
    p->status = signum ? -signum : (int)status;
    p->reaped = true;
    uv_close((uv_handle_t *)child, handle_closed);
}

static void on_alloc(uv_handle_t *handle, size_t hint, uv_buf_t *buf)
{
    struct process *p = handle->data;
    (void)hint;
    *buf = uv_buf_init(p->world->read_buffer, NET_READ_SIZE);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct process *p = stream->data;
    if (n > 0 && !p->forgotten) p->opts.output(p->opts.ctx, (struct str){ buf->base, (size_t)n });
    if (n < 0 && !uv_is_closing((uv_handle_t *)stream))
        uv_close((uv_handle_t *)stream, handle_closed);
}

/* The parent's environment and the additions, in one array. */
static char **environment(struct arena *a, const char *const *added)
{
    size_t n = 0, more = 0;
    while (environ[n])
        n++;
    while (added && added[more])
        more++;
    char **all = arena_array(a, n + more + 1, sizeof *all);
    for (size_t i = 0; i < n; i++)
        all[i] = environ[i];
    for (size_t i = 0; i < more; i++)
        all[n + i] = (char *)(uintptr_t)added[i];
    return all;
}

int process_input(struct str text)
{
    int fd = memfd_create("input", MFD_CLOEXEC);
    for (size_t at = 0; fd >= 0 && at < text.n;) {
        ssize_t n = write(fd, text.p + at, text.n - at);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) {
            close(fd);
            return -1;
        }
        at += (size_t)n;
    }
    if (fd >= 0) lseek(fd, 0, SEEK_SET);
    return fd;
}

struct process *process_start(
    struct world *w, const struct process_options *opts, struct error *err)
{
    if (!*opts->argv[0]) {
        error_set(err, ERR_IO, "exec: no command");
        return NULL;
    }
    struct arena a = ARENA_INIT;
    struct process *p = xcalloc(1, sizeof *p);
    p->opts = *opts;
    p->world = w;
    p->handles = 2;
    ensure(uv_pipe_init(&w->loop, &p->out, 0) == 0);
    p->out.data = p->child.data = p;
    /* both outputs share one pipe */
    int ends[2] = { -1, -1 };
    int rc = uv_pipe(ends, 0, 0);
    int input = opts->input.p ? process_input(opts->input) : -1;
    if (opts->input.p && input < 0 && rc == 0) rc = uv_translate_sys_error(errno);
    if (rc == 0) rc = uv_pipe_open(&p->out, ends[0]);
    uv_stdio_container_t outputs = { .flags = UV_INHERIT_FD, .data.fd = ends[1] };
    uv_stdio_container_t stdio[3] = { { .flags = UV_IGNORE }, outputs, outputs };
    if (input >= 0) stdio[0] = (uv_stdio_container_t){ .flags = UV_INHERIT_FD, .data.fd = input };
    uv_process_options_t o = { .exit_cb = child_exited,
        .file = opts->argv[0],
        .args = (char **)(uintptr_t)opts->argv,
        .env = environment(&a, opts->env),
        .flags = UV_PROCESS_DETACHED,
        .stdio_count = 3,
        .stdio = stdio };
    if (rc == 0) rc = uv_spawn(&w->loop, &p->child, &o);
    if (ends[1] >= 0) close(ends[1]);
    if (input >= 0) close(input);
    arena_free(&a);
    if (rc != 0) {
        if (rc == UV_ENOENT && !strchr(opts->argv[0], '/'))
            error_set(
                err, ERR_IO, "exec: \"%s\": executable file not found in $PATH", opts->argv[0]);
        else
            error_set(err, ERR_IO, "fork/exec %s: %s", opts->argv[0], uv_strerror(rc));
        p->forgotten = true;
        uv_close((uv_handle_t *)&p->out, handle_closed);
        p->child.data = p;
        uv_close((uv_handle_t *)&p->child, handle_closed);
        return NULL;
    }
    p->started = true;
    uv_read_start((uv_stream_t *)&p->out, on_alloc, on_read);
    return p;
}

void process_read(struct process *p, bool on)
{
    if (!on)
        uv_read_stop((uv_stream_t *)&p->out);
    else if (!uv_is_closing((uv_handle_t *)&p->out))
        uv_read_start((uv_stream_t *)&p->out, on_alloc, on_read);
}

void process_kill(struct process *p)
{
    if (!p->started) return;
    /* Also when the leader has ended and a grandchild holds the pipe open. As long as the group has
     * members its id is given to nobody: if somebody has it, the group is gone. */
    if (p->reaped && !(kill(p->child.pid, 0) != 0 && errno == ESRCH)) return;
    kill(-p->child.pid, SIGKILL);
}

void process_forget(struct process *p)
{
    p->forgotten = true;
    process_kill(p);
}
