/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <zlib.h>

#include "http_front.h"

/* --- routing --------------------------------------------------------------------------------- */

static void unknown_paths_are_empty_404s(void **state)
{
    struct fixture *f = *state;
    const char *paths[] = { "/nothing", "/v1", "/v1/", "/v1/hello/", "/v2/kv/a" };
    for (size_t i = 0; i < 5; i++) {
        struct answer a = ask(f, "PUT", paths[i], "");
        assert_int_equal(a.status, 404);
        assert_int_equal(a.body_n, 0);
        assert_string_equal(header(&a, "Vary"), "(none)");
        assert_string_equal(header(&a, "Content-Type"), "(none)");
        free(a.body);
    }
}

static void root_tells_what_this_is(void **state)
{
    struct fixture *f = *state;
    expect(f, "GET", "/", "", 200, "Consul Agent");
    expect_header(f, "GET", "/", "", "Content-Type", "text/plain; charset=utf-8");
    expect_header(f, "GET", "/", "", "Vary", "(none)");
    expect(f, "HEAD", "/", "", 200, "");
    struct api_options o = options(f);
    o.ui_path = "/ui/";
    configure(f, &o);
    expect_header(f, "GET", "/", "", "Location", "/ui/");
}

static void unclean_paths_and_missing_slashes_redirect(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *target, *location;
    } rows[] = {
        { "/v1/kv", "/v1/kv/" },
        { "/v1/kv?raw", "/v1/kv/?raw" },
        { "/v1//kv/a", "/v1/kv/a" },
        { "/v1//kv", "/v1/kv/" },
        { "/v1/catalog/../kv/a", "/v1/kv/a" },
        { "/v1/./hello", "/v1/hello" },
        { "/v1/kv/a/..", "/v1/kv/" },
        { "/v1/kv/a/.", "/v1/kv/a" },
        { "/..", "/" },
        { "/v1//kv/a%20b!", "/v1/kv/a%20b%21" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct answer a = ask(f, "GET", rows[i].target, "");
        assert_int_equal(a.status, 301);
        assert_string_equal(header(&a, "Location"), rows[i].location);
        assert_string_equal(header(&a, "Content-Type"), "text/html; charset=utf-8");
        char body[256];
        snprintf(body, sizeof body, "<a href=\"%s\">Moved Permanently</a>.\n\n", rows[i].location);
        assert_string_equal(a.body, body);
        free(a.body);
    }
    struct answer a = ask(f, "PUT", "/v1//kv/a", "Content-Length: 0\r\n");
    assert_int_equal(a.status, 301);
    assert_int_equal(a.body_n, 0);
    assert_string_equal(header(&a, "Content-Type"), "(none)");
    free(a.body);
}

static void unprintable_paths_are_400_without_headers(void **state)
{
    struct fixture *f = *state;
    const char *bad[] = { "/v1/kv/%01", "/v1/kv/a%00b", "/v1/kv/%E2%80%8B", "/v1/kv/%7f",
        "/v1/nothing/%c2%a0" };
    for (size_t i = 0; i < 5; i++) {
        struct answer a = ask(f, "GET", bad[i], "");
        assert_int_equal(a.status, 400);
        assert_int_equal(a.body_n, 0);
        assert_string_equal(header(&a, "Vary"), "(none)");
        free(a.body);
    }
    const char *good[] = { "/v1/kv/caf%C3%A9", "/v1/kv/%ff", "/v1/kv/a%20b", "/v1/kv/%E2%82%AC" };
    for (size_t i = 0; i < 4; i++)
        expect(f, "GET", good[i], "", 200, "");
    struct api_options o = options(f);
    o.disable_unprintable_char_filter = true;
    configure(f, &o);
    expect_header(f, "GET", "/v1/kv/a%2Fb%01", "", "X-Tail", "a/b\x01");
}

/* --- decisions of an endpoint ---------------------------------------------------------------- */

