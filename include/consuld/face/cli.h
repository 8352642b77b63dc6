/* SPDX-License-Identifier: Apache-2.0 */
/* The command line: `consuld COMMAND [SUBCOMMAND ...] [flags] [arguments]` (cli.md). */
#pragma once

/* Runs the command that argv names and returns its exit status. */
int cli_main(int argc, char **argv);
