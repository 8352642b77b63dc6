/* SPDX-License-Identifier: Apache-2.0 */
/* The command table. A command gets argv behind its name and returns the exit status. */
#pragma once
#include "consuld/base.h"

struct cli_command {
    const char *name; /* "agent", "kv get" */
    const char *synopsis;
    int (*run)(int argc, char **argv);
};

extern const struct cli_command cli_commands[]; /* sorted, ended by a row without name */

int cli_version(int argc, char **argv);
