/* SPDX-License-Identifier: Apache-2.0 */
#include "cli_world.h"

/* --- the frame ------------------------------------------------------------------------------- */

static void unknown_command_prints_the_list_on_stderr_and_exits_127(void **state)
{
    (void)state;
    struct spoken *s = speak("nosuch");
    assert_int_equal(s->status, 127);
    assert_string_equal(s->out, "");
    assert_begins(s->err, "Usage: consul [--version] [--help] <command> [<args>]\n\n"
                          "Available commands are:\n    acl ");
    s = speak_with("", NULL);
    assert_int_equal(s->status, 127);
}

static void help_alone_prints_the_list_on_stdout(void **state)
{
    (void)state;
    static const char *const words[] = { "-h", "-help", "--help" };
    for (size_t i = 0; i < 3; i++) {
        struct spoken *s = speak(words[i]);
        assert_int_equal(s->status, 0);
        assert_string_equal(s->err, "");
        assert_non_null(strstr(s->out, "\n    watch "));
    }
}

static void version_is_a_flag_and_a_command(void **state)
{
    (void)state;
    static const char *const words[] = { "-v", "-version", "--version", "version" };
    for (size_t i = 0; i < 4; i++) {
        struct spoken *s = speak(words[i]);
        assert_int_equal(s->status, 0);
        assert_begins(s->out, "Consul v1.8.6\nProtocol 2 spoken by default");
    }
}

static void version_as_json_is_indented_by_three(void **state)
{
    (void)state;
    assert_string_equal(speak("version", "-format=json")->out,
        "{\n   \"Version\": \"1.8.6\",\n   \"Revision\": \"\",\n   \"Prerelease\": \"\",\n"
        "   \"RPC\": {\n      \"Default\": 2,\n      \"Min\": 2,\n      \"Max\": 3\n   }\n}\n");
    assert_int_equal(speak("version", "-format=xml")->status, 1);
}

static void group_without_subcommand_prints_its_usage_and_exits_1(void **state)
{
    (void)state;
    struct spoken *s = speak("kv");
    assert_int_equal(s->status, 1);
    assert_string_equal(s->out, "");
    assert_begins(s->err, "Usage: consul kv <subcommand> [options] [args]\n");
    assert_int_equal(speak("kv", "nosuch")->status, 1);
    assert_begins(speak("operator", "raft", "nosuch")->err,
        "Usage: consul operator raft <subcommand> [options]\n");
    s = speak("kv", "-h");
    assert_int_equal(s->status, 0);
    assert_string_equal(s->err, "");
    assert_non_null(strstr(s->out, "    export "));
}

static void command_help_lists_flags_by_section(void **state)
{
    (void)state;
    struct spoken *s = speak("members", "--help");
    assert_int_equal(s->status, 0);
    assert_begins(s->out, "Usage: consul members [options]\n");
    const char *client = strstr(s->out, "HTTP API Options\n");
    const char *own = strstr(s->out, "Command Options\n");
    assert_non_null(client);
    assert_non_null(own);
    assert_true(strstr(s->out, "  -http-addr=<address>\n     ") < own);
    assert_true(strstr(s->out, "  -detailed\n     ") > own);
}

static void unknown_flag_is_refused_with_a_plain_flag_list(void **state)
{
    (void)state;
    struct spoken *s = speak("members", "-nosuch");
    assert_int_equal(s->status, 1);
    assert_string_equal(s->out, "");
    assert_begins(s->err, "flag provided but not defined: -nosuch\nUsage:\n");
    assert_int_equal(speak("intention", "check", "-nosuch")->status, 2);
}

static void absent_commands_say_so(void **state)
{
    (void)state;
    struct spoken *s = speak("login");
    assert_int_equal(s->status, 1);
    assert_string_equal(s->err, "\"login\" is not in this build of consuld yet\n");
}

static void every_command_has_its_texts_and_sorted_flags(void **state)
{
    (void)state;
    const struct cli_command *c, *before = NULL;
    for (size_t i = 0; (c = cli_command_at(i)); i++) {
        assert_non_null(c->synopsis);
        assert_non_null(c->usage);
        assert_false(c->run && c->run_words);
        if (before) assert_true(strcmp(before->name, c->name) < 0);
        before = c;
        for (const struct cli_flag *f = c->flags; f && f->kind != CLI_END; f++) {
            assert_non_null(f->usage);
            if (f != c->flags) assert_true(strcmp(f[-1].name, f->name) < 0);
        }
    }
}

static void keygen_prints_32_fresh_bytes(void **state)
{
    (void)state;
    char first[64];
    struct spoken *s = speak("keygen");
    assert_int_equal(strlen(s->out), 45);
    snprintf(first, sizeof first, "%.60s", s->out);
    assert_string_not_equal(first, speak("keygen", "x")->out);
}

/* --- flags ----------------------------------------------------------------------------------- */

