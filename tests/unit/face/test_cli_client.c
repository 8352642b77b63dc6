/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/client.h"
#include "cli_world.h"

static void target_is(const char *path, const char *key, const char *value, const char *want)
{
    struct cli c = { 0 };
    struct client_request r = { .path = str_of(path) };
    if (key) client_query(&c, &r, key, str_of(value));
    client_query(&c, &r, "a", STR("1"));
    assert_string_equal(client_target(&c, &r).p, want);
    arena_free(&c.arena);
}

static void targets_are_escaped_as_go_s_with_sorted_queries(void **state)
{
    (void)state;
    target_is("/v1/kv/x", NULL, NULL, "/v1/kv/x?a=1");
    target_is("/v1/kv/a b/?%\xc3\xb6", NULL, NULL, "/v1/kv/a%20b/%3F%25%C3%B6?a=1");
    target_is("/k:$&+,;=@~", "z", "a b&=/", "/k:$&+,;=@~?a=1&z=a+b%26%3D%2F");
    target_is("/", "A", "", "/?A=&a=1");
}

static void agent_is_asked_with_options_and_token(void **state)
{
    (void)state;
    struct play p;
    PLAY(&p, ANSWER("200 OK", "[\"dc1\",\"dc2\"]"));
    setenv("CONSUL_HTTP_AUTH", "me:secret", 1);
    struct spoken *s =
        speak("catalog", "datacenters", "-datacenter=dc9", "-stale", "-token", "t0k");
    unsetenv("CONSUL_HTTP_AUTH");
    play_end(&p);
    assert_int_equal(s->status, 0);
    assert_string_equal(s->out, "dc1\ndc2\n");
    assert_begins(p.requests[0], "GET /v1/catalog/datacenters?dc=dc9&stale= HTTP/1.1\r\n");
    assert_non_null(strstr(p.requests[0], "\r\nX-Consul-Token: t0k\r\n"));
    assert_non_null(strstr(p.requests[0], "\r\nAuthorization: Basic bWU6c2VjcmV0\r\n"));
    assert_null(strstr(p.requests[0], "Content-Length"));
}

static void token_comes_from_a_file_before_the_flag(void **state)
{
    (void)state;
    struct play p;
    char path[] = "/tmp/consuld-cli-XXXXXX", flag[64];
    int fd = mkstemp(path);
    assert_int_equal(write(fd, " filed \n", 8), 8);
    close(fd);
    snprintf(flag, sizeof flag, "-token-file=%s", path);
    PLAY(&p, ANSWER("200 OK", "[]"));
    speak("catalog", "datacenters", flag, "-token=other");
    play_end(&p);
    assert_non_null(strstr(p.requests[0], "\r\nX-Consul-Token: filed\r\n"));
    unlink(path);
    struct spoken *s = speak("catalog", "datacenters", flag);
    assert_int_equal(s->status, 1);
    assert_begins(s->err, "Error connecting to Consul agent: Error loading token file: open /tmp/");
}

static void token_with_a_line_end_is_refused(void **state)
{
    (void)state;
    struct spoken *s = speak("catalog", "datacenters", "-token=a\r\nX: y");
    assert_string_equal(s->err, "Error listing datacenters: line end in the token or address\n");
}

static void namespace_goes_out_as_ns(void **state)
{
    (void)state;
    struct play p;
    PLAY(&p, ANSWER("200 OK", "true"));
    setenv("CONSUL_NAMESPACE", "team", 1);
    assert_int_equal(speak("kv", "put", "k", "v w")->status, 0);
    unsetenv("CONSUL_NAMESPACE");
    play_end(&p);
    assert_begins(p.requests[0], "PUT /v1/kv/k?ns=team HTTP/1.1\r\n");
    assert_non_null(strstr(p.requests[0], "\r\nContent-Length: 3\r\n\r\nv w"));
}

