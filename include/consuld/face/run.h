/* SPDX-License-Identifier: Apache-2.0 */
/* `consuld agent`: argv behind the subcommand; returns the exit status when the agent has ended. */
#pragma once

int run_agent(int argc, char **argv);
