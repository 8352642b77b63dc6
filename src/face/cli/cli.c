/* SPDX-License-Identifier: Apache-2.0 */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

#include "consuld/face/cli.h"
#include "client.h"
#include "consuld/model.h"

#define NAME_WORDS_MAX 3

static const struct cli_command *const tables[] = { cli_basic_commands, cli_kv_commands,
    cli_catalog_commands, cli_cluster_commands, cli_service_commands, cli_operator_commands,
    cli_config_commands, cli_intention_commands, cli_keyring_commands, cli_snapshot_commands,
    cli_connect_commands, cli_watch_commands, cli_lock_commands, cli_tls_commands,
    cli_debug_commands, cli_exec_commands, cli_absent_commands };

enum { TABLES = sizeof tables / sizeof tables[0] };

/* Commands whose name comes behind `after`, the first of them; all for NULL. */
static const struct cli_command *next_by_name(const char *after)
{
    const struct cli_command *best = NULL;
    for (size_t t = 0; t < TABLES; t++)
        for (const struct cli_command *c = tables[t]; c->name; c++)
            if ((!after || strcmp(c->name, after) > 0) &&
                (!best || strcmp(c->name, best->name) < 0))
                best = c;
    return best;
}

const struct cli_command *cli_command_at(size_t i)
{
    const struct cli_command *c = next_by_name(NULL);
    while (c && i-- > 0)
        c = next_by_name(c->name);
    return c;
}

static const struct cli_command *by_name(const char *name)
{
    for (size_t t = 0; t < TABLES; t++)
        for (const struct cli_command *c = tables[t]; c->name; c++)
            if (strcmp(c->name, name) == 0) return c;
    return NULL;
}

/* The command with the longest name at the start of argv; *words it takes. */
static const struct cli_command *find(int argc, char **argv, int *words)
{
    const struct cli_command *found = NULL;
    char name[128] = "";
    size_t n = 0;
    for (int i = 0; i < argc && i < NAME_WORDS_MAX; i++) {
        int more = snprintf(name + n, sizeof name - n, "%s%s", i ? " " : "", argv[i]);
        if (more < 0 || (size_t)more >= sizeof name - n) break;
        n += (size_t)more;
        const struct cli_command *c = by_name(name);
        if (!c) break;
        found = c;
        *words = i + 1;
    }
    return found;
}

static int run_group(struct cli *c, int argc, char **argv)
{
    bool asked = argc > 0 && (!strcmp(argv[0], "-h") || !strcmp(argv[0], "-help") ||
                                 !strcmp(argv[0], "--help"));
    cli_help_command(c->command, asked ? c->io.out : c->io.err);
    return asked ? 0 : 1;
}

static int run_flags(struct cli *c, int argc, char **argv)
{
    struct error err;
    int rc = cli_flags_parse(c, argc, argv, &err);
    if (rc == ERR_NOT_FOUND) {
        cli_help_command(c->command, c->io.out);
        return 0;
    }
    if (rc == 0 && (c->command->groups & CLI_CLIENT) && client_check(c) != 0) return 1;
    if (rc == 0) return c->command->run(c);
    fprintf(c->io.err, "%s\n", err.text);
    cli_help_flags(c->command, c->io.err);
    return c->command->refused ? c->command->refused : 1;
}

static bool is_one_of(const char *word, const char *const *words)
{
    for (; *words; words++)
        if (!strcmp(word, *words)) return true;
    return false;
}

int cli_run(const struct cli_streams *io, int argc, char **argv)
{
    static const char *const version[] = { "-v", "-version", "--version", NULL };
    static const char *const help[] = { "-h", "-help", "--help", NULL };
    static char *version_words[] = { (char *)"version" };
    struct cli c = { .arena = ARENA_INIT, .io = *io };
    int words = 0, status;
    if (argc > 0 && is_one_of(argv[0], version)) {
        argc = 1;
        argv = version_words;
    }
    if (argc > 0 && is_one_of(argv[0], help)) {
        cli_help_all(io->out);
        return 0;
    }
    c.command = find(argc, argv, &words);
    if (!c.command) {
        cli_help_all(io->err);
        return 127;
    }
    if (c.command->run)
        status = run_flags(&c, argc - words, argv + words);
    else if (c.command->run_words)
        status = c.command->run_words(&c, argc - words, argv + words);
    else
        status = run_group(&c, argc - words, argv + words);
    arena_free(&c.arena);
    return status;
}

int cli_main(int argc, char **argv)
{
    const struct cli_streams io = { stdin, stdout, stderr };
    model_init();
    int status = cli_run(&io, argc > 0 ? argc - 1 : 0, argv + 1);
    if (fflush(stdout) != 0 && status == 0) status = 1;
    return status;
}
