/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "swim_core.h"

/* Room for one more element of a growing array. */
static void *grow(void *v, size_t n, size_t *cap, size_t size)
{
    if (n < *cap) return v;
    *cap = *cap ? 2 * *cap : 8;
    return xrealloc(v, *cap * size);
}

static void begin(struct swim *s)
{
    struct outbox *o = &s->out;
    if (!o->collected) return;
    o->collected = false;
    o->packets_n = o->streams_n = o->results_n = 0;
    arena_reset(&o->arena);
}

void swim__put_packet(
    struct swim *s, const struct gossip_address *to, struct str node, struct str bytes)
{
    struct outbox *o = &s->out;
    begin(s);
    o->packets = grow(o->packets, o->packets_n, &o->packets_cap, sizeof *o->packets);
    o->packets[o->packets_n++] = (struct swim_packet){
        .to = *to, .node = str_dup(&o->arena, node), .bytes = str_dup(&o->arena, bytes)
    };
}

void swim__put_stream(struct swim *s, enum swim_stream_action action, uint64_t id,
    const struct gossip_address *to, struct str node, struct str bytes)
{
    struct outbox *o = &s->out;
    begin(s);
    o->streams = grow(o->streams, o->streams_n, &o->streams_cap, sizeof *o->streams);
    struct swim_stream *e = &o->streams[o->streams_n++];
    *e = (struct swim_stream){ .action = action,
        .id = id,
        .node = str_dup(&o->arena, node),
        .bytes = str_dup(&o->arena, bytes) };
    if (to) e->to = *to;
}

void swim__put_result(struct swim *s, uint64_t handle, int code, const char *text)
{
    struct outbox *o = &s->out;
    begin(s);
    o->results = grow(o->results, o->results_n, &o->results_cap, sizeof *o->results);
    o->results[o->results_n++] = (struct swim_result){
        .handle = handle, .code = code, .text = str_dup(&o->arena, str_of(text))
    };
}

void swim__out_free(struct swim *s)
{
    free(s->out.packets);
    free(s->out.streams);
    free(s->out.results);
    arena_free(&s->out.arena);
}
