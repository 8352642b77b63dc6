/* SPDX-License-Identifier: Apache-2.0 */
/* What HTTP checks of Consul 1.8.6 were seen to send, and its watches. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "http_request.h"
#include "consuld/wire/json.h"

#define AGENT "User-Agent: Consul Health Check\r\n"
#define ACCEPT "Accept: text/plain, text/*, */*\r\n"
#define END "Accept-Encoding: gzip\r\nConnection: close\r\n\r\n"
#define SECRET \
    "{\"Method\":\"POST\",\"Body\":\"B\",\"Header\":{\"X-k\":[\"v\"],\"Authorization\":[\"Z\"]," \
    "\"Cookie\":[\"c=1\"],\"Host\":[\"h.x\"]}}"

static struct arena arena;

static int setup(void **state)
{
    (void)state;
    model_init();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_free(&arena);
    return 0;
}

/* The request of a check, given as JSON. */
static struct http_request request(const char *json, const char *url)
{
    struct check_type *t = arena_new(&arena, struct check_type);
    struct error err;
    if (json_decode(str_of(json), &arena, &type_check_type, t, 0, &err)) fail_msg("%s", err.text);
    return http_check_request(t, str_of(url));
}

static void sends(const struct http_hop *h, const struct http_request *q, const char *expected)
{
    struct buf out = BUF_INIT(1 << 20);
    http_hop_write(h, q, &arena, &out);
    buf_put_char(&out, '\0');
    assert_string_equal((const char *)out.p, expected);
    buf_deinit(&out);
}

static void first_request_has_its_headers_in_order(void **state)
{
    (void)state;
    static const struct {
        const char *type, *url, *expected;
    } rows[] = {
        { "{}", "http://a/p?y=1&z#f", "GET /p?y=1&z HTTP/1.1\r\nHost: a\r\n" AGENT ACCEPT END },
        { "{\"Method\":\"GET\",\"Body\":\"hello\"}", "http://a",
            "GET / HTTP/1.1\r\nHost: a\r\n" AGENT "Content-Length: 5\r\n" ACCEPT END "hello" },
        { "{\"Header\":{\"X-b\":[\"1\",\"2\"],\"a-lower\":[\"q\"],\"User-Agent\":[\"me\"],"
          "\"Accept\":[\"x/y\"]}}",
            "http://a:1/",
            "GET / HTTP/1.1\r\nHost: a:1\r\nUser-Agent: me\r\nAccept: x/y\r\nX-b: 1\r\nX-b: 2\r\n"
            "a-lower: q\r\n" END },
        { "{\"Method\":\"POST\",\"Body\":\"abc\",\"Header\":{\"Content-Length\":[\"7\"],"
          "\"Transfer-Encoding\":[\"chunked\"],\"Content-Type\":[\"t\"]}}",
            "http://a/",
            "POST / HTTP/1.1\r\nHost: a\r\n" AGENT "Content-Length: 3\r\n" ACCEPT
            "Content-Type: t\r\n" END "abc" },
        { "{\"Method\":\"HEAD\"}", "http://a/",
            "HEAD / HTTP/1.1\r\nHost: a\r\n" AGENT ACCEPT "Connection: close\r\n\r\n" },
        { "{}", "http://user:pa%40ss@a/",
            "GET / HTTP/1.1\r\nHost: a\r\n" AGENT ACCEPT
            "Authorization: Basic dXNlcjpwYUBzcw==\r\n" END },
        { "{}", "http://user@a/",
            "GET / HTTP/1.1\r\nHost: a\r\n" AGENT ACCEPT "Authorization: Basic dXNlcjo=\r\n" END },
        { "{\"Header\":{\"Authorization\":[\"T k\"]}}", "http://user:pw@a/",
            "GET / HTTP/1.1\r\nHost: a\r\n" AGENT ACCEPT "Authorization: T k\r\n" END },
        { "{}", "http://a/a b/%C3%A9/\xc3\xbc",
            "GET /a%20b/%C3%A9/%C3%BC HTTP/1.1\r\nHost: a\r\n" AGENT ACCEPT END },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct http_request q = request(rows[i].type, rows[i].url);
        struct http_hop h = http_hop_first(&q);
        sends(&h, &q, rows[i].expected);
    }
}

