/* SPDX-License-Identifier: Apache-2.0 */
#include "client.h"
#include "consuld/base/host_port.h"
#include "consuld/agent/config_services.h"
#include "consuld/model.h"

/* Services of all files named by the arguments, or false after the error is told. */
static bool from_files(struct cli *c, struct list *out)
{
    struct buf error = BUF_INIT(CONFIG_MESSAGE_MAX);
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < c->args.n; i++)
        rc = config_services_read(cli_arg(c, i), &c->arena, out, &error);
    if (rc) cli_fail(c, "Error: %.*s", STR_ARG(buf_str(&error)));
    buf_deinit(&error);
    return rc == 0;
}

/* --- from flags ------------------------------------------------------------------------------ */

/* "ADDRESS:PORT". */
static int service_address(struct str text, struct service_address *out, struct error *err)
{
    struct str host, port;
    int64_t number;
    const char *why = host_port_split(text, &host, &port);
    if (why) return error_set(err, ERR_BAD_REQUEST, "address %.*s: %s", STR_ARG(text), why);
    if (!str_to_i64(port, &number))
        return error_set(
            err, ERR_BAD_REQUEST, "strconv.Atoi: parsing \"%.*s\": invalid syntax", STR_ARG(port));
    *out = (struct service_address){ .address = host, .port = number };
    return 0;
}

static bool from_flags(struct cli *c, struct list *out)
{
    struct error err;
    struct service_definition s = { .kind = cli_text(c, "kind"),
        .id = cli_text(c, "id"),
        .name = cli_text(c, "name"),
        .address = cli_text(c, "address"),
        .port = cli_int(c, "port"),
        .tags = cli_list(c, "tag") };
    struct list meta = cli_map(c, "meta"), tagged = cli_map(c, "tagged-address");
    for (size_t i = 0; i < meta.n; i++) {
        struct str_pair pair = LIST_AT(&meta, struct str_pair, i);
        dict_set_str(&c->arena, &s.meta, pair.key, pair.value);
    }
    for (size_t i = 0; i < tagged.n; i++) {
        struct str_pair pair = LIST_AT(&tagged, struct str_pair, i);
        struct service_address *to =
            dict_put(&c->arena, &s.tagged_addresses, &type_service_address, pair.key);
        if (service_address(pair.value, to, &err) == 0) continue;
        cli_fail(c, "Invalid Tagged Address: %s", err.text);
        return false;
    }
    *LIST_PUSH(&c->arena, out, struct service_definition) = s;
    return true;
}

/* --- register -------------------------------------------------------------------------------- */

static int register_one(struct cli *c, const struct service_definition *s)
{
    struct error err;
    struct client_response response;
    struct buf body = BUF_INIT(CLI_INPUT_MAX);
    struct client_request r = { .method = "PUT", .path = STR("/v1/agent/service/register") };
    json_encode(&type_service_definition, s, false, &body);
    r.body = str_dup(&c->arena, buf_str(&body));
    buf_deinit(&body);
    if (client_call(c, &r, &response, &err) != 0)
        return cli_fail(c, "Error registering service \"%.*s\": %s", STR_ARG(s->name), err.text);
    cli_say(c, "Registered service: %.*s", STR_ARG(s->name));
    return 0;
}

static int service_register(struct cli *c)
{
    struct list services = { 0 };
    bool flags = cli_text(c, "name").n > 0;
    if (flags && c->args.n)
        return cli_fail(c, "Service registration requires arguments or -id, not both.");
    if (!flags && !c->args.n)
        return cli_fail(c, "Service registration requires at least one argument or flags.");
    if (!(flags ? from_flags(c, &services) : from_files(c, &services))) return 1;
    for (size_t i = 0; i < services.n; i++)
        if (register_one(c, &LIST_AT(&services, struct service_definition, i)) != 0) return 1;
    return 0;
}

/* --- deregister ------------------------------------------------------------------------------ */

static int deregister_one(struct cli *c, struct str id)
{
    struct error err;
    struct client_response response;
    struct client_request r = { .method = "PUT",
        .path = client_path(c, "/v1/agent/service/deregister/", id) };
    if (client_call(c, &r, &response, &err) != 0)
        return cli_fail(c, "Error deregistering service \"%.*s\": %s", STR_ARG(id), err.text);
    cli_say(c, "Deregistered service: %.*s", STR_ARG(id));
    return 0;
}

static int service_deregister(struct cli *c)
{
    struct list services = { 0 };
    struct str id = cli_text(c, "id");
    if (id.n && c->args.n)
        return cli_fail(c, "Service deregistration requires arguments or -id, not both.");
    if (!id.n && !c->args.n)
        return cli_fail(c, "Service deregistration requires at least one argument or -id.");
    if (id.n) return deregister_one(c, id);
    if (!from_files(c, &services)) return 1;
    for (size_t i = 0; i < services.n; i++) {
        const struct service_definition *s = &LIST_AT(&services, struct service_definition, i);
        if (deregister_one(c, s->id.n ? s->id : s->name) != 0) return 1;
    }
    return 0;
}

/* --- the table ------------------------------------------------------------------------------- */

static const struct cli_flag register_flags[] = {
    { CLI_STRING, "address", .usage = "Address of the service; the node's if empty." },
    { CLI_STRING, "id", .usage = "ID of the service; its name if empty." },
    { CLI_STRING, "kind", .usage = "Kind of the service: connect-proxy, mesh-gateway ..." },
    { CLI_MAP, "meta", .usage = "Metadata. May be given again." },
    { CLI_STRING, "name", .usage = "Name of the service." },
    { CLI_INT, "port", .usage = "Port of the service." },
    { CLI_LIST, "tag", .usage = "Tag of the service. May be given again." },
    { CLI_MAP, "tagged-address", .type = "tag=address:port",
        .usage = "Address under a tag. May be given again." },
    { 0 },
};

static const struct cli_flag deregister_flags[] = {
    { CLI_STRING, "id", .usage = "ID of the service." },
    { 0 },
};

#define SERVICE_GROUPS (CLI_CLIENT | CLI_SERVER | CLI_NAMESPACE)

const struct cli_command cli_service_commands[] = {
    CLI_GROUP("services", "Interact with services", "<subcommand> [options] [args]"),
    { "services deregister", "Deregister services with the local agent", "[options] [FILE...]",
        SERVICE_GROUPS, deregister_flags, .run = service_deregister },
    { "services register", "Create or modify services with the local agent", "[options] [FILE...]",
        SERVICE_GROUPS, register_flags, .run = service_register,
        .about = "FILE holds service definitions as an agent's configuration does." },
    { 0 },
};
