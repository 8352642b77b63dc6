/* SPDX-License-Identifier: Apache-2.0 */
/* The recorded sessions, replayed in both roles: the recorded peer's bytes go in, the application
 * acts as the recorded one did; what the machine sends must be the recorded bytes, stream by
 * stream (streams crossed each other on the wire as they liked). */
#include "../model/vectors.h"

#include "consuld/mux/yamux.h"

struct replay {
    struct yamux y;
    enum yamux_role role;
    const char *own;      /* direction of our frames in the recording */
    struct buf want, got; /* our frames without the marker, sorted by stream when compared */
    struct arena arena;
    const struct value *frames;
};

struct sent_frame {
    uint32_t stream;
    size_t order;
    struct str bytes;
};

static uint32_t stream_of(struct str head)
{
    const uint8_t *p = (const uint8_t *)head.p + 4;
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* The payload; cut ones are filled up. */
static struct str payload_of(struct replay *r, const struct value *f)
{
    int64_t n = get_number(f, "length");
    if (strcmp(get_text(&r->arena, f, "type"), "Data") != 0 || n == 0) return STR("");
    struct str head = hex_bytes(&r->arena, get(f, "payload_hex")->s);
    char *p = arena_alloc(&r->arena, (size_t)n);
    memcpy(p, head.p, head.n);
    return (struct str){ p, (size_t)n };
}

static struct yamux_stream *find(struct replay *r, uint32_t id)
{
    for (size_t i = 0; i < r->y.n_buckets; i++) {
        for (struct yamux_stream *st = r->y.buckets[i]; st; st = st->next) {
            if (st->id == id) return st;
        }
    }
    fail_msg("no stream %u", id);
    return NULL;
}

static void receive(struct replay *r, struct str in)
{
    struct yamux_event ev;
    do {
        yamux_recv(&r->y, &in, &ev);
        if (ev.kind == YAMUX_OPENED) yamux_accept(&r->y, ev.stream);
        if (ev.kind == YAMUX_DATA) yamux_consumed(&r->y, ev.stream, ev.bytes.n);
        if (ev.kind == YAMUX_FAILED) fail_msg("%s", yamux_why(&r->y));
    } while (ev.kind != YAMUX_MORE);
}

static bool has_flag(const struct value *f, const char *flag)
{
    const struct value *flags = get(f, "flags");
    for (size_t i = 0; i < flags->list.n; i++) {
        if (str_is(flags->list.v[i].s, flag)) return true;
    }
    return false;
}

/* What the recorded application did to make its end send this frame. */
static void act(struct replay *r, const struct value *f, struct str payload)
{
    const char *type = get_text(&r->arena, f, "type");
    uint32_t id = (uint32_t)get_number(f, "stream");
    if (has_flag(f, "SYN") && strcmp(type, "Ping") == 0) {
        yamux_ping(&r->y);
    } else if (has_flag(f, "SYN")) {
        assert_int_equal(yamux_open(&r->y)->id, id);
    } else if (has_flag(f, "FIN")) {
        yamux_close(&r->y, find(r, id));
    } else if (strcmp(type, "GoAway") == 0) {
        yamux_go_away(&r->y);
    } else if (payload.n) {
        struct stream_part part = { payload.p, payload.n, NULL };
        assert_int_equal(yamux_write(&r->y, find(r, id), &part, 1), 0);
    }
}

static void pull(struct replay *r)
{
    struct yamux_chunk c;
    while (yamux_next(&r->y, &c)) {
        for (size_t i = 0; i < c.n; i++)
            buf_put(&r->got, c.parts[i].p, c.parts[i].n);
    }
}

static int by_stream(const void *a, const void *b)
{
    const struct sent_frame *x = a, *y = b;
    if (x->stream != y->stream) return x->stream < y->stream ? -1 : 1;
    if (x->stream == 0 && x->bytes.p[3] != y->bytes.p[3])
        return x->bytes.p[3] - y->bytes.p[3]; /* pings and answers to the other's */
    return x->order < y->order ? -1 : 1;
}

/* Cuts bytes into frames and joins them by stream. */
static struct str sorted(struct replay *r, struct str bytes)
{
    struct list frames = { 0 };
    struct buf out = BUF_INIT(16u << 20);
    while (bytes.n) {
        assert_true(bytes.n >= YAMUX_HEADER);
        const uint8_t *p = (const uint8_t *)bytes.p;
        size_t n = YAMUX_HEADER;
        if (p[1] == 0) n += (size_t)p[8] << 24 | (size_t)p[9] << 16 | (size_t)p[10] << 8 | p[11];
        assert_true(bytes.n >= n);
        struct sent_frame *f = LIST_PUSH(&r->arena, &frames, struct sent_frame);
        *f = (struct sent_frame){ stream_of(bytes), frames.n, str_slice(bytes, 0, n) };
        bytes = str_slice(bytes, n, bytes.n);
    }
    if (frames.n) qsort(frames.v, frames.n, sizeof(struct sent_frame), by_stream);
    for (size_t i = 0; i < frames.n; i++)
        buf_put_str(&out, LIST_AT(&frames, struct sent_frame, i).bytes);
    struct str copy = str_dup(&r->arena, buf_str(&out));
    buf_deinit(&out);
    return copy;
}

static void compare(struct replay *r)
{
    struct str want = sorted(r, buf_str(&r->want)), got = sorted(r, buf_str(&r->got));
    for (size_t i = 0; i < want.n && i < got.n; i++) {
        if (want.p[i] != got.p[i]) fail_msg("byte %zu of %zu differs", i, want.n);
    }
    assert_int_equal(want.n, got.n);
    assert_true(want.n > 0);
}

static void replay(const char *file, enum yamux_role role)
{
    struct replay r = { .role = role,
        .own = role == YAMUX_CLIENT ? "c2s" : "s2c",
        .want = BUF_INIT(16u << 20),
        .got = BUF_INIT(16u << 20) };
    struct str path = str_printf(&r.arena, VECTORS "rpc/%s.json", file);
    struct value v = parse(&r.arena, file, read_file(&r.arena, path.p));
    struct yamux_options o = { .role = role, .now_ms = 0 };
    yamux_init(&r.y, &o);
    r.frames = get(&v, "frames");
    for (size_t i = 0; i < r.frames->list.n; i++) {
        const struct value *f = &r.frames->list.v[i];
        struct str head = hex_bytes(&r.arena, get(f, "header_hex")->s);
        struct str payload = payload_of(&r, f);
        if (strcmp(get_text(&r.arena, f, "dir"), r.own) == 0) {
            buf_put_str(&r.want, head);
            buf_put_str(&r.want, payload);
            act(&r, f, payload);
        } else {
            receive(&r, head);
            receive(&r, payload);
        }
        pull(&r);
    }
    compare(&r);
    yamux_deinit(&r.y);
    buf_deinit(&r.want);
    buf_deinit(&r.got);
    arena_free(&r.arena);
}

static void synthetic_session_replays_as_server(void **state)
{
    (void)state;
    replay("yamux-session", YAMUX_SERVER);
}
static void synthetic_session_replays_as_client(void **state)
{
    (void)state;
    replay("yamux-session", YAMUX_CLIENT);
}
static void agent_session_replays_as_server(void **state)
{
    (void)state;
    replay("agent-session", YAMUX_SERVER);
}
static void agent_session_replays_as_client(void **state)
{
    (void)state;
    replay("agent-session", YAMUX_CLIENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(synthetic_session_replays_as_server),
        cmocka_unit_test(synthetic_session_replays_as_client),
        cmocka_unit_test(agent_session_replays_as_server),
        cmocka_unit_test(agent_session_replays_as_client),
    };
    return cmocka_run_group_tests(tests, prepare_model, NULL);
}
