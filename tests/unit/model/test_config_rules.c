/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "consuld/model.h"
#include "consuld/model/config_rules.h"
#include "consuld/wire/json.h"

static struct config_entry read_entry(struct arena *a, const char *text)
{
    struct value v;
    struct error err;
    struct config_entry e = { 0 };
    struct str json = str_dup(a, str_of(text));
    for (size_t i = 0; i < json.n; i++) {
        char *c = (char *)(uintptr_t)&json.p[i];
        if (*c == '\'') *c = '"';
    }
    if (json_parse(json, a, &v, &err) || config_entry_read(&v, a, &e, &err))
        fail_msg("%s: %s", text, err.text);
    config_entry_normalize(&e, a);
    return e;
}

static void check(const char *text, const char *want)
{
    struct arena a = ARENA_INIT;
    struct error err = { 0 };
    struct config_entry e = read_entry(&a, text);
    int rc = config_entry_validate(&e, &err);
    if (!want && rc) fail_msg("%s: %s", text, err.text);
    if (want && !rc) fail_msg("%s was taken", text);
    if (want) assert_string_equal(err.text, want);
    arena_free(&a);
}

static void routers(void **state)
{
    (void)state;
#define ROUTER(routes) "{'Kind': 'service-router', 'Name': 'r', 'Routes': [" routes "]}"
    check(ROUTER("{'Match': {'HTTP': {'PathExact': 'x'}}}"),
        "Route[0] PathExact doesn't start with '/': \"x\"");
    check(ROUTER("{}, {'Match': {'HTTP': {'PathRegex': 'x', 'PathPrefix': '/'}}}"),
        "Route[1] should only contain at most one of PathExact, PathPrefix, or PathRegex");
    check(ROUTER("{'Match': {'HTTP': {'Header': [{'Exact': 'y'}]}}}"),
        "Route[0] Header[0] missing required Name field");
    check(ROUTER("{'Match': {'HTTP': {'Header': [{'Name': 'h', 'Exact': 'y', 'Regex': 'z'}]}}}"),
        "Route[0] Header[0] should only contain one of Present, Exact, Prefix, Suffix, or Regex");
    check(ROUTER("{'Match': {'HTTP': {'QueryParam': [{'Name': 'q'}]}}}"),
        "Route[0] QueryParam[0] should only contain one of Present, Exact, or Regex");
    check(ROUTER("{'Match': {'HTTP': {'Methods': ['get', 'GET']}}}"),
        "Route[0] Methods contains \"GET\" more than once");
    check(ROUTER("{'Match': {'HTTP': {'Methods': ['FETCH']}}}"),
        "Route[0] Methods contains an invalid method \"FETCH\"");
    check(ROUTER("{'Destination': {'PrefixRewrite': '/'}}"),
        "Route[0] cannot make use of PrefixRewrite without configuring either PathExact or "
        "PathPrefix");
    check(ROUTER("{'Match': {'HTTP': {'PathPrefix': '/a', 'Methods': ['put']}}, 'Destination': "
                 "{'PrefixRewrite': '/'}}"),
        NULL);
}

static void splitters(void **state)
{
    (void)state;
#define SPLITTER(splits) "{'Kind': 'service-splitter', 'Name': 's', 'Splits': [" splits "]}"
    check("{'Kind': 'service-splitter', 'Splits': [{'Weight': 100}]}", "Name is required");
    check(SPLITTER(""), "no splits configured");
    check(SPLITTER("{'Weight': 50}, {'Weight': 50, 'Service': 's'}"),
        "split destination occurs more than once: service=\"s\", subset=\"\", namespace=\"\"");
    check(SPLITTER("{'Weight': 99.98}, {'Weight': 0.01, 'Service': 'b'}"),
        "the sum of all split weights must be 100, not 99.989998");
    check(SPLITTER("{'Weight': 33.33}, {'Weight': 66.67, 'Service': 'b'}"), NULL);
    check(SPLITTER("{'Weight': 33.333}, {'Weight': 66.667, 'Service': 'b'}"), NULL);
}

static void resolvers(void **state)
{
    (void)state;
#define RESOLVER(rest) "{'Kind': 'service-resolver', 'Name': 'r', " rest "}"
    check(RESOLVER("'Subsets': {'': {}}"), "Subset defined with empty name");
    check(RESOLVER("'DefaultSubset': 'a'"), "DefaultSubset \"a\" is not a valid subset");
    check(RESOLVER("'Redirect': {'ServiceSubset': 'a'}"),
        "Redirect.ServiceSubset defined without Redirect.Service");
    check(RESOLVER("'Redirect': {'Service': 'r', 'ServiceSubset': 'a'}"),
        "Redirect.ServiceSubset \"a\" is not a valid subset of \"r\"");
    check(
        RESOLVER("'Failover': {'a': {'Service': 'b'}}"), "Bad Failover[\"a\"]: not a valid subset");
    check(RESOLVER("'Failover': {'*': {}}"),
        "Bad Failover[\"*\"] one of Service, ServiceSubset, Namespace, or Datacenters is required");
    check(RESOLVER("'Failover': {'*': {'Datacenters': ['']}}"),
        "Bad Failover[\"*\"].Datacenters: found empty datacenter");
    check(RESOLVER("'ConnectTimeout': '-1500ms'"), "Bad ConnectTimeout '-1.5s', must be >= 0");
    check(RESOLVER("'Subsets': {'v-1': {}}, 'DefaultSubset': 'v-1', 'Failover': {'v-1': "
                   "{'Datacenters': ['dc2']}}"),
        NULL);
}

