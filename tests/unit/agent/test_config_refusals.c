/* SPDX-License-Identifier: Apache-2.0 */
/* Every recorded refusal and `validate` run, without a server. */
#include "config_case.h"

struct outcome {
    struct buf out, err;
    int exit;
    bool starts;     /* no refusal: the agent would begin to start */
    struct buf late; /* what it would say then */
};

static void refuse_with(struct outcome *o, const char *before, struct str text, const char *behind)
{
    buf_printf(&o->err, "%s%.*s%s", before, STR_ARG(text), behind);
    o->exit = 1;
}

static void load(struct scratch *s, const struct config_args *args, struct outcome *o)
{
    struct agent_config *config = NULL;
    struct buf warnings = BUF_INIT(CONFIG_MESSAGE_MAX), why = BUF_INIT(CONFIG_MESSAGE_MAX);
    if (args->rest.n)
        refuse_with(
            o, "==> Unexpected extra arguments: [", LIST_AT(&args->rest, struct str, 0), "]\n");
    else if (config_load(args, &s->arena, &config, &warnings, &why) != 0 ||
             config_check_start(config, &why) != 0)
        refuse_with(o, "==> ", buf_str(&why), "\n");
    else
        o->starts = (config_check_keyring(config, &o->late) == 0 &&
                        config_check_watches(config, &o->late) == 0) ||
                    o->late.n > 0;
    buf_deinit(&warnings);
    buf_deinit(&why);
}

static void run(struct scratch *s, const struct value *c, struct outcome *o)
{
    struct config_args args = { .host = case_host() };
    struct error err;
    const struct value *cmd = value_get(c, STR("cmd"));
    int argc;
    char **argv = case_argv(s, cmd, 1, &argc);
    if (str_is(cmd->list.v[0].s, "validate"))
        o->exit = config_validate(argc, argv, &args.host, &o->out, &o->err);
    else if (config_parse_flags(argc, argv, &s->arena, &args, &err) != 0)
        refuse_with(o, "", str_of(err.text), "\nUsage:");
    else
        load(s, &args, o);
}

/* The recording's regular expressions quote plain text and begin with ^. */
static struct str unquoted(struct scratch *s, struct str pattern)
{
    struct buf b = BUF_INIT(1 << 16);
    for (size_t i = 1; i < pattern.n; i++) {
        if (pattern.p[i] == '\\' && i + 1 < pattern.n) i++;
        if (pattern.p[i] == 'n' && pattern.p[i - 1] == '\\')
            buf_put_char(&b, '\n');
        else
            buf_put_char(&b, pattern.p[i]);
    }
    struct str out = str_dup(&s->arena, buf_str(&b));
    buf_deinit(&b);
    return out;
}

/* Lines in order of their bytes, for recordings of unordered output. */
static int by_line(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

static struct str sorted_lines(struct scratch *s, struct str text)
{
    struct list lines = { 0 };
    struct str line;
    while (str_cut(text, '\n', &line, &text))
        *LIST_PUSH(&s->arena, &lines, struct str) = line;
    if (lines.n) qsort(lines.v, lines.n, sizeof(struct str), by_line);
    struct buf b = BUF_INIT(1 << 20);
    for (size_t i = 0; i < lines.n; i++)
        buf_printf(&b, "%.*s\n", STR_ARG(LIST_AT(&lines, struct str, i)));
    struct str out = str_dup(&s->arena, buf_str(&b));
    buf_deinit(&b);
    return out;
}

static bool same(
    struct scratch *s, const struct value *c, const char *what, struct str want, struct str got)
{
    const struct value *rules = value_get(c, STR("normalize"));
    if (rules && rules->list.n && str_is(rules->list.v[0].s, "sortlines")) {
        want = sorted_lines(s, want);
        got = sorted_lines(s, got);
    }
    if (str_eq(want, got)) return true;
    print_error("%.*s: %s\n--- want\n%.*s\n--- got\n%.*s\n", STR_ARG(str_at(c, "id")), what,
        STR_ARG(want), STR_ARG(got));
    return false;
}

static bool check(struct scratch *s, const struct value *c)
{
    struct outcome o = {
        .out = BUF_INIT(1 << 20), .err = BUF_INIT(1 << 20), .late = BUF_INIT(1 << 20)
    };
    write_files(s, value_get(c, STR("files")));
    run(s, c, &o);
    bool ok;
    if (str_at(c, "log_line").p) {
        /* refused by the start, with a log */
        ok = o.starts || same(s, c, "should start", STR(""), buf_str(&o.err));
        if (str_has_prefix(str_at(c, "id"), STR("watch-")) ||
            str_has_prefix(str_at(c, "id"), STR("encrypt-")))
            ok = ok && o.late.n > 0 && str_find(str_at(c, "log_line"), buf_str(&o.late)) > 0;
        if (!ok) same(s, c, "at start", str_at(c, "log_line"), buf_str(&o.late));
    } else if (str_at(c, "stderr_re").p) {
        ok = same(s, c, "usage", unquoted(s, str_at(c, "stderr_re")), buf_str(&o.err));
    } else {
        ok = same(s, c, "stderr", str_at(c, "stderr"), take_places(s, buf_str(&o.err))) &&
             same(s, c, "stdout", str_at(c, "stdout"), take_places(s, buf_str(&o.out)));
        int64_t status;
        ok = ok && str_to_i64(value_get(c, STR("exit"))->s, &status) && status == o.exit;
    }
    buf_deinit(&o.out);
    buf_deinit(&o.err);
    buf_deinit(&o.late);
    return ok;
}

static void recorded_refusals_come_out_the_same(void **state)
{
    (void)state;
    struct arena a = ARENA_INIT;
    struct value doc = recorded(&a, "invalid.json");
    const struct value *cases = value_get(&doc, STR("cases"));
    size_t failed = 0;
    assert_true(cases->list.n > 100);
    for (size_t i = 0; i < cases->list.n; i++) {
        struct scratch s;
        scratch_open(&s);
        if (!check(&s, &cases->list.v[i])) failed++;
        scratch_close(&s);
    }
    arena_free(&a);
    assert_int_equal(failed, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recorded_refusals_come_out_the_same),
    };
    model_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
