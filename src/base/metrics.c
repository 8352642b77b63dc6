/* SPDX-License-Identifier: Apache-2.0 */
#include "consuld/base/metrics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "consuld/base/arena.h"
#include "consuld/base/buf.h"
#include "consuld/base/world.h"

#define NAME_MAX_BYTES 512
#define PREFIXES_MAX 1024
/* Classes of values for quantiles: four to each doubling, from 2^-16 to 2^16. */
#define CLASSES 128
#define CLASSES_BELOW_ONE 64

struct metric {
    struct metrics *owner;
    enum metric_kind kind;
    struct str key;  /* name and labels, for order and search */
    struct str name; /* whole */
    struct metric_label labels[METRIC_LABELS_MAX];
    size_t labels_n;
    bool hidden;
    uint64_t interval; /* of `now` */
    struct metric_window now, before, all;
    bool before_known; /* `before` is of the interval in front of `interval` */
    uint64_t events;   /* last heard from a source, of metric_total */
    double total;
    uint32_t *classes; /* samples: of `now`, then of `before` */
};

struct prefixes {
    struct str at[PREFIXES_MAX];
    size_t n;
};

struct metrics {
    struct world *world;
    struct arena arena, filter_arena;
    struct str prefix, hostname;
    struct prefixes *allowed, *blocked;
    bool allow_others;
    int64_t wall_ms; /* of the epoch, at monotonic 0 */
    uint64_t first_interval;
    struct map by_key;
    struct metric **sorted;
    size_t sorted_n;
    struct link sources, sinks;
    struct timer timer;
    struct buf scratch;
};

static uint64_t interval_now(const struct metrics *m)
{
    return (uint64_t)(m->wall_ms + (int64_t)world_now_ms(m->world)) / METRICS_INTERVAL_MS;
}

/* --- which may be seen ------------------------------------------------------------------------ */

static void copy_prefixes(struct metrics *m, struct prefixes *to, const struct str *from, size_t n)
{
    to->n = 0;
    for (size_t i = 0; i < n && i < PREFIXES_MAX; i++)
        to->at[to->n++] = str_dup(&m->filter_arena, from[i]);
}

static size_t longest(const struct prefixes *p, struct str name, bool *any)
{
    size_t most = 0;
    *any = false;
    for (size_t i = 0; i < p->n; i++) {
        if (!str_has_prefix(name, p->at[i])) continue;
        *any = true;
        if (p->at[i].n > most) most = p->at[i].n;
    }
    return most;
}

static bool may_be_seen(const struct metrics *m, struct str name)
{
    bool allowed, blocked;
    size_t a = longest(m->allowed, name, &allowed), b = longest(m->blocked, name, &blocked);
    if (!allowed && !blocked) return m->allow_others;
    if (allowed && blocked) return a > b;
    return allowed;
}

void metrics_filter(struct metrics *m, const struct metrics_options *o)
{
    struct str key;
    void *value;
    if (!m) return;
    arena_reset(&m->filter_arena);
    copy_prefixes(m, m->allowed, o->allowed, o->allowed_n);
    copy_prefixes(m, m->blocked, o->blocked, o->blocked_n);
    m->allow_others = o->allow_others;
    for (size_t it = 0; map_next(&m->by_key, &it, &key, &value);) {
        struct metric *one = value;
        one->hidden = !may_be_seen(m, one->name);
    }
}

/* --- life ------------------------------------------------------------------------------------- */

static void arm(struct metrics *m)
{
    uint64_t at = (uint64_t)(m->wall_ms + (int64_t)world_now_ms(m->world)) % METRICS_INTERVAL_MS;
    uint64_t left = METRICS_INTERVAL_MS - at;
    /* just before the interval ends, so that totals count for it */
    timer_start(&m->timer, left > 200 ? left - 100 : left + METRICS_INTERVAL_MS - 100);
}

static void on_timer(struct timer *t)
{
    struct metrics *m = container_of(t, struct metrics, timer);
    metrics_collect(m);
    arm(m);
}

struct metrics *metrics_create(const struct metrics_options *o)
{
    struct metrics *m = xcalloc(1, sizeof *m);
    m->world = o->world;
    m->prefix = str_dup(&m->arena, o->prefix);
    m->hostname = str_dup(&m->arena, o->hostname);
    m->allowed = xcalloc(1, sizeof *m->allowed);
    m->blocked = xcalloc(1, sizeof *m->blocked);
    m->scratch = (struct buf)BUF_INIT(4 * NAME_MAX_BYTES);
    m->wall_ms = world_wall_ns(m->world) / 1000000 - (int64_t)world_now_ms(m->world);
    m->first_interval = interval_now(m);
    link_init(&m->sources);
    link_init(&m->sinks);
    timer_init(&m->timer, m->world, on_timer);
    metrics_filter(m, o);
    arm(m);
    return m;
}

