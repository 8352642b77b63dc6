/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "child.h"
#include "client.h"
#include "consuld/model.h"

#define RETRY_FIRST_S 5
#define RETRY_MAX_S 180

/* --- what is watched ------------------------------------------------------------------------- */

static int key_request(struct cli *c, struct client_request *r)
{
    struct str key = cli_text(c, "key");
    if (!key.n) return cli_fail(c, "Must specify a single key to watch");
    r->path = client_path(c, "/v1/kv/", key);
    return 0;
}

static int prefix_request(struct cli *c, struct client_request *r)
{
    struct str prefix = cli_text(c, "prefix");
    if (!prefix.n) return cli_fail(c, "Must specify a single prefix to watch");
    r->path = client_path(c, "/v1/kv/", prefix);
    client_query(c, r, "recurse", STR(""));
    return 0;
}

static int services_request(struct cli *c, struct client_request *r)
{
    (void)c;
    r->path = STR("/v1/catalog/services");
    return 0;
}

static int nodes_request(struct cli *c, struct client_request *r)
{
    (void)c;
    r->path = STR("/v1/catalog/nodes");
    return 0;
}

static int service_request(struct cli *c, struct client_request *r)
{
    struct str service = cli_text(c, "service"), passing = cli_text(c, "passingonly");
    struct list tags = cli_list(c, "tag");
    if (!service.n) return cli_fail(c, "Must specify a single service to watch");
    r->path = client_path(c, "/v1/health/service/", service);
    for (size_t i = 0; i < tags.n; i++)
        client_query(c, r, "tag", LIST_AT(&tags, struct str, i));
    if (str_is(passing, "true")) client_query(c, r, "passing", STR("1"));
    return 0;
}

static int checks_request(struct cli *c, struct client_request *r)
{
    struct str service = cli_text(c, "service"), state = cli_text(c, "state");
    if (service.n && state.n) return cli_fail(c, "Cannot specify service and state");
    r->path = service.n ? client_path(c, "/v1/health/checks/", service)
                        : client_path(c, "/v1/health/state/", state.n ? state : STR("any"));
    return 0;
}

static int event_request(struct cli *c, struct client_request *r)
{
    r->path = STR("/v1/event/list");
    if (cli_text(c, "name").n) client_query(c, r, "name", cli_text(c, "name"));
    return 0;
}

/* --- what the handler gets ------------------------------------------------------------------- */

static void put_pair(struct json_writer *w, const struct dir_entry *e)
{
    json_object(w);
    json_key(w, "Key");
    json_str(w, e->key);
    json_key(w, "CreateIndex");
    json_u64(w, e->create_index);
    json_key(w, "ModifyIndex");
    json_u64(w, e->modify_index);
    json_key(w, "LockIndex");
    json_u64(w, e->lock_index);
    json_key(w, "Flags");
    json_u64(w, e->flags);
    json_key(w, "Value");
    if (e->value.n)
        json_base64(w, e->value);
    else
        json_null(w);
    json_key(w, "Session");
    json_str(w, e->session);
    json_object_end(w);
}

/* One key, or all below a prefix; null if there is none. */
static struct str pairs(struct cli *c, struct str body, bool one)
{
    struct error err;
    struct list entries = { 0 };
    struct buf text = BUF_INIT(2 * CLIENT_BODY_MAX);
    struct json_writer w;
    int rc =
        json_decode(body, &c->arena, &type_dir_entry_list, &entries, JSON_UNKNOWN_IGNORED, &err);
    if (rc || entries.n == 0) return STR("null");
    json_begin(&w, &text, false);
    if (!one) json_array(&w);
    for (size_t i = 0; i < (one ? 1 : entries.n); i++)
        put_pair(&w, &LIST_AT(&entries, struct dir_entry, i));
    if (!one) json_array_end(&w);
    struct str out = str_dup(&c->arena, buf_str(&text));
    buf_deinit(&text);
    return out;
}

static struct str key_shown(struct cli *c, struct str body)
{
    return pairs(c, body, true);
}

static struct str prefix_shown(struct cli *c, struct str body)
{
    return pairs(c, body, false);
}

static struct str as_it_is(struct cli *c, struct str body)
{
    (void)c;
    return str_trim(body);
}

static const struct watch_type {
    const char *name;
    int (*request)(struct cli *c, struct client_request *r); /* 1 after telling what is missing */
    struct str (*shown)(struct cli *c, struct str body);
} types[] = {
    { "checks", checks_request, as_it_is },
    { "event", event_request, as_it_is },
    { "key", key_request, key_shown },
    { "keyprefix", prefix_request, prefix_shown },
    { "nodes", nodes_request, as_it_is },
    { "service", service_request, as_it_is },
    { "services", services_request, as_it_is },
};

