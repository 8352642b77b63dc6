/* SPDX-License-Identifier: Apache-2.0 */
/* Reads and writes that both kinds of locks are made of. */
#include <string.h>
#include <time.h>

#include "consuld/model.h"
#include "lock.h"

int64_t lock_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

uint64_t lock_patience(const struct lock *l, int64_t started_ns)
{
    const uint64_t most = (uint64_t)LOCK_WAIT_S * 1000000000;
    if (l->try_ns <= 0) return most;
    int64_t left = l->try_ns - (lock_now_ns() - started_ns);
    if (left <= 0) return 0;
    return (uint64_t)left < most ? (uint64_t)left : most;
}

struct str lock_number(struct cli *c, uint64_t n)
{
    return str_printf(&c->arena, "%llu", (unsigned long long)n);
}

struct str lock_key(struct cli *c, const struct lock *l)
{
    return str_printf(&c->arena, "%.*s%s.lock", STR_ARG(l->prefix), l->prefix.n ? "/" : "");
}

int lock_read(struct cli *c, const struct lock *l, bool recurse, uint64_t wait_ns, uint64_t *index,
    struct list *out, struct error *err)
{
    struct client_response response;
    struct str key = recurse ? str_printf(&c->arena, "%.*s/", STR_ARG(l->prefix)) : lock_key(c, l);
    struct client_request r = { .method = "GET", .path = client_path(c, "/v1/kv/", key) };
    *out = (struct list){ 0 };
    if (recurse) client_query(c, &r, "recurse", STR(""));
    client_query(c, &r, "consistent", STR(""));
    if (*index && wait_ns) {
        client_query(c, &r, "index", lock_number(c, *index));
        client_query(c, &r, "wait",
            str_printf(&c->arena, "%llums", (unsigned long long)(wait_ns / 1000000 + 1)));
    }
    int rc = client_send(c, &r, &response, err);
    if (rc) return rc;
    *index = response.index < *index ? 0 : response.index;
    if (response.status == 404) return 0;
    if (response.status != 200)
        return error_set(err, ERR_BAD_REQUEST, "Unexpected response code: %d (%.*s)",
            response.status, STR_ARG(response.body));
    return json_decode(
        response.body, &c->arena, &type_dir_entry_list, out, JSON_UNKNOWN_IGNORED, err);
}

int lock_write(struct cli *c, const char *method, struct str key, const char *parameter,
    struct str value, uint64_t flags, struct str body, bool *done, struct error *err)
{
    struct client_response response;
    struct client_request r = {
        .method = method, .path = client_path(c, "/v1/kv/", key), .body = body
    };
    if (parameter) client_query(c, &r, parameter, value);
    if (flags) client_query(c, &r, "flags", lock_number(c, flags));
    int rc = client_call(c, &r, &response, err);
    *done = rc == 0 && str_find(response.body, STR("true")) >= 0;
    return rc;
}
