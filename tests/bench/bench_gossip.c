/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that a pool of serf cores takes per known member, with the tags of a client and of a
 * server, and the time to take in a member. Usage: bench_gossip [MEMBERS] */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "consuld/gossip/packet.h"
#include "consuld/gossip/serf.h"

#define NOW 1000000

static void hear_of(struct serf *s, size_t i, struct str meta)
{
    struct serf_event ev = { .type = SERF_SWIM, .swim = { .type = SWIM_PACKET } };
    struct gossip_address at = {
        .ip = { 10, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i }, .ip_n = 4, .port = 8301
    };
    char name[32];
    struct buf m = BUF_INIT(2000);
    snprintf(name, sizeof name, "ip-10-1-%zu-%zu", i / 256, i % 256);
    struct swim_alive alive = { .incarnation = 1,
        .node = str_of(name),
        .addr = gossip_address_ip(&at),
        .port = at.port,
        .meta = meta,
        .vsn = STR("\1\5\2\2\5\4") };
    swim_message_encode(SWIM_MSG_ALIVE, &type_swim_alive, &alive, &m);
    ev.swim.packet.from = at;
    ev.swim.packet.bytes = buf_str(&m);
    struct serf_output out;
    (void)serf_step(s, NOW, &ev, &out);
    buf_deinit(&m);
}

static struct serf *make(void)
{
    struct error err;
    struct serf_options o = serf_options_lan();
    o.swim.name = STR("self");
    o.swim.seed = 1;
    o.swim.bind_port = 8301;
    o.swim.queue_max = 1; /* news that waits to be told is not what is measured */
    ensure(gossip_address_parse(&o.swim.advertise, "127.0.0.1", 8301));
    struct serf *s = serf_create(&o, &err);
    ensure(s && serf_start(s, NOW, &err) == 0);
    return s;
}

static void measure(const char *what, const char *const *tags, size_t members)
{
    struct arena a = ARENA_INIT;
    struct dict all = { 0 };
    struct buf meta = BUF_INIT(1000);
    struct error err;
    for (; tags[0]; tags += 2)
        dict_set_str(&a, &all, str_of(tags[0]), str_of(tags[1]));
    ensure(serf_tags_encode(&all, &meta, &err) == 0);
    struct serf *s = make();
    size_t before = mallinfo2().uordblks;
    clock_t began = clock();
    for (size_t i = 1; i <= members; i++)
        hear_of(s, i, buf_str(&meta));
    double us = (double)(clock() - began) * 1e6 / CLOCKS_PER_SEC;
    ensure(serf_count(s) == members + 1);
    printf(
        "%s, %zu bytes of tags: %zu bytes of heap per member, %zu more once it was pinged, %.1f us "
        "to take it in\n",
        what, meta.n, (mallinfo2().uordblks - before) / members, sizeof(struct position),
        us / (double)members);
    serf_destroy(s);
    buf_deinit(&meta);
    arena_free(&a);
}

#define ID "5649a268-a6a5-c7cd-ce2d-5e52dc70c138"
#define COMMON \
    "acls", "0", "build", "1.8.6:8f7d3a21", "dc", "dc1", "id", ID, "segment", "", "vsn", "2", \
        "vsn_max", "3", "vsn_min", "2"

int main(int argc, char **argv)
{
    static const char *const client[] = { COMMON, "role", "node", NULL };
    static const char *const server[] = { COMMON, "role", "consul", "ft_fs", "1", "port", "8300",
        "raft_vsn", "3", "wan_join_port", "8302", NULL };
    size_t members = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000;
    measure("clients", client, members);
    measure("servers", server, members);
    return 0;
}
