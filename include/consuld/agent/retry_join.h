/* SPDX-License-Identifier: Apache-2.0 */
/* Joining a pool in the background until it works (agent.md 8). One try at a time, then a pause.
 * Discovery texts of mdns are looked up first; others are answered with what is missing. */
#pragma once
#include "consuld/cluster/pool.h"

struct retry_join;

struct retry_join_options {
    struct world *world;
    struct pool *pool;
    const char *label;     /* "LAN", "WAN" */
    struct list addresses; /* struct str; borrowed for life */
    uint64_t interval_ms;
    int64_t attempts_max; /* 0: no end */
    /* One of the two is called once, from the loop. */
    void (*joined)(void *ctx);
    void (*exhausted)(void *ctx);
    void *ctx;
};

/* Begins. */
struct retry_join *retry_join_create(const struct retry_join_options *o);
/* NULL is ignored. */
void retry_join_destroy(struct retry_join *j);

/* Joins once with Consul's log lines; what retry_join and the agent's other joins are made of.
 * (LAN) joining: lan_addresses=[...] */
void join_logged(
    struct pool *p, struct pool_request *r, const char *label, const struct str *texts, size_t n);
/* The line of the outcome. */
void join_log_outcome(const struct pool_request *r, const char *label);
/* Why a text that asks a discovery provider ("provider=aws tag_key=...") finds nothing: it is
 * malformed, the provider unknown, or no part of this build (retry_join itself has mdns). Nil for a
 * plain address. */
struct str join_discovery_fault(struct str text, struct arena *a);