void metrics_destroy(struct metrics *m)
{
    struct str key;
    void *value;
    if (!m) return;
    timer_stop(&m->timer);
    while (link_pop(&m->sources) || link_pop(&m->sinks))
        continue;
    for (size_t it = 0; map_next(&m->by_key, &it, &key, &value);) {
        struct metric *one = value;
        free(one->classes);
    }
    map_deinit(&m->by_key);
    free(m->sorted);
    free(m->allowed);
    free(m->blocked);
    buf_deinit(&m->scratch);
    arena_free(&m->filter_arena);
    arena_free(&m->arena);
    free(m);
}

/* --- making ----------------------------------------------------------------------------------- */

static struct str whole_name(struct metrics *m, enum metric_kind kind, const char *name)
{
    struct buf *b = &m->scratch;
    buf_clear(b);
    buf_put_str(b, m->prefix);
    if (m->prefix.n) buf_put_char(b, '.');
    if (kind == METRIC_GAUGE && m->hostname.n) {
        buf_put_str(b, m->hostname);
        buf_put_char(b, '.');
    }
    buf_put_c(b, name);
    return buf_str(b);
}

static struct metric *make(struct metrics *m, enum metric_kind kind, struct str key, size_t name_n,
    const struct metric_label *labels, size_t n)
{
    struct metric *one = arena_new(&m->arena, struct metric);
    one->owner = m;
    one->kind = kind;
    one->key = str_dup(&m->arena, key);
    one->name = str_dup(&m->arena, str_slice(key, 0, name_n));
    for (; one->labels_n < n; one->labels_n++)
        one->labels[one->labels_n] = (struct metric_label){ labels[one->labels_n].name,
            str_dup(&m->arena, labels[one->labels_n].value) };
    one->hidden = !may_be_seen(m, one->name);
    if (kind == METRIC_SAMPLE) one->classes = xcalloc(2 * CLASSES, sizeof *one->classes);
    one->interval = interval_now(m);
    map_put(&m->by_key, one->key, one);
    return one;
}

struct metric *metrics_labelled(struct metrics *m, enum metric_kind kind, const char *name,
    const struct metric_label *labels, size_t n)
{
    if (!m || n > METRIC_LABELS_MAX) return NULL;
    size_t name_n = whole_name(m, kind, name).n;
    for (size_t i = 0; i < n; i++) {
        buf_put_char(&m->scratch, ';');
        buf_put_c(&m->scratch, labels[i].name);
        buf_put_char(&m->scratch, '=');
        buf_put_str(&m->scratch, labels[i].value);
    }
    if (m->scratch.overflow) return NULL;
    struct str key = buf_str(&m->scratch);
    struct metric *one = map_get(&m->by_key, key);
    if (one) return one->kind == kind ? one : NULL;
    if (m->by_key.n >= METRICS_MAX) return NULL;
    return make(m, kind, key, name_n, labels, n);
}

/* --- counting --------------------------------------------------------------------------------- */

static void turn(struct metric *c)
{
    uint64_t at = interval_now(c->owner);
    if (at == c->interval) return;
    c->before_known = at == c->interval + 1;
    c->before = c->now;
    c->now = (struct metric_window){ 0 };
    c->interval = at;
    if (!c->classes) return;
    if (c->before_known)
        memcpy(c->classes + CLASSES, c->classes, CLASSES * sizeof *c->classes);
    else
        memset(c->classes + CLASSES, 0, CLASSES * sizeof *c->classes);
    memset(c->classes, 0, CLASSES * sizeof *c->classes);
}

static void take(struct metric_window *w, double v)
{
    if (w->count == 0 || v < w->min) w->min = v;
    if (w->count == 0 || v > w->max) w->max = v;
    w->count++;
    w->sum += v;
    w->sum_sq += v * v;
}

static void tell(const struct metric *c, double v)
{
    if (c->hidden) return;
    link_each (it, &c->owner->sinks) {
        struct metrics_sink *s = container_of(it, struct metrics_sink, link);
        s->value(s, c, v);
    }
}

void metric_add(struct metric *c, double v)
{
    if (!c) return;
    turn(c);
    take(&c->now, v);
    take(&c->all, v);
    tell(c, v);
}

static void take_many(struct metric_window *w, uint64_t n, double sum)
{
    double each = sum / (double)n;
    if (w->count == 0 || each < w->min) w->min = each;
    if (w->count == 0 || each > w->max) w->max = each;
    w->count += n;
    w->sum += sum;
    w->sum_sq += each * sum;
}

static size_t class_of(double v)
{
    if (!(v > 0)) return 0;
    double at = floor(log2(v) * 4) + CLASSES_BELOW_ONE;
    if (at < 0) return 0;
    return at >= CLASSES ? CLASSES - 1 : (size_t)at;
}

void metric_total_sum(struct metric *c, uint64_t events, double sum)
{
    if (!c) return;
    if (events < c->events || sum < c->total) {
        c->events = 0; /* begun anew */
        c->total = 0;
    }
    uint64_t n = events - c->events;
    double more = sum - c->total;
    c->events = events;
    c->total = sum;
    if (n == 0) return;
    turn(c);
    take_many(&c->now, n, more);
    take_many(&c->all, n, more);
    if (c->classes) c->classes[class_of(more / (double)n)] += (uint32_t)n;
    tell(c, more);
}