static const struct cli_flag flags[] = {
    { CLI_BOOL, "bool", .usage = "" },
    { CLI_DURATION, "duration", .usage = "" },
    { CLI_INT, "int", .value = "4", .usage = "" },
    { CLI_LIST, "list", .usage = "" },
    { CLI_MAP, "map", .usage = "" },
    { CLI_STRING, "string", .value = "default", .usage = "" },
    { CLI_UINT, "uint", .usage = "" },
    { CLI_UINT_TEXT, "uint-text", .usage = "" },
    { 0 },
};
static const struct cli_command probe = {
    .name = "probe", .flags = flags, .groups = CLI_CLIENT | CLI_SERVER
};

struct parsed {
    struct cli c;
    struct error err;
    int rc;
};

static struct parsed parse(const char *word, ...)
{
    char *words[CLI_WORDS_MAX] = { 0 };
    int n = 0;
    va_list ap;
    struct parsed p = { .c = { .command = &probe } };
    va_start(ap, word);
    for (const char *w = word; w; w = va_arg(ap, const char *))
        words[n++] = (char *)(uintptr_t)w;
    va_end(ap);
    p.rc = cli_flags_parse(&p.c, n, words, &p.err);
    return p;
}
#define PARSE(...) parse(__VA_ARGS__, NULL)

static void refused(struct parsed p, const char *why)
{
    assert_int_not_equal(p.rc, 0);
    assert_string_equal(p.err.text, why);
    arena_free(&p.c.arena);
}

static void flags_take_one_or_two_dashes_and_an_equals_sign(void **state)
{
    (void)state;
    struct parsed p =
        PARSE("-string", "a b", "--int=-3", "-uint=18446744073709551615", "--bool", "-stale=t");
    assert_int_equal(p.rc, 0);
    assert_true(str_is(cli_text(&p.c, "string"), "a b"));
    assert_int_equal(cli_int(&p.c, "int"), -3);
    assert_true(cli_uint(&p.c, "uint") == UINT64_MAX);
    assert_true(cli_bool(&p.c, "bool"));
    assert_true(cli_bool(&p.c, "stale"));
    arena_free(&p.c.arena);
}

static void defaults_hold_until_a_flag_is_given(void **state)
{
    (void)state;
    struct parsed p = parse(NULL);
    assert_true(str_is(cli_text(&p.c, "string"), "default"));
    assert_int_equal(cli_int(&p.c, "int"), 4);
    assert_false(cli_is_given(&p.c, "int"));
    assert_int_equal(cli_list(&p.c, "list").n, 0);
    p = PARSE("-string=", "-string=b", "-int=4");
    assert_true(str_is(cli_text(&p.c, "string"), "b"));
    assert_true(cli_is_given(&p.c, "int"));
    arena_free(&p.c.arena);
}

static void parsing_stops_at_the_first_argument(void **state)
{
    (void)state;
    struct parsed p = PARSE("-bool", "key", "-int=9");
    assert_int_equal(p.c.args.n, 2);
    assert_true(str_is(cli_arg(&p.c, 1), "-int=9"));
    assert_int_equal(cli_int(&p.c, "int"), 4);
    assert_null(cli_arg(&p.c, 2).p);
    arena_free(&p.c.arena);
    p = PARSE("-bool", "--", "-int=9");
    assert_int_equal(p.c.args.n, 1);
    arena_free(&p.c.arena);
    p = PARSE("-", "-bool");
    assert_int_equal(p.c.args.n, 2);
    arena_free(&p.c.arena);
}

static void a_boolean_takes_no_word_of_its_own(void **state)
{
    (void)state;
    struct parsed p = PARSE("-bool", "false");
    assert_true(cli_bool(&p.c, "bool"));
    assert_int_equal(p.c.args.n, 1);
    arena_free(&p.c.arena);
}

static void lists_and_maps_keep_their_order(void **state)
{
    (void)state;
    struct parsed p = PARSE("-list=b", "-map", "k=v=w", "-list", "a", "-map=e=");
    struct list l = cli_list(&p.c, "list"), m = cli_map(&p.c, "map");
    assert_int_equal(l.n, 2);
    assert_true(str_is(LIST_AT(&l, struct str, 0), "b"));
    assert_int_equal(m.n, 2);
    assert_true(str_is(LIST_AT(&m, struct str_pair, 0).value, "v=w"));
    assert_true(str_is(LIST_AT(&m, struct str_pair, 1).key, "e"));
    arena_free(&p.c.arena);
}

static void bad_values_are_refused_in_go_words(void **state)
{
    (void)state;
    refused(PARSE("-x"), "flag provided but not defined: -x");
    refused(PARSE("--x=1"), "flag provided but not defined: -x");
    refused(PARSE("-=1"), "bad flag syntax: -=1");
    refused(PARSE("---bool"), "bad flag syntax: ---bool");
    refused(PARSE("-string"), "flag needs an argument: -string");
    refused(PARSE("-bool=x"), "invalid boolean value \"x\" for -bool: parse error");
    refused(PARSE("-int=x"), "invalid value \"x\" for flag -int: parse error");
    refused(PARSE("-uint=-1"), "invalid value \"-1\" for flag -uint: parse error");
    refused(PARSE("-duration=5"), "invalid value \"5\" for flag -duration: parse error");
    refused(PARSE("-uint-text", "x"), "invalid value \"x\" for flag -uint-text: "
                                      "strconv.ParseUint: parsing \"x\": invalid syntax");
    refused(
        PARSE("-map=x"), "invalid value \"x\" for flag -map: Missing \"=\" value in argument: x");
    refused(PARSE("-h"), "flag: help requested");
}

