/* SPDX-License-Identifier: Apache-2.0 */
#include "client.h"

#include <stdlib.h>
#include <string.h>

#include "client_wire.h"

struct str client_path(struct cli *c, const char *prefix, struct str name)
{
    return str_printf(&c->arena, "%s%.*s", prefix, STR_ARG(name));
}

void client_query(struct cli *c, struct client_request *r, const char *key, struct str value)
{
    *LIST_PUSH(&c->arena, &r->query, struct str_pair) = (struct str_pair){ str_of(key), value };
}

/* --- targets --------------------------------------------------------------------------------- */

static void escape(struct buf *out, struct str s, const char *plain)
{
    static const char hex[] = "0123456789ABCDEF";
    for (size_t i = 0; i < s.n; i++) {
        unsigned char at = (unsigned char)s.p[i];
        bool alnum =
            (at >= '0' && at <= '9') || (at >= 'a' && at <= 'z') || (at >= 'A' && at <= 'Z');
        if (alnum || (at && strchr(plain, at))) {
            buf_put_char(out, (char)at);
        } else {
            buf_put_char(out, '%');
            buf_put_char(out, hex[at >> 4]);
            buf_put_char(out, hex[at & 15]);
        }
    }
}

static int by_key(const void *a, const void *b)
{
    return str_cmp(((const struct str_pair *)a)->key, ((const struct str_pair *)b)->key);
}

/* In the order of keys; equal keys keep theirs. */
static void sort_query(struct list *q)
{
    for (size_t i = 1; i < q->n; i++)
        for (size_t j = i; j > 0 && by_key(&LIST_AT(q, struct str_pair, j - 1),
                                        &LIST_AT(q, struct str_pair, j)) > 0;
             j--) {
            struct str_pair pair = LIST_AT(q, struct str_pair, j);
            LIST_AT(q, struct str_pair, j) = LIST_AT(q, struct str_pair, j - 1);
            LIST_AT(q, struct str_pair, j - 1) = pair;
        }
}

struct str client_target(struct cli *c, const struct client_request *r)
{
    struct list query = { 0 };
    for (size_t i = 0; i < r->query.n; i++)
        *LIST_PUSH(&c->arena, &query, struct str_pair) = LIST_AT(&r->query, struct str_pair, i);
    sort_query(&query);
    struct buf b = BUF_INIT(CLIENT_HEAD_MAX);
    escape(&b, r->path, "/-_.~$&+,:;=@");
    for (size_t i = 0; i < query.n; i++) {
        const struct str_pair *pair = &LIST_AT(&query, struct str_pair, i);
        buf_put_char(&b, i ? '&' : '?');
        escape(&b, pair->key, "-_.~");
        buf_put_char(&b, '=');
        struct str rest = pair->value, word;
        for (bool more = true; more;) {
            more = str_cut(rest, ' ', &word, &rest);
            escape(&b, word, "-_.~");
            if (more) buf_put_char(&b, '+');
        }
    }
    struct str out = str_dup(&c->arena, buf_str(&b));
    buf_deinit(&b);
    return out;
}

/* --- flags and environment ------------------------------------------------------------------- */

bool client_env_bool(const char *name, bool fallback)
{
    struct str text = str_of(getenv(name));
    if (str_is(text, "1") || str_eq_nocase(text, STR("t")) || str_eq_nocase(text, STR("true")))
        return true;
    if (str_is(text, "0") || str_eq_nocase(text, STR("f")) || str_eq_nocase(text, STR("false")))
        return false;
    return fallback;
}

/* The flag if it is given, else the variable, else nil. */
static struct str flag_or_env(
    const struct cli *c, unsigned group, const char *flag, const char *variable)
{
    if ((c->command->groups & group) && cli_is_given(c, flag)) return cli_text(c, flag);
    return str_of(getenv(variable));
}

