/* SPDX-License-Identifier: Apache-2.0 */
/* The agent's TLS credentials: as configured, at the start and with each reload. */
#include "consuld/net/tls.h"
#include "run.h"

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

int run_tls_create(struct run *r, struct error *err)
{
    struct tls_material *m;
    int failed = run_tls_load(r->config, &m, err);
    if (!failed) r->tls = net_tls_create(r->world, m);
    return failed;
}
