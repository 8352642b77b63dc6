/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "cli.h"

#define TEXT_WIDTH 79
#define TEXT_INDENT 5

static const char *type_name(const struct cli_flag *f)
{
    if (f->type) return f->type;
    switch (f->kind) {
    case CLI_STRING:
        return "string";
    case CLI_INT:
        return "int";
    case CLI_UINT:
        return "uint";
    case CLI_DURATION:
        return "duration";
    case CLI_LIST:
    case CLI_BOOL_TEXT:
    case CLI_UINT_TEXT:
    case CLI_DURATION_TEXT:
        return "value";
    case CLI_MAP:
        return "key=value";
    case CLI_BOOL:
    case CLI_END:
        return "";
    }
    return "";
}

/* Text in lines of at most TEXT_WIDTH, each indented. */
static void wrap(const char *text, size_t indent, FILE *to)
{
    struct str rest = str_of(text), word;
    size_t column = 0;
    while (rest.n) {
        str_cut(rest, ' ', &word, &rest);
        if (column > 0 && column + 1 + word.n > TEXT_WIDTH) {
            fputc('\n', to);
            column = 0;
        }
        column += (size_t)fprintf(to, "%*s", column ? 1 : (int)indent, "");
        column += fwrite(word.p, 1, word.n, to);
    }
    fputc('\n', to);
}

static void entry(const struct cli_flag *f, FILE *to)
{
    const char *type = type_name(f);
    fprintf(to, *type ? "  -%s=<%s>\n" : "  -%s%s\n", f->name, type);
    wrap(f->usage ? f->usage : "", TEXT_INDENT, to);
    fputc('\n', to);
}

static bool is_own(const struct cli_command *command, const struct cli_flag *flag)
{
    for (const struct cli_flag *f = command->flags; f && f->kind != CLI_END; f++)
        if (f == flag) return true;
    return false;
}

static void section(const struct cli_command *command, const char *title, bool own, FILE *to)
{
    const struct cli_flag *f;
    bool titled = false;
    for (size_t it = 0; (f = cli_flags_next(command, &it));) {
        if (is_own(command, f) != own) continue;
        if (!titled) fprintf(to, "%s\n\n", title);
        titled = true;
        entry(f, to);
    }
}

/* "kv get" is below "kv". */
static bool is_below(const struct cli_command *c, const struct cli_command *group)
{
    size_t n = strlen(group->name);
    return strncmp(c->name, group->name, n) == 0 && c->name[n] == ' ' &&
           !strchr(c->name + n + 1, ' ');
}

static void subcommands(const struct cli_command *group, FILE *to)
{
    const struct cli_command *c;
    size_t n = strlen(group->name) + 1;
    fprintf(to, "Subcommands:\n");
    for (size_t i = 0; (c = cli_command_at(i)); i++)
        if (is_below(c, group)) fprintf(to, "    %-16s%s\n", c->name + n, c->synopsis);
}

void cli_help_command(const struct cli_command *command, FILE *to)
{
    fprintf(to, "Usage: " CLI_PROGRAM " %s %s\n\n", command->name, command->usage);
    wrap(command->about ? command->about : command->synopsis, 2, to);
    fputc('\n', to);
    section(command, "HTTP API Options", false, to);
    section(command, "Command Options", true, to);
    if (!command->run && !command->run_words) subcommands(command, to);
}

void cli_help_flags(const struct cli_command *command, FILE *to)
{
    const struct cli_flag *f;
    fprintf(to, "Usage:\n");
    for (size_t it = 0; (f = cli_flags_next(command, &it));)
        fprintf(to, "  -%s %s\n    \t%s\n", f->name, type_name(f), f->usage ? f->usage : "");
}

void cli_help_all(FILE *to)
{
    const struct cli_command *c;
    fprintf(to, "Usage: " CLI_PROGRAM " [--version] [--help] <command> [<args>]\n\n"
                "Available commands are:\n");
    for (size_t i = 0; (c = cli_command_at(i)); i++)
        if (!strchr(c->name, ' ')) fprintf(to, "    %-14s %s\n", c->name, c->synopsis);
    fputc('\n', to);
}