static void methods_are_answered_from_the_table(void **state)
{
    struct fixture *f = *state;
    expect(f, "OPTIONS", "/v1/kv/a", "", 200, "");
    expect_header(f, "OPTIONS", "/v1/kv/a", "", "Allow", "OPTIONS,GET,PUT,DELETE");
    expect_header(f, "OPTIONS", "/v1/operator/keyring", "", "Allow", "OPTIONS,GET,POST,PUT,DELETE");
    expect_header(
        f, "OPTIONS", "/v1/kv/a", "Accept-Encoding: gzip\r\n", "Content-Encoding", "(none)");
    expect(f, "POST", "/v1/kv/a", "", 405, "method POST not allowed");
    expect(f, "BREW", "/v1/hello", "", 405, "method BREW not allowed");
    expect_header(f, "BREW", "/v1/hello", "", "Allow", "OPTIONS,GET");
    struct answer a = ask(f, "HEAD", "/v1/kv/a", "");
    assert_int_equal(a.status, 405);
    assert_string_equal(header(&a, "Content-Type"), "text/plain; charset=utf-8");
    assert_string_equal(header(&a, "Vary"), "Accept-Encoding");
    free(a.body);
    expect(f, "OPTIONS", "/v1/query/x", "", 200, "[\"dc1\"]");
}

static void bad_query_string_is_an_empty_500(void **state)
{
    struct fixture *f = *state;
    const char *bad[] = { "/v1/hello?x=%zz", "/v1/hello?a;b=1", "/v1/hello?%" };
    for (size_t i = 0; i < 3; i++) {
        struct answer a = ask(f, "GET", bad[i], "");
        assert_int_equal(a.status, 500);
        assert_int_equal(a.body_n, 0);
        assert_string_equal(header(&a, "Vary"), "Accept-Encoding");
        assert_string_equal(header(&a, "Content-Type"), "(none)");
        free(a.body);
    }
}

static void configuration_blocks_and_decorates_endpoints(void **state)
{
    struct fixture *f = *state;
    struct api_options o = options(f);
    struct api_header_option headers[] = {
        { STR("Access-Control-Allow-Origin"), STR("*") },
        { STR("x-conform-extra"), STR("yes") },
    };
    struct str blocked[] = { STR("/v1/hel") };
    o.response_headers = headers;
    o.n_response_headers = 2;
    o.block_endpoints = blocked;
    o.n_block_endpoints = 1;
    o.translate_wan_addrs = true;
    configure(f, &o);
    expect(f, "PUT", "/v1/hello", "", 403, "Endpoint is blocked by agent configuration");
    struct answer a = ask(f, "POST", "/v1/kv/x", "");
    assert_int_equal(a.status, 405);
    assert_non_null(strstr(a.head, "\r\nX-Conform-Extra: yes\r\n"));
    assert_string_equal(header(&a, "Access-Control-Allow-Origin"), "*");
    assert_string_equal(header(&a, "X-Consul-Translate-Addresses"), "true");
    free(a.body);
    expect_header(f, "GET", "/nothing", "", "X-Conform-Extra", "(none)");
}

static void writes_are_restricted_to_networks(void **state)
{
    struct fixture *f = *state;
    struct api_options o = options(f);
    struct str nets[] = { STR("10.0.0.0/8"), STR("::1/128") };
    o.allow_write_http_from = nets;
    o.n_allow_write_http_from = 2;
    configure(f, &o);
    expect(f, "PUT", "/v1/kv/x", "", 403, "Access is restricted");
    expect(f, "POST", "/v1/kv/x", "", 405, "method POST not allowed");
    expect(f, "GET", "/v1/kv/x", "", 200, "");
    expect(f, "OPTIONS", "/v1/kv/x", "", 200, "");
    nets[0] = STR("127.0.0.0/8");
    configure(f, &o);
    expect(f, "PUT", "/v1/kv/x", "", 200, "");
    struct error err;
    nets[0] = STR("127.0.33.0/33");
    assert_true(api_configure(f->api, &o, &err) < 0);
    assert_non_null(strstr(err.text, "invalid CIDR address: 127.0.33.0/33"));
    expect(f, "PUT", "/v1/kv/x", "", 200, "");
}

