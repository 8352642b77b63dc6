/* SPDX-License-Identifier: Apache-2.0 */
/* The agent's TLS credentials: as configured, at the start and with each reload. */
#include <time.h>

#include "consuld/net/tls.h"
#include "run.h"

#define NS_PER_S 1000000000
#define EXPIRES_SOON_S (14 * 86400)

int run_tls_load(
    const struct run *r, const struct agent_config *c, struct tls_material **out, struct error *err)
{
    const struct auto_credentials *given = &r->given;
    struct tls_config t = { .ca_file = c->ca_file,
        .ca_path = c->ca_path,
        .cert_file = c->cert_file,
        .key_file = c->key_file,
        .min_version = c->tls_min_version,
        .cipher_suites = c->tls_cipher_suites.v,
        .n_cipher_suites = c->tls_cipher_suites.n,
        .prefer_server_cipher_suites = c->tls_prefer_server_cipher_suites,
        .verify_incoming = c->verify_incoming,
        .verify_incoming_rpc = c->verify_incoming_rpc,
        .verify_incoming_https = c->verify_incoming_https,
        .verify_outgoing = c->verify_outgoing,
        .verify_server_hostname = c->verify_server_hostname || given->verify_names,
        .more_cas = given->cas.v,
        .n_more_cas = given->cas.n,
        .auto_cert = given->cert,
        .auto_key = given->key,
        .auto_tls = c->auto_encrypt_tls || c->auto_config.enabled,
        .agent_tls_for_checks = c->enable_agent_tls_for_checks,
        .check_name = c->server_name.n ? c->server_name : c->node_name };
    struct buf why = BUF_INIT(CONFIG_MESSAGE_MAX);
    int failed = config_check_tls(c, &why);
    if (failed) error_set(err, failed, "%.*s", STR_ARG(buf_str(&why)));
    buf_deinit(&why);
    return failed ? failed : tls_material_load(&t, out, err);
}

void run_tls_tell(const struct run *r)
{
    int64_t until = r->tls->facts.served_until_s, now = world_wall_ns(r->world) / NS_PER_S;
    char date[32] = "";
    time_t end = (time_t)until;
    struct tm tm;
    bool automatic = r->given.cert.n && !r->config->cert_file.n; /* short, and renewed */
    if (until == 0 || automatic || until - now > EXPIRES_SOON_S) return;
    if (gmtime_r(&end, &tm)) strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", &tm);
    log_warn("agent.tlsutil",
        until <= now ? "The certificate has expired" : "The certificate expires soon", "not_after",
        date);
}

int run_tls_give(struct run *r, const struct auto_credentials *given, struct error *err)
{
    struct arena a = ARENA_INIT;
    struct auto_credentials former = r->given;
    struct tls_material *m;
    r->given = (struct auto_credentials){ .cert = str_dup(&a, given->cert),
        .key = str_dup(&a, given->key),
        .verify_names = given->verify_names };
    for (size_t i = 0; i < given->cas.n; i++)
        *LIST_PUSH(&a, &r->given.cas, struct str) =
            str_dup(&a, LIST_AT(&given->cas, struct str, i));
    int failed = run_tls_load(r, r->config, &m, err);
    if (failed) {
        r->given = former;
        arena_free(&a);
        return failed;
    }
    arena_free(&r->given_arena);
    r->given_arena = a;
    net_tls_switch(r->tls, m);
    return 0;
}

int run_tls_roots(void *ctx, const struct list *roots)
{
    struct run *r = ctx;
    struct arena a = ARENA_INIT;
    struct auto_credentials given = { 0 };
    struct error err;
    for (size_t i = 0; i < roots->n; i++)
        *LIST_PUSH(&a, &given.cas, struct str) = LIST_AT(roots, struct ca_root, i).root_cert;
    bool none = given.cas.n == 0 && r->given.cas.n == 0;
    int failed = none ? 0 : run_tls_give(r, &given, &err);
    if (failed) log_error("agent.server", "Failed to update AutoEncrypt CAPems", "error", err.text);
    arena_free(&a);
    return failed;
}

/* Without what it asks for an agent would go on unprotected. */
static int check_automatic(const struct agent_config *c, struct error *err)
{
    if (c->auto_config.enabled)
        return error_set(
            err, ERR_BAD_REQUEST, "auto_config.enabled is not available in this build yet");
    if (c->auto_config.authorizer.enabled)
        log_warn("agent", "auto_config.authorization is not available in this build yet");
    return 0;
}

int run_tls_create(struct run *r, struct error *err)
{
    struct tls_material *m;
    int failed = check_automatic(r->config, err);
    if (!failed) failed = run_tls_load(r, r->config, &m, err);
    if (!failed) r->tls = net_tls_create(r->world, m);
    return failed;
}
