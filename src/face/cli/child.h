/* SPDX-License-Identifier: Apache-2.0 */
/* Programs that commands run: handlers of watch, children of lock. */
#pragma once
#include <sys/types.h>

#include "cli.h"

struct child_options {
    const struct list *words;       /* struct str; not empty */
    bool shell;                     /* the words are a line for $SHELL -c */
    const char *const *environment; /* name, value, ... ended by NULL; or NULL */
    const struct str *input;        /* its standard input; NULL: /dev/null */
    bool pass_input;                /* its standard input is ours */
};

/* Starts a program. Errors: fork/exec /no/such: no such file or directory; of a name without
 * slash: exec: "x": executable file not found in $PATH. */
int child_start(
    struct cli *c, const struct child_options *options, pid_t *out, struct error *err) must_check;
/* Waits for its end: 0, or why not: exit status 3; signal: killed. */
int child_wait(pid_t pid, struct error *err) must_check;
/* The same of a status as waitpid gives it. */
int child_status(int status, struct error *err) must_check;
