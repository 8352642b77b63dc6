/* SPDX-License-Identifier: Apache-2.0 */
/* Recorded answers of /v1/agent/self that follow from the configuration alone. */
#include "config_case.h"

static bool same_json(
    struct scratch *s, const struct value *want, const struct value *got, const char *path);

static bool tell(const char *path, const char *what)
{
    print_error("%s: %s\n", path, what);
    return false;
}

static bool same_map(
    struct scratch *s, const struct value *want, const struct value *got, const char *path)
{
    bool ok = true;
    for (size_t i = 0; i < want->map.n; i++) {
        struct str key = want->map.v[i].key;
        const char *inner = str_printf(&s->arena, "%s/%.*s", path, STR_ARG(key)).p;
        const struct value *at = value_get(got, key);
        ok = (at ? same_json(s, &want->map.v[i].value, at, inner) : tell(inner, "missing")) && ok;
    }
    for (size_t i = 0; i < got->map.n; i++)
        if (!value_get(want, got->map.v[i].key))
            ok = tell(str_c(&s->arena, got->map.v[i].key), "not expected");
    return ok;
}

static bool same_json(
    struct scratch *s, const struct value *want, const struct value *got, const char *path)
{
    bool ok = want->kind == got->kind;
    if (!ok) return tell(path, "another kind of value");
    if (want->kind == V_MAP) return same_map(s, want, got, path);
    if (want->kind == V_LIST) {
        if (want->list.n != got->list.n) return tell(path, "another number of elements");
        for (size_t i = 0; i < want->list.n; i++)
            ok = same_json(s, &want->list.v[i], &got->list.v[i], path) && ok;
        return ok;
    }
    if (want->kind == V_STR || want->kind == V_NUMBER)
        ok = str_eq(want->s, take_places(s, got->s));
    else if (want->kind == V_BOOL)
        ok = want->b == got->b;
    if (!ok && want->kind != V_BOOL)
        print_error("want %.*s, got %.*s: ", STR_ARG(want->s), STR_ARG(got->s));
    return ok ? true : tell(path, "another value");
}

/* DebugConfig of a case's command line. */
static bool debug_config(
    struct scratch *s, const struct value *doc, const struct value *c, struct value *out)
{
    struct config_args args = { .host = case_host() };
    struct error err;
    struct agent_config *config;
    struct json_writer w;
    struct buf warnings = BUF_INIT(CONFIG_MESSAGE_MAX), text = BUF_INIT(CONFIG_MESSAGE_MAX);
    const struct value *base = value_get(c, STR("base_args"));
    if (!base) base = value_get(doc, STR("base_args"));
    int n, more;
    char **first = case_argv(s, base, 0, &n),
         **second = case_argv(s, value_get(c, STR("args")), 0, &more);
    char **argv = arena_array(&s->arena, (size_t)(n + more) + 1, sizeof *argv);
    for (int i = 0; i < n + more; i++)
        argv[i] = i < n ? first[i] : second[i - n];
    int rc = config_parse_flags(n + more, argv, &s->arena, &args, &err);
    if (rc == 0) rc = config_load(&args, &s->arena, &config, &warnings, &text);
    if (rc == 0) rc = config_check_start(config, &text);
    if (rc == 0) {
        buf_clear(&text);
        json_begin(&w, &text, false);
        config_debug_json(config, &w);
        rc = json_parse_whole(str_dup(&s->arena, buf_str(&text)), &s->arena, out, &err);
    } else {
        print_error("%.*s\n", STR_ARG(buf_str(&text)));
    }
    buf_deinit(&warnings);
    buf_deinit(&text);
    return rc == 0;
}

static const struct value *at_slashes(const struct value *v, struct str path)
{
    struct str part, rest = path;
    bool more = true;
    while (more && v) {
        more = str_cut(rest, '/', &part, &rest);
        v = value_get(v, part);
    }
    return v;
}

/* Compares what the case picked out of DebugConfig; counts the values looked at. */
static bool check(struct scratch *s, const struct value *doc, const struct value *c, size_t *seen)
{
    const struct value *step = &value_get(c, STR("steps"))->list.v[0];
    const struct value *request = value_get(step, STR("request"));
    if (!request || !str_is(str_at(request, "path"), "/v1/agent/self")) return true;
    const struct value *answer = value_get(value_get(step, STR("response")), STR("json"));
    struct value got;
    write_files(s, value_get(c, STR("files")));
    if (!debug_config(s, doc, c, &got)) return tell(str_at(c, "id").p, "did not load");
    bool ok = true;
    for (size_t i = 0; i < answer->map.n; i++) {
        struct str path = answer->map.v[i].key;
        const struct value *want = &answer->map.v[i].value;
        if (!str_has_prefix(path, STR("DebugConfig"))) continue;
        const struct value *at = path.n > 11 ? at_slashes(&got, str_slice(path, 12, path.n)) : &got;
        const char *where =
            str_printf(&s->arena, "%.*s: %.*s", STR_ARG(str_at(c, "id")), STR_ARG(path)).p;
        (*seen)++;
        if (want->kind == V_STR && str_is(want->s, "<absent>"))
            ok = (!at || tell(where, "should be absent")) && ok;
        else
            ok = (at ? same_json(s, want, at, where) : tell(where, "missing")) && ok;
    }
    return ok;
}

static void recorded_debug_config_comes_out_the_same(void **state)
{
    (void)state;
    struct arena a = ARENA_INIT;
    struct value doc = recorded(&a, "config-general.json");
    const struct value *cases = value_get(&doc, STR("cases"));
    size_t failed = 0, seen = 0;
    for (size_t i = 0; i < cases->list.n; i++) {
        struct scratch s;
        scratch_open(&s);
        if (!check(&s, &doc, &cases->list.v[i], &seen)) failed++;
        scratch_close(&s);
    }
    arena_free(&a);
    assert_true(seen > 100);
    assert_int_equal(failed, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recorded_debug_config_comes_out_the_same),
    };
    model_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