static void gateways(void **state)
{
    (void)state;
#define INGRESS(tls, rest) \
    "{'Kind': 'ingress-gateway', 'Name': 'i', 'TLS': {'Enabled': " tls \
    "}, 'Listeners': [{'Port': 1, " rest "}]}"
    check(INGRESS("false", "'Services': []"), "No service declared for listener with port 1");
    check(INGRESS("false", "'Services': [{'Name': '*'}]"),
        "Wildcard service name is only valid for protocol = 'http' (listener on port 1)");
    check(INGRESS("false", "'Services': [{'Name': 'a', 'Hosts': ['h']}]"),
        "Associating hosts to a service is not supported for the tcp protocol (listener on port "
        "1)");
    check(INGRESS("false", "'Protocol': 'HTTP', 'Services': [{'Name': 'a', 'Hosts': ['h']}, "
                           "{'Name': 'b', 'Hosts': ['h']}]"),
        "Hosts must be unique within a specific listener (listener on port 1)");
    check(INGRESS("true", "'Protocol': 'http', 'Services': [{'Name': 'a', 'Hosts': ['*']}]"),
        "Host '*' is not allowed when TLS is enabled, all hosts must be valid DNS records to add "
        "as a DNSSAN");
    check(INGRESS("false", "'Protocol': 'http', 'Services': [{'Name': 'a', 'Hosts': ['a.*.b']}]"),
        "Host \"a.*.b\" is not valid, a wildcard specifier is only allowed as the leftmost label");
    check(INGRESS("false", "'Protocol': 'http', 'Services': [{'Name': 'a', 'Hosts': ['a..b']}]"),
        "Host \"a..b\" must be a valid DNS hostname");
    check(INGRESS("true", "'Protocol': 'http', 'Services': [{'Name': 'a', 'Hosts': ['*.b', 'c']}, "
                          "{'Name': '*'}]"),
        NULL);
    check("{'Kind': 'terminating-gateway', 'Name': 't', 'Services': [{'Name': 'a', 'KeyFile': "
          "'/k'}]}",
        "Service \"a\" must have a CertFile, CAFile, and KeyFile specified for TLS origination");
    check("{'Kind': 'terminating-gateway', 'Name': 't', 'Services': [{'Name': 'a', 'CAFile': "
          "'/k'}]}",
        NULL);
}

static void forms_are_made_one(void **state)
{
    (void)state;
    struct arena a = ARENA_INIT;
    struct config_entry e =
        read_entry(&a, "{'Kind': 'service-defaults', 'Name': 'd', 'Protocol': 'GRPC'}");
    assert_true(str_is(e.service_defaults->protocol, "grpc"));
    e = read_entry(&a, "{'Kind': 'proxy-defaults', 'Name': 'x'}");
    assert_true(str_is(e.proxy_defaults->name, "global"));
    e = read_entry(&a, "{'Kind': 'ingress-gateway', 'Name': 'i', 'Listeners': [{'Port': 1}]}");
    assert_true(
        str_is(LIST_AT(&e.ingress_gateway->listeners, struct ingress_listener, 0).protocol, "tcp"));
    e = read_entry(&a, ROUTER("{'Match': {'HTTP': {'Methods': ['get']}}, 'Destination': {}}, "
                              "{'Destination': {}}"));
    const struct service_route *r = e.service_router->routes.v;
    assert_true(str_is(LIST_AT(&r[0].match->http->methods, struct str, 0), "GET"));
    assert_true(str_is(r[0].destination->namespace, "default"));
    assert_int_equal(r[1].destination->namespace.n, 0);
    e = read_entry(&a, SPLITTER("{'Weight': 33.336}"));
    assert_true(LIST_AT(&e.service_splitter->splits, struct service_split, 0).weight == 33.34f);
    arena_free(&a);
}

static void metadata_is_bounded(void **state)
{
    (void)state;
    struct arena a = ARENA_INIT;
    struct error err;
    struct config_entry e = read_entry(&a, "{'Kind': 'service-defaults', 'Name': 'd'}");
    for (int i = 0; i < 64; i++)
        dict_set_str(&a, &e.service_defaults->meta, str_printf(&a, "k%d", i), STR("v"));
    assert_int_equal(config_entry_validate(&e, &err), 0);
    dict_set_str(&a, &e.service_defaults->meta, STR("one more"), STR("v"));
    assert_true(config_entry_validate(&e, &err) < 0);
    assert_string_equal(
        err.text, "1 error occurred:\n\t* Meta exceeds maximum element count 64\n\n");
    arena_free(&a);
}

static int setup(void **state)
{
    (void)state;
    model_init();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(routers),
        cmocka_unit_test(splitters),
        cmocka_unit_test(resolvers),
        cmocka_unit_test(gateways),
        cmocka_unit_test(forms_are_made_one),
        cmocka_unit_test(metadata_is_bounded),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