struct str client_address(struct cli *c)
{
    struct str address = flag_or_env(c, CLI_CLIENT, "http-addr", "CONSUL_HTTP_ADDR");
    return address.n ? address : STR("127.0.0.1:8500");
}

static const struct client_tls *tls_of(struct cli *c)
{
    struct client_tls *t = arena_new(&c->arena, struct client_tls);
    *t = (struct client_tls){ .ca_file = flag_or_env(c, CLI_CLIENT, "ca-file", "CONSUL_CACERT"),
        .ca_path = flag_or_env(c, CLI_CLIENT, "ca-path", "CONSUL_CAPATH"),
        .cert_file = flag_or_env(c, CLI_CLIENT, "client-cert", "CONSUL_CLIENT_CERT"),
        .key_file = flag_or_env(c, CLI_CLIENT, "client-key", "CONSUL_CLIENT_KEY"),
        .server_name = flag_or_env(c, CLI_CLIENT, "tls-server-name", "CONSUL_TLS_SERVER_NAME"),
        .unverified = !client_env_bool("CONSUL_HTTP_SSL_VERIFY", true) };
    return t;
}

static void place_of(struct cli *c, struct client_place *out)
{
    struct str address = client_address(c);
    bool tls = client_env_bool("CONSUL_HTTP_SSL", false);
    *out = (struct client_place){ 0 };
    if (str_has_prefix(address, STR("unix://"))) {
        out->path = str_slice(address, strlen("unix://"), address.n);
        out->host = out->path;
        return;
    }
    if (str_has_prefix(address, STR("https://"))) {
        tls = true;
        address = str_slice(address, strlen("https://"), address.n);
    } else if (str_has_prefix(address, STR("http://"))) {
        address = str_slice(address, strlen("http://"), address.n);
    }
    if (tls) out->tls = tls_of(c);
    if (str_has_suffix(address, STR("/"))) address = str_slice(address, 0, address.n - 1);
    out->host = address;
}

static int token_of(struct cli *c, struct str *out, struct error *err)
{
    struct str file = flag_or_env(c, CLI_CLIENT, "token-file", "CONSUL_HTTP_TOKEN_FILE");
    if (file.n) {
        if (cli_read_file(c, file, out, err) != 0)
            return error_prefix(err, "Error loading token file: ");
        *out = str_trim(*out);
        if (out->n) return 0;
    }
    *out = flag_or_env(c, CLI_CLIENT, "token", "CONSUL_HTTP_TOKEN");
    return 0;
}

static void add_options(struct cli *c, struct client_request *r)
{
    if (c->command->groups & CLI_SERVER) {
        if (cli_text(c, "datacenter").n) client_query(c, r, "dc", cli_text(c, "datacenter"));
        if (cli_bool(c, "stale") && strcmp(r->method, "GET") == 0)
            client_query(c, r, "stale", STR(""));
    }
    if (c->command->groups & CLI_NAMESPACE) {
        struct str name = flag_or_env(c, CLI_NAMESPACE, "namespace", "CONSUL_NAMESPACE");
        if (name.n) client_query(c, r, "ns", name);
    }
}

static struct str head_of(struct cli *c, const struct client_place *place,
    const struct client_request *r, struct str target, struct str token)
{
    struct buf b = BUF_INIT(CLIENT_HEAD_MAX);
    struct str auth = str_of(getenv("CONSUL_HTTP_AUTH"));
    buf_printf(&b, "%s %.*s HTTP/1.1\r\nHost: %.*s\r\nUser-Agent: consuld\r\nConnection: close\r\n",
        r->method, STR_ARG(target), STR_ARG(place->path.n ? STR("localhost") : place->host));
    if (token.n) buf_printf(&b, "X-Consul-Token: %.*s\r\n", STR_ARG(token));
    if (auth.n) {
        buf_put_c(&b, "Authorization: Basic ");
        if (str_find_char(auth, ':') < 0) auth = str_printf(&c->arena, "%.*s:", STR_ARG(auth));
        base64_encode(auth, &b);
        buf_put_c(&b, "\r\n");
    }
    if (r->body.p || strcmp(r->method, "GET") != 0)
        buf_printf(&b, "Content-Length: %zu\r\n", r->body.n);
    buf_put_c(&b, "\r\n");
    struct str out = b.overflow ? STR_NIL : str_dup(&c->arena, buf_str(&b));
    buf_deinit(&b);
    return out;
}

