/* SPDX-License-Identifier: Apache-2.0 */
/* The agent's TLS credentials: as configured, at the start and with each reload. */
#include <time.h>

#include "consuld/net/tls.h"
#include "run.h"

#define NS_PER_S 1000000000
#define EXPIRES_SOON_S (14 * 86400)

int run_tls_load(const struct agent_config *c, struct tls_material **out, struct error *err)
{
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
        .verify_server_hostname = c->verify_server_hostname,
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
    if (until == 0 || until - now > EXPIRES_SOON_S) return;
    if (gmtime_r(&end, &tm)) strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", &tm);
    log_warn("agent.tlsutil",
        until <= now ? "The certificate has expired" : "The certificate expires soon", "not_after",
        date);
}

/* Without automatic certificates an agent that wants them would go on unprotected. */
static int check_automatic(const struct agent_config *c, struct error *err)
{
    const char *option = c->auto_encrypt_tls      ? "auto_encrypt.tls"
                         : c->auto_config.enabled ? "auto_config.enabled"
                                                  : NULL;
    if (option)
        return error_set(err, ERR_BAD_REQUEST, "%s is not available in this build yet", option);
    if (c->auto_encrypt_allow_tls)
        log_warn("agent", "auto_encrypt.allow_tls is not available in this build yet");
    return 0;
}

int run_tls_create(struct run *r, struct error *err)
{
    struct tls_material *m;
    int failed = check_automatic(r->config, err);
    if (!failed) failed = run_tls_load(r->config, &m, err);
    if (!failed) r->tls = net_tls_create(r->world, m);
    return failed;
}