static void chunked_answers_are_put_together(void **state)
{
    (void)state;
    struct play p;
    PLAY(&p, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
             "3\r\n[\"d\r\n4\r\nc1\"]\r\n0\r\n\r\n");
    assert_string_equal(speak("catalog", "datacenters")->out, "dc1\n");
    play_end(&p);
}

static void other_status_is_an_error_with_the_body(void **state)
{
    (void)state;
    struct play p;
    PLAY(&p, ANSWER("500 Internal Server Error", "No path to datacenter"));
    struct spoken *s = speak("catalog", "datacenters");
    play_end(&p);
    assert_int_equal(s->status, 1);
    assert_string_equal(s->err, "Error listing datacenters: Unexpected response code: 500 (No "
                                "path to datacenter)\n");
}

static void broken_answers_are_errors(void **state)
{
    (void)state;
    static const char *const answers[] = { "", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n[\"",
        "nonsense\r\n\r\n", ANSWER("200 OK", "[\"dc1\""), ANSWER("200 OK", "") };
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        struct play p;
        PLAY(&p, answers[i]);
        struct spoken *s = speak("catalog", "datacenters");
        play_end(&p);
        assert_int_equal(s->status, 1);
        assert_begins(s->err, "Error listing datacenters: ");
        assert_string_equal(s->out, "");
    }
}

static void refused_connection_names_the_url(void **state)
{
    (void)state;
    setenv("CONSUL_HTTP_ADDR", "127.0.38.9:1", 1);
    struct spoken *s = speak("members");
    assert_int_equal(s->status, 1);
    assert_string_equal(s->err,
        "Error retrieving members: Get \"http://127.0.38.9:1/v1/agent/members?segment=_all\": "
        "dial tcp 127.0.38.9:1: connect: connection refused\n");
    s = speak("members", "-http-addr=http://127.0.38.9:2/");
    unsetenv("CONSUL_HTTP_ADDR");
    assert_non_null(strstr(s->err, "dial tcp 127.0.38.9:2: connect: connection refused"));
}

static void https_is_dialled_when_the_address_or_environment_says_so(void **state)
{
    (void)state;
    assert_non_null(strstr(speak("info", "-http-addr=https://127.0.38.9:1")->err,
        "Get \"https://127.0.38.9:1/v1/agent/self\": dial tcp 127.0.38.9:1: connect: "
        "connection refused"));
    setenv("CONSUL_HTTP_SSL", "true", 1);
    assert_non_null(strstr(speak("info", "-http-addr=127.0.38.9:1")->err, "Get \"https://"));
    unsetenv("CONSUL_HTTP_SSL");
    assert_non_null(strstr(speak("info", "-http-addr=127.0.38.9:1")->err, "Get \"http://"));
}

static void unix_sockets_work(void **state)
{
    (void)state;
    struct play p;
    char folder[] = "/tmp/consuld-cli-XXXXXX", path[64];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/s", folder);
    play_unix(&p, path, (const char *const[]){ ANSWER("200 OK", "[\"dc1\"]"), NULL });
    assert_string_equal(speak("catalog", "datacenters")->out, "dc1\n");
    play_end(&p);
    unlink(path);
    rmdir(folder);
    assert_non_null(strstr(speak("info", "-http-addr=unix:///nosuch")->err,
        "dial unix /nosuch: connect: no such file or directory"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(targets_are_escaped_as_go_s_with_sorted_queries),
        cmocka_unit_test(agent_is_asked_with_options_and_token),
        cmocka_unit_test(token_comes_from_a_file_before_the_flag),
        cmocka_unit_test(token_with_a_line_end_is_refused),
        cmocka_unit_test(namespace_goes_out_as_ns),
        cmocka_unit_test(chunked_answers_are_put_together),
        cmocka_unit_test(other_status_is_an_error_with_the_body),
        cmocka_unit_test(broken_answers_are_errors),
        cmocka_unit_test(refused_connection_names_the_url),
        cmocka_unit_test(https_is_dialled_when_the_address_or_environment_says_so),
        cmocka_unit_test(unix_sockets_work),
    };
    model_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
