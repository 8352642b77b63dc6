/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

int cli_fail(struct cli *c, const char *fmt, ...)
{
    va_list ap;
    fflush(c->io.out);
    va_start(ap, fmt);
    vfprintf(c->io.err, fmt, ap);
    va_end(ap);
    fputc('\n', c->io.err);
    return 1;
}

int cli_fail_help(struct cli *c, const char *fmt, ...)
{
    va_list ap;
    fflush(c->io.out);
    va_start(ap, fmt);
    vfprintf(c->io.err, fmt, ap);
    va_end(ap);
    fputs("\n\n", c->io.err);
    cli_help_command(c->command, c->io.err);
    return 1;
}

void cli_say(struct cli *c, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vfprintf(c->io.out, fmt, ap);
    va_end(ap);
    fputc('\n', c->io.out);
}

void cli_put(struct cli *c, struct str s)
{
    if (s.n) fwrite(s.p, 1, s.n, c->io.out);
}

struct str cli_arg(const struct cli *c, size_t i)
{
    return i < c->args.n ? LIST_AT(&c->args, struct str, i) : STR_NIL;
}

int cli_args_at_most(struct cli *c, size_t max)
{
    if (c->args.n <= max) return 0;
    return cli_fail(c, "Too many arguments (expected %zu, got %zu)", max, c->args.n);
}

const char *cli_reason(int code, char *room, size_t size)
{
    snprintf(room, size, "%s", strerror(code));
    if (size > 1 && room[0] && !isupper((unsigned char)room[1]))
        room[0] = (char)tolower((unsigned char)room[0]);
    return room;
}

/* --- input ----------------------------------------------------------------------------------- */

static int read_all(struct cli *c, FILE *from, struct str *out, struct error *err)
{
    char why[128];
    struct buf b = BUF_INIT(CLI_INPUT_MAX);
    for (;;) {
        uint8_t *room = buf_reserve(&b, 65536);
        size_t n = room ? fread(room, 1, 65536, from) : 0;
        if (n == 0) break;
        b.n += n;
    }
    int rc = 0;
    if (b.overflow)
        rc = error_set(err, ERR_TOO_LARGE, "more than %zu bytes", CLI_INPUT_MAX);
    else if (ferror(from))
        rc = error_set(err, ERR_IO, "read: %s", cli_reason(errno, why, sizeof why));
    *out = str_dup(&c->arena, b.n ? buf_str(&b) : STR(""));
    buf_deinit(&b);
    return rc;
}

int cli_read_stdin(struct cli *c, struct str *out, struct error *err)
{
    return read_all(c, c->io.in, out, err);
}

int cli_read_file(struct cli *c, struct str path, struct str *out, struct error *err)
{
    char why[128];
    FILE *f = fopen(str_c(&c->arena, path), "rb");
    if (!f)
        return error_set(
            err, ERR_IO, "open %.*s: %s", STR_ARG(path), cli_reason(errno, why, sizeof why));
    int rc = read_all(c, f, out, err);
    if (rc) error_prefix(err, "%.*s: ", STR_ARG(path));
    fclose(f);
    return rc;
}

int cli_read_value(struct cli *c, struct str arg, struct str *out, struct error *err)
{
    int rc;
    if (str_is(arg, "-")) {
        rc = cli_read_stdin(c, out, err);
        return rc ? error_prefix(err, "Failed to read stdin: ") : 0;
    }
    if (arg.n > 0 && arg.p[0] == '@') {
        rc = cli_read_file(c, str_slice(arg, 1, arg.n), out, err);
        return rc ? error_prefix(err, "Failed to read file: ") : 0;
    }
    *out = arg.p ? arg : STR("");
    return 0;
}

/* --- free-form values ------------------------------------------------------------------------ */

const struct value *value_at(const struct value *v, const char *key)
{
    static const struct value nothing;
    const struct value *at = value_get(v, str_of(key));
    return at ? at : &nothing;
}

struct str value_text(const struct value *v, const char *key)
{
    const struct value *at = value_at(v, key);
    return at->kind == V_STR || at->kind == V_NUMBER ? at->s : STR("");
}

uint64_t value_uint(const struct value *v, const char *key)
{
    uint64_t u;
    const struct value *at = value_at(v, key);
    return at->kind == V_NUMBER && str_to_u64(at->s, &u) ? u : 0;
}

double value_number(const struct value *v)
{
    char text[64];
    if (v->kind != V_NUMBER || v->s.n >= sizeof text) return 0;
    memcpy(text, v->s.p, v->s.n);
    text[v->s.n] = '\0';
    return strtod(text, NULL);
}

double value_float(const struct value *v, const char *key)
{
    return value_number(value_at(v, key));
}

bool value_bool(const struct value *v, const char *key)
{
    const struct value *at = value_at(v, key);
    return at->kind == V_BOOL && at->b;
}

static int entry_order(const void *a, const void *b)
{
    return str_cmp(((const struct value_entry *)a)->key, ((const struct value_entry *)b)->key);
}

struct list value_sorted(struct cli *c, const struct value *map)
{
    struct list out = { 0 };
    for (size_t i = 0; map->kind == V_MAP && i < map->map.n; i++)
        *LIST_PUSH(&c->arena, &out, struct value_entry) = map->map.v[i];
    if (out.n) qsort(out.v, out.n, sizeof(struct value_entry), entry_order);
    return out;
}

struct list value_texts(struct cli *c, const struct value *list)
{
    struct list out = { 0 };
    for (size_t i = 0; list->kind == V_LIST && i < list->list.n; i++)
        if (list->list.v[i].kind == V_STR)
            *LIST_PUSH(&c->arena, &out, struct str) = list->list.v[i].s;
    return out;
}

static int text_order(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

void texts_sort(struct list *texts)
{
    if (texts->n) qsort(texts->v, texts->n, sizeof(struct str), text_order);
}

struct str texts_join(struct cli *c, const struct list *texts, const char *separator)
{
    struct buf b = BUF_INIT(CLI_INPUT_MAX);
    for (size_t i = 0; i < texts->n; i++) {
        if (i) buf_put_c(&b, separator);
        buf_put_str(&b, LIST_AT(texts, struct str, i));
    }
    struct str out = str_dup(&c->arena, b.n ? buf_str(&b) : STR(""));
    buf_deinit(&b);
    return out;
}

/* --- JSON ------------------------------------------------------------------------------------ */

static void line(FILE *to, const char *indent, size_t depth)
{
    fputc('\n', to);
    while (depth-- > 0)
        fputs(indent, to);
}

void cli_print_json(struct cli *c, struct str json, const char *indent)
{
    FILE *to = c->io.out;
    size_t depth = 0;
    bool in_text = false, escaped = false, fresh = false;
    for (size_t i = 0; i < json.n; i++) {
        char at = json.p[i];
        if (in_text) {
            fputc(at, to);
            in_text = escaped || at != '"';
            escaped = !escaped && at == '\\';
            continue;
        }
        if (strchr(" \t\r\n", at)) continue;
        bool closes = at == ']' || at == '}';
        if (closes && depth > 0) depth--;
        if (fresh != closes && (fresh || closes)) line(to, indent, depth);
        fresh = at == '[' || at == '{';
        if (fresh) depth++;
        in_text = at == '"';
        fputc(at, to);
        if (at == ':') fputc(' ', to);
        if (at == ',') line(to, indent, depth);
    }
    fputc('\n', to);
}
