/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/agent/metrics (agent.md 11): the last whole interval as JSON, or all there is in the text
 * format of Prometheus. */
#include "consuld/base/metrics.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "agent_routes.h"
#include "consuld/agent/config.h"
#include "consuld/base.h"
#include "consuld/face/api.h"
#include "consuld/face/context.h"

#define PROMETHEUS_MAX ((size_t)16 << 20)
#define INTERVAL_S (METRICS_INTERVAL_MS / 1000)

/* --- JSON ------------------------------------------------------------------------------------- */

static void labels_json(struct json_writer *w, const struct metric *m)
{
    const struct metric_label *labels;
    size_t n = metric_labels(m, &labels);
    json_key(w, "Labels");
    json_object(w);
    for (size_t i = 0; i < n; i++) {
        json_key(w, labels[i].name);
        json_str(w, labels[i].value);
    }
    json_object_end(w);
}

static void gauge_json(struct json_writer *w, const struct metric *m)
{
    json_object(w);
    json_key(w, "Name");
    json_str(w, metric_name(m));
    json_key(w, "Value");
    json_f64(w, metric_all(m).sum);
    labels_json(w, m);
    json_object_end(w);
}

static void number(struct json_writer *w, const char *key, double v)
{
    json_key(w, key);
    json_f64(w, v);
}

static void window_json(
    struct json_writer *w, const struct metric *m, const struct metric_window *v)
{
    double n = (double)v->count, spread = n * v->sum_sq - v->sum * v->sum;
    json_object(w);
    json_key(w, "Name");
    json_str(w, metric_name(m));
    json_key(w, "Count");
    json_u64(w, v->count);
    number(w, "Rate", v->sum / INTERVAL_S);
    number(w, "Sum", v->sum);
    number(w, "Min", v->min);
    number(w, "Max", v->max);
    number(w, "Mean", v->sum / n);
    number(w, "Stddev", v->count > 1 && spread > 0 ? sqrt(spread / (n * (n - 1))) : 0);
    labels_json(w, m);
    json_object_end(w);
}

static void kind_json(struct json_writer *w, const char *key, enum metric_kind kind,
    struct metric *const *all, size_t n)
{
    struct metric_window v;
    json_key(w, key);
    json_array(w);
    for (size_t i = 0; i < n; i++) {
        if (metric_kind(all[i]) != kind) continue;
        if (kind == METRIC_GAUGE)
            gauge_json(w, all[i]);
        else if (metric_interval(all[i], &v))
            window_json(w, all[i], &v);
    }
    json_array_end(w);
}

static void reply_json(struct api_request *req, struct metrics *m)
{
    struct metric *const *all;
    size_t n = metrics_sorted(m, &all);
    struct tm tm;
    char stamp[64];
    time_t began = m ? (time_t)metrics_interval_began(m) : 0;
    gmtime_r(&began, &tm);
    strftime(stamp, sizeof stamp, "%Y-%m-%d %H:%M:%S +0000 UTC", &tm);
    struct json_writer *w = api_json_begin(req);
    json_object(w);
    json_key(w, "Timestamp");
    json_c(w, stamp);
    kind_json(w, "Gauges", METRIC_GAUGE, all, n);
    json_key(w, "Points");
    json_array(w);
    json_array_end(w);
    kind_json(w, "Counters", METRIC_COUNTER, all, n);
    kind_json(w, "Samples", METRIC_SAMPLE, all, n);
    json_object_end(w);
    api_json_end(req, 200);
}

/* --- Prometheus ------------------------------------------------------------------------------- */

static void put_number(struct buf *b, double v)
{
    char text[40];
    if (isnan(v)) {
        buf_put_c(b, "NaN");
        return;
    }
    if (fabs(v) < 1e15 && v == floor(v)) {
        buf_printf(b, "%.0f", v);
        return;
    }
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, v);
        if (strtod(text, NULL) == v) break;
    }
    buf_put_c(b, text);
}

static void put_name(struct buf *b, struct str name)
{
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        bool fits = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == ':' || c == '_' ||
                    (c >= '0' && c <= '9' && i > 0);
        buf_put_char(b, fits ? c : '_');
    }
}

static void put_value(struct buf *b, struct str v)
{
    buf_put_char(b, '"');
    for (size_t i = 0; i < v.n; i++) {
        char c = v.p[i];
        if (c == '"' || c == '\\') buf_put_char(b, '\\');
        buf_put_c(b, c == '\n' ? "\\n" : "");
        if (c != '\n') buf_put_char(b, c);
    }
    buf_put_char(b, '"');
}

static void put_line(
    struct buf *b, const struct metric *m, const char *tail, const char *quantile, double v)
{
    const struct metric_label *labels;
    size_t n = metric_labels(m, &labels);
    put_name(b, metric_name(m));
    buf_put_c(b, tail);
    if (n || quantile) buf_put_char(b, '{');
    for (size_t i = 0; i < n; i++) {
        if (i) buf_put_char(b, ',');
        put_name(b, str_of(labels[i].name));
        buf_put_char(b, '=');
        put_value(b, labels[i].value);
    }
    if (quantile) buf_printf(b, "%squantile=\"%s\"", n ? "," : "", quantile);
    if (n || quantile) buf_put_char(b, '}');
    buf_put_char(b, ' ');
    put_number(b, v);
    buf_put_char(b, '\n');
}

