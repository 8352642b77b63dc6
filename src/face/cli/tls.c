/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"
#include "consuld/net/tls.h"

#define NUMBERS_MAX 10000
#define DAYS_MAX 36500
#define DAY_S 86400

/* --- files ----------------------------------------------------------------------------------- */

static bool exists(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0;
}

/* Written whole or not at all. */
static int write_file(struct cli *c, const char *path, struct str text)
{
    char why[128];
    const char *temporary = str_printf(&c->arena, "%s.%ld.tmp", path, (long)getpid()).p;
    FILE *f = fopen(temporary, "wx");
    bool ok =
        f && fwrite(text.p, 1, text.n, f) == text.n && fflush(f) == 0 && fsync(fileno(f)) == 0;
    int code = errno;
    if (f && fclose(f) != 0 && ok) {
        ok = false;
        code = errno;
    }
    if (ok && rename(temporary, path) != 0) {
        ok = false;
        code = errno;
    }
    if (!ok) {
        if (f) unlink(temporary);
        return cli_fail(c, "open %s: %s", path, cli_reason(code, why, sizeof why));
    }
    cli_say(c, "==> Saved %s", path);
    return 0;
}

static int write_pair(
    struct cli *c, const char *cert_path, struct str cert, const char *key_path, struct str key)
{
    int status = write_file(c, cert_path, cert);
    return status ? status : write_file(c, key_path, key);
}

/* From now on, as long as -days says. */
static int set_dates(struct cli *c, struct cert_order *o)
{
    int64_t days = cli_int(c, "days");
    if (days < -DAYS_MAX || days > DAYS_MAX)
        return cli_fail(c, "x509: %lld days are too many", (long long)days);
    o->not_before_s = (int64_t)time(NULL);
    o->not_after_s = o->not_before_s + days * DAY_S;
    return 0;
}

static void set_names(struct cert_order *o, const struct list *names)
{
    o->dns_names = names->v;
    o->n_dns_names = names->n;
}

/* --- ca create ------------------------------------------------------------------------------- */

static int ca_create(struct cli *c)
{
    struct error err;
    struct str cert, key, domain = cli_text(c, "domain");
    struct cert_order order = { .common_name = STR("Consul Agent CA") };
    struct list names = cli_list(c, "additional-name-constraint");
    const char *cert_path = str_printf(&c->arena, "%.*s-agent-ca.pem", STR_ARG(domain)).p;
    const char *key_path = str_printf(&c->arena, "%.*s-agent-ca-key.pem", STR_ARG(domain)).p;
    if (exists(cert_path)) return cli_fail(c, "%s already exists.", cert_path);
    if (exists(key_path)) return cli_fail(c, "%s already exists.", key_path);
    *LIST_PUSH(&c->arena, &names, struct str) = domain;
    *LIST_PUSH(&c->arena, &names, struct str) = STR("localhost");
    if (cli_bool(c, "name-constraint")) set_names(&order, &names);
    int status = set_dates(c, &order);
    if (status) return status;
    if (net_certifier.agent_authority(&c->arena, &order, &cert, &key, &err) != 0)
        return cli_fail(c, "%s", err.text);
    return write_pair(c, cert_path, cert, key_path, key);
}

/* --- cert create ----------------------------------------------------------------------------- */

static const struct role {
    const char *flag, *usages;
    bool local;      /* 127.0.0.1 is one of its addresses */
    bool additional; /* takes further names */
} roles[] = {
    { "server", "serverAuth,clientAuth", true, true },
    { "client", "clientAuth,serverAuth", true, true },
    { "cli", NULL, false, false },
};

enum { ROLES = sizeof roles / sizeof roles[0] };

static const struct role *role_of(struct cli *c)
{
    const struct role *found = NULL;
    for (size_t i = 0; i < ROLES; i++) {
        if (!cli_bool(c, roles[i].flag)) continue;
        if (found) return NULL;
        found = &roles[i];
    }
    return found;
}

/* The path with #DOMAIN# replaced once. */
static const char *path_of(struct cli *c, const char *flag)
{
    static const char mark[] = "#DOMAIN#";
    struct str text = cli_text(c, flag);
    ptrdiff_t at = str_find(text, str_of(mark));
    if (at < 0) return str_c(&c->arena, text);
    size_t before = (size_t)at;
    return str_printf(&c->arena, "%.*s%.*s%.*s", STR_ARG(str_slice(text, 0, before)),
        STR_ARG(cli_text(c, "domain")), STR_ARG(str_slice(text, before + sizeof mark - 1, text.n)))
        .p;
}

static void names_of(struct cli *c, const struct role *role, struct cert_order *o)
{
    struct arena *a = &c->arena;
    struct str dc = cli_text(c, "dc"), domain = cli_text(c, "domain"), node = cli_text(c, "node");
    struct list names = { 0 }, addresses = cli_list(c, "additional-ipaddress");
    o->common_name = str_printf(a, "%s.%.*s.%.*s", role->flag, STR_ARG(dc), STR_ARG(domain));
    if (role->additional) names = cli_list(c, "additional-dnsname");
    if (node.n)
        *LIST_PUSH(a, &names, struct str) =
            str_printf(a, "%.*s.server.%.*s.%.*s", STR_ARG(node), STR_ARG(dc), STR_ARG(domain));
    *LIST_PUSH(a, &names, struct str) = o->common_name;
    *LIST_PUSH(a, &names, struct str) = STR("localhost");
    if (role->local) *LIST_PUSH(a, &addresses, struct str) = STR("127.0.0.1");
    set_names(o, &names);
    o->addresses = addresses.v;
    o->n_addresses = addresses.n;
}

