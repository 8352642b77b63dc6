/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "cli.h"

static const struct cli_flag client_flags[] = {
    { CLI_STRING, "ca-file",
        .usage = "File with the certificate authorities to trust. Also "
                 "CONSUL_CACERT." },
    { CLI_STRING, "ca-path",
        .usage = "Folder with the certificate authorities to trust. Also "
                 "CONSUL_CAPATH." },
    { CLI_STRING, "client-cert",
        .usage = "File with the client certificate. Also "
                 "CONSUL_CLIENT_CERT." },
    { CLI_STRING, "client-key",
        .usage = "File with the client certificate's key. Also "
                 "CONSUL_CLIENT_KEY." },
    { CLI_STRING, "http-addr", .type = "address",
        .usage = "Address of the agent: HOST:PORT, http://HOST:PORT or unix:///PATH. Also "
                 "CONSUL_HTTP_ADDR. Default 127.0.0.1:8500." },
    { CLI_STRING, "tls-server-name",
        .usage = "Name to expect in the server's certificate. Also "
                 "CONSUL_TLS_SERVER_NAME." },
    { CLI_STRING, "token", .usage = "ACL token of the request. Also CONSUL_HTTP_TOKEN." },
    { CLI_STRING, "token-file", .usage = "File with the ACL token. Also CONSUL_HTTP_TOKEN_FILE." },
    { 0 },
};

static const struct cli_flag server_flags[] = {
    { CLI_STRING, "datacenter", .usage = "Datacenter to ask; the agent's own if empty." },
    { CLI_BOOL_TEXT, "stale", .usage = "Lets any server answer, not only the leader." },
    { 0 },
};

static const struct cli_flag namespace_flags[] = {
    { CLI_STRING, "namespace",
        .usage = "Namespace of the request (Enterprise). Also "
                 "CONSUL_NAMESPACE." },
    { 0 },
};

const struct cli_flag *cli_flags_next(const struct cli_command *command, size_t *it)
{
    const struct cli_flag *tables[] = { command->flags,
        command->groups & CLI_CLIENT ? client_flags : NULL,
        command->groups & CLI_SERVER ? server_flags : NULL,
        command->groups & CLI_NAMESPACE ? namespace_flags : NULL };
    size_t skip = *it;
    for (size_t t = 0; t < sizeof tables / sizeof tables[0]; t++) {
        for (const struct cli_flag *f = tables[t]; f && f->kind != CLI_END; f++) {
            if (skip-- > 0) continue;
            ++*it;
            return f;
        }
    }
    return NULL;
}

static const struct cli_flag *find(const struct cli_command *command, struct str name)
{
    const struct cli_flag *f;
    for (size_t it = 0; (f = cli_flags_next(command, &it));)
        if (str_is(name, f->name)) return f;
    return NULL;
}

/* --- values ---------------------------------------------------------------------------------- */

static bool parse_bool(struct str text, bool *out)
{
    static const char *const words[2][6] = {
        { "0", "f", "F", "false", "FALSE", "False" },
        { "1", "t", "T", "true", "TRUE", "True" },
    };
    for (int truth = 0; truth < 2; truth++)
        for (size_t i = 0; i < 6; i++)
            if (str_is(text, words[truth][i])) {
                *out = truth == 1;
                return true;
            }
    return false;
}

static const char *number_fault(struct str text)
{
    bool digits = text.n > 0;
    for (size_t i = 0; i < text.n; i++)
        digits = digits && text.p[i] >= '0' && text.p[i] <= '9';
    return digits ? "value out of range" : "parse error";
}

/* What is wrong with a value, in Go's words; "" if nothing. */
static const char *fault(struct cli *c, const struct cli_flag *f, struct str text)
{
    struct error err = { 0 };
    bool truth;
    int64_t i;
    uint64_t u;
    switch (f->kind) {
    case CLI_BOOL:
        return parse_bool(text, &truth) ? "" : "parse error";
    case CLI_BOOL_TEXT:
        if (parse_bool(text, &truth)) return "";
        return str_printf(
            &c->arena, "strconv.ParseBool: parsing \"%.*s\": invalid syntax", STR_ARG(text))
            .p;
    case CLI_INT:
        return str_to_i64(text, &i) ? "" : number_fault(text);
    case CLI_UINT:
        return str_to_u64(text, &u) ? "" : number_fault(text);
    case CLI_UINT_TEXT:
        if (str_to_u64(text, &u)) return "";
        return str_printf(
            &c->arena, "strconv.ParseUint: parsing \"%.*s\": invalid syntax", STR_ARG(text))
            .p;
    case CLI_DURATION:
        return duration_parse(text, &i, &err) == 0 ? "" : "parse error";
    case CLI_DURATION_TEXT:
        return duration_parse(text, &i, &err) == 0 ? "" : str_c(&c->arena, str_of(err.text));
    case CLI_MAP:
        return str_find_char(text, '=') >= 0
                   ? ""
                   : str_printf(&c->arena, "Missing \"=\" value in argument: %.*s", STR_ARG(text))
                         .p;
    case CLI_STRING:
    case CLI_LIST:
    case CLI_END:
        return "";
    }
    return "";
}

