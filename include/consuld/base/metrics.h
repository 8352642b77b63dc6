/* SPDX-License-Identifier: Apache-2.0 */
/* Telemetry: counters, gauges and samples, in intervals of ten seconds and in total.
 *
 * A metric is found by name and labels once, at start; counting is then a few additions through its
 * pointer and allocates nothing. Every function takes a NULL metric or NULL metrics and does
 * nothing: parts that are tested alone need none. What other parts count for themselves is taken
 * over by sources, which are asked before anybody reads. */
#pragma once
#include "consuld/base/list.h"
#include "consuld/base/map.h"
#include "consuld/base/str.h"

struct world;
struct metric;
struct metrics;

#define METRICS_MAX 4096 /* names with labels; what comes beyond is not counted */
#define METRICS_INTERVAL_MS 10000
#define METRIC_LABELS_MAX 4

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE, METRIC_SAMPLE };

struct metric_label {
    const char *name;
    struct str value;
};

/* What happened in one interval. */
struct metric_window {
    uint64_t count;
    double sum, sum_sq, min, max;
};

struct metrics_options {
    struct world *world;
    struct str prefix;   /* "consul" */
    struct str hostname; /* second part of gauges; empty: none */
    const struct str *allowed,
        *blocked; /* prefixes of whole names; the longest that fits decides */
    size_t allowed_n, blocked_n;
    bool allow_others; /* names without such a prefix */
};

/* Strings are copied. */
struct metrics *metrics_create(const struct metrics_options *o);
void metrics_destroy(struct metrics *m);
/* New prefixes from a reload. */
void metrics_filter(struct metrics *m, const struct metrics_options *o);

/* The metric of that name ("kvs.apply", without prefix) and labels, made if it is new. Valid as
 * long as the metrics are. NULL when there are too many. */
struct metric *metrics_labelled(struct metrics *m, enum metric_kind kind, const char *name,
    const struct metric_label *labels, size_t n);
static inline struct metric *metrics_counter(struct metrics *m, const char *name)
{
    return metrics_labelled(m, METRIC_COUNTER, name, NULL, 0);
}
static inline struct metric *metrics_gauge(struct metrics *m, const char *name)
{
    return metrics_labelled(m, METRIC_GAUGE, name, NULL, 0);
}
static inline struct metric *metrics_samples(struct metrics *m, const char *name)
{
    return metrics_labelled(m, METRIC_SAMPLE, name, NULL, 0);
}

void metric_add(struct metric *c, double v);
/* A counter that is kept elsewhere: so many more events since the last time, of 1 each or of `sum`
 * together, are added. Samples too: what is new counts as its mean. */
void metric_total(struct metric *c, uint64_t events);
void metric_total_sum(struct metric *c, uint64_t events, double sum);
void metric_set(struct metric *g, double v);
void metric_sample(struct metric *s, double v);
/* A duration in milliseconds, from a time of world_now_us. */
void metric_since(struct metric *s, struct world *w, uint64_t began_us);

/* --- sources and sinks ----------------------------------------------------------------------- */

/* Sets gauges and totals when it is asked. Embedded in its owner. */
struct metrics_source {
    void (*fill)(struct metrics_source *s);
    struct link link;
};
void metrics_source_add(struct metrics *m, struct metrics_source *s);
/* Idempotent; fine on a zero one. */
void metrics_source_remove(struct metrics_source *s);
/* Asks all sources. The metrics do so themselves once per interval. */
void metrics_collect(struct metrics *m);

/* Told each value as it comes. */
struct metrics_sink {
    void (*value)(struct metrics_sink *s, const struct metric *m, double v);
    struct link link;
};
void metrics_sink_add(struct metrics *m, struct metrics_sink *s);
void metrics_sink_remove(struct metrics_sink *s);

/* --- reading --------------------------------------------------------------------------------- */

enum metric_kind metric_kind(const struct metric *m);
struct str metric_name(const struct metric *m); /* with prefix, and hostname where it belongs */
/* The host's part of the name with the dot behind it; nil: it has none. */
struct str metric_host(const struct metric *m);
size_t metric_labels(const struct metric *m, const struct metric_label **out);

/* How many there are. */
size_t metrics_count(const struct metrics *m);
/* The metrics that may be seen, by name and labels; valid until the next one is made. */
size_t metrics_sorted(struct metrics *m, struct metric *const **out);
/* Of the last whole interval, or of the first one while it lasts; false: nothing happened. */
bool metric_interval(const struct metric *m, struct metric_window *out);
/* Since the start; for a gauge sum is its value. */
struct metric_window metric_all(const struct metric *m);
/* Of the samples of this and the last interval, to a few percent; NaN without samples. */
double metric_quantile(const struct metric *m, double q);
/* When the interval that metric_interval speaks of began, in seconds since the epoch. */
int64_t metrics_interval_began(const struct metrics *m);