/* --- calls ----------------------------------------------------------------------------------- */

/* "Get", as Go's client names its calls. */
static const char *verb(struct cli *c, const char *method)
{
    struct str lower = str_lower(&c->arena, str_of(method));
    return str_printf(&c->arena, "%c%s", method[0], lower.n ? lower.p + 1 : "").p;
}

static struct str url_host(struct cli *c, const struct client_place *place)
{
    struct buf b = BUF_INIT(CLIENT_HEAD_MAX);
    escape(&b, place->host, "-_.~[]:");
    struct str out = str_dup(&c->arena, buf_str(&b));
    buf_deinit(&b);
    return out;
}

static bool has_line_end(struct str s)
{
    return str_find_char(s, '\n') >= 0 || str_find_char(s, '\r') >= 0;
}

int client_send(
    struct cli *c, struct client_request *r, struct client_response *out, struct error *err)
{
    struct client_place place;
    struct str token;
    *out = (struct client_response){ 0 };
    place_of(c, &place);
    int rc = token_of(c, &token, err);
    if (rc) return rc;
    if (has_line_end(token) || has_line_end(place.host))
        return error_set(err, ERR_BAD_REQUEST, "line end in the token or address");
    struct client_request full = *r;
    full.query = (struct list){ 0 };
    for (size_t i = 0; i < r->query.n; i++)
        *LIST_PUSH(&c->arena, &full.query, struct str_pair) =
            LIST_AT(&r->query, struct str_pair, i);
    add_options(c, &full);
    struct str target = client_target(c, &full);
    struct str head = head_of(c, &place, &full, target, token);
    if (!head.p) return error_set(err, ERR_TOO_LARGE, "the request head is too large");
    rc = client_exchange(c, &place, &full, head, out, err);
    if (rc && rc != ERR_CANCELLED)
        error_prefix(err, "%s \"%s://%.*s%.*s\": ", verb(c, r->method),
            place.tls ? "https" : "http", STR_ARG(url_host(c, &place)), STR_ARG(target));
    return rc;
}

int client_call(
    struct cli *c, struct client_request *r, struct client_response *out, struct error *err)
{
    int rc = client_send(c, r, out, err);
    if (rc || out->status == 200) return rc;
    return error_set(err, ERR_BAD_REQUEST, "Unexpected response code: %d (%.*s)", out->status,
        STR_ARG(out->body));
}

int client_json(struct cli *c, struct client_request *r, struct value *out, struct error *err)
{
    struct client_response response;
    int rc = client_call(c, r, &response, err);
    return rc ? rc : json_parse(response.body, &c->arena, out, err);
}

int client_get(struct cli *c, struct str path, struct value *out, struct error *err)
{
    struct client_request r = { .method = "GET", .path = path };
    return client_json(c, &r, out, err);
}

int client_greet(struct cli *c)
{
    struct error err;
    struct value self;
    if (client_get(c, STR("/v1/agent/self"), &self, &err) == 0) return 0;
    return cli_fail(c, "Error querying Consul agent: %s", err.text);
}

int client_check(struct cli *c)
{
    struct error err;
    struct str ignored, ca = flag_or_env(c, CLI_CLIENT, "ca-file", "CONSUL_CACERT");
    int rc = token_of(c, &ignored, &err);
    if (rc == 0 && ca.n) {
        rc = cli_read_file(c, ca, &ignored, &err);
        if (rc) error_prefix(&err, "Error loading CA File: ");
    }
    return rc ? cli_fail(c, "Error connecting to Consul agent: %s", err.text) : 0;
}
