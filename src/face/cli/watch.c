/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "child.h"
#include "client.h"
#include "../api/agent_form.h"
#include "../watch/watch_form.h"
#include "consuld/agent/user_events.h"
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
    if (str_eq_nocase(passing, STR("true")) || str_is(passing, "1") ||
        str_eq_nocase(passing, STR("t")))
        client_query(c, r, "passing", STR("1"));
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

/* Decodes an answer and gives it the form of Consul's client library; null if it is none. */
#define DECODED(type, name) \
    struct error err; \
    struct list name = { 0 }; \
    if (json_decode(body, &c->arena, &type_##type##_list, &name, JSON_UNKNOWN_IGNORED, &err) != 0) \
    return STR("null")

static struct str key_shown(struct cli *c, struct str body, uint64_t last)
{
    (void)last;
    DECODED(dir_entry, entries);
    return watch_pairs(&c->arena, &entries, true);
}

static struct str prefix_shown(struct cli *c, struct str body, uint64_t last)
{
    (void)last;
    DECODED(dir_entry, entries);
    return watch_pairs(&c->arena, &entries, false);
}

static struct str service_shown(struct cli *c, struct str body, uint64_t last)
{
    (void)last;
    DECODED(check_service_node, instances);
    return watch_entries(&c->arena, &instances, false);
}

static struct str checks_shown(struct cli *c, struct str body, uint64_t last)
{
    (void)last;
    DECODED(health_check, checks);
    return watch_checks(&c->arena, &checks);
}

/* Those behind the last one seen. */
static struct str events_shown(struct cli *c, struct str body, uint64_t last)
{
    DECODED(user_event, events);
    struct list fresh = LIST_EMPTY;
    for (size_t i = 0; i < events.n; i++) {
        const struct user_event *e = &LIST_AT(&events, struct user_event, i);
        if (last && user_event_index(e) == last)
            fresh = LIST_EMPTY;
        else
            *LIST_PUSH(&c->arena, &fresh, struct user_event) = *e;
    }
    return watch_plain(&c->arena, &type_user_event_list, &fresh);
}

static struct str as_it_is(struct cli *c, struct str body, uint64_t last)
{
    (void)c, (void)last;
    return str_trim(body);
}

#define PARAMETERS_MAX 4

static const struct watch_type {
    const char *name;
    const char *parameters[PARAMETERS_MAX];                  /* flags that mean something here */
    int (*request)(struct cli *c, struct client_request *r); /* 1 after telling what is missing */
    struct str (*shown)(struct cli *c, struct str body, uint64_t last);
} types[] = {
    { "checks", { "service", "state", "stale" }, checks_request, checks_shown },
    { "event", { "name" }, event_request, events_shown },
    { "key", { "key", "stale" }, key_request, key_shown },
    { "keyprefix", { "prefix", "stale" }, prefix_request, prefix_shown },
    { "nodes", { "stale" }, nodes_request, as_it_is },
    { "service", { "service", "tag", "passingonly", "stale" }, service_request, service_shown },
    { "services", { "stale" }, services_request, as_it_is },
};

static const char *const elsewhere[] = { "agent_service", "connect_leaf", "connect_roots" };

static const struct watch_type *type_of(struct str name)
{
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (str_is(name, types[i].name)) return &types[i];
    return NULL;
}

/* --- flags ----------------------------------------------------------------------------------- */

static int unsupported(struct cli *c, struct str name)
{
    for (size_t i = 0; i < sizeof elsewhere / sizeof elsewhere[0]; i++)
        if (str_is(name, elsewhere[i]))
            return cli_fail(c, "Type %.*s is not supported in the CLI tool", STR_ARG(name));
    return cli_fail(c, "Unsupported watch type: %.*s", STR_ARG(name));
}

static bool passing_flag_is_good(struct cli *c)
{
    struct str text = cli_text(c, "passingonly");
    bool passing;
    if (!text.n || agent_parse_bool(text, &passing)) return true;
    cli_fail(c,
        "Failed to parse passingonly flag: strconv.ParseBool: parsing \"%.*s\": invalid syntax",
        STR_ARG(text));
    return false;
}

/* 1 after naming flags that belong to other types. */
static int misplaced(struct cli *c, const struct watch_type *type)
{
    static const char *const flags[] = { "key", "name", "passingonly", "prefix", "service", "stale",
        "state", "tag" };
    struct buf wrong = BUF_INIT(1024);
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        bool known = !cli_is_given(c, flags[i]) ||
                     (strcmp(flags[i], "tag") != 0 && !cli_text(c, flags[i]).n);
        for (size_t k = 0; k < PARAMETERS_MAX && type->parameters[k]; k++)
            known = known || strcmp(flags[i], type->parameters[k]) == 0;
        if (!known) buf_printf(&wrong, "%s%s", wrong.n ? " " : "", flags[i]);
    }
    int status = wrong.n ? cli_fail(c, "Invalid parameters: [%.*s]", STR_ARG(buf_str(&wrong))) : 0;
    buf_deinit(&wrong);
    return status;
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
    if (child_start(c, &options, &pid, &err) != 0) {
        bool sought = str_has_prefix(str_of(err.text), STR("exec:"));
        return cli_fail(c, "Error %s handler: %s", sought ? "executing" : "starting", err.text);
    }
    if (child_wait(pid, &err) != 0) return cli_fail(c, "Error executing handler: %s", err.text);
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

/* What the last turn left. */
struct progress {
    uint64_t index;
    unsigned faults;
    struct buf data; /* as the handler got them */
    bool seen;
};

/* One answer: handled or printed. -1: go on waiting. */
static int turn(struct cli *c, const struct watch_type *type, struct progress *p)
{
    struct error err;
    struct client_response response;
    if (fetch(c, type, p->index, &response, &err) != 0) {
        p->index = 0;
        wait_after_fault(c, &err, ++p->faults);
        return -1;
    }
    p->faults = 0;
    struct str data =
        response.status == 404 ? STR("null") : type->shown(c, response.body, p->index);
    if (c->args.n == 0) {
        cli_print_json(c, data, "    ");
        return 0;
    }
    bool changed = response.index != p->index;
    p->index = response.index < p->index && type->shown != events_shown ? 0 : response.index;
    if (!changed || (p->seen && str_eq(buf_str(&p->data), data))) return -1;
    p->seen = true;
    buf_clear(&p->data);
    buf_put_str(&p->data, data);
    return handle(c, data, response.index) != 0 ? 1 : -1;
}

static int watch(struct cli *c)
{
    struct client_request probe = { .method = "GET" };
    struct str name = cli_text(c, "type");
    struct progress progress = { .data = BUF_INIT(WATCH_DATA_MAX) };
    int status = -1;
    if (!name.n) return cli_fail_help(c, "Watch type must be specified");
    const struct watch_type *type = type_of(name);
    if (!type) return unsupported(c, name);
    if (!passing_flag_is_good(c) || type->request(c, &probe) != 0 || misplaced(c, type)) return 1;
    if (client_greet(c) != 0) return 1;
    while (status < 0) {
        struct cli scratch = *c;
        scratch.arena = (struct arena)ARENA_INIT;
        status = turn(&scratch, type, &progress);
        arena_free(&scratch.arena);
    }
    buf_deinit(&progress.data);
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
