/* SPDX-License-Identifier: Apache-2.0 */
#include "recorded.h"

static enum raft_message_type type_of(struct str rpc)
{
    if (str_is(rpc, "AppendEntries")) return RAFT_APPEND_ENTRIES;
    if (str_is(rpc, "RequestVote")) return RAFT_REQUEST_VOTE;
    if (str_is(rpc, "InstallSnapshot")) return RAFT_INSTALL_SNAPSHOT;
    assert_true(str_is(rpc, "TimeoutNow"));
    return RAFT_TIMEOUT_NOW;
}

static void check_request(struct arena *a, struct str bytes)
{
    struct cursor c;
    struct error err = { 0 };
    struct raft_message m;
    cursor_init(&c, bytes.p, bytes.n, &err);
    int code = raft_request_decode(&c, a, &m, &err);
    if (code) fail_msg("request: %s", err.text);
    assert_int_equal(cursor_left(&c), 0);
    struct buf out = BUF_INIT(1 << 22);
    raft_request_encode(&m, &out);
    assert_same_bytes(&out, bytes, "request");
    /* Every shorter prefix asks for more and never yields a message. */
    for (size_t n = 0; n < bytes.n; n += 1 + bytes.n / 64) {
        cursor_init(&c, bytes.p, n, &err);
        assert_int_equal(raft_request_decode(&c, a, &m, &err), ERR_EOF);
    }
    buf_deinit(&out);
}

static void check_response(struct arena *a, struct str bytes, enum raft_message_type request)
{
    struct cursor c;
    struct error err = { 0 };
    struct raft_message m;
    cursor_init(&c, bytes.p, bytes.n, &err);
    int code = raft_response_decode(&c, a, request, &m, &err);
    if (code) fail_msg("response: %s", err.text);
    assert_int_equal(cursor_left(&c), 0);
    struct buf out = BUF_INIT(1 << 16);
    raft_response_encode(&m, &out);
    assert_same_bytes(&out, bytes, "response");
    buf_deinit(&out);
}

/* Files of request and response pairs. */
static void check_pair(struct arena *a, const struct value *line, void *arg)
{
    int *seen = arg;
    struct str request = recorded_hex(a, line, "request_hex");
    struct str response = recorded_hex(a, line, "response_hex");
    if (!request.p) {
        request = recorded_hex(a, line, "hex");
        if (!request.p) return;
    }
    check_request(a, request);
    if (response.n) check_response(a, response, type_of(recorded_text(line, "rpc")));
    (*seen)++;
}

/* Files of one connection: responses follow their requests. */
struct connection {
    enum raft_message_type asked[4096];
    int seen;
};

static void check_connection(struct arena *a, const struct value *line, void *arg)
{
    struct connection *c = arg;
    struct str hex = recorded_hex(a, line, "hex");
    if (!hex.p) return;
    uint64_t n = recorded_number(line, "n") % 4096;
    if (str_is(recorded_text(line, "dir"), "request")) {
        c->asked[n] = type_of(recorded_text(line, "rpc"));
        check_request(a, hex);
    } else {
        check_response(a, hex, c->asked[n]);
    }
    c->seen++;
}

static void recorded_messages_encode_to_the_same_bytes(void **state)
{
    (void)state;
    int pairs = 0;
    recorded_each("rpc-samples", check_pair, &pairs);
    recorded_each("leadership-transfer", check_pair, &pairs);
    recorded_each("votes-after-leader-loss", check_pair, &pairs);
    assert_true(pairs > 50);
}

static void recorded_connections_encode_to_the_same_bytes(void **state)
{
    (void)state;
    static const char *const names[] = { "conn-heartbeat", "conn-install-snapshot-2",
        "conn-timeout-now" };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        static struct connection c;
        memset(&c, 0, sizeof c);
        recorded_each(names[i], check_connection, &c);
        assert_true(c.seen >= 4);
    }
}

