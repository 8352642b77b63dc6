/* SPDX-License-Identifier: Apache-2.0 */
/* Which requests Consul 1.8.6 was seen to send through the environment's proxy. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "consuld/agent/http_proxy.h"

#define PROXY "http://proxy.test:3128"

static struct arena arena;

static int teardown(void **state)
{
    (void)state;
    arena_free(&arena);
    return 0;
}

static bool proxied(const struct http_proxy_rules *rules, const char *target)
{
    struct http_url url;
    struct http_proxy proxy;
    struct error err;
    assert_true(http_url_parse(str_of(target), &url));
    if (http_proxy_find(rules, &url, &arena, &proxy, &err) != 0) fail_msg("%s", err.text);
    return proxy.url.host.n > 0;
}

static void targets_in_no_proxy_are_reached_directly(void **state)
{
    (void)state;
    static const char *const targets[] = { "http://web.test/", "http://a.web.test/",
        "http://xweb.test/", "http://web.test:8080/", "http://WEB.test/", "http://192.0.2.7/",
        "http://192.0.2.8:81/", "http://[2001:db8::1]/", "http://[2001:db8::1]:81/" };
    static const struct {
        const char *rule, *direct; /* a 'd' for each target that has no proxy */
    } rows[] = {
        { "", "---------" },
        { "web.test", "dd-dd----" },
        { ".web.test", "-d-------" },
        { "*.web.test", "-d-------" },
        { "WEB.TEST", "dd-dd----" },
        { " web.test , 192.0.2.7", "dd-ddd---" },
        { "web.test:8080", "---d-----" },
        { "web.test:80", "dd--d----" },
        { ".web.test:80", "-d-------" },
        { "*", "ddddddddd" },
        { "192.0.2.7,*", "ddddddddd" },
        { "test", "ddddd----" },
        { "192.0.2.7", "-----d---" },
        { "192.0.2.8:81", "------d--" },
        { "192.0.2.8:80", "---------" },
        { "192.0.2.0/24", "-----dd--" },
        { "192.0.2.8/29", "------d--" },
        { "192.0.2.0/24:80", "---------" },
        { "192.0.2.7/33", "---------" },
        { "0.0.0.0/0", "-----dd--" },
        { "2001:db8::1", "-------dd" },
        { "[2001:db8::1]", "---------" },
        { "[2001:db8::1]:81", "--------d" },
        { "2001:db8::/32", "-------dd" },
        { "[::]/0", "---------" },
        { "::ffff:192.0.2.7", "-----d---" },
        { "::ffff:192.0.2.0/120", "-----dd--" },
        { "[web.test]:80", "dd--d----" },
        { "web.test:", "dd-dd----" },
        { ":80", "---------" },
        { "*web.test", "---------" },
        { "web.test:http", "---------" },
        { "http://web.test", "---------" },
        { "web.test *", "---------" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct http_proxy_rules rules = { .http = STR(PROXY), .direct = str_of(rows[i].rule) };
        char seen[sizeof targets / sizeof targets[0] + 1] = { 0 };
        for (size_t k = 0; k < sizeof seen - 1; k++)
            seen[k] = proxied(&rules, targets[k]) ? '-' : 'd';
        if (!str_is(str_of(seen), rows[i].direct))
            fail_msg("\"%s\": %s, expected %s", rows[i].rule, seen, rows[i].direct);
    }
}

static void this_machine_has_no_proxy(void **state)
{
    (void)state;
    struct http_proxy_rules rules = { .http = STR(PROXY), .https = STR(PROXY) };
    assert_false(proxied(&rules, "http://localhost:9/"));
    assert_false(proxied(&rules, "https://127.9.9.9/"));
    assert_false(proxied(&rules, "http://[::1]:9/"));
    assert_true(proxied(&rules, "http://LOCALHOST:9/"));
}

static void each_scheme_has_its_proxy(void **state)
{
    (void)state;
    struct http_proxy_rules http = { .http = STR(PROXY) }, https = { .https = STR(PROXY) };
    assert_true(proxied(&http, "http://web.test"));
    assert_false(proxied(&http, "https://web.test"));
    assert_false(proxied(&https, "http://web.test"));
    assert_true(proxied(&https, "https://web.test"));
}

static void proxy_is_a_url_or_an_address(void **state)
{
    (void)state;
    static const struct {
        const char *text, *host, *authorization;
        uint16_t port;
    } rows[] = {
        { "http://us%40er:pa%3ass@p.test:3128", "p.test", "Basic dXNAZXI6cGE6c3M=", 3128 },
        { "http://us@p.test", "p.test", "Basic dXM6", 80 },
        { "p.test:3128", "p.test", "", 3128 },
        { "https://p.test", "p.test", "", 443 },
    };
    struct http_url url;
    assert_true(http_url_parse(STR("http://web.test/"), &url));
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct http_proxy_rules rules = { .http = str_of(rows[i].text) };
        struct http_proxy proxy;
        struct error err;
        assert_int_equal(http_proxy_find(&rules, &url, &arena, &proxy, &err), 0);
        assert_true(str_is(proxy.url.host, rows[i].host));
        assert_int_equal(proxy.url.port, rows[i].port);
        assert_true(str_is(proxy.authorization, rows[i].authorization));
    }
}

static void cgi_script_refuses_its_clients_header(void **state)
{
    (void)state;
    struct http_proxy_rules rules = {
        .http = STR(PROXY), .https = STR(PROXY), .direct = STR("*"), .cgi = true
    };
    struct http_url url;
    struct http_proxy proxy;
    struct error err;
    assert_true(http_url_parse(STR("http://web.test/"), &url));
    assert_int_not_equal(http_proxy_find(&rules, &url, &arena, &proxy, &err), 0);
    assert_non_null(strstr(err.text, "refusing to use HTTP_PROXY value in CGI environment"));
    assert_false(proxied(&rules, "https://web.test/"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(targets_in_no_proxy_are_reached_directly),
        cmocka_unit_test(this_machine_has_no_proxy),
        cmocka_unit_test(each_scheme_has_its_proxy),
        cmocka_unit_test(proxy_is_a_url_or_an_address),
        cmocka_unit_test(cgi_script_refuses_its_clients_header),
    };
    return cmocka_run_group_tests(tests, NULL, teardown);
}
