/* SPDX-License-Identifier: Apache-2.0 */
#include "cli.h"

#include <stdio.h>
#include <string.h>

#include "consuld/agent/config.h"
#include "consuld/face/cli.h"
#include "consuld/face/run.h"

int cli_version(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    printf("Consul v" CONSUL_VERSION "\n"
           "Protocol 2 spoken by default, understands 2 to 3 (agent will automatically use "
           "protocol >2 when speaking to compatible agents)\n\n");
    return 0;
}

const struct cli_command cli_commands[] = {
    { "agent", "Runs a Consul agent", run_agent },
    { "version", "Prints the Consul version", cli_version },
    { 0 },
};

static void usage(FILE *to)
{
    fprintf(to, "Usage: consul [--version] [--help] <command> [<args>]\n\n"
                "Available commands are:\n");
    for (const struct cli_command *c = cli_commands; c->name; c++)
        fprintf(to, "    %-14s %s\n", c->name, c->synopsis);
    fprintf(to, "\n");
}

int cli_main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";
    if (!strcmp(name, "-v") || !strcmp(name, "-version") || !strcmp(name, "--version"))
        return cli_version(0, NULL);
    if (!strcmp(name, "-h") || !strcmp(name, "-help") || !strcmp(name, "--help")) {
        usage(stdout);
        return 0;
    }
    for (const struct cli_command *c = cli_commands; c->name; c++) {
        if (!strcmp(c->name, name)) return c->run(argc - 2, argv + 2);
    }
    usage(stderr);
    return 127;
}
