/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a raft request or response: refused, or decoded to what encodes to itself, and never
 * more than an answer from a core that receives it. */
#include "consuld/raft/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void receive(const struct raft_message *m)
{
    struct raft_options o = raft_options_default(1);
    o.id = "a";
    o.address = "a:8300";
    struct raft *r = raft_create(&o);
    struct raft_configuration c = { 0 };
    ensure(raft_configuration_add(&c, STR("a"), STR("a:8300"), RAFT_VOTER));
    ensure(raft_configuration_add(&c, STR("b"), STR("b:8300"), RAFT_VOTER));
    raft_load_snapshot(r, 10, 2, &c, 1);
    struct raft_output out;
    struct raft_event ev = { .type = RAFT_RECEIVE, .message = m };
    for (int i = 0; i < 2; i++) {
        int code = raft_step(r, 1000, &ev, &out);
        ensure(code == 0 || code == ERR_BAD_REQUEST || code == ERR_DECODE);
    }
    raft_destroy(r);
}

static void same_again(const struct raft_message *m, struct arena *a)
{
    struct buf first = BUF_INIT(1 << 24), second = BUF_INIT(1 << 24);
    struct raft_message copy;
    struct cursor c;
    if (m->type == RAFT_INSTALL_SNAPSHOT && !m->install_snapshot.configuration) return;
    raft_request_encode(m, &first);
    cursor_init(&c, first.p, first.n, NULL);
    ensure(raft_request_decode(&c, a, &copy, NULL) == 0 && !cursor_left(&c));
    raft_request_encode(&copy, &second);
    ensure(str_eq(buf_str(&first), buf_str(&second)));
    buf_deinit(&first);
    buf_deinit(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n == 0) return 0;
    struct arena a = ARENA_INIT;
    struct cursor c;
    struct error err;
    struct raft_message m;
    cursor_init(&c, data + 1, n - 1, &err);
    bool request = data[0] & 1;
    enum raft_message_type asked = (enum raft_message_type)(data[0] >> 1 & 3);
    int code = request ? raft_request_decode(&c, &a, &m, &err)
                       : raft_response_decode(&c, &a, asked, &m, &err);
    if (!code) receive(&m);
    if (!code && request) same_again(&m, &a);
    arena_free(&a);
    return 0;
}
