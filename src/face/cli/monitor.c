/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <unistd.h>

#include "cluster.h"

static int print(void *ctx, struct str bytes)
{
    struct cli *c = ctx;
    cli_put(c, bytes);
    return fflush(c->io.out);
}

/* Nothing is left to write: every line was flushed. */
static void stop(int signum)
{
    (void)signum;
    _exit(0);
}

int cluster_monitor(struct cli *c)
{
    struct error err;
    struct client_response response;
    struct client_request r = {
        .method = "GET", .path = STR("/v1/agent/monitor"), .chunk = print, .ctx = c
    };
    client_query(c, &r, "loglevel", cli_text(c, "log-level"));
    if (cli_bool(c, "log-json")) client_query(c, &r, "logjson", STR("true"));
    signal(SIGINT, stop);
    signal(SIGTERM, stop);
    int rc = client_call(c, &r, &response, &err);
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    if (rc == ERR_EOF && response.status == 200) {
        cli_say(c, "\nRemote side ended the monitor! This usually means that the\n"
                   "remote side has exited or crashed.");
        return 1;
    }
    return rc ? cli_fail(c, "Error starting monitor: %s", err.text) : 0;
}
