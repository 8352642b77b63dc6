/* SPDX-License-Identifier: Apache-2.0 */
#include "config_case.h"

/* --- vocabulary ------------------------------------------------------------------------------- */

struct given {
    struct scratch s;
    struct buf warnings, error;
    struct config_host host;
};

static struct given given;

static int begin(void **state)
{
    (void)state;
    scratch_open(&given.s);
    given.warnings = given.error = (struct buf)BUF_INIT(CONFIG_MESSAGE_MAX);
    given.host = case_host();
    return 0;
}

static int end(void **state)
{
    (void)state;
    buf_deinit(&given.warnings);
    buf_deinit(&given.error);
    scratch_close(&given.s);
    return 0;
}

#define ARGS_MAX 16

/* Loads "-dev" and a fragment of HCL; NULL with given.error set when refused. */
static struct agent_config *load_words(int argc, char **argv)
{
    struct config_args args = { .host = given.host };
    struct error err;
    struct agent_config *c = NULL;
    if (config_parse_flags(argc, argv, &given.s.arena, &args, &err) != 0) {
        buf_put_c(&given.error, err.text);
        return NULL;
    }
    return config_load(&args, &given.s.arena, &c, &given.warnings, &given.error) ? NULL : c;
}

#define WORDS(...) \
    load_words((int)(sizeof((char *[]){ __VA_ARGS__ }) / sizeof(char *)), (char *[]){ __VA_ARGS__ })

static struct agent_config *load_hcl(const char *hcl)
{
    return WORDS("-dev", "-hcl", (char *)(uintptr_t)hcl);
}

static void file(const char *name, const char *text)
{
    struct value content = value_of_str(str_of(text));
    write_file(&given.s, str_of(name), &content);
}

static char *flag(const char *name, const char *path)
{
    return (char *)(uintptr_t)str_printf(&given.s.arena, "-%s=%s/%s", name, given.s.dir, path).p;
}

static void assert_str(struct str got, const char *want)
{
    if (!str_is(got, want)) fail_msg("got \"%.*s\", want \"%s\"", STR_ARG(got), want);
}

static void assert_strings(const struct list *got, const char *want)
{
    struct buf b = BUF_INIT(1 << 16);
    for (size_t i = 0; i < got->n; i++)
        buf_printf(&b, "%s%.*s", i ? "," : "", STR_ARG(LIST_AT(got, struct str, i)));
    if (!str_is(buf_str(&b), want)) fail_msg("got %.*s, want %s", STR_ARG(buf_str(&b)), want);
    buf_deinit(&b);
}

static void assert_refused(struct agent_config *c, const char *text)
{
    assert_null(c);
    assert_str(buf_str(&given.error), text);
    buf_clear(&given.error);
}

/* --- flags ------------------------------------------------------------------------------------ */

static void flags_take_one_or_two_dashes_and_two_forms(void **state)
{
    (void)state;
    struct agent_config *c = WORDS(
        "-dev", "--domain", "x.test", "-http-port=1234", "--server=0", "-node", "n", "-ui=TRUE");
    assert_non_null(c);
    assert_str(c->dns_domain, "x.test");
    assert_int_equal(c->http_port, 1234);
    assert_false(c->server_mode);
    assert_true(c->enable_ui);
}

static void flags_end_at_the_first_other_word(void **state)
{
    (void)state;
    struct config_args args = { .dev = false };
    char *argv[] = { "-dev", "--", "-server", "x" };
    assert_int_equal(config_parse_flags(4, argv, &given.s.arena, &args, NULL), 0);
    assert_true(args.dev);
    assert_int_equal(args.flags.n, 0);
    assert_strings(&args.rest, "-server,x");
}

