/* SPDX-License-Identifier: Apache-2.0 */
/* The log sink, the one global. Lines look as Consul's:
 *   2006-01-02T15:04:05.000Z [INFO]  agent.server: message: key=value key="two words"
 * with four blanks in front on the console. JSON objects with @level, @message, @module,
 * @timestamp when log_json is on. Spec: agent.md 10. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

enum log_level { LOG_TRACE, LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

/* Receives each finished line (without newline); used by /v1/agent/monitor and log files. */
typedef void (*log_tap_fn)(void *ctx, enum log_level level, const char *line, size_t n);

struct log_options {
    enum log_level level;
    bool json;
    bool hold; /* keep lines back until log_release, for lines before the banner */
};

void log_setup(const struct log_options *opts);
void log_set_level(enum log_level level);
enum log_level log_get_level(void);
/* Writes held lines and stops holding. */
void log_release(void);
/* At most LOG_TAPS_MAX; returns a slot or -1. A tap sees lines at or above its own level,
 * whatever the console's level is. */
#define LOG_TAPS_MAX 64
int log_tap_add(log_tap_fn fn, void *ctx, enum log_level level, bool json);
void log_tap_remove(int slot);
/* TRACE DEBUG INFO WARN ERR ERROR in any case. */
bool log_level_parse(const char *text, enum log_level *out);

/* Would a line of that level go anywhere? For callers whose pairs cost something to make. */
bool log_wanted(enum log_level level);
/* Key/value pairs of C strings, ended by NULL:
 *   log_at(LOG_INFO, "agent", "Synced service", "service", id, NULL); */
void log_at(enum log_level level, const char *name, const char *message, ...)
    __attribute__((sentinel));
#define log_trace(name, ...) log_at(LOG_TRACE, name, __VA_ARGS__, NULL)
#define log_debug(name, ...) log_at(LOG_DEBUG, name, __VA_ARGS__, NULL)
#define log_info(name, ...) log_at(LOG_INFO, name, __VA_ARGS__, NULL)
#define log_warn(name, ...) log_at(LOG_WARN, name, __VA_ARGS__, NULL)
#define log_error(name, ...) log_at(LOG_ERROR, name, __VA_ARGS__, NULL)
