/* SPDX-License-Identifier: Apache-2.0 */
#include "cluster.h"
#include "consuld/lang/regex.h"

/* Refuses filters that the agents could not read either. */
static int check_filter(struct cli *c, const char *flag)
{
    struct error err;
    struct str text = cli_text(c, flag);
    if (!text.n) return 0;
    if (regex_compile(text, &c->arena, &err)) return 0;
    return cli_fail(c, "Failed to compile %s filter regexp: %s", flag, err.text);
}

int cluster_event(struct cli *c)
{
    static const char *const filters[] = { "node", "service", "tag" };
    struct error err;
    struct value fired;
    struct str name = cli_text(c, "name");
    if (!name.n) return cli_fail_help(c, "Event name must be specified");
    if (c->args.n > 1) return cli_fail_help(c, "Too many command line arguments.");
    if (cli_text(c, "tag").n && !cli_text(c, "service").n)
        return cli_fail(c, "Cannot provide tag filter without service filter.");
    struct client_request r = {
        .method = "PUT", .path = client_path(c, "/v1/event/fire/", name), .body = cli_arg(c, 0)
    };
    for (size_t i = 0; i < sizeof filters / sizeof filters[0]; i++) {
        if (check_filter(c, filters[i]) != 0) return 1;
        if (cli_text(c, filters[i]).n) client_query(c, &r, filters[i], cli_text(c, filters[i]));
    }
    if (client_greet(c) != 0) return 1;
    if (client_json(c, &r, &fired, &err) != 0)
        return cli_fail(c, "Error firing event: %s", err.text);
    cli_say(c, "Event ID: %.*s", STR_ARG(value_text(&fired, "ID")));
    return 0;
}
