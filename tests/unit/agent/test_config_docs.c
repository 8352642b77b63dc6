/* SPDX-License-Identifier: Apache-2.0 */
/* docs/configuration.md repeats the option table. With CONSULD_UPDATE_DOCS=1 this writes it anew.
 */
#include "config_case.h"

#define BEGIN "<!-- options: written from the option table, see test_config_docs.c -->\n"
#define END "<!-- end of options -->\n"

static const char *const type_names[] = {
    [CONFIG_BOOL] = "bool",
    [CONFIG_INT] = "int",
    [CONFIG_UINT] = "uint",
    [CONFIG_UINT32] = "uint32",
    [CONFIG_UINT64] = "uint64",
    [CONFIG_NUMBER] = "number",
    [CONFIG_STRING] = "string",
    [CONFIG_DURATION] = "duration",
    [CONFIG_LIST] = "list of strings",
    [CONFIG_MAP] = "map of strings",
    [CONFIG_MAP_LIST] = "map of lists",
    [CONFIG_FREE] = "free block",
    [CONFIG_FREE_LIST] = "list of free blocks",
    [CONFIG_SERVICE] = "service",
    [CONFIG_SERVICES] = "list of services",
    [CONFIG_CHECK] = "check",
    [CONFIG_CHECKS] = "list of checks",
};

static void put_note(struct buf *out, unsigned marks)
{
    static const struct {
        unsigned mark;
        const char *text;
    } notes[] = {
        { CONFIG_DEPRECATED, "deprecated" },
        { CONFIG_ENTERPRISE, "enterprise edition, no effect" },
        { CONFIG_FIXED, "not settable: a value is checked and then replaced" },
        { CONFIG_IGNORED, "accepted and ignored" },
        { CONFIG_OWN, "unknown to Consul" },
    };
    const char *between = "";
    for (size_t i = 0; i < sizeof notes / sizeof notes[0]; i++) {
        if (!(marks & notes[i].mark)) continue;
        buf_printf(out, "%s%s", between, notes[i].text);
        between = "; ";
    }
}

static void put_cell(struct buf *out, const char *before, const char *text)
{
    if (text && *text)
        buf_printf(out, "`%s%s` | ", before, text);
    else
        buf_put_c(out, "| ");
}

static void put_table(struct buf *out)
{
    buf_put_c(out, "| key | type | default | flag | reload | note |\n");
    buf_put_c(out, "|---|---|---|---|---|---|\n");
    for (size_t i = 0; i < config_options_n; i++) {
        const struct config_option *o = &config_options[i];
        buf_printf(out, "| `%s` | %s | ", o->path, type_names[o->type]);
        put_cell(out, "", o->value);
        put_cell(out, "-", o->flag);
        buf_printf(out, "%s", o->marks & CONFIG_RELOAD ? "yes | " : "| ");
        put_note(out, o->marks);
        buf_put_c(out, o->marks & ~(unsigned)CONFIG_RELOAD ? " |\n" : "|\n");
    }
}

static struct str whole_file(struct arena *a, const char *path)
{
    struct buf b = BUF_INIT(4u << 20);
    FILE *f = fopen(path, "rb");
    if (!f) fail_msg("%s is missing", path);
    for (size_t n = 1; n > 0;) {
        uint8_t *room = buf_reserve(&b, 65536);
        n = fread(room, 1, 65536, f);
        b.n += n;
    }
    fclose(f);
    struct str s = str_dup(a, buf_str(&b));
    buf_deinit(&b);
    return s;
}

static void the_documented_options_are_those_of_the_table(void **state)
{
    (void)state;
    struct arena a = ARENA_INIT;
    static const char path[] = TESTS_DIR "/../docs/configuration.md";
    struct buf want = BUF_INIT(4u << 20);
    struct str page = whole_file(&a, path);
    ptrdiff_t from = str_find(page, STR(BEGIN)), to = str_find(page, STR(END));
    assert_true(from >= 0 && to > from);
    buf_put_str(&want, str_slice(page, 0, (size_t)from + sizeof BEGIN - 1));
    put_table(&want);
    buf_put_str(&want, str_slice(page, (size_t)to, page.n));
    if (getenv("CONSULD_UPDATE_DOCS")) {
        FILE *f = fopen(path, "wb");
        assert_non_null(f);
        assert_int_equal(fwrite(want.p, 1, want.n, f), want.n);
        fclose(f);
    } else {
        assert_true(str_eq(buf_str(&want), page));
    }
    buf_deinit(&want);
    arena_free(&a);
}

static void every_flag_has_a_description_and_every_key_is_there_once(void **state)
{
    (void)state;
    for (size_t i = 0; i < config_options_n; i++) {
        const struct config_option *o = &config_options[i];
        assert_int_equal(o->flag == NULL, o->usage == NULL);
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(o->path, config_options[k].path);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_documented_options_are_those_of_the_table),
        cmocka_unit_test(every_flag_has_a_description_and_every_key_is_there_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