static const struct watch_type *type_of(struct str name)
{
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (str_is(name, types[i].name)) return &types[i];
    return NULL;
}

/* --- the loop -------------------------------------------------------------------------------- */

static int handle(struct cli *c, struct str data, uint64_t index)
{
    struct error err;
    pid_t pid;
    struct str input = str_printf(&c->arena, "%.*s\n", STR_ARG(data));
    struct str number = str_printf(&c->arena, "%llu", (unsigned long long)index);
    const char *const environment[] = { "CONSUL_INDEX", number.p, NULL };
    const struct child_options options = { .words = &c->args,
        .shell = cli_bool(c, "shell"),
        .environment = environment,
        .input = &input };
    if (child_start(c, &options, &pid, &err) != 0 || child_wait(pid, &err) != 0)
        return cli_fail(c, "Error executing handler: %s", err.text);
    return 0;
}

static int fetch(struct cli *c, const struct watch_type *type, uint64_t index,
    struct client_response *out, struct error *err)
{
    struct client_request r = { .method = "GET" };
    if (type->request(c, &r) != 0) return error_set(err, ERR_INTERNAL, "no request");
    if (index)
        client_query(c, &r, "index", str_printf(&c->arena, "%llu", (unsigned long long)index));
    int rc = client_send(c, &r, out, err);
    if (rc || out->status == 200 || out->status == 404) return rc;
    return error_set(err, ERR_BAD_REQUEST, "Unexpected response code: %d (%.*s)", out->status,
        STR_ARG(out->body));
}

static void wait_after_fault(struct cli *c, const struct error *err, unsigned faults)
{
    unsigned seconds = faults > 6 ? RETRY_MAX_S : RETRY_FIRST_S * faults * faults;
    struct timespec pause = { .tv_sec = seconds };
    cli_fail(c, "Watch (type: %.*s) errored: %s, retry in %us", STR_ARG(cli_text(c, "type")),
        err->text, seconds);
    nanosleep(&pause, NULL);
}

/* One answer: handled or printed. -1: go on waiting. */
static int turn(struct cli *c, const struct watch_type *type, uint64_t *index, unsigned *faults)
{
    struct error err;
    struct client_response response;
    if (fetch(c, type, *index, &response, &err) != 0) {
        *index = 0;
        wait_after_fault(c, &err, ++*faults);
        return -1;
    }
    *faults = 0;
    struct str data = response.status == 404 ? STR("null") : type->shown(c, response.body);
    if (c->args.n == 0) {
        cli_print_json(c, data, "    ");
        return 0;
    }
    bool changed = response.index != *index;
    *index = response.index < *index ? 0 : response.index;
    return changed && handle(c, data, response.index) != 0 ? 1 : -1;
}

static int watch(struct cli *c)
{
    struct client_request probe = { .method = "GET" };
    struct str name = cli_text(c, "type");
    uint64_t index = 0;
    unsigned faults = 0;
    int status = -1;
    if (!name.n) return cli_fail_help(c, "Watch type must be specified");
    const struct watch_type *type = type_of(name);
    if (!type) return cli_fail(c, "Unsupported watch type: %.*s", STR_ARG(name));
    if (type->request(c, &probe) != 0) return 1;
    while (status < 0) {
        struct cli scratch = *c;
        scratch.arena = (struct arena)ARENA_INIT;
        status = turn(&scratch, type, &index, &faults);
        arena_free(&scratch.arena);
    }
    return status;
}

/* --- the table ------------------------------------------------------------------------------- */

static const struct cli_flag watch_flags[] = {
    { CLI_STRING, "key", .usage = "Key, for the type key." },
    { CLI_STRING, "name", .usage = "Name of events, for the type event; all if empty." },
    { CLI_STRING, "passingonly", .type = "[true|false]",
        .usage = "Only instances whose checks pass, for the type service." },
    { CLI_STRING, "prefix", .usage = "Prefix of keys, for the type keyprefix." },
    { CLI_STRING, "service", .usage = "Service, for the types service and checks." },
    { CLI_BOOL, "shell", .value = "true", .usage = "Runs the child with a shell." },
    { CLI_STRING, "state", .usage = "State, for the type checks." },
    { CLI_LIST, "tag", .usage = "Tag, for the type service. May be given again." },
    { CLI_STRING, "type",
        .usage = "What to watch: key, keyprefix, services, nodes, service, "
                 "checks or event." },
    { 0 },
};

const struct cli_command cli_watch_commands[] = {
    { "watch", "Watch for changes in Consul", "[options] [child...]", CLI_CLIENT | CLI_SERVER,
        watch_flags, .run = watch,
        .about = "With a child: runs it for each change with the data as JSON on its standard "
                 "input and the index in CONSUL_INDEX. Without: prints the data once." },
    { 0 },
};