static void check_configuration(struct arena *a, const struct value *line, void *arg)
{
    int *seen = arg;
    struct str data = recorded_hex(a, line, "data_hex");
    struct raft_configuration c;
    struct error err;
    assert_int_equal(raft_configuration_decode(RAFT_CONFIGURATION, data, &c, &err), 0);
    struct buf out = BUF_INIT(1 << 16);
    raft_configuration_encode(&c, &out);
    assert_same_bytes(&out, data, "configuration");
    buf_deinit(&out);
    (*seen)++;
}

static void recorded_configurations_encode_to_the_same_bytes(void **state)
{
    (void)state;
    int seen = 0;
    recorded_each("configuration-entries", check_configuration, &seen);
    assert_int_equal(seen, 5);
}

static void configurations_that_cannot_be_are_refused(void **state)
{
    (void)state;
    struct raft_configuration c;
    struct error err;
    static const char no_voter[] = "\x81\xa7Servers\x91\x83\xa7"
                                   "Address\xa1"
                                   "a\xa2ID\xa1i\xa8Suffrage\x01";
    static const char two_alike[] = "\x81\xa7Servers\x92\x83\xa7"
                                    "Address\xa1"
                                    "a\xa2ID\xa1i\xa8Suffrage\x00\x83\xa7"
                                    "Address\xa1"
                                    "a\xa2ID\xa1j\xa8Suffrage\x00";
    static const char unknown[] = "\x81\xa7Servers\x91\x83\xa7"
                                  "Address\xa1"
                                  "a\xa2ID\xa1i\xa8Suffrage\x07";
    const struct str bad[] = { STR(""), STR("\xc0"), STR("\x81\xa7Servers\x90"), STR(no_voter),
        STR(two_alike), STR(unknown), STR("\x93\x01\x02") };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(
            raft_configuration_decode(RAFT_CONFIGURATION, bad[i], &c, &err), ERR_DECODE);
}

static void old_peer_lists_are_read_as_voters(void **state)
{
    (void)state;
    struct raft_configuration c;
    struct error err;
    struct str data = STR("\x92\xa5h:801\xa5h:802");
    assert_int_equal(raft_configuration_decode(RAFT_ADD_PEER, data, &c, &err), 0);
    assert_int_equal(c.n, 2);
    assert_string_equal(c.servers[1].id, "h:802");
    assert_string_equal(c.servers[1].address, "h:802");
    assert_int_equal(c.servers[1].suffrage, RAFT_VOTER);
}

static void error_of_a_peer_is_told_apart_from_a_broken_stream(void **state)
{
    (void)state;
    struct arena a = ARENA_INIT;
    struct cursor c;
    struct error err;
    struct raft_message m;
    struct str refused = STR("\xa4oops\xc0"), cut = STR("\xa4oops"), junk = STR("\xa0\x05");
    cursor_init(&c, refused.p, refused.n, &err);
    assert_int_equal(raft_response_decode(&c, &a, RAFT_REQUEST_VOTE, &m, &err), ERR_INTERNAL);
    assert_string_equal(err.text, "oops");
    assert_int_equal(cursor_left(&c), 0);
    cursor_init(&c, cut.p, cut.n, &err);
    assert_int_equal(raft_response_decode(&c, &a, RAFT_REQUEST_VOTE, &m, &err), ERR_EOF);
    cursor_init(&c, junk.p, junk.n, &err);
    assert_int_equal(raft_response_decode(&c, &a, RAFT_REQUEST_VOTE, &m, &err), ERR_DECODE);
    arena_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recorded_messages_encode_to_the_same_bytes),
        cmocka_unit_test(recorded_connections_encode_to_the_same_bytes),
        cmocka_unit_test(recorded_configurations_encode_to_the_same_bytes),
        cmocka_unit_test(configurations_that_cannot_be_are_refused),
        cmocka_unit_test(old_peer_lists_are_read_as_voters),
        cmocka_unit_test(error_of_a_peer_is_told_apart_from_a_broken_stream),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
