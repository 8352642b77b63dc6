/* SPDX-License-Identifier: Apache-2.0 */
#include "consuld/base/log.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "consuld/base/buf.h"

#define LINE_MAX_BYTES ((size_t)64 * 1024)
#define HELD_MAX_BYTES ((size_t)4 * 1024 * 1024)

struct tap {
    log_tap_fn fn;
    void *ctx;
    enum log_level level;
    bool json;
};

static struct {
    struct log_options opts;
    struct buf held;
    struct tap taps[LOG_TAPS_MAX];
    size_t taps_n;
    bool busy; /* a tap that logs must not recurse */
} sink = { .opts = { .level = LOG_INFO }, .held = BUF_INIT(HELD_MAX_BYTES) };

static const struct {
    const char *name, *padded, *json;
} levels[] = {
    [LOG_TRACE] = { "TRACE", "[TRACE] ", "trace" },
    [LOG_DEBUG] = { "DEBUG", "[DEBUG] ", "debug" },
    [LOG_INFO] = { "INFO", "[INFO]  ", "info" },
    [LOG_WARN] = { "WARN", "[WARN]  ", "warn" },
    [LOG_ERROR] = { "ERROR", "[ERROR] ", "error" },
};

void log_setup(const struct log_options *opts)
{
    sink.opts = *opts;
}

void log_set_level(enum log_level level)
{
    sink.opts.level = level;
}

enum log_level log_get_level(void)
{
    return sink.opts.level;
}

bool log_level_parse(const char *text, enum log_level *out)
{
    if (strcasecmp(text, "ERR") == 0) text = "ERROR";
    for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++) {
        if (strcasecmp(text, levels[i].name) == 0) {
            *out = (enum log_level)i;
            return true;
        }
    }
    return false;
}

static void write_all(const void *p, size_t n)
{
    const char *at = p;
    while (n) {
        ssize_t done = write(STDOUT_FILENO, at, n);
        if (done <= 0) return; /* nobody to tell */
        at += done;
        n -= (size_t)done;
    }
}

void log_release(void)
{
    sink.opts.hold = false;
    write_all(sink.held.p, sink.held.n);
    buf_deinit(&sink.held);
}

int log_tap_add(log_tap_fn fn, void *ctx, enum log_level level, bool json)
{
    for (int i = 0; i < LOG_TAPS_MAX; i++) {
        if (sink.taps[i].fn) continue;
        sink.taps[i] = (struct tap){ fn, ctx, level, json };
        sink.taps_n++;
        return i;
    }
    return -1;
}

void log_tap_remove(int slot)
{
    if (slot < 0 || slot >= LOG_TAPS_MAX || !sink.taps[slot].fn) return;
    sink.taps[slot] = (struct tap){ 0 };
    sink.taps_n--;
}

static void put_json_text(struct buf *b, const char *s)
{
    buf_put_char(b, '"');
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\') {
            buf_put_char(b, '\\');
            buf_put_char(b, (char)c);
        } else if (c == '\n') {
            buf_put_c(b, "\\n");
        } else if (c < 0x20) {
            buf_printf(b, "\\u%04x", c);
        } else {
            buf_put_char(b, (char)c);
        }
    }
    buf_put_char(b, '"');
}

static void put_value(struct buf *b, const char *v)
{
    if (!strpbrk(v, " \t\n\r")) {
        buf_put_c(b, v);
        return;
    }
    /* Quotes within stay as they are, as in Consul's lines. */
    buf_put_char(b, '"');
    for (; *v; v++) {
        if (*v == '\n') {
            buf_put_c(b, "\\n");
        } else {
            buf_put_char(b, *v);
        }
    }
    buf_put_char(b, '"');
}

static void put_time(struct buf *b, bool micros)
{
    struct timespec now;
    struct tm tm;
    char text[64];
    clock_gettime(CLOCK_REALTIME, &now);
    localtime_r(&now.tv_sec, &tm);
    size_t n = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
    buf_put(b, text, n);
    if (micros) {
        buf_printf(b, ".%06ld", now.tv_nsec / 1000);
    } else {
        buf_printf(b, ".%03ld", now.tv_nsec / 1000000);
    }
    if (tm.tm_gmtoff == 0) {
        buf_put_char(b, 'Z');
    } else {
        long off = tm.tm_gmtoff / 60;
        buf_printf(b, "%c%02ld:%02ld", off < 0 ? '-' : '+', (off < 0 ? -off : off) / 60,
            (off < 0 ? -off : off) % 60);
    }
}

static void format_text(
    struct buf *b, enum log_level level, const char *name, const char *message, va_list pairs)
{
    put_time(b, false);
    buf_put_char(b, ' ');
    buf_put_c(b, levels[level].padded);
    buf_put_c(b, name);
    buf_put_c(b, ": ");
    buf_put_c(b, message);
    const char *key;
    bool first = true;
    while ((key = va_arg(pairs, const char *))) {
        const char *value = va_arg(pairs, const char *);
        if (!value) value = "";
        buf_put_c(b, first ? ": " : " ");
        buf_put_c(b, key);
        buf_put_char(b, '=');
        put_value(b, value);
        first = false;
    }
}

static void format_json(
    struct buf *b, enum log_level level, const char *name, const char *message, va_list pairs)
{
    buf_printf(b, "{\"@level\":\"%s\",\"@message\":", levels[level].json);
    put_json_text(b, message);
    buf_put_c(b, ",\"@module\":");
    put_json_text(b, name);
    buf_put_c(b, ",\"@timestamp\":\"");
    put_time(b, true);
    buf_put_char(b, '"');
    const char *key;
    while ((key = va_arg(pairs, const char *))) {
        const char *value = va_arg(pairs, const char *);
        buf_put_char(b, ',');
        put_json_text(b, key);
        buf_put_char(b, ':');
        put_json_text(b, value ? value : "");
    }
    buf_put_char(b, '}');
}

static void console(const struct buf *line)
{
    struct buf out = BUF_INIT(LINE_MAX_BYTES + 8);
    struct buf *to = sink.opts.hold ? &sink.held : &out;
    if (!sink.opts.json) buf_put_c(to, "    ");
    buf_put_str(to, buf_str(line));
    buf_put_char(to, '\n');
    if (!sink.opts.hold) write_all(out.p, out.n);
    buf_deinit(&out);
}

bool log_wanted(enum log_level level)
{
    if (level >= sink.opts.level) return true;
    for (int i = 0; sink.taps_n && i < LOG_TAPS_MAX; i++) {
        if (sink.taps[i].fn && level >= sink.taps[i].level) return true;
    }
    return false;
}

void log_at(enum log_level level, const char *name, const char *message, ...)
{
    if (!log_wanted(level) || sink.busy) return;
    struct buf forms[2] = { BUF_INIT(LINE_MAX_BYTES), BUF_INIT(LINE_MAX_BYTES) };
    va_list pairs;
    va_start(pairs, message);
    format_text(&forms[0], level, name, message, pairs);
    va_end(pairs);
    va_start(pairs, message);
    format_json(&forms[1], level, name, message, pairs);
    va_end(pairs);
    if (level >= sink.opts.level) console(&forms[sink.opts.json]);
    sink.busy = true;
    for (int i = 0; sink.taps_n && i < LOG_TAPS_MAX; i++) {
        struct tap *t = &sink.taps[i];
        if (!t->fn || level < t->level) continue;
        struct buf *line = &forms[t->json];
        t->fn(t->ctx, level, (const char *)line->p, line->n);
    }
    sink.busy = false;
    buf_deinit(&forms[0]);
    buf_deinit(&forms[1]);
}