/* --- texts ----------------------------------------------------------------------------------- */

struct paper {
    struct cli c;
    char *text;
    size_t n;
};

static void paper_open(struct paper *p)
{
    *p = (struct paper){ 0 };
    p->c.io.out = open_memstream(&p->text, &p->n);
}

static void paper_says(struct paper *p, const char *want)
{
    fclose(p->c.io.out);
    assert_string_equal(p->text, want);
    free(p->text);
    arena_free(&p->c.arena);
}

static void columns_are_padded_to_the_widest_but_the_last(void **state)
{
    (void)state;
    struct paper p;
    struct columns t = { .width = 3 };
    paper_open(&p);
    columns_add(&p.c, &t, (const struct str[]){ STR("Node"), STR("ID"), STR("DC") });
    columns_add(&p.c, &t, (const struct str[]){ STR("a"), STR(""), STR("dc1") });
    columns_add(&p.c, &t, (const struct str[]){ STR("h\xc3\xb6hle"), STR("123"), STR("x y") });
    columns_print(&p.c, &t, 2);
    paper_says(&p, "Node   ID   DC\na           dc1\nh\xc3\xb6hle  123  x y\n");
}

static void json_is_indented_with_members_in_their_order(void **state)
{
    (void)state;
    struct paper p;
    paper_open(&p);
    cli_print_json(&p.c, STR("{\"b\":[1,{}, \"x{,]\\\"\" ],\"a\":{\"n\":null,\"e\":[]}}"), "\t");
    paper_says(&p, "{\n\t\"b\": [\n\t\t1,\n\t\t{},\n\t\t\"x{,]\\\"\"\n\t],\n\t\"a\": {\n\t\t\"n\": "
                   "null,\n\t\t\"e\": []\n\t}\n}\n");
}

static void json_that_never_ends_is_printed_as_far_as_it_goes(void **state)
{
    (void)state;
    struct paper p;
    paper_open(&p);
    cli_print_json(&p.c, STR("]]{\"a"), " ");
    paper_says(&p, "\n]\n]{\n \"a\n");
}

static void values_come_from_text_stdin_or_file(void **state)
{
    (void)state;
    char path[] = "/tmp/consuld-cli-XXXXXX", want[256];
    struct cli c = { .io = { .in = fmemopen((void *)(uintptr_t) "in\n", 3, "r") } };
    struct error err;
    struct str got;
    int fd = mkstemp(path);
    assert_int_equal(write(fd, "file\0x", 6), 6);
    close(fd);
    assert_int_equal(cli_read_value(&c, STR("text"), &got, &err), 0);
    assert_true(str_is(got, "text"));
    assert_int_equal(cli_read_value(&c, STR("-"), &got, &err), 0);
    assert_true(str_is(got, "in\n"));
    assert_int_equal(cli_read_value(&c, str_printf(&c.arena, "@%s", path), &got, &err), 0);
    assert_true(str_eq(got, (struct str){ "file\0x", 6 }));
    unlink(path);
    assert_int_not_equal(cli_read_value(&c, str_printf(&c.arena, "@%s", path), &got, &err), 0);
    snprintf(want, sizeof want, "Failed to read file: open %s: no such file or directory", path);
    assert_string_equal(err.text, want);
    fclose(c.io.in);
    arena_free(&c.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unknown_command_prints_the_list_on_stderr_and_exits_127),
        cmocka_unit_test(help_alone_prints_the_list_on_stdout),
        cmocka_unit_test(version_is_a_flag_and_a_command),
        cmocka_unit_test(version_as_json_is_indented_by_three),
        cmocka_unit_test(group_without_subcommand_prints_its_usage_and_exits_1),
        cmocka_unit_test(command_help_lists_flags_by_section),
        cmocka_unit_test(unknown_flag_is_refused_with_a_plain_flag_list),
        cmocka_unit_test(absent_commands_say_so),
        cmocka_unit_test(every_command_has_its_texts_and_sorted_flags),
        cmocka_unit_test(keygen_prints_32_fresh_bytes),
        cmocka_unit_test(flags_take_one_or_two_dashes_and_an_equals_sign),
        cmocka_unit_test(defaults_hold_until_a_flag_is_given),
        cmocka_unit_test(parsing_stops_at_the_first_argument),
        cmocka_unit_test(a_boolean_takes_no_word_of_its_own),
        cmocka_unit_test(lists_and_maps_keep_their_order),
        cmocka_unit_test(bad_values_are_refused_in_go_words),
        cmocka_unit_test(columns_are_padded_to_the_widest_but_the_last),
        cmocka_unit_test(json_is_indented_with_members_in_their_order),
        cmocka_unit_test(json_that_never_ends_is_printed_as_far_as_it_goes),
        cmocka_unit_test(values_come_from_text_stdin_or_file),
    };
    model_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
