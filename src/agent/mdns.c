/* SPDX-License-Identifier: Apache-2.0 */
#include "consuld/agent/mdns.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <string.h>

#define HEAD 12
#define NAME_MAX_BYTES 256
#define JUMPS_MAX 16
#define CLASS_IN 1

enum { TYPE_A = 1, TYPE_PTR = 12, TYPE_AAAA = 28, TYPE_SRV = 33 };

/* --- messages -------------------------------------------------------------------------------- */

bool mdns_question(struct str name, struct buf *out)
{
    static const char head[HEAD] = { 0, 0, 0, 0, 0, 1 };
    static const char tail[] = { 0, 0, TYPE_PTR, 0, CLASS_IN };
    struct str rest = name, label;
    if (name.n == 0 || name.n >= NAME_MAX_BYTES) return false;
    buf_put(out, head, sizeof head);
    while (rest.n) {
        (void)str_cut(rest, '.', &label, &rest);
        if (label.n == 0 || label.n > 63) return false;
        buf_put_char(out, (char)label.n);
        buf_put_str(out, label);
    }
    buf_put(out, tail, sizeof tail);
    return !out->overflow;
}

static unsigned u16(struct str packet, size_t at)
{
    return (unsigned)((uint8_t)packet.p[at] << 8 | (uint8_t)packet.p[at + 1]);
}

/* The name at *at, in small letters and without its last dot; *at is moved behind it. */
static bool read_name(struct str packet, size_t *at, char out[NAME_MAX_BYTES])
{
    size_t n = 0, from = *at;
    for (int jumps = 0;;) {
        if (from >= packet.n) return false;
        size_t size = (uint8_t)packet.p[from];
        if (size >= 0xc0) {
            if (from + 1 >= packet.n || jumps == JUMPS_MAX) return false;
            if (jumps++ == 0) *at = from + 2;
            from = u16(packet, from) & 0x3fff;
            continue;
        }
        from++;
        if (size == 0) {
            if (jumps == 0) *at = from;
            out[n] = '\0';
            return true;
        }
        if (size > 63 || from + size > packet.n || n + size + 2 > NAME_MAX_BYTES) return false;
        if (n) out[n++] = '.';
        for (size_t i = 0; i < size; i++)
            out[n++] = (char)tolower((unsigned char)packet.p[from + i]);
        from += size;
    }
}

struct resource {
    char name[NAME_MAX_BYTES];
    unsigned type;
    size_t data, n;
};

struct walk {
    struct str packet;
    size_t at, left;
};

static bool walk_begin(struct walk *w, struct str packet)
{
    char name[NAME_MAX_BYTES];
    *w = (struct walk){ packet, HEAD, 0 };
    if (packet.n < HEAD || !((uint8_t)packet.p[2] & 0x80)) return false;
    for (unsigned i = u16(packet, 4); i > 0; i--) {
        if (!read_name(packet, &w->at, name)) return false;
        w->at += 4;
    }
    w->left = (size_t)u16(packet, 6) + u16(packet, 8) + u16(packet, 10);
    return true;
}

static bool walk_next(struct walk *w, struct resource *r)
{
    if (w->left == 0 || !read_name(w->packet, &w->at, r->name)) return false;
    if (w->at + 10 > w->packet.n) return false;
    r->type = u16(w->packet, w->at);
    r->n = u16(w->packet, w->at + 8);
    r->data = w->at + 10;
    w->at = r->data + r->n;
    w->left--;
    return w->at <= w->packet.n;
}

/* The address of a host, the wanted kind first. */
static bool find_address(
    struct str packet, const char *host, const struct mdns_options *o, char out[INET6_ADDRSTRLEN])
{
    struct walk w;
    struct resource r;
    bool found = false;
    for (bool more = walk_begin(&w, packet); more && walk_next(&w, &r);) {
        if (strcmp(r.name, host) != 0) continue;
        if (o->v6 && r.type == TYPE_AAAA && r.n == 16)
            return inet_ntop(AF_INET6, packet.p + r.data, out, INET6_ADDRSTRLEN) != NULL;
        if (o->v4 && !found && r.type == TYPE_A && r.n == 4)
            found = inet_ntop(AF_INET, packet.p + r.data, out, INET6_ADDRSTRLEN) != NULL;
    }
    return found;
}

static void add(struct list *found, struct arena *a, const char *ip, unsigned port)
{
    struct str text = str_printf(a, strchr(ip, ':') ? "[%s]:%u" : "%s:%u", ip, port);
    for (size_t i = 0; i < found->n; i++)
        if (str_eq(LIST_AT(found, struct str, i), text)) return;
    if (found->n < MDNS_ADDRESSES_MAX) *LIST_PUSH(a, found, struct str) = text;
}

static void read_instance(struct str packet, const char *instance, const struct mdns_options *o,
    struct arena *a, struct list *found)
{
    struct walk w;
    struct resource r;
    char host[NAME_MAX_BYTES], ip[INET6_ADDRSTRLEN];
    for (bool more = walk_begin(&w, packet); more && walk_next(&w, &r);) {
        size_t at = r.data + 6;
        if (r.type == TYPE_SRV && r.n > 6 && strcmp(r.name, instance) == 0 &&
            read_name(packet, &at, host) && find_address(packet, host, o, ip))
            add(found, a, ip, u16(packet, r.data + 4));
    }
}

void mdns_answer_read(
    struct str packet, const struct mdns_options *o, struct arena *a, struct list *found)
{
    struct walk w;
    struct resource r;
    char instance[NAME_MAX_BYTES];
    int instances = 0;
    for (bool more = walk_begin(&w, packet); more && walk_next(&w, &r);) {
        size_t at = r.data;
        if (r.type == TYPE_PTR && str_eq_nocase(o->name, str_of(r.name)) &&
            read_name(packet, &at, instance) && instances++ < MDNS_ADDRESSES_MAX)
            read_instance(packet, instance, o, a, found);
    }
}
