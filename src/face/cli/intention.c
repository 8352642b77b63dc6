/* SPDX-License-Identifier: Apache-2.0 */
/* Intentions: create and get; the others stand in intention_ask.c. */
#include "intention.h"

#include <time.h>

/* "NAMESPACE/NAME" or "NAME". */
static void set_target(struct str arg, struct str *namespace, struct str *name)
{
    if (!str_cut(arg, '/', namespace, name)) {
        *namespace = STR("default");
        *name = arg;
    }
}

struct str intention__text(struct cli *c, const struct intention *i)
{
    return str_printf(&c->arena, "%.*s => %.*s (%.*s)", STR_ARG(i->source_name),
        STR_ARG(i->destination_name), STR_ARG(i->action));
}

int intention__find(struct cli *c, struct str source, struct str destination,
    struct intention **out, struct error *err)
{
    struct client_response response;
    struct intention want = { 0 };
    struct list all = { 0 };
    struct client_request r = { .method = "GET", .path = STR("/v1/connect/intentions") };
    *out = NULL;
    set_target(source, &want.source_ns, &want.source_name);
    set_target(destination, &want.destination_ns, &want.destination_name);
    int rc = client_call(c, &r, &response, err);
    if (rc == 0)
        rc = json_decode(
            response.body, &c->arena, &type_intention_list, &all, JSON_UNKNOWN_IGNORED, err);
    for (size_t i = 0; rc == 0 && i < all.n; i++) {
        struct intention *at = &LIST_AT(&all, struct intention, i);
        if (str_eq(at->source_name, want.source_name) &&
            str_eq(at->destination_name, want.destination_name) &&
            str_eq(at->source_ns, want.source_ns) &&
            str_eq(at->destination_ns, want.destination_ns))
            *out = at;
    }
    return rc;
}

/* --- create ---------------------------------------------------------------------------------- */

static int send_intention(struct cli *c, const char *method, struct str path,
    const struct intention *i, struct error *err)
{
    struct client_response response;
    struct client_request r = { .method = method, .path = path };
    struct buf body = BUF_INIT(CLI_INPUT_MAX);
    struct json_writer w;
    json_begin(&w, &body, false);
    json_object(&w);
    const struct {
        const char *key;
        struct str text;
    } texts[] = { { "SourceNS", i->source_ns }, { "SourceName", i->source_name },
        { "DestinationNS", i->destination_ns }, { "DestinationName", i->destination_name },
        { "SourceType", i->source_type }, { "Action", i->action },
        { "Description", i->description } };
    for (size_t k = 0; k < sizeof texts / sizeof texts[0]; k++) {
        if (!texts[k].text.n) continue;
        json_key(&w, texts[k].key);
        json_str(&w, texts[k].text);
    }
    json_key(&w, "Meta");
    json_obj(&w, &type_map_str, &i->meta);
    json_object_end(&w);
    r.body = str_dup(&c->arena, buf_str(&body));
    buf_deinit(&body);
    return client_call(c, &r, &response, err);
}

/* The intention of the arguments, or one per file of them: struct intention. */
static int wanted(struct cli *c, struct list *out)
{
    struct error err;
    struct str action = cli_bool(c, "deny") ? STR("deny") : STR("allow"), text;
    struct list meta = cli_map(c, "meta");
    if (cli_bool(c, "file")) {
        for (size_t i = 0; i < c->args.n; i++) {
            struct intention *at = LIST_PUSH(&c->arena, out, struct intention);
            if (cli_read_file(c, cli_arg(c, i), &text, &err) != 0 ||
                json_decode(text, &c->arena, &type_intention, at, JSON_UNKNOWN_IGNORED, &err) != 0)
                return cli_fail(c, "Error: %s", err.text);
        }
        return 0;
    }
    if (c->args.n != 2)
        return cli_fail(c, "Error: Must specify two arguments: source and destination");
    struct intention *i = LIST_PUSH(&c->arena, out, struct intention);
    *i = (struct intention){ .source_type = STR("consul"), .action = action };
    set_target(cli_arg(c, 0), &i->source_ns, &i->source_name);
    set_target(cli_arg(c, 1), &i->destination_ns, &i->destination_name);
    for (size_t k = 0; k < meta.n; k++)
        dict_set_str(&c->arena, &i->meta, LIST_AT(&meta, struct str_pair, k).key,
            LIST_AT(&meta, struct str_pair, k).value);
    return 0;
}