/* The first free pair of names. */
static bool free_paths(struct cli *c, const struct role *role, const char **cert, const char **key)
{
    struct str prefix = str_printf(&c->arena, "%.*s-%s-%.*s", STR_ARG(cli_text(c, "dc")),
        role->flag, STR_ARG(cli_text(c, "domain")));
    for (int i = 0; i <= NUMBERS_MAX; i++) {
        *cert = str_printf(&c->arena, "%s-%d.pem", prefix.p, i).p;
        *key = str_printf(&c->arena, "%s-%d-key.pem", prefix.p, i).p;
        if (!exists(*cert) && !exists(*key)) return true;
    }
    return false;
}

static int cert_create(struct cli *c)
{
    struct error err;
    struct str cert, key;
    const char *cert_path, *key_path;
    struct cert_order o = { 0 };
    if (!cli_text(c, "ca").n) return cli_fail(c, "Please provide the ca");
    if (!cli_text(c, "key").n) return cli_fail(c, "Please provide the key");
    const struct role *role = role_of(c);
    if (!role) return cli_fail(c, "Please provide either -server, -client, or -cli");
    if (cli_text(c, "node").n && role != &roles[0]) return cli_fail(c, "-node requires -server");
    const char *ca = path_of(c, "ca"), *ca_key = path_of(c, "key");
    if (!free_paths(c, role, &cert_path, &key_path))
        return cli_fail(c, "Could not find a filename that doesn't already exist");
    o.purposes = role->usages;
    names_of(c, role, &o);
    if (cli_read_file(c, str_of(ca), &o.signer, &err) != 0)
        return cli_fail(c, "Error reading CA: %s", err.text);
    if (cli_read_file(c, str_of(ca_key), &o.signer_key, &err) != 0)
        return cli_fail(c, "Error reading CA key: %s", err.text);
    if (role == &roles[0])
        cli_say(c, "==> WARNING: Server Certificates grants authority to become a\n"
                   "    server and access all state in the cluster including root keys\n"
                   "    and all ACL tokens. Do not distribute them to production hosts\n"
                   "    that are not server nodes. Store them as securely as CA keys.");
    cli_say(c, "==> Using %s and %s", ca, ca_key);
    int status = set_dates(c, &o);
    if (status) return status;
    if (net_certifier.agent(&c->arena, &o, &cert, &key, &err) != 0)
        return cli_fail(c, "%s", err.text);
    return write_pair(c, cert_path, cert, key_path, key);
}

/* --- the table ------------------------------------------------------------------------------- */

static const struct cli_flag ca_flags[] = {
    { CLI_LIST, "additional-name-constraint", .type = "value",
        .usage = "A further name that may be signed for. May be given again." },
    { CLI_INT, "days", .value = "1825", .usage = "Days the authority is valid." },
    { CLI_STRING, "domain", .value = "consul", .usage = "Domain of the cluster." },
    { CLI_BOOL, "name-constraint",
        .usage = "The authority signs for the domain, localhost and "
                 "the additional names alone." },
    { 0 },
};

static const struct cli_flag cert_flags[] = {
    { CLI_LIST, "additional-dnsname", .usage = "A further DNS name. May be given again." },
    { CLI_LIST, "additional-ipaddress", .usage = "A further IP address. May be given again." },
    { CLI_STRING, "ca", .value = "#DOMAIN#-agent-ca.pem", .usage = "File of the authority." },
    { CLI_BOOL, "cli", .usage = "A certificate for the command line." },
    { CLI_BOOL, "client", .usage = "A certificate for client agents." },
    { CLI_INT, "days", .value = "365", .usage = "Days the certificate is valid." },
    { CLI_STRING, "dc", .value = "dc1", .usage = "Datacenter." },
    { CLI_STRING, "domain", .value = "consul", .usage = "Domain of the cluster." },
    { CLI_STRING, "key", .value = "#DOMAIN#-agent-ca-key.pem",
        .usage = "File of the authority's key." },
    { CLI_STRING, "node", .usage = "Node name of the server, for federation through gateways." },
    { CLI_BOOL, "server", .usage = "A certificate for servers." },
    { 0 },
};

const struct cli_command cli_tls_commands[] = {
    CLI_GROUP("tls", "Builtin helpers for creating CAs and certificates",
        "<subcommand> <subcommand> [options]"),
    CLI_GROUP("tls ca", "Helpers for CAs", "<subcommand> [options] filename-prefix"),
    { "tls ca create", "Create a new consul CA", "[options]", .flags = ca_flags, .run = ca_create },
    CLI_GROUP("tls cert", "Helpers for certificates", "<subcommand> [options] [filename-prefix]"),
    { "tls cert create", "Create a new certificate", "[options]", .flags = cert_flags,
        .run = cert_create },
    { 0 },
};
