/* SPDX-License-Identifier: Apache-2.0 */
#include "system_log.h"

#include <strings.h>
#include <syslog.h>

static const struct {
    const char *name;
    int facility;
} facilities[] = {
    { "AUTH", LOG_AUTH },
    { "AUTHPRIV", LOG_AUTHPRIV },
    { "CRON", LOG_CRON },
    { "DAEMON", LOG_DAEMON },
    { "FTP", LOG_FTP },
    { "KERN", LOG_KERN },
    { "LOCAL0", LOG_LOCAL0 },
    { "LOCAL1", LOG_LOCAL1 },
    { "LOCAL2", LOG_LOCAL2 },
    { "LOCAL3", LOG_LOCAL3 },
    { "LOCAL4", LOG_LOCAL4 },
    { "LOCAL5", LOG_LOCAL5 },
    { "LOCAL6", LOG_LOCAL6 },
    { "LOCAL7", LOG_LOCAL7 },
    { "LPR", LOG_LPR },
    { "MAIL", LOG_MAIL },
    { "NEWS", LOG_NEWS },
    { "SYSLOG", LOG_SYSLOG },
    { "USER", LOG_USER },
    { "UUCP", LOG_UUCP },
};

bool system_log_open(const char *facility)
{
    for (size_t i = 0; i < sizeof facilities / sizeof facilities[0]; i++) {
        if (strcasecmp(facility, facilities[i].name) != 0) continue;
        openlog("consul", LOG_PID, facilities[i].facility);
        return true;
    }
    return false;
}

void system_log_write(int priority, const char *line, size_t n)
{
    syslog(priority, "%.*s", (int)n, line);
}