static int create_one(struct cli *c, const struct intention *i)
{
    struct error err;
    struct intention *old = NULL;
    if (cli_bool(c, "replace")) {
        if (intention__find(c, i->source_name, i->destination_name, &old, &err) != 0)
            return cli_fail(c, "Error looking up existing intention: %s", err.text);
        if (old) {
            if (send_intention(
                    c, "PUT", client_path(c, "/v1/connect/intentions/", old->id), i, &err) == 0)
                return 0;
            return cli_fail(c,
                "Error replacing intention with source \"%.*s\" and destination \"%.*s\": %s",
                STR_ARG(i->source_name), STR_ARG(i->destination_name), err.text);
        }
    }
    struct str text = intention__text(c, i);
    if (send_intention(c, "POST", STR("/v1/connect/intentions"), i, &err) != 0)
        return cli_fail(c, "Error creating intention \"%.*s\": %s", STR_ARG(text), err.text);
    cli_say(c, "Created: %.*s", STR_ARG(text));
    return 0;
}

int intention_create(struct cli *c)
{
    struct list all = { 0 };
    if (cli_bool(c, "allow") && cli_bool(c, "deny"))
        return cli_fail(c, "Only one of -allow or -deny may be specified.");
    if (wanted(c, &all) != 0) return 1;
    for (size_t i = 0; i < all.n; i++)
        if (create_one(c, &LIST_AT(&all, struct intention, i)) != 0) return 1;
    return 0;
}

/* --- get ------------------------------------------------------------------------------------- */

int intention__by_args(struct cli *c, struct intention **out)
{
    struct error err;
    *out = NULL;
    if (c->args.n != 2) return cli_fail(c, "Error: command requires exactly 1 or 2 arguments");
    struct str source = cli_arg(c, 0), destination = cli_arg(c, 1);
    if (intention__find(c, source, destination, out, &err) != 0)
        return cli_fail(c, "Error: %s", err.text);
    if (*out) return 0;
    return cli_fail(c, "Error: Intention with source \"%.*s\" and destination \"%.*s\" not found.",
        STR_ARG(source), STR_ARG(destination));
}

static int by_id(struct cli *c, struct str id, struct intention **out)
{
    struct error err;
    struct client_response response;
    struct client_request r = { .method = "GET",
        .path = client_path(c, "/v1/connect/intentions/", id) };
    int rc = client_send(c, &r, &response, &err);
    if (rc == 0 && response.status == 404)
        return cli_fail(c, "Error: Intention not found with ID \"%.*s\"", STR_ARG(id));
    if (rc == 0 && response.status != 200)
        rc = error_set(&err, ERR_BAD_REQUEST, "Unexpected response %d: %.*s", response.status,
            STR_ARG(response.body));
    *out = arena_new(&c->arena, struct intention);
    if (rc == 0)
        rc = json_decode(
            response.body, &c->arena, &type_intention, *out, JSON_UNKNOWN_IGNORED, &err);
    return rc ? cli_fail(c, "Error reading the intention: %s", err.text) : 0;
}

static struct str created_at(struct cli *c, struct gotime at)
{
    char text[64];
    struct tm tm;
    time_t seconds = (time_t)(gotime_to_unix_ns(at) / 1000000000);
    localtime_r(&seconds, &tm);
    /* Go's RFC 850 form: the year has two digits there */
    size_t n = strftime(text, sizeof text, "%A, %d-%b-", &tm);
    n += (size_t)snprintf(text + n, sizeof text - n, "%02d", tm.tm_year % 100);
    strftime(text + n, sizeof text - n, " %H:%M:%S %Z", &tm);
    return str_dup(&c->arena, str_of(text));
}

int intention_get(struct cli *c)
{
    struct intention *i;
    if (c->args.n == 1 ? by_id(c, cli_arg(c, 0), &i) : intention__by_args(c, &i)) return 1;
    struct columns t = { .width = 2 };
    columns_add(c, &t, (const struct str[]){ STR("Source:"), i->source_name });
    columns_add(c, &t, (const struct str[]){ STR("Destination:"), i->destination_name });
    columns_add(c, &t, (const struct str[]){ STR("Action:"), i->action });
    columns_add(c, &t, (const struct str[]){ STR("ID:"), i->id });
    if (i->description.n)
        columns_add(c, &t, (const struct str[]){ STR("Description:"), i->description });
    struct list keys = { 0 };
    for (size_t k = 0; k < i->meta.n; k++)
        *LIST_PUSH(&c->arena, &keys, struct str) = dict_key(&i->meta, type_map_str.elem, k);
    texts_sort(&keys);
    for (size_t k = 0; k < keys.n; k++) {
        struct str key = LIST_AT(&keys, struct str, k);
        columns_add(c, &t,
            (const struct str[]){
                str_printf(&c->arena, "Meta[%.*s]:", STR_ARG(key)), dict_str(&i->meta, key) });
    }
    columns_add(c, &t, (const struct str[]){ STR("Created At:"), created_at(c, i->created_at) });
    columns_print(c, &t, 2);
    return 0;
}
