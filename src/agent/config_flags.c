/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of `consul agent` by the rules of Go's flag package. */
#include <stdlib.h>
#include <string.h>

#include "consuld/agent/config.h"

enum target { TO_OPTION, TO_DEV, TO_FORMAT, TO_FILES, TO_HCL };

/* Flags without a key of their own. */
static const struct own_flag {
    const char *name;
    enum target target;
    enum config_type type;
    const char *usage;
} own_flags[] = {
    { "config-dir", TO_FILES, CONFIG_LIST,
        "Folder (or file) of configuration, .hcl and .json. May be repeated." },
    { "config-file", TO_FILES, CONFIG_LIST,
        "File (or folder) of configuration, .hcl or .json. May be repeated." },
    { "config-format", TO_FORMAT, CONFIG_STRING,
        "Format of all configuration files, hcl or json, whatever their names." },
    { "dev", TO_DEV, CONFIG_BOOL, "Starts a lone server in memory, for development." },
    { "hcl", TO_HCL, CONFIG_LIST, "A piece of HCL configuration. May be repeated." },
};

enum { OWN_FLAGS = sizeof own_flags / sizeof own_flags[0] };

struct found {
    enum target target;
    enum config_type type;
    const struct config_option *option;
};

static bool find(struct str name, struct found *out)
{
    for (size_t i = 0; i < OWN_FLAGS; i++) {
        if (!str_is(name, own_flags[i].name)) continue;
        *out = (struct found){ own_flags[i].target, own_flags[i].type, NULL };
        return true;
    }
    for (size_t i = 0; i < config_options_n; i++) {
        const struct config_option *o = &config_options[i];
        if (!o->flag || !str_is(name, o->flag)) continue;
        *out = (struct found){ TO_OPTION, o->type, o };
        return true;
    }
    return false;
}

/* --- values ---------------------------------------------------------------------------------- */

static bool parse_bool(struct str text, bool *out)
{
    static const char *const words[2][6] = {
        { "0", "f", "F", "false", "FALSE", "False" },
        { "1", "t", "T", "true", "TRUE", "True" },
    };
    for (int truth = 0; truth < 2; truth++) {
        for (size_t i = 0; i < 6; i++) {
            if (!str_is(text, words[truth][i])) continue;
            *out = truth == 1;
            return true;
        }
    }
    return false;
}

static int check_value(const struct found *f, struct str name, struct str *value, struct error *err)
{
    bool truth;
    int64_t number;
    if (f->type == CONFIG_BOOL) {
        if (!parse_bool(*value, &truth))
            return error_set(err, ERR_BAD_REQUEST,
                "invalid boolean value \"%.*s\" for -%.*s: strconv.ParseBool: parsing \"%.*s\": "
                "invalid syntax",
                STR_ARG(*value), STR_ARG(name), STR_ARG(*value));
        *value = truth ? STR("true") : STR("false");
    }
    if (f->type == CONFIG_INT) {
        struct str digits = *value;
        if (digits.n > 1 && digits.p[0] == '+') digits = str_slice(digits, 1, digits.n);
        if (!str_to_i64(digits, &number))
            return error_set(err, ERR_BAD_REQUEST,
                "invalid value \"%.*s\" for flag -%.*s: strconv.Atoi: parsing \"%.*s\": "
                "invalid syntax",
                STR_ARG(*value), STR_ARG(name), STR_ARG(*value));
        *value = digits;
    }
    return 0;
}

static void store(struct arena *a, const struct found *f, struct str value, struct config_args *out)
{
    switch (f->target) {
    case TO_OPTION:
        *LIST_PUSH(a, &out->flags, struct config_flag) = (struct config_flag){ f->option, value };
        break;
    case TO_DEV:
        out->dev = str_is(value, "true");
        break;
    case TO_FORMAT:
        out->format = value;
        break;
    case TO_FILES:
        *LIST_PUSH(a, &out->files, struct str) = value;
        break;
    case TO_HCL:
        *LIST_PUSH(a, &out->hcl, struct str) = value;
        break;
    }
}

/* Reads the flag at argv[*i] and moves *i behind it. */
static int parse_flag(
    int argc, char **argv, int *i, struct arena *a, struct config_args *out, struct error *err)
{
    struct str word = str_of(argv[(*i)++]), name, value;
    struct str body = str_slice(word, word.p[1] == '-' ? 2 : 1, word.n);
    if (body.n == 0 || body.p[0] == '-' || body.p[0] == '=')
        return error_set(err, ERR_BAD_REQUEST, "bad flag syntax: %s", word.p);
    bool has_value = str_cut(body, '=', &name, &value);
    struct found f;
    if (!find(name, &f)) {
        if (str_is(name, "h") || str_is(name, "help"))
            return error_set(err, ERR_NOT_FOUND, "flag: help requested");
        return error_set(
            err, ERR_BAD_REQUEST, "flag provided but not defined: -%.*s", STR_ARG(name));
    }
    if (!has_value && f.type == CONFIG_BOOL) {
        value = STR("true");
    } else if (!has_value) {
        if (*i == argc)
            return error_set(err, ERR_BAD_REQUEST, "flag needs an argument: -%.*s", STR_ARG(name));
        value = str_of(argv[(*i)++]);
    }
    int rc = check_value(&f, name, &value, err);
    if (rc == 0) store(a, &f, value, out);
    return rc;
}

int config_parse_flags(
    int argc, char **argv, struct arena *a, struct config_args *out, struct error *err)
{
    int i = 0;
    while (i < argc && argv[i][0] == '-' && argv[i][1] != '\0') {
        if (strcmp(argv[i], "--") == 0) {
            i++;
            break;
        }
        int rc = parse_flag(argc, argv, &i, a, out, err);
        if (rc) return rc;
    }
    for (; i < argc; i++)
        *LIST_PUSH(a, &out->rest, struct str) = str_of(argv[i]);
    return 0;
}

/* --- usage ----------------------------------------------------------------------------------- */

struct usage {
    const char *name, *text;
    enum config_type type;
};

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct usage *)a)->name, ((const struct usage *)b)->name);
}

void config_flags_usage(struct buf *out)
{
    struct usage *all = xcalloc(config_options_n + OWN_FLAGS, sizeof *all);
    size_t n = 0;
    for (; n < OWN_FLAGS; n++)
        all[n] = (struct usage){ own_flags[n].name, own_flags[n].usage, own_flags[n].type };
    for (size_t i = 0; i < config_options_n; i++) {
        const struct config_option *o = &config_options[i];
        if (o->flag) all[n++] = (struct usage){ o->flag, o->usage, o->type };
    }
    qsort(all, n, sizeof *all, by_name);
    for (size_t i = 0; i < n; i++) {
        const char *kind = all[i].type == CONFIG_BOOL  ? ""
                           : all[i].type == CONFIG_INT ? "=<int>"
                           : all[i].type == CONFIG_MAP ? "=<key:value>"
                                                       : "=<string>";
        buf_printf(out, "  -%s%s\n     %s\n\n", all[i].name, kind, all[i].text);
    }
    free(all);
}
