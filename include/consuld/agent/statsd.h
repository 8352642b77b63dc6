/* SPDX-License-Identifier: Apache-2.0 */
/* Metrics to a statsd or a DogStatsD server, as datagrams, or to a statsite server, the same lines
 * over a connection, which is made again when it ends. Values are gathered into packets of at most
 * STATSD_PACKET_MAX bytes and sent a tenth of a second after the first; what cannot be sent is
 * dropped. */
#pragma once
#include "consuld/base/str.h"

struct metrics;
struct statsd;
struct world;

#define STATSD_PACKET_MAX 1400

struct statsd_options {
    struct world *world;
    struct metrics *metrics;  /* outlive it */
    struct str address;       /* "host:port"; a name is looked up once */
    bool connect;             /* statsite */
    bool tags;                /* DogStatsD: labels are tags, else parts of the name */
    const struct str *common; /* tags of every value: "key:value" */
    size_t common_n;
};

struct statsd *statsd_create(const struct statsd_options *o);
/* NULL is fine. */
void statsd_destroy(struct statsd *s);