void metric_total(struct metric *c, uint64_t events)
{
    metric_total_sum(c, events, (double)events);
}

void metric_set(struct metric *g, double v)
{
    if (!g) return;
    turn(g);
    g->now = g->all = (struct metric_window){ .count = 1, .sum = v, .min = v, .max = v };
    tell(g, v);
}

void metric_sample(struct metric *s, double v)
{
    if (!s) return;
    metric_add(s, v);
    if (s->classes) s->classes[class_of(v)]++;
}

void metric_since(struct metric *s, struct world *w, uint64_t began_us)
{
    if (s) metric_sample(s, (double)(world_now_us(w) - began_us) / 1000);
}

/* --- sources and sinks ------------------------------------------------------------------------ */

void metrics_source_add(struct metrics *m, struct metrics_source *s)
{
    link_init(&s->link);
    if (m) link_push(&m->sources, &s->link);
}

void metrics_source_remove(struct metrics_source *s)
{
    if (s->link.next) link_remove(&s->link);
}

void metrics_collect(struct metrics *m)
{
    if (!m) return;
    link_each (it, &m->sources) {
        struct metrics_source *s = container_of(it, struct metrics_source, link);
        s->fill(s);
    }
}

void metrics_sink_add(struct metrics *m, struct metrics_sink *s)
{
    link_init(&s->link);
    if (m) link_push(&m->sinks, &s->link);
}

void metrics_sink_remove(struct metrics_sink *s)
{
    if (s->link.next) link_remove(&s->link);
}

/* --- reading ---------------------------------------------------------------------------------- */

enum metric_kind metric_kind(const struct metric *m)
{
    return m->kind;
}

struct str metric_name(const struct metric *m)
{
    return m->name;
}

struct str metric_host(const struct metric *m)
{
    const struct metrics *all = m->owner;
    size_t from = all->prefix.n ? all->prefix.n + 1 : 0;
    if (m->kind != METRIC_GAUGE || !all->hostname.n) return STR_NIL;
    return str_slice(m->name, from, from + all->hostname.n + 1);
}

size_t metric_labels(const struct metric *m, const struct metric_label **out)
{
    *out = m->labels;
    return m->labels_n;
}

size_t metrics_count(const struct metrics *m)
{
    return m ? m->by_key.n : 0;
}

static int by_key(const void *a, const void *b)
{
    const struct metric *x = *(struct metric *const *)a, *y = *(struct metric *const *)b;
    return str_cmp(x->key, y->key);
}

size_t metrics_sorted(struct metrics *m, struct metric *const **out)
{
    struct str key;
    void *value;
    *out = NULL;
    if (!m) return 0;
    m->sorted = xrealloc(m->sorted, (m->by_key.n + 1) * sizeof *m->sorted);
    m->sorted_n = 0;
    for (size_t it = 0; map_next(&m->by_key, &it, &key, &value);) {
        struct metric *one = value;
        if (!one->hidden && one->all.count) m->sorted[m->sorted_n++] = one;
    }
    qsort(m->sorted, m->sorted_n, sizeof(struct metric *), by_key);
    *out = m->sorted;
    return m->sorted_n;
}

/* While the first interval lasts it is shown as it is. */
static uint64_t interval_shown(const struct metrics *m)
{
    uint64_t at = interval_now(m);
    return at == m->first_interval ? at : at - 1;
}

bool metric_interval(const struct metric *m, struct metric_window *out)
{
    uint64_t wanted = interval_shown(m->owner);
    *out = (struct metric_window){ 0 };
    if (m->interval == wanted)
        *out = m->now;
    else if (m->before_known && m->interval == wanted + 1)
        *out = m->before;
    return out->count > 0;
}

struct metric_window metric_all(const struct metric *m)
{
    return m->all;
}

double metric_quantile(const struct metric *m, double q)
{
    uint64_t at = interval_now(m->owner), n = 0, seen = 0;
    uint32_t sums[CLASSES] = { 0 };
    for (size_t i = 0; m->classes && i < CLASSES; i++) {
        if (m->interval == at) sums[i] = m->classes[i] + m->classes[CLASSES + i];
        if (m->interval + 1 == at) sums[i] = m->classes[i];
        n += sums[i];
    }
    if (n == 0) return NAN;
    uint64_t rank = (uint64_t)ceil(q * (double)n);
    for (size_t i = 0; i < CLASSES; i++) {
        seen += sums[i];
        if (seen >= rank && sums[i] && i == 0) return 0;
        if (seen >= rank && sums[i]) return exp2(((double)i + 0.5 - CLASSES_BELOW_ONE) / 4);
    }
    return NAN;
}

int64_t metrics_interval_began(const struct metrics *m)
{
    return (int64_t)(interval_shown(m) * (METRICS_INTERVAL_MS / 1000));
}
