/* SPDX-License-Identifier: Apache-2.0 */
/* A connection of the servers' port that is told anything, in pieces of a size the first byte
 * names: calls are answered, refused or left waiting, and in the end nothing of it is left. */
#include "consuld/base/log.h"
#include "consuld/cluster/rpc_port.h"
#include "consuld/model.h"
#include "world/fake_stream.h"
#include "world/fake_world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int listener_open(
    struct world *w, const struct listener_options *o, struct listener **out, struct error *err)
{
    return w && o && out ? error_set(err, ERR_IO, "none") : ERR_IO;
}
uint16_t listener_port(const struct listener *l)
{
    return l ? 1 : 0;
}
void listener_close(struct listener *l)
{
    ensure(!l);
}

static size_t waiting, submitted;

static void submit(struct rpc_client *client, struct rpc_call *call)
{
    ensure(client && call->args);
    if (submitted++ % 4 == 3) { /* blocks for ever */
        waiting++;
        return;
    }
    const struct method_types *m = method_find(str_of(call->method));
    if (submitted % 4 == 1) {
        call->code = error_set(call->err, ERR_INTERNAL, "refused");
    } else {
        call->reply = rpc_reply_create(m->reply);
        call->reply->record = arena_alloc(&call->reply->arena, m->reply->size);
    }
    call->done(call);
}
static void cancel(struct rpc_client *client, struct rpc_call *call)
{
    ensure(client && call && waiting-- > 0);
}

static void gone(void *ctx)
{
    *(bool *)ctx = true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static bool ready;
    struct world world;
    struct fake_stream conn;
    struct rpc_client client = { .submit = submit, .cancel = cancel };
    struct rpc_port_options o = { .world = &world, .rpc = &client, .handshake_timeout_ms = 5000 };
    struct rpc_port *port;
    struct error err;
    bool closed = false;
    if (!ready) {
        model_init();
        log_set_level((enum log_level)(LOG_ERROR + 1)); /* nothing */
    }
    ready = true;
    if (n < 2) return 0;
    fake_world_init(&world);
    ensure(rpc_port_open(&o, &port, &err) == 0);
    fake_stream_init(&conn, "10.0.0.1");
    rpc_port_accept(port, &conn.base);
    for (size_t at = 1, len; at < n; at += len) {
        len = 1 + data[0] * 4u < n - at ? 1 + data[0] * 4u : n - at;
        fake_stream_give(&conn, (struct str){ (const char *)data + at, len });
        fake_world_turn(&world);
        fake_stream_settle(&conn);
    }
    for (int step = 0; step < 8; step++) { /* past handshake, lingering, keepalive and its end */
        world.now_ms += 10000;
        fake_world_turn(&world);
        fake_stream_settle(&conn);
    }
    rpc_port_close(port, gone, &closed);
    fake_stream_settle(&conn);
    fake_world_turn(&world);
    ensure(closed && waiting == 0);
    fake_stream_deinit(&conn);
    return 0;
}
