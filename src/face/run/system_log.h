/* SPDX-License-Identifier: Apache-2.0 */
/* syslog(3), apart from the other files since its names are those of our log levels. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

/* LOCAL0 ... in any case; false for an unknown facility. */
bool system_log_open(const char *facility);
/* Priority 7 (debug) to 3 (error). */
void system_log_write(int priority, const char *line, size_t n);
