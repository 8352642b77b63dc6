/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster.h"

static int print(void *ctx, struct str bytes)
{
    struct cli *c = ctx;
    cli_put(c, bytes);
    return fflush(c->io.out);
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
    int rc = client_call(c, &r, &response, &err);
    if (rc == ERR_EOF && response.status == 200) {
        cli_say(c, "\nRemote side ended the monitor! This usually means that the\n"
                   "remote side has exited or crashed.");
        return 0;
    }
    return rc ? cli_fail(c, "Error starting monitor: %s", err.text) : 0;
}
