/* SPDX-License-Identifier: Apache-2.0 */
#include "child.h"

#include "consuld/base/outside.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char **argv_of(struct cli *c, const struct child_options *o)
{
    char **argv = arena_array(&c->arena, o->words->n + 4, sizeof *argv);
    const char *shell = getenv("SHELL");
    size_t n = 0;
    if (o->shell) {
        argv[n++] = (char *)(uintptr_t)(shell && *shell ? shell : "/bin/sh");
        argv[n++] = (char *)(uintptr_t) "-c";
        argv[n++] = (char *)(uintptr_t)str_c(&c->arena, texts_join(c, o->words, " "));
        return argv;
    }
    for (size_t i = 0; i < o->words->n; i++)
        argv[n++] = (char *)(uintptr_t)str_c(&c->arena, LIST_AT(o->words, struct str, i));
    return argv;
}

/* In the child: never returns; errno of a failed exec goes to `report`. */
static _Noreturn void become(const struct child_options *o, char **argv, int input, int report)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    for (const char *const *e = o->environment; e && e[0]; e += 2)
        setenv(e[0], e[1], 1);
    if (input >= 0) dup2(input, STDIN_FILENO);
    execvp(argv[0], argv);
    int code = errno;
    ssize_t n = write(report, &code, sizeof code);
    _exit(n > 0 ? 127 : 126);
}

static int refuse(const char *program, int code, struct error *err)
{
    char why[128];
    if (code == ENOENT && !strchr(program, '/'))
        return error_set(err, ERR_IO, "exec: \"%s\": executable file not found in $PATH", program);
    return error_set(err, ERR_IO, "fork/exec %s: %s", program, cli_reason(code, why, sizeof why));
}

int child_start(struct cli *c, const struct child_options *o, pid_t *out, struct error *err)
{
    char **argv = argv_of(c, o);
    int report[2], code = 0, input = -1;
    if (pipe2(report, O_CLOEXEC) != 0) return refuse(argv[0], errno, err);
    if (!o->pass_input)
        input = o->input ? process_input(*o->input) : open("/dev/null", O_RDONLY | O_CLOEXEC);
    fflush(NULL);
    pid_t pid = input < 0 && !o->pass_input ? -1 : fork();
    if (pid == 0) become(o, argv, input, report[1]);
    code = errno;
    close(report[1]);
    if (input >= 0) close(input);
    if (pid < 0) {
        close(report[0]);
        return refuse(argv[0], code, err);
    }
    ssize_t n = read(report[0], &code, sizeof code);
    close(report[0]);
    if (n == (ssize_t)sizeof code) {
        waitpid(pid, NULL, 0);
        return refuse(argv[0], code, err);
    }
    *out = pid;
    return 0;
}

int child_status(int status, struct error *err)
{
    if (WIFSIGNALED(status)) {
        char name[64];
        snprintf(name, sizeof name, "%s", strsignal(WTERMSIG(status)));
        name[0] = (char)tolower((unsigned char)name[0]);
        return error_set(err, ERR_IO, "signal: %s", name);
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
        return error_set(err, ERR_IO, "exit status %d", WEXITSTATUS(status));
    return 0;
}

int child_wait(pid_t pid, struct error *err)
{
    int status;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR) return error_set(err, ERR_IO, "waitpid: no such child");
    return child_status(status, err);
}
