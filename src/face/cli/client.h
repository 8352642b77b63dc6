/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP client of commands: one blocking request at a time over TCP or a unix socket. Where to
 * and with which token stand in flags and environment (cli.md 2). */
#pragma once
#include "cli.h"

#define CLIENT_BODY_MAX ((size_t)1 << 30)
#define CLIENT_HEAD_MAX ((size_t)1 << 20)

struct client_request {
    const char *method;
    struct str path;   /* as the server shall see it, not escaped */
    struct list query; /* struct str_pair; sent in the order of their keys */
    struct str body;   /* p == NULL: none */
    /* Takes the body of a 200 as it comes, instead of response->body. Non-zero ends the call. */
    int (*chunk)(void *ctx, struct str bytes);
    void *ctx;
};

struct client_response {
    int status;
    uint64_t index; /* X-Consul-Index */
    struct str body;
};

/* "/v1/kv/" and a name behind it. */
struct str client_path(struct cli *c, const char *prefix, struct str name);
void client_query(struct cli *c, struct client_request *r, const char *key, struct str value);

/* Sends the request with the command's datacenter, consistency and namespace, and reads the answer
 * whatever its status. Errors are Go's: Get "http://H:P/path": dial tcp ... */
int client_send(struct cli *c, struct client_request *r, struct client_response *out,
    struct error *err) must_check;
/* The same, and any status but 200 is an error: Unexpected response code: 500 (BODY). */
int client_call(struct cli *c, struct client_request *r, struct client_response *out,
    struct error *err) must_check;
/* The same, and the body is JSON. */
int client_json(
    struct cli *c, struct client_request *r, struct value *out, struct error *err) must_check;
/* GET PATH of JSON. */
int client_get(struct cli *c, struct str path, struct value *out, struct error *err) must_check;
/* Asks the agent for its node's name; prints Error querying Consul agent: ... and returns 1 if it
 * does not answer. */
int client_greet(struct cli *c) must_check;
/* The files that flags and environment name: prints Error connecting to Consul agent: ... and
 * returns 1 if one cannot be read. */
int client_check(struct cli *c) must_check;
/* Address of the agent as flags and environment say, for messages: "127.0.0.1:8500". */
struct str client_address(struct cli *c);
/* ParseBool of an environment variable; `fallback` when it is unset or something else. */
bool client_env_bool(const char *name, bool fallback);

/* --- parts, for tests ------------------------------------------------------------------------ */

/* Path and query as they stand in the request line. */
struct str client_target(struct cli *c, const struct client_request *r);
