/* SPDX-License-Identifier: Apache-2.0 */
/* The command table and what commands share. A row is a command; the dispatcher reads its flags by
 * the rules of Go's flag package, prints its help, and calls `run`. Spec: cli.md. */
#pragma once
#include <stdio.h>

#include "consuld/wire.h"

/* The name of the program in usage texts. */
#define CLI_PROGRAM "consul"
#define CLI_ARGUMENTS_MAX 65536
#define CLI_INPUT_MAX ((size_t)512 << 20) /* a file or standard input taken as a value */

enum cli_flag_kind {
    CLI_END, /* of a table */
    CLI_BOOL,
    CLI_STRING,
    CLI_INT,
    CLI_UINT,
    CLI_DURATION,
    CLI_LIST, /* may be given again */
    CLI_MAP,  /* key=value, may be given again */
    /* The same types, whose errors name the conversion. */
    CLI_BOOL_TEXT,
    CLI_UINT_TEXT,
    CLI_DURATION_TEXT,
};

struct cli_flag {
    enum cli_flag_kind kind;
    const char *name;
    const char *value; /* default; NULL: "", 0, false */
    const char *type;  /* in help texts: -name=<type>; NULL: by kind */
    const char *usage;
};

enum cli_group { CLI_CLIENT = 1, CLI_SERVER = 2, CLI_NAMESPACE = 4 };

struct cli;

struct cli_command {
    const char *name; /* "kv get" */
    const char *synopsis;
    const char *usage; /* behind the name in the usage line */
    unsigned groups;   /* of enum cli_group */
    const struct cli_flag *flags;
    int (*run)(struct cli *c); /* returns the exit status */
    /* Instead of `run`: gets the words behind the name and reads them itself. */
    int (*run_words)(struct cli *c, int argc, char **argv);
    const char *about; /* second part of the help, or NULL */
    int refused;       /* exit status when flags are refused; 0 stands for 1 */
};

/* A row without run is a group of commands. Tables end with a row without name. */
#define CLI_GROUP(group_name, group_synopsis, group_usage) \
    { \
        .name = group_name, .synopsis = group_synopsis, .usage = group_usage \
    }
extern const struct cli_command cli_basic_commands[], cli_kv_commands[], cli_catalog_commands[],
    cli_cluster_commands[], cli_service_commands[], cli_operator_commands[], cli_config_commands[],
    cli_intention_commands[], cli_snapshot_commands[], cli_watch_commands[], cli_lock_commands[],
    cli_keyring_commands[], cli_tls_commands[], cli_acl_commands[], cli_connect_commands[],
    cli_debug_commands[], cli_exec_commands[], cli_absent_commands[];

/* A flag that was given. */
struct cli_given {
    const struct cli_flag *flag;
    struct str text;
};

struct cli_streams {
    FILE *in, *out, *err;
};

/* One run of a command. */
struct cli {
    struct arena arena; /* owns all that the command makes */
    struct cli_streams io;
    const struct cli_command *command;
    struct list given; /* struct cli_given */
    struct list args;  /* struct str, behind the flags; NUL-terminated */
};

/* cli_main on streams of the caller's. */
int cli_run(const struct cli_streams *io, int argc, char **argv);

/* The i-th command of all tables in the order of names, NULL behind the last. */
const struct cli_command *cli_command_at(size_t i);

/* --- flags (flags.c) ------------------------------------------------------------------------- */

/* Fills c->given and c->args. The error text is Go's; ERR_NOT_FOUND means help was asked for. */
int cli_flags_parse(struct cli *c, int argc, char **argv, struct error *err) must_check;
/* Flags by name; the command's row or its groups have them. */
bool cli_is_given(const struct cli *c, const char *name);
struct str cli_text(const struct cli *c, const char *name);
bool cli_bool(const struct cli *c, const char *name);
int64_t cli_int(const struct cli *c, const char *name);
uint64_t cli_uint(const struct cli *c, const char *name);
int64_t cli_duration(const struct cli *c, const char *name); /* nanoseconds */
/* Texts of a CLI_LIST, struct str, or pairs of a CLI_MAP, struct str_pair; in the order given. */
struct list cli_list(struct cli *c, const char *name);
struct list cli_map(struct cli *c, const char *name);
/* Flags of the command and its groups: next one, or NULL; start with *it = 0. */
const struct cli_flag *cli_flags_next(const struct cli_command *command, size_t *it);

/* --- help (help.c) --------------------------------------------------------------------------- */

void cli_help_all(FILE *to);
void cli_help_command(const struct cli_command *command, FILE *to);
/* What follows a flag that is refused. */
void cli_help_flags(const struct cli_command *command, FILE *to);

/* --- input and output (text.c) --------------------------------------------------------------- */

/* Prints one line on standard error and returns 1. */
int cli_fail(struct cli *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The same and the command's help behind a blank line. */
int cli_fail_help(struct cli *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void cli_say(struct cli *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void cli_put(struct cli *c, struct str s);
/* The i-th argument, or nil. */
struct str cli_arg(const struct cli *c, size_t i);
/* "Too many arguments (expected 1, got 2)": prints it and returns 1 if there are more. */
int cli_args_at_most(struct cli *c, size_t max) must_check;
/* Whole standard input or file, owned by the arena. Errors are Go's: open X: no such file ... */
int cli_read_stdin(struct cli *c, struct str *out, struct error *err) must_check;
int cli_read_file(struct cli *c, struct str path, struct str *out, struct error *err) must_check;
/* An argument that is itself a text, "-" for standard input, or "@FILE". Errors: Failed to read
 * stdin: ..., Failed to read file: ... */
int cli_read_value(struct cli *c, struct str arg, struct str *out, struct error *err) must_check;
/* errno as Go words it: connection refused. */
const char *cli_reason(int code, char *room, size_t size);

/* --- tables of text (columns.c) -------------------------------------------------------------- */

struct columns {
    size_t width;      /* cells of a row */
    struct list cells; /* struct str */
    bool trimmed;      /* no blanks before the very last cell if it is empty */
};
/* Appends `width` cells. */
void columns_add(struct cli *c, struct columns *t, const struct str *cells);
/* Cells padded to the widest of their column and `gap` blanks; the last column as it is. */
void columns_print(struct cli *c, const struct columns *t, size_t gap);

/* --- free-form values (text.c) --------------------------------------------------------------- */

/* Members of a map; "" or 0 or false when absent or of another kind. */
struct str value_text(const struct value *v, const char *key);
uint64_t value_uint(const struct value *v, const char *key);
double value_number(const struct value *v);
double value_float(const struct value *v, const char *key);
bool value_bool(const struct value *v, const char *key);
/* A member, or an empty value. */
const struct value *value_at(const struct value *v, const char *key);
/* Entries of a map in the order of their keys: struct value_entry. */
struct list value_sorted(struct cli *c, const struct value *map);
/* Texts of a list: struct str. */
struct list value_texts(struct cli *c, const struct value *list);
void texts_sort(struct list *texts);
struct str texts_join(struct cli *c, const struct list *texts, const char *separator);
/* Prints JSON text anew with `indent` per level and a final newline, members in their order. */
void cli_print_json(struct cli *c, struct str json, const char *indent);
