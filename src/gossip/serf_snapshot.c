/* SPDX-License-Identifier: Apache-2.0 */
#include "serf_snapshot.h"

#include <stdlib.h>
#include <string.h>

static void forget_alive(struct serf_snapshot *f)
{
    struct str name;
    void *address;
    for (size_t it = 0; map_next(&f->alive, &it, &name, &address);)
        free(address);
    map_deinit(&f->alive);
    f->alive = (struct map)MAP_INIT;
}

void serf_snapshot_init(struct serf_snapshot *f, bool on, bool rejoin_after_leave)
{
    *f = (struct serf_snapshot){
        .on = on,
        .rejoin_after_leave = rejoin_after_leave,
        .alive = MAP_INIT,
        .rewrite = BUF_INIT(SNAPSHOT_APPEND_MAX),
        .append = BUF_INIT(SNAPSHOT_APPEND_MAX),
    };
}

void serf_snapshot_deinit(struct serf_snapshot *f)
{
    forget_alive(f);
    buf_deinit(&f->rewrite);
    buf_deinit(&f->append);
}

static void set_alive(
    struct serf_snapshot *f, struct str name, const struct gossip_address *address)
{
    struct gossip_address *known = map_get(&f->alive, name);
    if (!known) {
        if (f->alive.n >= SNAPSHOT_ALIVE_MAX) return;
        known = xmalloc(sizeof *known);
        map_put(&f->alive, name, known);
    }
    *known = *address;
}

static void set_gone(struct serf_snapshot *f, struct str name)
{
    free(map_remove(&f->alive, name));
}

/* --- reading ------------------------------------------------------------------------------- */

/* "10.0.0.1:8301" or "[fe80::1]:8301" */
static bool parse_address(struct str text, struct gossip_address *out)
{
    ptrdiff_t colon = -1;
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] == ':') colon = (ptrdiff_t)i;
    if (colon < 0) return false;
    struct str host = str_slice(text, 0, (size_t)colon);
    uint64_t port;
    if (!str_to_u64(str_slice(text, (size_t)colon + 1, text.n), &port) || port > UINT16_MAX)
        return false;
    if (host.n >= 2 && host.p[0] == '[' && host.p[host.n - 1] == ']')
        host = str_slice(host, 1, host.n - 1);
    char ip[GOSSIP_ADDRESS_TEXT_MAX];
    if (host.n >= sizeof ip) return false;
    memcpy(ip, host.p, host.n);
    ip[host.n] = 0;
    return gossip_address_parse(out, ip, (uint16_t)port);
}

static bool replay_alive(struct serf_snapshot *f, struct str line)
{
    ptrdiff_t space = -1;
    for (size_t i = 0; i < line.n; i++)
        if (line.p[i] == ' ') space = (ptrdiff_t)i;
    struct gossip_address address;
    if (space <= 0 || !parse_address(str_slice(line, (size_t)space + 1, line.n), &address))
        return false;
    set_alive(f, str_slice(line, 0, (size_t)space), &address);
    return true;
}

static bool replay_gone(struct serf_snapshot *f, struct str line)
{
    set_gone(f, line);
    return true;
}

/* Clocks above this are not ours: they would wrap. */
static bool read_clock(struct str text, uint64_t *clock)
{
    uint64_t v;
    if (!str_to_u64(text, &v) || v > UINT64_MAX / 4) return false;
    *clock = v;
    return true;
}

static bool replay_clock(struct serf_snapshot *f, struct str line)
{
    return read_clock(line, &f->clock);
}

static bool replay_event_clock(struct serf_snapshot *f, struct str line)
{
    return read_clock(line, &f->event_clock);
}

static bool replay_query_clock(struct serf_snapshot *f, struct str line)
{
    return read_clock(line, &f->query_clock);
}

static bool skip(struct serf_snapshot *f, struct str line)
{
    (void)f, (void)line;
    return true;
}

static const struct {
    const char *prefix;
    bool (*replay)(struct serf_snapshot *f, struct str rest);
} lines[] = {
    { "#", skip },
    { "alive: ", replay_alive },
    { "clock: ", replay_clock },
    { "coordinate: ", skip },
    { "event-clock: ", replay_event_clock },
    { "not-alive: ", replay_gone },
    { "query-clock: ", replay_query_clock },
};

static bool replay_line(struct serf_snapshot *f, struct str line)
{
    if (str_is(line, "leave")) {
        if (f->rejoin_after_leave) return true;
        forget_alive(f);
        f->clock = f->event_clock = f->query_clock = 0;
        return true;
    }
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        struct str prefix = str_of(lines[i].prefix);
        if (str_has_prefix(line, prefix))
            return lines[i].replay(f, str_slice(line, prefix.n, line.n));
    }
    return false;
}

size_t serf_snapshot_replay(struct serf_snapshot *f, struct str text)
{
    size_t strange = 0;
    struct str line, rest = text;
    while (str_cut(rest, '\n', &line, &rest))
        if (!replay_line(f, line)) strange++;
    f->size = text.n;
    /* An append would lengthen an unfinished line. */
    if (text.n > 0 && text.p[text.n - 1] != '\n') f->broken = true;
    return strange;
}

/* --- writing ------------------------------------------------------------------------------- */

