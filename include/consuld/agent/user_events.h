/* SPDX-License-Identifier: Apache-2.0 */
/* User events that this agent has seen and that are meant for it: the newest USER_EVENTS_MAX,
 * oldest first (agent.md 13, gossip.md 12.6). */
#pragma once
#include "consuld/agent/local.h"

#define USER_EVENTS_MAX 256

struct user_events;

/* `local` may be NULL until set: then no service filter matches. */
struct user_events *user_events_create(struct str node_name);
void user_events_destroy(struct user_events *e);
void user_events_services(struct user_events *e, struct local *local);
/* Who takes remote execution; NULL: nobody, the event is logged. It is never kept. */
struct remote_exec;
void user_events_exec(struct user_events *e, struct remote_exec *exec);
/* An event of the LAN pool. What is no event of Consul's, or not for us, is logged or dropped. */
void user_events_take(struct user_events *e, uint64_t ltime, struct str name, struct str payload);

size_t user_events_count(const struct user_events *e);
/* 0 is the oldest. Valid until the next event. */
const struct user_event *user_events_at(const struct user_events *e, size_t i);
/* What X-Consul-Index says for a list that ends with this event. */
uint64_t user_event_index(const struct user_event *event);

/* A one-shot wake-up at the next event. Embedded in its owner. */
struct user_event_wait {
    struct link link;
    void (*fire)(struct user_event_wait *w);
};
void user_event_wait_add(struct user_events *e, struct user_event_wait *w);
/* Fine on one that fired or was never added, if zero. */
void user_event_wait_cancel(struct user_event_wait *w);

/* Checks a new event before it is fired, with Consul's texts: Cannot provide tag filter without
 * service filter; Invalid node filter: error parsing regexp: ... */
int user_event_check(const struct user_event *event, struct error *err) must_check;
