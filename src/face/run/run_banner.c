/* SPDX-License-Identifier: Apache-2.0 */
/* What an agent prints before its log (cli.md 5). */
#include <stdio.h>

#include "run.h"

static const char *yes_no(bool b)
{
    return b ? "true" : "false";
}

void run_banner(const struct run *r)
{
    const struct agent_config *c = r->config;
    if (c->logging.log_json) return;
    printf("==> Starting Consul agent...\n");
    printf("           Version: '" CONSUL_VERSION "'\n");
    printf("           Node ID: '%s'\n", r->node_id);
    printf("         Node name: '%.*s'\n", STR_ARG(c->node_name));
    printf("        Datacenter: '%.*s' (Segment: '%s')\n", STR_ARG(c->datacenter),
        c->server_mode ? "<all>" : "");
    printf(
        "            Server: %s (Bootstrap: %s)\n", yes_no(c->server_mode), yes_no(c->bootstrap));
    printf("       Client Addr: [");
    for (size_t i = 0; i < c->client_addrs.n; i++)
        printf("%s%.*s", i ? " " : "", STR_ARG(LIST_AT(&c->client_addrs, struct str, i)));
    printf("] (HTTP: %lld, HTTPS: %lld, gRPC: %lld, DNS: %lld)\n", (long long)c->http_port,
        (long long)c->https_port, (long long)c->grpc_port, (long long)c->dns_port);
    printf("      Cluster Addr: %.*s (LAN: %lld, WAN: %lld)\n", STR_ARG(c->advertise_addr_lan),
        (long long)c->serf_port_lan, (long long)c->serf_port_wan);
    printf("           Encrypt: Gossip: %s, TLS-Outgoing: %s, TLS-Incoming: %s, "
           "Auto-Encrypt-TLS: %s\n",
        yes_no(c->encrypt_key.n > 0), yes_no(c->verify_outgoing), yes_no(c->verify_incoming),
        yes_no(c->auto_encrypt_tls || c->auto_encrypt_allow_tls));
    printf("\n==> Log data will now stream in as it occurs:\n\n");
    fflush(stdout);
}
