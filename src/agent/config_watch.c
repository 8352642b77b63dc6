/* SPDX-License-Identifier: Apache-2.0 */
/* What a watch of the configuration must hold (agent.md 13). */
#include <string.h>

#include "consuld/agent/config.h"

#define PARAMETERS_MAX 4

/* Parameters besides those that every watch takes; `required` must be a text that is not empty. */
static const struct watch_type {
    const char *name;
    const char *parameters[PARAMETERS_MAX];
    const char *required;
    const char *missing;
} watch_types[] = {
    { "checks", { "service", "state", "stale", "filter" }, NULL, NULL },
    { "event", { "name" }, NULL, NULL },
    { "key", { "key", "stale" }, "key", "Must specify a single key to watch" },
    { "keyprefix", { "prefix", "stale" }, "prefix", "Must specify a single prefix to watch" },
    { "nodes", { "stale", "filter" }, NULL, NULL },
    { "service", { "service", "tag", "passingonly", "stale" }, "service",
        "Must specify a single service to watch" },
    { "services", { "stale", "filter" }, NULL, NULL },
};

static const char *const generic[] = { "datacenter", "token", "type", "handler_type",
    "http_handler_config", "handler", "args" };

static const struct watch_type *type_named(struct str name)
{
    for (size_t i = 0; i < sizeof watch_types / sizeof watch_types[0]; i++)
        if (str_is(name, watch_types[i].name)) return &watch_types[i];
    return NULL;
}

static struct str text_at(const struct value *watch, const char *key)
{
    const struct value *v = value_get(watch, str_of(key));
    return v && v->kind == V_STR ? v->s : STR("");
}

static bool is_known(const struct watch_type *t, struct str key)
{
    for (size_t i = 0; i < sizeof generic / sizeof generic[0]; i++)
        if (str_is(key, generic[i])) return true;
    for (size_t i = 0; i < PARAMETERS_MAX && t->parameters[i]; i++)
        if (str_is(key, t->parameters[i])) return true;
    return false;
}

/* A value as Go's %#v prints it. */
static void put_go(struct buf *out, const struct value *v)
{
    const char *between = "";
    if (v->kind == V_NIL) {
        buf_put_c(out, "interface {}(nil)");
    } else if (v->kind == V_LIST) {
        buf_put_c(out, "[]interface {}{");
        for (size_t i = 0; i < v->list.n; i++, between = ", ") {
            buf_put_c(out, between);
            put_go(out, &v->list.v[i]);
        }
        buf_put_char(out, '}');
    } else if (v->kind == V_MAP) {
        buf_put_c(out, "map[string]interface {}{");
        for (size_t i = 0; i < v->map.n; i++, between = ", ") {
            buf_printf(out, "%s\"%.*s\":", between, STR_ARG(v->map.v[i].key));
            put_go(out, &v->map.v[i].value);
        }
        buf_put_char(out, '}');
    } else {
        json_encode_value(v, false, out);
    }
}

/* What is left of the parameters when a watch is found wrong: those of every watch are taken. */
static void put_rest(struct buf *out, const struct value *watch)
{
    const char *between = "";
    buf_put_c(out, "map[string]interface {}{");
    for (size_t i = 0; i < watch->map.n; i++) {
        struct str key = watch->map.v[i].key;
        bool taken = false;
        for (size_t k = 0; k < 4; k++)
            taken = taken || str_is(key, generic[k]);
        if (taken) continue;
        buf_printf(out, "%s\"%.*s\":", between, STR_ARG(key));
        put_go(out, &watch->map.v[i].value);
        between = ", ";
    }
    buf_put_char(out, '}');
}

static int refuse(struct buf *error, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static int refuse(struct buf *error, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    buf_vprintf(error, fmt, ap);
    va_end(ap);
    return ERR_BAD_REQUEST;
}

static int refuse_parse(
    struct buf *error, const struct value *watch, const char *why, struct str what)
{
    buf_put_c(error, "Failed to parse watch (");
    put_rest(error, watch);
    buf_printf(error, "): %s%.*s", why, STR_ARG(what));
    return ERR_BAD_REQUEST;
}

static int check_parameters(const struct value *watch, struct buf *error)
{
    struct str name = text_at(watch, "type");
    const struct watch_type *t = type_named(name);
    if (name.n == 0) return refuse_parse(error, watch, "Watch type must be specified", STR(""));
    if (str_is(text_at(watch, "handler_type"), "http") &&
        !value_get(watch, STR("http_handler_config")))
        return refuse_parse(
            error, watch, "Handler type 'http' requires 'http_handler_config' to be set", STR(""));
    if (!t) return refuse_parse(error, watch, "Unsupported watch type: ", name);
    if (t->required && text_at(watch, t->required).n == 0)
        return refuse_parse(error, watch, t->missing, STR(""));
    if (strcmp(t->name, "checks") == 0 && text_at(watch, "service").n && text_at(watch, "state").n)
        return refuse_parse(error, watch, "Cannot specify service and state", STR(""));
    for (size_t i = 0; i < watch->map.n; i++) {
        struct str key = watch->map.v[i].key;
        if (!is_known(t, key)) return refuse_parse(error, watch, "Invalid parameters: ", key);
    }
    return 0;
}

static int check_watch(const struct value *watch, struct buf *error)
{
    struct str handler_type = text_at(watch, "handler_type"), type = text_at(watch, "type");
    bool http = str_is(handler_type, "http");
    if (handler_type.n && !http && !str_is(handler_type, "script"))
        return refuse(error, "Handler type '%.*s' not recognized", STR_ARG(handler_type));
    if (str_has_prefix(type, STR("connect_")))
        return refuse(error, "Watch type %.*s is not allowed in agent config", STR_ARG(type));
    int rc = check_parameters(watch, error);
    if (rc) return rc;
    const struct value *handler = value_get(watch, STR("handler"));
    bool args = value_get(watch, STR("args")) != NULL;
    if (handler && handler->kind != V_STR) return refuse(error, "Watch handler must be a string");
    if ((handler != NULL) + args + http > 1) return refuse(error, "Only one watch handler allowed");
    if (!handler && !args && !http) return refuse(error, "Must define a watch handler");
    return 0;
}

int config_check_watches(const struct agent_config *c, struct buf *error)
{
    if (c->watches.kind != V_LIST || c->watches.list.n == 0) return 0;
    if (c->http_addrs.n == 0 && c->https_addrs.n == 0)
        return refuse(error, "watch plans require an HTTP or HTTPS endpoint");
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < c->watches.list.n; i++)
        rc = check_watch(&c->watches.list.v[i], error);
    return rc;
}
