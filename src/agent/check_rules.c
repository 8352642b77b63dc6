/* SPDX-License-Identifier: Apache-2.0 */
/* What a check definition must hold, and which kind it is (agent.md 5.1 to 5.3). */
#include "local_state.h"

bool check_is_script(const struct check_type *t)
{
    return t->script_args.n > 0;
}

static bool is_grpc(const struct check_type *t)
{
    return t->grpc.n && t->interval > 0;
}
static bool is_http(const struct check_type *t)
{
    return t->http.n && t->interval > 0;
}
static bool is_ttl(const struct check_type *t)
{
    return t->ttl > 0;
}
static bool is_tcp(const struct check_type *t)
{
    return t->tcp.n && t->interval > 0;
}
static bool is_alias(const struct check_type *t)
{
    return t->alias_node.n || t->alias_service.n;
}
static bool is_docker(const struct check_type *t)
{
    return check_is_script(t) && t->docker_container_id.n && t->interval > 0;
}
static bool is_script(const struct check_type *t)
{
    return check_is_script(t) && t->interval > 0;
}

/* In the order that names the type when several targets are given. */
static const struct {
    const char *word;
    bool (*fits)(const struct check_type *t);
} words[] = {
    { "grpc", is_grpc },
    { "http", is_http },
    { "ttl", is_ttl },
    { "tcp", is_tcp },
    { "alias", is_alias },
    { "docker", is_docker },
    { "script", is_script },
};

const char *check_type_word(const struct check_type *t)
{
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (words[i].fits(t)) return words[i].word;
    }
    return "";
}

bool check_type_empty(const struct check_type *t)
{
    static const struct check_type none;
    return record_equal(&type_check_type, t, &none);
}

int local_check_validate(const struct check_type *t, struct error *err)
{
    bool interval_check = check_is_script(t) || t->http.n || t->tcp.n || t->grpc.n;
    if (t->interval > 0 && t->ttl > 0)
        return error_set(err, ERR_BAD_REQUEST, "Interval and TTL cannot both be specified");
    if (interval_check && t->interval <= 0) {
        return error_set(
            err, ERR_BAD_REQUEST, "Interval must be > 0 for Script, HTTP, or TCP checks");
    }
    if (interval_check && is_alias(t))
        return error_set(err, ERR_BAD_REQUEST, "Interval cannot be set for Alias checks");
    if (!interval_check && !is_alias(t) && t->ttl <= 0)
        return error_set(err, ERR_BAD_REQUEST, "TTL must be > 0 for TTL checks");
    if (is_alias(t) && t->ttl > 0)
        return error_set(err, ERR_BAD_REQUEST, "TTL must be not be set for Alias checks");
    if (t->output_max_size < 0)
        return error_set(err, ERR_BAD_REQUEST, "MaxOutputMaxSize must be positive");
    return 0;
}

int check_scripts_allowed(
    const struct local *l, const struct check_type *t, enum local_source source, struct error *err)
{
    if (!check_is_script(t)) return 0;
    if (source == LOCAL_FROM_API && !l->opts.enable_remote_scripts) {
        return error_set(err, ERR_INTERNAL,
            "Scripts are disabled on this agent from remote calls; to enable, configure "
            "'enable_script_checks' to true");
    }
    if (source == LOCAL_FROM_CONFIG && !l->opts.enable_local_scripts) {
        return error_set(err, ERR_INTERNAL,
            "Scripts are disabled on this agent; to enable, configure 'enable_script_checks' or "
            "'enable_local_script_checks' to true");
    }
    return 0;
}

bool local_check_status_valid(struct str status)
{
    return str_is(status, "passing") || str_is(status, "warning") || str_is(status, "critical");
}

/* In the order that chooses the runner when several targets are given. */
static const struct check_kind *const kinds[] = {
    &check_kind_ttl,
    &check_kind_http,
    &check_kind_tcp,
    &check_kind_grpc,
    &check_kind_docker,
    &check_kind_script,
    &check_kind_alias,
};

const struct check_kind *check_kind_of(const struct check_type *t)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (kinds[i]->fits(t)) return kinds[i];
    }
    return NULL;
}