static void put_alive(struct buf *out, struct str name, const struct gossip_address *address)
{
    char text[GOSSIP_ADDRESS_TEXT_MAX];
    buf_put_c(out, "alive: ");
    buf_put_str(out, name);
    buf_printf(out, " %s\n", gossip_address_text(address, text));
}

static int compare_names(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

static void put_all_alive(struct serf_snapshot *f, struct buf *out)
{
    struct str *names = xcalloc(f->alive.n + 1, sizeof *names);
    size_t n = 0;
    void *address;
    for (size_t it = 0; map_next(&f->alive, &it, &names[n], &address);)
        n++;
    qsort(names, n, sizeof *names, compare_names);
    for (size_t i = 0; i < n; i++)
        put_alive(out, names[i], map_get(&f->alive, names[i]));
    free(names);
}

static void rewrite(struct serf_snapshot *f)
{
    buf_clear(&f->rewrite);
    buf_clear(&f->append);
    put_all_alive(f, &f->rewrite);
    buf_printf(&f->rewrite, "clock: %llu\nevent-clock: %llu\nquery-clock: %llu\n",
        (unsigned long long)f->clock, (unsigned long long)f->event_clock,
        (unsigned long long)f->query_clock);
    f->rewriting = true;
    f->broken = false;
    f->size = f->rewrite.n;
    f->rewrites++;
}

static size_t size_max(const struct serf_snapshot *f)
{
    size_t by_members = 2 * SNAPSHOT_LINE_ESTIMATE * f->alive.n;
    return by_members > SNAPSHOT_SIZE_MIN ? by_members : SNAPSHOT_SIZE_MIN;
}

/* The line stands in f->append from `before` on. */
static void wrote(struct serf_snapshot *f, uint64_t now_ms, size_t before)
{
    if (f->append.overflow) {
        serf_snapshot_failed(f, now_ms);
        return;
    }
    f->size += f->append.n - before;
    if (f->size > size_max(f)) rewrite(f);
}

/* False if lines do not matter now: a rewrite will tell it all. */
static bool writable(struct serf_snapshot *f, uint64_t now_ms)
{
    serf_snapshot_tick(f, now_ms);
    return f->on && !f->broken;
}

void serf_snapshot_tick(struct serf_snapshot *f, uint64_t now_ms)
{
    if (f->on && f->broken && now_ms >= f->retry_ms) rewrite(f);
}

void serf_snapshot_member_alive(
    struct serf_snapshot *f, uint64_t now_ms, struct str name, const struct gossip_address *address)
{
    if (!f->on || f->leaving || str_find_char(name, '\n') >= 0) return;
    set_alive(f, name, address);
    if (!writable(f, now_ms)) return;
    size_t before = f->append.n;
    put_alive(&f->append, name, address);
    wrote(f, now_ms, before);
}

void serf_snapshot_member_gone(struct serf_snapshot *f, uint64_t now_ms, struct str name)
{
    if (!f->on || f->leaving || str_find_char(name, '\n') >= 0) return;
    set_gone(f, name);
    if (!writable(f, now_ms)) return;
    size_t before = f->append.n;
    buf_put_c(&f->append, "not-alive: ");
    buf_put_str(&f->append, name);
    buf_put_char(&f->append, '\n');
    wrote(f, now_ms, before);
}

static void put_clock(
    struct serf_snapshot *f, uint64_t now_ms, const char *name, uint64_t *last, uint64_t v)
{
    if (!f->on || v <= *last) return;
    *last = v;
    if (!writable(f, now_ms)) return;
    size_t before = f->append.n;
    buf_printf(&f->append, "%s: %llu\n", name, (unsigned long long)v);
    wrote(f, now_ms, before);
}

void serf_snapshot_clock(struct serf_snapshot *f, uint64_t now_ms, uint64_t member_clock)
{
    put_clock(f, now_ms, "clock", &f->clock, member_clock - 1);
}

void serf_snapshot_event_clock(struct serf_snapshot *f, uint64_t now_ms, uint64_t ltime)
{
    if (!f->leaving) put_clock(f, now_ms, "event-clock", &f->event_clock, ltime);
}

void serf_snapshot_query_clock(struct serf_snapshot *f, uint64_t now_ms, uint64_t ltime)
{
    if (!f->leaving) put_clock(f, now_ms, "query-clock", &f->query_clock, ltime);
}

void serf_snapshot_leave(struct serf_snapshot *f, uint64_t now_ms)
{
    if (!f->on || f->leaving) return;
    f->leaving = true;
    if (!f->rejoin_after_leave) forget_alive(f);
    /* The last chance to have it in the file. */
    if (f->broken) f->retry_ms = now_ms;
    serf_snapshot_tick(f, now_ms);
    size_t before = f->append.n;
    buf_put_c(&f->append, "leave\n");
    f->size += f->append.n - before;
    f->sync = true;
}

void serf_snapshot_failed(struct serf_snapshot *f, uint64_t now_ms)
{
    f->failures++;
    f->broken = true;
    f->retry_ms = now_ms + SNAPSHOT_RETRY_MS;
    f->rewriting = false;
    buf_clear(&f->rewrite);
    buf_clear(&f->append);
}

void serf_snapshot_taken(struct serf_snapshot *f)
{
    buf_clear(&f->rewrite);
    buf_clear(&f->append);
    f->rewriting = f->sync = false;
}
