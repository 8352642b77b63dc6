/* SPDX-License-Identifier: Apache-2.0 */
/* The command table of docs/cli.md is the one of the program. */
#include "cli_world.h"

#define PAGE TESTS_DIR "/../docs/cli.md"
#define BEGIN "writes it anew -->\n"
#define END "<!-- end of commands -->"

static void put_groups(const struct cli_command *c, struct buf *out)
{
    static const char *const names[] = { "client", "server", "namespace" };
    bool first = true;
    for (unsigned i = 0; i < 3; i++) {
        if (!(c->groups & (1u << i))) continue;
        buf_printf(out, "%s%s", first ? "" : ", ", names[i]);
        first = false;
    }
}

static void put_code(struct buf *out, const char *text)
{
    if (!*text) return;
    buf_put_c(out, "`");
    for (; *text; text++)
        buf_put_c(out, *text == '|' ? "\\|" : (char[]){ *text, '\0' });
    buf_put_c(out, "`");
}

static void put_row(const struct cli_command *c, bool absent, struct buf *out)
{
    buf_printf(out, "| `%s` | ", c->name);
    put_code(out, c->usage);
    buf_printf(out, " | %s%s | ", c->synopsis, absent ? " (*absent*)" : "");
    put_groups(c, out);
    buf_put_c(out, " | ");
    for (const struct cli_flag *f = c->flags; f && f->kind != CLI_END; f++)
        buf_printf(out, "%s`-%s`", f == c->flags ? "" : " ", f->name);
    buf_put_c(out, " |\n");
}

static void put_table(struct buf *out)
{
    const struct cli_command *c;
    buf_put_c(
        out, "\n| command | arguments | purpose | groups | own flags |\n|---|---|---|---|---|\n");
    for (size_t i = 0; (c = cli_command_at(i)); i++) {
        bool absent = false;
        for (const struct cli_command *at = cli_absent_commands; at->name; at++)
            absent = absent || (at == c && at->run_words);
        if (c->run || c->run_words) put_row(c, absent, out);
    }
    buf_put_c(out, "\n");
}

static void command_table_of_the_docs_is_up_to_date(void **state)
{
    (void)state;
    struct cli c = { 0 };
    struct error err;
    struct str page;
    struct buf table = BUF_INIT(1 << 20);
    assert_int_equal(cli_read_file(&c, STR(PAGE), &page, &err), 0);
    ptrdiff_t begin = str_find(page, STR(BEGIN)), end = str_find(page, STR(END));
    assert_true(begin > 0 && end > begin);
    size_t from = (size_t)begin + strlen(BEGIN);
    put_table(&table);
    if (getenv("CONSULD_RECORD")) {
        FILE *f = fopen(PAGE, "w");
        fprintf(f, "%.*s%.*s%.*s", STR_ARG(str_slice(page, 0, from)), STR_ARG(buf_str(&table)),
            STR_ARG(str_slice(page, (size_t)end, page.n)));
        fclose(f);
    } else {
        assert_string_equal(
            str_c(&c.arena, buf_str(&table)), str_c(&c.arena, str_slice(page, from, (size_t)end)));
    }
    buf_deinit(&table);
    arena_free(&c.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(command_table_of_the_docs_is_up_to_date),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