static void put_head(struct buf *b, struct str name, const char *type)
{
    buf_put_c(b, "# HELP ");
    put_name(b, name);
    buf_put_char(b, ' ');
    put_name(b, name);
    buf_put_c(b, "\n# TYPE ");
    put_name(b, name);
    buf_printf(b, " %s\n", type);
}

static void put_metric(struct buf *b, const struct metric *m)
{
    struct metric_window all = metric_all(m);
    switch (metric_kind(m)) {
    case METRIC_COUNTER:
    case METRIC_GAUGE:
        put_line(b, m, "", NULL, all.sum);
        break;
    case METRIC_SAMPLE:
        put_line(b, m, "", "0.5", metric_quantile(m, 0.5));
        put_line(b, m, "", "0.9", metric_quantile(m, 0.9));
        put_line(b, m, "", "0.99", metric_quantile(m, 0.99));
        put_line(b, m, "_sum", NULL, all.sum);
        put_line(b, m, "_count", NULL, (double)all.count);
        break;
    }
}

static void put_process(struct buf *b, const char *name, const char *type, double v)
{
    put_head(b, str_of(name), type);
    buf_put_c(b, name);
    buf_put_char(b, ' ');
    put_number(b, v);
    buf_put_char(b, '\n');
}

static double count_files(const char *dir)
{
    double n = 0;
    DIR *d = opendir(dir);
    while (d && readdir(d))
        n++;
    if (d) closedir(d);
    return n > 3 ? n - 3 : 0; /* two dots, and the folder itself */
}

/* Seconds since the epoch; 0: unknown. */
static double started_at(void)
{
    char text[1024];
    unsigned long long ticks = 0, booted = 0;
    FILE *f = fopen("/proc/self/stat", "r");
    size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;
    if (f) fclose(f);
    text[n] = '\0';
    const char *at = strrchr(text, ')'); /* field 2 may hold anything */
    for (int field = 2; at && field < 22; field++)
        at = strchr(at + 1, ' ');
    if (at) ticks = strtoull(at, NULL, 10);
    f = fopen("/proc/stat", "r");
    while (f && !booted && fgets(text, sizeof text, f))
        if (strncmp(text, "btime ", 6) == 0) booted = strtoull(text + 6, NULL, 10);
    if (f) fclose(f);
    return ticks && booted ? (double)booted + (double)ticks / (double)sysconf(_SC_CLK_TCK) : 0;
}

/* What any process tells of itself. */
static void put_processes(struct buf *b)
{
    struct rusage use;
    struct rlimit files;
    unsigned long pages = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f && fscanf(f, "%lu %lu", &pages, &resident) != 2) pages = resident = 0;
    if (f) fclose(f);
    double page = (double)sysconf(_SC_PAGESIZE);
    double fds = count_files("/proc/self/fd");
    if (getrusage(RUSAGE_SELF, &use) == 0)
        put_process(b, "process_cpu_seconds_total", "counter",
            (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
                (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0)
        put_process(b, "process_max_fds", "gauge", (double)files.rlim_cur);
    put_process(b, "process_open_fds", "gauge", fds);
    put_process(b, "process_resident_memory_bytes", "gauge", (double)resident * page);
    put_process(b, "process_start_time_seconds", "gauge", started_at());
    put_process(b, "process_virtual_memory_bytes", "gauge", (double)pages * page);
    if (getrlimit(RLIMIT_AS, &files) == 0)
        put_process(b, "process_virtual_memory_max_bytes", "gauge",
            files.rlim_cur == RLIM_INFINITY ? -1 : (double)files.rlim_cur);
}

static void reply_prometheus(struct api_request *req, struct metrics *m)
{
    static const char *const types[] = {
        [METRIC_COUNTER] = "counter", [METRIC_GAUGE] = "gauge", [METRIC_SAMPLE] = "summary"
    };
    struct metric *const *all;
    size_t n = metrics_sorted(m, &all);
    struct buf text = BUF_INIT(PROMETHEUS_MAX);
    struct str last = STR_NIL;
    for (size_t i = 0; i < n; i++) {
        if (!str_eq(metric_name(all[i]), last))
            put_head(&text, metric_name(all[i]), types[metric_kind(all[i])]);
        last = metric_name(all[i]);
        put_metric(&text, all[i]);
    }
    put_processes(&text);
    if (text.overflow)
        api_reply_text(req, 500, "there are too many metrics");
    else
        api_reply_raw(req, 200, "text/plain; version=0.0.4; charset=utf-8", buf_str(&text));
    buf_deinit(&text);
}

/* --- the endpoint ----------------------------------------------------------------------------- */

static bool wants_prometheus(const struct api_request *req)
{
    struct str accept = api_request_header(req, "Accept");
    if (str_is(api_param_str(req, "format"), "prometheus")) return true;
    if (str_has_prefix(accept, STR("application/openmetrics-text"))) return true;
    return str_has_prefix(accept, STR("text/plain")) && str_find(accept, STR("0.4.0")) >= 0;
}

static void metrics(struct api_request *req)
{
    const struct face_context *ctx = req->ctx;
    bool prometheus = wants_prometheus(req);
    if (prometheus && ctx->config->telemetry.prometheus_retention_time <= 0) {
        api_reply_text(
            req, 415, "Prometheus is not enabled since its retention time is not positive");
        return;
    }
    metrics_collect(ctx->metrics);
    if (prometheus)
        reply_prometheus(req, ctx->metrics);
    else
        reply_json(req, ctx->metrics);
}

const struct api_route api_agent_metrics_routes[] = {
    { "/v1/agent/metrics", API_GET, 0, 0, metrics },
    { 0 },
};
