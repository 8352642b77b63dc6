/* SPDX-License-Identifier: Apache-2.0 */
/* What peers send wrong: counted by peer and kind, logged at growing intervals. */
#include <stdio.h>

#include "swim_core.h"

#define FAULT_LINES_PER_MINUTE 20

const char *swim_fault_name(enum swim_fault f)
{
    static const char *const names[SWIM_FAULTS] = {
        [SWIM_FAULT_OPEN] = "open",
        [SWIM_FAULT_CRC] = "crc",
        [SWIM_FAULT_TYPE] = "type",
        [SWIM_FAULT_COMPOUND] = "compound",
        [SWIM_FAULT_COMPRESSED] = "compressed",
        [SWIM_FAULT_DEPTH] = "depth",
        [SWIM_FAULT_RECORD] = "record",
        [SWIM_FAULT_EMPTY] = "empty",
        [SWIM_FAULT_VALUE] = "value",
        [SWIM_FAULT_NETWORK] = "network",
        [SWIM_FAULT_STREAM] = "stream",
    };
    return f < SWIM_FAULTS ? names[f] : "unknown";
}

static bool same_host(const struct gossip_address *a, const struct gossip_address *b)
{
    return a->ip_n == b->ip_n && memcmp(a->ip, b->ip, a->ip_n) == 0;
}

/* The line of this peer; a new one takes the place of the longest silent. */
static struct swim_offender *offender(struct swim *s, const struct gossip_address *from)
{
    struct swim_offender *oldest = &s->offenders[0];
    for (size_t i = 0; i < s->offenders_n; i++) {
        struct swim_offender *o = &s->offenders[i];
        if (same_host(&o->from, from)) return o;
        if (o->last_ms < oldest->last_ms) oldest = o;
    }
    if (s->offenders_n < SWIM_OFFENDERS_MAX) oldest = &s->offenders[s->offenders_n++];
    *oldest = (struct swim_offender){ .from = *from };
    return oldest;
}

/* What stands behind the text: a key that does not fit is named. */
static void log_fault(struct swim *s, const struct gossip_address *from, enum swim_fault fault,
    const char *detail, uint64_t times)
{
    char address[GOSSIP_ADDRESS_TEXT_MAX], key[9] = "none";
    gossip_address_text(from, address);
    if (fault == SWIM_FAULT_OPEN && s->o.keys && s->o.keys->n > 0) {
        keyring_fingerprint(s->o.cipher, keyring_at(s->o.keys, 0), key);
        swim__log(s, LOG_ERROR, "memberlist: %s from=%s primary_key=%s keys=%zu times=%llu", detail,
            address, key, s->o.keys->n, (unsigned long long)times);
        return;
    }
    if (fault == SWIM_FAULT_NETWORK) {
        swim__log(s, LOG_WARN, "memberlist: %s from=%s times=%llu", detail, address,
            (unsigned long long)times);
        return;
    }
    swim__log(s, LOG_WARN, "memberlist: dropped a malformed message (%s): %s from=%s times=%llu",
        swim_fault_name(fault), detail, address, (unsigned long long)times);
}

/* Whoever forges senders must not fill the log. */
static bool line_allowed(struct swim *s)
{
    if (s->now - s->fault_minute_ms >= 60000) {
        s->fault_minute_ms = s->now;
        s->fault_lines = 0;
    }
    return s->fault_lines++ < FAULT_LINES_PER_MINUTE;
}

void swim__fault(
    struct swim *s, const struct gossip_address *from, enum swim_fault fault, const char *detail)
{
    static const struct gossip_address nobody;
    s->counters.faults[fault]++;
    struct swim_offender *o = offender(s, from ? from : &nobody);
    o->last_ms = s->now;
    o->from.port = from ? from->port : 0;
    uint64_t times = ++o->faults[fault];
    if ((times & (times - 1)) == 0 && line_allowed(s)) log_fault(s, &o->from, fault, detail, times);
}

void swim__blocked(
    struct swim *s, const struct gossip_address *from, const struct gossip_address *claimed)
{
    char ip[GOSSIP_ADDRESS_TEXT_MAX], text[GOSSIP_ADDRESS_TEXT_MAX + 64];
    snprintf(
        text, sizeof text, "Blocked alive message: %s is not allowed", gossip_ip_text(claimed, ip));
    swim__fault(s, from, SWIM_FAULT_NETWORK, text);
}

size_t swim_offenders(const struct swim *s, const struct swim_offender **out)
{
    *out = s->offenders;
    return s->offenders_n;
}

void swim__log(const struct swim *s, enum log_level level, const char *fmt, ...)
{
    if (!s->o.log_name) return;
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    log_at(level, s->o.log_name, text, NULL);
}