/* --- answers --------------------------------------------------------------------------------- */

static void json_is_compact_or_pretty(void **state)
{
    struct fixture *f = *state;
    expect(f, "GET", "/v1/hello", "", 200, "[\"dc1\"]");
    expect_header(f, "GET", "/v1/hello", "", "Content-Type", "application/json");
    expect(f, "GET", "/v1/hello?pretty=false", "", 200, "[\n    \"dc1\"\n]\n");
    struct api_options o = options(f);
    o.pretty = true;
    configure(f, &o);
    expect(f, "GET", "/v1/hello", "", 200, "[\n    \"dc1\"\n]\n");
}

static void gzip_follows_accept_encoding(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *accept;
        bool packed;
    } rows[] = {
        { "gzip", true },
        { "GZIP", true },
        { "gzip;q=0", false },
        { "gzip; q=0.000", false },
        { "deflate, gzip;q=0.5", true },
        { "*", false },
        { "identity", false },
        { "br", false },
        { "", false },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char headers[128];
        snprintf(headers, sizeof headers, "Accept-Encoding: %s\r\n", rows[i].accept);
        struct answer a = ask(f, "GET", "/v1/hello", headers);
        assert_string_equal(header(&a, "Vary"), "Accept-Encoding");
        assert_string_equal(header(&a, "Content-Encoding"), rows[i].packed ? "gzip" : "(none)");
        if (rows[i].packed) {
            char text[64];
            z_stream z = { .next_in = (Bytef *)a.body,
                .avail_in = (uInt)a.body_n,
                .next_out = (Bytef *)text,
                .avail_out = sizeof text };
            assert_int_equal(inflateInit2(&z, 15 + 16), Z_OK);
            assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
            assert_int_equal(z.total_out, 7);
            assert_memory_equal(text, "[\"dc1\"]", 7);
            inflateEnd(&z);
            assert_string_equal(header(&a, "Content-Length"), "(none)");
        }
        free(a.body);
    }
}