static bool is_bool(const struct cli_flag *f)
{
    return f->kind == CLI_BOOL || f->kind == CLI_BOOL_TEXT;
}

/* Reads the flag at argv[*i] and moves *i behind it. */
static int parse_flag(struct cli *c, int argc, char **argv, int *i, struct error *err)
{
    struct str word = str_of(argv[(*i)++]), name, text;
    struct str body = str_slice(word, word.p[1] == '-' ? 2 : 1, word.n);
    if (body.n == 0 || body.p[0] == '-' || body.p[0] == '=')
        return error_set(err, ERR_BAD_REQUEST, "bad flag syntax: %s", word.p);
    bool has_text = str_cut(body, '=', &name, &text);
    const struct cli_flag *f = find(c->command, name);
    if (!f && (str_is(name, "h") || str_is(name, "help")))
        return error_set(err, ERR_NOT_FOUND, "flag: help requested");
    if (!f)
        return error_set(
            err, ERR_BAD_REQUEST, "flag provided but not defined: -%.*s", STR_ARG(name));
    if (!has_text && is_bool(f)) {
        text = STR("true");
    } else if (!has_text) {
        if (*i == argc)
            return error_set(err, ERR_BAD_REQUEST, "flag needs an argument: -%.*s", STR_ARG(name));
        text = str_of(argv[(*i)++]);
    }
    const char *why = fault(c, f, text);
    if (*why && is_bool(f))
        return error_set(err, ERR_BAD_REQUEST, "invalid boolean value \"%.*s\" for -%s: %s",
            STR_ARG(text), f->name, why);
    if (*why)
        return error_set(err, ERR_BAD_REQUEST, "invalid value \"%.*s\" for flag -%s: %s",
            STR_ARG(text), f->name, why);
    *LIST_PUSH(&c->arena, &c->given, struct cli_given) = (struct cli_given){ f, text };
    return 0;
}

int cli_flags_parse(struct cli *c, int argc, char **argv, struct error *err)
{
    int i = 0;
    if (argc > CLI_ARGUMENTS_MAX)
        return error_set(err, ERR_BAD_REQUEST, "more than %d arguments", CLI_ARGUMENTS_MAX);
    while (i < argc && argv[i][0] == '-' && argv[i][1] != '\0') {
        if (strcmp(argv[i], "--") == 0) {
            i++;
            break;
        }
        int rc = parse_flag(c, argc, argv, &i, err);
        if (rc) return rc;
    }
    for (; i < argc; i++)
        *LIST_PUSH(&c->arena, &c->args, struct str) = str_of(argv[i]);
    return 0;
}

/* --- looking up ------------------------------------------------------------------------------ */

static struct str text_of(const struct cli *c, const char *name, bool *given)
{
    const struct cli_flag *f = find(c->command, str_of(name));
    ensure(f);
    struct str text = f->value ? str_of(f->value) : STR("");
    *given = false;
    for (size_t i = 0; i < c->given.n; i++) {
        const struct cli_given *g = &LIST_AT(&c->given, struct cli_given, i);
        if (g->flag != f) continue;
        text = g->text;
        *given = true;
    }
    return text;
}

bool cli_is_given(const struct cli *c, const char *name)
{
    bool given;
    text_of(c, name, &given);
    return given;
}

struct str cli_text(const struct cli *c, const char *name)
{
    bool given;
    return text_of(c, name, &given);
}

bool cli_bool(const struct cli *c, const char *name)
{
    bool truth = false;
    return parse_bool(cli_text(c, name), &truth) && truth;
}

int64_t cli_int(const struct cli *c, const char *name)
{
    int64_t i = 0;
    return str_to_i64(cli_text(c, name), &i) ? i : 0;
}

uint64_t cli_uint(const struct cli *c, const char *name)
{
    uint64_t u = 0;
    return str_to_u64(cli_text(c, name), &u) ? u : 0;
}

int64_t cli_duration(const struct cli *c, const char *name)
{
    int64_t ns = 0;
    struct error err;
    return duration_parse(cli_text(c, name), &ns, &err) == 0 ? ns : 0;
}

struct list cli_list(struct cli *c, const char *name)
{
    struct list out = { 0 };
    const struct cli_flag *f = find(c->command, str_of(name));
    ensure(f && (f->kind == CLI_LIST || f->kind == CLI_MAP));
    for (size_t i = 0; i < c->given.n; i++) {
        const struct cli_given *g = &LIST_AT(&c->given, struct cli_given, i);
        if (g->flag == f) *LIST_PUSH(&c->arena, &out, struct str) = g->text;
    }
    return out;
}

struct list cli_map(struct cli *c, const char *name)
{
    struct list texts = cli_list(c, name), out = { 0 };
    for (size_t i = 0; i < texts.n; i++) {
        struct str_pair pair;
        str_cut(LIST_AT(&texts, struct str, i), '=', &pair.key, &pair.value);
        *LIST_PUSH(&c->arena, &out, struct str_pair) = pair;
    }
    return out;
}