static void redirection_keeps_what_the_new_place_may_know(void **state)
{
    (void)state;
    static const struct {
        const char *type, *url;
        int status;
        const char *location, *expected;
    } rows[] = {
        { SECRET, "http://a/x/y", 301, "/end?x=1",
            "GET /end?x=1 HTTP/1.1\r\nHost: h.x\r\n" AGENT ACCEPT "Authorization: Z\r\n"
            "Cookie: c=1\r\nReferer: http://a/x/y\r\nX-k: v\r\n" END },
        { SECRET, "http://a/x/y", 302, "http://other/end",
            "GET /end HTTP/1.1\r\nHost: other\r\n" AGENT ACCEPT
            "Referer: http://a/x/y\r\nX-k: v\r\n" END },
        { SECRET, "http://a/x/y", 303, "http://u2:p2@other/end",
            "GET /end HTTP/1.1\r\nHost: other\r\n" AGENT ACCEPT "Authorization: Basic dTI6cDI=\r\n"
            "Referer: http://a/x/y\r\nX-k: v\r\n" END },
        { SECRET, "http://a/x/y", 308, "end",
            "POST /x/end HTTP/1.1\r\nHost: h.x\r\n" AGENT "Content-Length: 1\r\n" ACCEPT
            "Authorization: Z\r\nCookie: c=1\r\nReferer: http://a/x/y\r\nX-k: v\r\n" END "B" },
        { "{\"Method\":\"HEAD\",\"Body\":\"x\"}", "http://a/x", 301, "http://b/end",
            "HEAD /end HTTP/1.1\r\nHost: b\r\n" AGENT ACCEPT
            "Referer: http://a/x\r\nConnection: close\r\n\r\n" },
        { "{}", "http://u:p@a/x", 302, "/end",
            "GET /end HTTP/1.1\r\nHost: a\r\n" AGENT ACCEPT
            "Authorization: Basic dTpw\r\nReferer: http://a/x\r\n" END },
        { "{}", "http://a/s/d/x", 302, "../s/x/../end#frag",
            "GET /s/s/end HTTP/1.1\r\nHost: a\r\n" AGENT ACCEPT "Referer: http://a/s/d/x\r\n" END },
        { "{}", "http://a/s/d", 302, "?q=2",
            "GET /s/d?q=2 HTTP/1.1\r\nHost: a\r\n" AGENT ACCEPT "Referer: http://a/s/d\r\n" END },
        { "{}", "http://a/s/d", 302, "//b/end",
            "GET /end HTTP/1.1\r\nHost: b\r\n" AGENT ACCEPT "Referer: http://a/s/d\r\n" END },
        { "{}", "https://a/s", 302, "http://a/end",
            "GET /end HTTP/1.1\r\nHost: a\r\n" AGENT ACCEPT END },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct http_request q = request(rows[i].type, rows[i].url);
        struct http_hop h = http_hop_first(&q);
        assert_true(http_hop_next(&h, &q, rows[i].status, str_of(rows[i].location), &arena));
        sends(&h, &q, rows[i].expected);
    }
}

static void proxy_is_told_the_whole_url(void **state)
{
    (void)state;
    struct http_request q =
        request("{\"Header\":{\"Host\":[\"other.test\"],\"Proxy-Authorization\":[\"zz\"]}}",
            "http://a:1/h");
    struct http_hop h = http_hop_first(&q);
    h.proxied = true;
    h.proxy_authorization = STR("Basic YTpi");
    sends(&h, &q,
        "GET http://other.test/h HTTP/1.1\r\nHost: other.test\r\n" AGENT ACCEPT
        "Proxy-Authorization: zz\r\nAccept-Encoding: gzip\r\nConnection: close\r\n"
        "Proxy-Authorization: Basic YTpi\r\n\r\n");
}

static void credentials_do_not_come_back_on_the_next_hop(void **state)
{
    (void)state;
    struct http_request q = request(SECRET, "http://a/");
    struct http_hop h = http_hop_first(&q);
    assert_true(http_hop_next(&h, &q, 302, STR("http://other/1"), &arena));
    assert_true(http_hop_next(&h, &q, 302, STR("/2"), &arena));
    sends(&h, &q,
        "GET /2 HTTP/1.1\r\nHost: other\r\n" AGENT ACCEPT
        "Referer: http://other/1\r\nX-k: v\r\n" END);
    assert_false(http_hop_next(&h, &q, 300, STR("/3"), &arena));
    assert_false(http_hop_next(&h, &q, 302, STR(""), &arena));
}

static void faults_have_their_words_and_no_password(void **state)
{
    (void)state;
    assert_true(
        str_is(http_url_fault(STR("ftp://x/"), &arena), "unsupported protocol scheme \"ftp\""));
    assert_true(str_is(http_url_fault(STR("http:///x"), &arena), "http: no Host in request URL"));
    assert_true(str_is(
        http_url_fault(STR("http://a:99999/"), &arena), "dial tcp: address 99999: invalid port"));
    assert_true(str_is(http_url_shown(STR("http://u:p@a/x"), &arena), "http://u:***@a/x"));
    assert_true(str_is(http_url_shown(STR("http://u@a/x"), &arena), "http://u@a/x"));
    struct http_client c;
    http_client_init(&c, 100);
    assert_string_equal(http_client_fault(&c, STR("SSH-2.0-x\r\n"), &arena),
        "net/http: HTTP/1.x transport connection broken: malformed HTTP response \"SSH-2.0-x\"");
    assert_string_equal(http_client_fault(&c, STR("HTTP/1.1 abc OK\r\n"), &arena),
        "net/http: HTTP/1.x transport connection broken: malformed HTTP status code \"abc\"");
    http_client_deinit(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_request_has_its_headers_in_order),
        cmocka_unit_test(redirection_keeps_what_the_new_place_may_know),
        cmocka_unit_test(proxy_is_told_the_whole_url),
        cmocka_unit_test(credentials_do_not_come_back_on_the_next_hop),
        cmocka_unit_test(faults_have_their_words_and_no_password),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