static void errors_map_to_status_and_text(void **state)
{
    struct fixture *f = *state;
    static const struct {
        int code;
        const char *text;
        int status;
        const char *body;
    } rows[] = {
        { ERR_INTERNAL, "No+cluster+leader", 500, "No cluster leader" },
        { ERR_BAD_REQUEST, "x", 400, "Bad request: x" },
        { ERR_NOT_FOUND, "gone", 404, "gone" },
        { ERR_DENIED, "no", 403, "no" },
        { ERR_UNAUTHORIZED, "ACL+support+disabled", 401, "ACL support disabled" },
        { ERR_INTERNAL, "rpc+error+making+call:+Permission+denied", 403,
            "rpc error making call: Permission denied" },
        { ERR_INTERNAL, "ACL+not+found", 403, "ACL not found" },
        { ERR_IO, "rate+limit+exceeded", 429, "" },
        { ERR_LIMIT, "slow", 429, "slow" },
        { ERR_TOO_LARGE, "big", 413, "big" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char target[256];
        snprintf(target, sizeof target, "/v1/fail?code=%d&text=%s", rows[i].code, rows[i].text);
        expect(f, "GET", target, "", rows[i].status, rows[i].body);
    }
}

static void read_parameters_answer_the_first_bad_one(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *query, *headers, *body;
    } rows[] = {
        { "index=abc", "", "Invalid index" },
        { "index=-1", "", "Invalid index" },
        { "index=18446744073709551616", "", "Invalid index" },
        { "wait=5", "", "Invalid wait time" },
        { "wait=10x&index=a", "", "Invalid wait time" },
        { "stale&consistent&wait=x", "",
            "Cannot specify ?stale with ?consistent, conflicting semantics." },
        { "cached&consistent", "",
            "Cannot specify ?cached with ?consistent, conflicting semantics." },
        { "max_stale=5s&consistent", "",
            "Cannot specify ?stale with ?consistent, conflicting semantics." },
        { "max_stale=x", "", "Invalid max_stale value \"x\"" },
        { "wait=x", "Cache-Control: max-age=abc\r\n", "Invalid Cache-Control header." },
        { "", "Cache-Control: stale-if-error=x\r\n", "Invalid Cache-Control header." },
        { "ns=x", "",
            "Bad request: Invalid query parameter: \"ns\" - "
            "Namespaces are a Consul Enterprise feature" },
        { "ns=", "X-Consul-Namespace: x\r\n",
            "Bad request: Invalid header: "
            "\"X-Consul-Namespace\" - Namespaces are a Consul Enterprise feature" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char target[256];
        snprintf(target, sizeof target, "/v1/catalog/nodes?%s", rows[i].query);
        expect(f, "GET", target, rows[i].headers, 400, rows[i].body);
    }
}

static void read_parameters_fill_the_query(void **state)
{
    struct fixture *f = *state;
    expect(f, "GET", "/v1/catalog/nodes?index=18446744073709551615&wait=-1s&dc=&stale=false",
        "Cache-Control: Max-Age=0, x\r\nAuthorization: bearer  abc def\r\n", 200,
        "{\"dc\":\"dc1\",\"token\":\"abc\",\"index\":18446744073709551615,\"wait\":-1000000000,"
        "\"stale\":true,\"max_age\":0,\"revalidate\":true}");
    expect(f, "GET", "/v1/catalog/nodes?token=t&dc=dc2&max_stale=1s",
        "Cache-Control: max-age=-5\r\nX-Consul-Token: u\r\n", 200,
        "{\"dc\":\"dc2\",\"token\":\"t\",\"index\":0,\"wait\":0,\"stale\":true,"
        "\"max_age\":-5000000000,\"revalidate\":false}");
    struct answer a = ask(f, "GET", "/v1/catalog/nodes", "");
    assert_string_equal(header(&a, "X-Consul-Index"), "1");
    assert_string_equal(header(&a, "X-Consul-Knownleader"), "true");
    assert_string_equal(header(&a, "X-Consul-Lastcontact"), "2");
    assert_string_equal(header(&a, "X-Consul-Effective-Consistency"), "leader");
    assert_non_null(strstr(a.body, "\"token\":\"anon\""));
    free(a.body);
}

static void discovery_reads_may_be_stale_by_configuration(void **state)
{
    struct fixture *f = *state;
    struct api_options o = options(f);
    o.discovery_max_stale = 1000000000;
    configure(f, &o);
    const char *name = "X-Consul-Effective-Consistency";
    expect_header(f, "GET", "/v1/catalog/nodes", "", name, "stale");
    expect_header(f, "GET", "/v1/catalog/nodes?leader", "", name, "leader");
    expect_header(f, "GET", "/v1/catalog/nodes?cached", "", name, "leader");
    expect_header(f, "GET", "/v1/session/list", "", name, "leader");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FRONT_TEST(unknown_paths_are_empty_404s),
        FRONT_TEST(root_tells_what_this_is),
        FRONT_TEST(unclean_paths_and_missing_slashes_redirect),
        FRONT_TEST(unprintable_paths_are_400_without_headers),
        FRONT_TEST(methods_are_answered_from_the_table),
        FRONT_TEST(bad_query_string_is_an_empty_500),
        FRONT_TEST(configuration_blocks_and_decorates_endpoints),
        FRONT_TEST(writes_are_restricted_to_networks),
        FRONT_TEST(json_is_compact_or_pretty),
        FRONT_TEST(gzip_follows_accept_encoding),
        FRONT_TEST(errors_map_to_status_and_text),
        FRONT_TEST(read_parameters_answer_the_first_bad_one),
        FRONT_TEST(read_parameters_fill_the_query),
        FRONT_TEST(discovery_reads_may_be_stale_by_configuration),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