static void wrong_flags_are_told(void **state)
{
    (void)state;
    static const struct {
        char *argv[2];
        int argc;
        const char *text;
    } rows[] = {
        { { "-nope" }, 1, "flag provided but not defined: -nope" },
        { { "-domain" }, 1, "flag needs an argument: -domain" },
        { { "---x" }, 1, "bad flag syntax: ---x" },
        { { "-=x" }, 1, "bad flag syntax: -=x" },
        { { "-dev=perhaps" }, 1,
            "invalid boolean value \"perhaps\" for -dev: strconv.ParseBool: "
            "parsing \"perhaps\": invalid syntax" },
        { { "-retry-max", "x" }, 2,
            "invalid value \"x\" for flag -retry-max: strconv.Atoi: "
            "parsing \"x\": invalid syntax" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct config_args args = { .dev = false };
        struct error err;
        assert_int_equal(config_parse_flags(rows[i].argc, (char **)(uintptr_t)rows[i].argv,
                             &given.s.arena, &args, &err),
            ERR_BAD_REQUEST);
        assert_string_equal(err.text, rows[i].text);
    }
}

static void help_has_a_code_of_its_own(void **state)
{
    (void)state;
    struct config_args args = { .dev = false };
    char *argv[] = { "-help" };
    struct error err;
    assert_int_equal(config_parse_flags(1, argv, &given.s.arena, &args, &err), ERR_NOT_FOUND);
}

static void usage_names_every_flag(void **state)
{
    (void)state;
    struct buf b = BUF_INIT(1 << 18);
    config_flags_usage(&b);
    assert_true(str_find(buf_str(&b), STR("  -bind=<string>\n")) >= 0);
    assert_true(str_find(buf_str(&b), STR("  -dev\n")) >= 0);
    assert_true(str_find(buf_str(&b), STR("  -node-meta=<key:value>\n")) >= 0);
    buf_deinit(&b);
}

/* --- sources ---------------------------------------------------------------------------------- */

static void lists_of_flags_come_before_those_of_files(void **state)
{
    (void)state;
    file("c/b.hcl", "retry_join = [\"three\"] log_level = \"WARN\" node_meta { a = \"file\" }");
    file("c/a.json", "{\"retry_join\": [\"two\"], \"datacenter\": \"a\"}");
    struct agent_config *c = WORDS("-dev", flag("config-dir", "c"), "-retry-join=one",
        "-log-level=err", "-node-meta=a:flag", "-hcl", "retry_join = [\"four\"]");
    assert_non_null(c);
    assert_strings(&c->retry_join_lan, "one,two,three,four");
    assert_str(c->logging.log_level, "err");
    assert_str(c->datacenter, "a");
    assert_str(dict_str(&c->node_meta, STR("a")), "flag");
}

static void single_definitions_stand_behind_those_listed(void **state)
{
    (void)state;
    file("a.hcl", "service { name = \"one\" } services = [ { name = \"zero\" } ]");
    file("b.hcl", "service { name = \"two\" } check { name = \"c\" ttl = \"1m\" }");
    struct agent_config *c =
        WORDS("-dev", flag("config-file", "a.hcl"), flag("config-file", "b.hcl"));
    static const char *const names[] = { "zero", "one", "two" };
    assert_non_null(c);
    assert_int_equal(c->services.n, 3);
    for (size_t i = 0; i < 3; i++)
        assert_str(LIST_AT(&c->services, struct service_definition, i).name, names[i]);
    assert_int_equal(c->checks.n, 1);
    assert_int_equal(LIST_AT(&c->checks, struct check_definition, 0).ttl, 60 * SECOND_NS);
}

static void values_of_the_program_cannot_be_set(void **state)
{
    (void)state;
    struct agent_config *c =
        load_hcl("ae_interval = \"7s\" version = \"9\" acl { disabled_ttl = "
                 "\"1s\" } connect { test_ca_leaf_root_change_spread = \"3s\" } segment_limit = 1");
    assert_non_null(c);
    assert_int_equal(c->ae_interval, 60 * SECOND_NS);
    assert_str(c->version, CONSUL_VERSION);
    assert_int_equal(c->acl_disabled_ttl, 120 * SECOND_NS);
    assert_int_equal(c->connect_test_ca_leaf_root_change_spread, 0);
    assert_int_equal(c->segment_limit, 64);
}

static void a_null_value_counts_as_not_given(void **state)
{
    (void)state;
    file("a.json", "{\"log_level\": null, \"ports\": null, \"retry_join\": [], \"service\": null}");
    struct agent_config *c = WORDS("-dev", flag("config-file", "a.json"));
    assert_non_null(c);
    assert_str(c->logging.log_level, "DEBUG");
    assert_int_equal(c->services.n, 0);
}

#define DECODING "failed to parse flags-0.hcl: 1 error(s) decoding:\n\n* "

static void an_empty_list_or_duration_is_no_value(void **state)
{
    (void)state;
    assert_refused(load_hcl("acl = []"), DECODING "'acl' expected a map, got 'slice'");
    assert_refused(load_hcl("unix_sockets { user = [] }"), DECODING
        "'unix_sockets.user' expected type 'string', got unconvertible type '[]interface {}'");
    assert_refused(load_hcl("discovery_max_stale = \"\""),
        "1 error occurred:\n\t* discovery_max_stale: invalid duration: \"\": time: invalid "
        "duration \"\"\n\n");
}

static void ranges_of_ports_are_compared_before_ports_are_judged(void **state)
{
    (void)state;
    assert_refused(load_hcl("ports { sidecar_min_port = 70000 }"),
        "sidecar_min_port must be less than sidecar_max_port. To disable, set both to zero.");
    assert_refused(load_hcl("ports { sidecar_max_port = 70000 }"),
        "1 error occurred:\n\t* ports.sidecar_max_port: invalid port: 70000\n\n");
}

static void files_of_other_kinds_are_skipped_with_a_warning(void **state)
{
    (void)state;
    file("d/a.txt", "nonsense");
    assert_non_null(WORDS("-dev", flag("config-dir", "d")));
    assert_true(
        str_find(buf_str(&given.warnings),
            STR("a.txt, extension must be .hcl or .json, or config format must be set\n")) > 0);
}

/* --- decoding --------------------------------------------------------------------------------- */

static void all_faults_of_a_source_are_told_together(void **state)
{
    (void)state;
    assert_refused(
        load_hcl(
            "server = 1 ports { http = \"x\" } retry_join = \"a\" node_meta { a = 1 }"
            " dns_config { soa { retry = -1 } } node_name = [ \"a\", \"b\" ] domain { x = 1 }"),
        "failed to parse flags-0.hcl: 7 error(s) decoding:\n\n"
        "* 'domain' expected type 'string', got unconvertible type 'map[string]interface {}'\n"
        "* 'node_meta[a]' expected type 'string', got unconvertible type 'int'\n"
        "* 'node_name' expected type 'string', got unconvertible type '[]interface {}'\n"
        "* 'ports.http' expected type 'int', got unconvertible type 'string'\n"
        "* 'retry_join': source data must be an array or slice, got string\n"
        "* 'server' expected type 'bool', got unconvertible type 'int'\n"
        "* cannot parse 'dns_config.soa.retry', -1 overflows uint");
}

static void unknown_keys_are_told_with_their_paths(void **state)
{
    (void)state;
    assert_refused(
        load_hcl("services = [ {}, { bogus = 1 } ] service { proxy { upstreams { dest = 1 "
                 "} } } Ports { X = 1 } EnableTagOverride = true"),
        "failed to parse flags-0.hcl: 4 errors occurred:\n"
        "\t* invalid config key EnableTagOverride\n"
        "\t* invalid config key ports.X\n"
        "\t* invalid config key service.proxy.upstreams[0].dest\n"
        "\t* invalid config key services[1].bogus\n\n");
}

static void an_object_is_no_list_in_json(void **state)
{
    (void)state;
    file("a.json", "{\"services\": {\"name\": \"x\"}}");
    assert_null(WORDS("-dev", flag("config-file", "a.json")));
    assert_true(str_has_suffix(buf_str(&given.error),
        STR("1 error(s) decoding:\n\n"
            "* 'services': source data must be an array or slice, got map")));
}

static void the_proper_spelling_beats_an_alias(void **state)
{
    (void)state;
    struct agent_config *c =
        load_hcl("check { id = \"c\" TLSSkipVerify = true tls_skip_verify = false "
                 "ScriptArgs = [\"a\"] ServiceID = \"s\" }");
    assert_non_null(c);
    const struct check_definition *d = &LIST_AT(&c->checks, struct check_definition, 0);
    assert_false(d->tls_skip_verify);
    assert_strings(&d->script_args, "a");
    assert_str(d->service_id, "s");
}

static void free_blocks_keep_their_keys(void **state)
{
    (void)state;
    struct agent_config *c = load_hcl(
        "service { name = \"x\" kind = \"connect-proxy\" port = 1 proxy { "
        "destination_service_name = \"y\" config { Envoy_Key { a_B = [1] } l = [1, 2] } } }");
    assert_non_null(c);
    const struct service_definition *s = &LIST_AT(&c->services, struct service_definition, 0);
    struct buf b = BUF_INIT(1 << 10);
    json_encode_value(&s->proxy->config, false, &b);
    assert_str(buf_str(&b), "{\"Envoy_Key\":{\"a_B\":1},\"l\":[1,2]}");
    buf_deinit(&b);
}

/* --- soft errors ------------------------------------------------------------------------------ */

static void soft_errors_are_collected_behind_hard_ones(void **state)
{
    (void)state;
    static const char soft[] = "ports { http = 70000 https = 70001 }";
    assert_refused(load_hcl(soft), "2 errors occurred:\n\t* ports.http: invalid port: 70000\n"
                                   "\t* ports.https: invalid port: 70001\n\n");
    buf_clear(&given.error);
    assert_refused(WORDS("-dev", "-hcl", (char *)(uintptr_t)soft, "-datacenter="),
        "datacenter cannot be empty");
}

static void a_bad_duration_drops_what_was_collected(void **state)
{
    (void)state;
    assert_refused(load_hcl("ports { http = 70000 } dns_config { service_ttl { web = \"1\" } }"),
        "1 error occurred:\n\t* dns_config.service_ttl[\"web\"]: invalid duration: \"1\": "
        "time: missing unit in duration \"1\"\n\n");
}

#define AUTHORIZES "auto_config { authorization { enabled = true } } "
#define SECONDARY "datacenter = \"dc2\" primary_datacenter = \"dc1\" "

static void W31_who_authorizes_in_a_secondary_has_its_tokens_replicated(void **state)
{
    (void)state;
    static const char lacks_a_certificate[] = "auto_config.authorization.enabled cannot be set "
                                              "without providing a TLS certificate for the server";
    static const struct {
        const char *hcl, *why; /* NULL: taken */
    } rows[] = {
        { AUTHORIZES SECONDARY "acl { enabled = true }",
            "Enabling auto-config authorization (auto_config.authorization.enabled) in non primary "
            "datacenters with ACLs enabled (acl.enabled) requires also enabling ACL token "
            "replication (acl.enable_token_replication)" },
        { AUTHORIZES SECONDARY "acl { enabled = true enable_token_replication = true }",
            lacks_a_certificate },
        { AUTHORIZES SECONDARY, lacks_a_certificate },
        { AUTHORIZES "acl { enabled = true }", lacks_a_certificate },
        { AUTHORIZES SECONDARY "cert_file = \"x\"", NULL },
        { SECONDARY "acl { enabled = true }", NULL },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct agent_config *c = load_hcl(rows[i].hcl);
        if (rows[i].why)
            assert_refused(c, rows[i].why);
        else
            assert_non_null(c);
        buf_clear(&given.error);
    }
}

/* --- addresses -------------------------------------------------------------------------------- */

static void add_interface(const char *name, const char *ip)
{
    static struct config_interface all[4];
    size_t n = given.host.interfaces.v == all ? given.host.interfaces.n : 0;
    all[n] = (struct config_interface){ str_of(name), str_of(ip) };
    given.host.interfaces = (struct list){ .v = all, .n = n + 1 };
}

static void templates_name_addresses_of_the_machine(void **state)
{
    (void)state;
    add_interface("lo", "127.0.0.1");
    add_interface("eth0", "192.168.7.8");
    add_interface("eth1", "9.8.7.6");
    struct agent_config *c = load_hcl("bind_addr = \"{{ GetInterfaceIP \\\"eth1\\\" }}\" "
                                      "client_addr = \"127.0.0.1 {{ GetPrivateIP }}\" retry_join = "
                                      "[\"a b\", \"{{GetPublicIP}}\"]");
    assert_non_null(c);
    assert_str(c->bind_addr, "9.8.7.6");
    assert_strings(&c->http_addrs, "tcp://127.0.0.1:8500,tcp://192.168.7.8:8500");
    assert_strings(&c->retry_join_lan, "a b,9.8.7.6");
}

static void the_only_private_address_is_advertised(void **state)
{
    (void)state;
    add_interface("lo", "127.0.0.1");
    add_interface("eth0", "10.1.2.3");
    struct agent_config *c = WORDS("-data-dir=/nonexistent/x");
    assert_non_null(c);
    assert_str(c->bind_addr, "0.0.0.0");
    assert_str(c->advertise_addr_lan, "10.1.2.3");
    assert_str(dict_str(&c->tagged_addresses, STR("wan_ipv4")), "10.1.2.3");
    add_interface("eth1", "10.1.2.4");
    assert_refused(WORDS("-data-dir=/nonexistent/x"),
        "Multiple private IPv4 addresses found. "
        "Please configure one with 'bind' and/or 'advertise'.");
}

static void ipv6_addresses_are_bracketed(void **state)
{
    (void)state;
    struct agent_config *c = load_hcl("bind_addr = \"::1\" client_addr = \"[::]\"");
    assert_non_null(c);
    assert_str(c->rpc_bind_addr, "tcp://[::1]:8300");
    assert_strings(&c->dns_addrs, "tcp://[::]:8600,udp://[::]:8600");
    struct config_addr addr;
    assert_true(config_addr_parse(c->rpc_bind_addr, &addr));
    assert_str(addr.host, "::1");
    assert_int_equal(addr.port, 8300);
}

static void address_texts_are_taken_apart(void **state)
{
    (void)state;
    struct config_addr a;
    assert_true(config_addr_parse(STR("unix:///run/x.sock"), &a));
    assert_str(a.host, "/run/x.sock");
    assert_false(config_addr_parse(STR(""), &a));
    assert_false(config_addr_parse(STR("tcp://127.0.0.1"), &a));
    assert_false(config_addr_parse(STR("tcp://127.0.0.1:70000"), &a));
    assert_false(config_addr_parse(STR("ftp://127.0.0.1:1"), &a));
}

/* --- reload ----------------------------------------------------------------------------------- */

static void reload_takes_what_may_change_and_keeps_the_rest(void **state)
{
    (void)state;
    struct agent_config *old =
        load_hcl("log_level = \"INFO\" datacenter = \"a\" node_meta { a = "
                 "\"1\" } telemetry { prefix_filter = [\"-x\"] metrics_prefix = \"p\" }");
    struct agent_config *fresh =
        load_hcl("log_level = \"WARN\" datacenter = \"b\" services { name = "
                 "\"s\" } telemetry { prefix_filter = [\"-y\", \"+z\"] metrics_prefix = \"q\" } "
                 "dns_config { service_ttl { x = \"5s\" } soa { retry = 9 } }");
    struct agent_config *now = config_reload(&given.s.arena, old, fresh);
    assert_str(now->logging.log_level, "WARN");
    assert_str(now->datacenter, "a");
    assert_int_equal(now->node_meta.n, 0);
    assert_int_equal(now->services.n, 1);
    assert_strings(&now->telemetry.blocked_prefixes, "y");
    assert_strings(&now->telemetry.allowed_prefixes, "z");
    assert_str(now->telemetry.metrics_prefix, "p");
    assert_int_equal(now->dns_soa.retry, 9);
    assert_int_equal(now->dns_service_ttl.n, 1);
    struct list restart = config_restart_needed(&given.s.arena, old, fresh);
    assert_strings(
        &restart, "acl_datacenter,datacenter,primary_datacenter,telemetry.metrics_prefix");
}

static void nothing_needs_a_restart_when_nothing_changed(void **state)
{
    (void)state;
    struct agent_config *a = load_hcl("server = true"), *b = load_hcl("server = true");
    assert_int_equal(config_restart_needed(&given.s.arena, a, b).n, 0);
}

static void secrets_are_hidden(void **state)
{
    (void)state;
    struct agent_config *c = load_hcl(
        "acl { tokens { default = \"s3cret\" } } encrypt = \"czNjcmV0\" "
        "key_file = \"s3cret\" service { name = \"x\" token = \"s3cret\" } check { name = \"c\" "
        "token = \"s3cret\" }");
    struct json_writer w;
    struct buf b = BUF_INIT(1 << 20);
    json_begin(&w, &b, false);
    config_debug_json(c, &w);
    assert_true(str_find(buf_str(&b), STR("s3cret")) < 0);
    assert_true(str_find(buf_str(&b), STR("czNjcmV0")) < 0);
    buf_deinit(&b);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(flags_take_one_or_two_dashes_and_two_forms),
        TEST(flags_end_at_the_first_other_word),
        TEST(wrong_flags_are_told),
        TEST(help_has_a_code_of_its_own),
        TEST(usage_names_every_flag),
        TEST(lists_of_flags_come_before_those_of_files),
        TEST(single_definitions_stand_behind_those_listed),
        TEST(values_of_the_program_cannot_be_set),
        TEST(a_null_value_counts_as_not_given),
        TEST(an_empty_list_or_duration_is_no_value),
        TEST(ranges_of_ports_are_compared_before_ports_are_judged),
        TEST(files_of_other_kinds_are_skipped_with_a_warning),
        TEST(all_faults_of_a_source_are_told_together),
        TEST(unknown_keys_are_told_with_their_paths),
        TEST(an_object_is_no_list_in_json),
        TEST(the_proper_spelling_beats_an_alias),
        TEST(free_blocks_keep_their_keys),
        TEST(soft_errors_are_collected_behind_hard_ones),
        TEST(a_bad_duration_drops_what_was_collected),
        TEST(W31_who_authorizes_in_a_secondary_has_its_tokens_replicated),
        TEST(templates_name_addresses_of_the_machine),
        TEST(the_only_private_address_is_advertised),
        TEST(ipv6_addresses_are_bracketed),
        TEST(address_texts_are_taken_apart),
        TEST(reload_takes_what_may_change_and_keeps_the_rest),
        TEST(nothing_needs_a_restart_when_nothing_changed),
        TEST(secrets_are_hidden),
    };
    model_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
