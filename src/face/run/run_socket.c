/* SPDX-License-Identifier: Apache-2.0 */
/* Who may use the unix sockets of the API: owner, group and mode as configured. */
#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "consuld/base/log.h"
#include "run.h"

#define SETTING_UP "Failed setting up socket: "
#define MODE_MAX 07777

static bool number(struct str text, int base, unsigned long max, unsigned long *out)
{
    char digits[16], *end;
    if (text.n == 0 || text.n >= sizeof digits || text.p[0] < '0' || text.p[0] > '9') return false;
    memcpy(digits, text.p, text.n);
    digits[text.n] = '\0';
    *out = strtoul(digits, &end, base);
    return *end == '\0' && *out <= max;
}

static int owner(struct arena *a, struct str user, uid_t *out, struct error *err)
{
    unsigned long id;
    if (number(user, 10, INT32_MAX, &id)) {
        *out = (uid_t)id;
        return 0;
    }
    const struct passwd *found = getpwnam(str_c(a, user));
    if (!found)
        return error_set(err, ERR_BAD_REQUEST,
            SETTING_UP "failed to look up user %.*s: user: unknown user %.*s", STR_ARG(user),
            STR_ARG(user));
    *out = found->pw_uid;
    return 0;
}

static int change(const char *path, uid_t uid, gid_t gid, struct str mode, struct error *err)
{
    unsigned long bits = 0;
    if (chown(path, uid, gid) != 0)
        return error_set(err, ERR_IO,
            SETTING_UP "failed setting ownership to %ld:%ld on \"%s\": %s", (long)uid, (long)gid,
            path, strerror(errno));
    if (mode.n == 0) return 0;
    if (!number(mode, 8, MODE_MAX, &bits))
        return error_set(
            err, ERR_BAD_REQUEST, SETTING_UP "invalid mode specified: %.*s", STR_ARG(mode));
    if (chmod(path, (mode_t)bits) != 0)
        return error_set(err, ERR_IO, SETTING_UP "failed setting permissions to %lo on \"%s\": %s",
            bits, path, strerror(errno));
    return 0;
}

int run_socket_access(const struct agent_config *c, const char *path, struct error *err)
{
    struct arena a = ARENA_INIT;
    uid_t uid = getuid();
    unsigned long gid = getgid();
    int failed = c->unix_socket_user.n ? owner(&a, c->unix_socket_user, &uid, err) : 0;
    if (!failed && c->unix_socket_group.n && !number(c->unix_socket_group, 10, INT32_MAX, &gid))
        failed = error_set(err, ERR_BAD_REQUEST, SETTING_UP "invalid group specified: %.*s",
            STR_ARG(c->unix_socket_group));
    if (!failed) failed = change(path, uid, (gid_t)gid, c->unix_socket_mode, err);
    arena_free(&a);
    return failed;
}

void run_socket_replace(const char *path)
{
    struct stat st;
    if (lstat(path, &st) == 0) log_warn("agent", "Replacing socket", "path", path);
}
