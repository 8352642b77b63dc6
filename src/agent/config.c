/* SPDX-License-Identifier: Apache-2.0 */
#include "consuld/agent/config.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "config_build.h"

/* --- the machine ------------------------------------------------------------------------------ */

static void read_interfaces(struct arena *a, struct list *out)
{
    struct ifaddrs *all = NULL;
    if (getifaddrs(&all) != 0) return;
    for (const struct ifaddrs *at = all; at; at = at->ifa_next) {
        char text[NI_MAXHOST];
        if (!at->ifa_addr || !(at->ifa_flags & IFF_UP)) continue;
        int family = at->ifa_addr->sa_family;
        if (family != AF_INET && family != AF_INET6) continue;
        socklen_t size =
            family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
        if (getnameinfo(at->ifa_addr, size, text, sizeof text, NULL, 0, NI_NUMERICHOST) != 0)
            continue;
        struct str ip, zone;
        str_cut(str_of(text), '%', &ip, &zone);
        *LIST_PUSH(a, out, struct config_interface) =
            (struct config_interface){ .name = str_dup(a, str_of(at->ifa_name)),
                .ip = str_dup(a, ip) };
    }
    freeifaddrs(all);
}

void config_host_read(struct arena *a, struct config_host *out)
{
    char name[256] = "";
    struct rlimit limit;
    *out = (struct config_host){ .descriptors_max = 0 };
    if (gethostname(name, sizeof name - 1) == 0) out->name = str_dup(a, str_of(name));
    out->intro_token = str_dup(a, str_of(getenv("CONSUL_INTRO_TOKEN")));
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) out->descriptors_max = limit.rlim_cur;
    read_interfaces(a, &out->interfaces);
}

/* --- loading ---------------------------------------------------------------------------------- */

int config_load(const struct config_args *args, struct arena *a, struct agent_config **out,
    struct buf *warnings, struct buf *error)
{
    struct config_load load = { .arena = a,
        .args = args,
        .warnings = warnings,
        .error = error,
        .config = arena_new(a, struct agent_config) };
    ensure(warnings && error);
    load.config->dev_mode = args->dev;
    int rc = config_sources_read(&load);
    if (rc) return rc;
    config_fill(&load);
    config_services(&load);
    rc = config_ports(&load);
    if (rc == 0) rc = config_addresses(&load);
    if (rc == 0) rc = config_derive(&load);
    if (rc == 0) rc = config_validate_all(&load);
    if (rc == 0) *out = load.config;
    ensure(rc == 0 || error->n > 0);
    return rc;
}

/* --- consul validate -------------------------------------------------------------------------- */

static int validate_arguments(
    struct config_args *args, bool quiet, struct buf *out, struct buf *err)
{
    struct arena a = ARENA_INIT;
    struct agent_config *config;
    struct buf warnings = BUF_INIT(CONFIG_MESSAGE_MAX), why = BUF_INIT(CONFIG_MESSAGE_MAX);
    int rc = config_load(args, &a, &config, &warnings, &why);
    if (rc) {
        buf_printf(err, "Config validation failed: %.*s\n", STR_ARG(buf_str(&why)));
    } else {
        if (!quiet) buf_put_str(err, buf_str(&warnings));
        if (!quiet) buf_put_c(out, "Configuration is valid!\n");
    }
    buf_deinit(&warnings);
    buf_deinit(&why);
    arena_free(&a);
    return rc ? 1 : 0;
}

/* -quiet, -config-file, -config-dir and -config-format alone; the rest names files. */
int config_validate(
    int argc, char **argv, const struct config_host *host, struct buf *out, struct buf *err)
{
    struct arena a = ARENA_INIT;
    struct config_args args = { .host = *host };
    struct error why;
    bool quiet = false;
    char **kept = arena_array(&a, (size_t)argc + 1, sizeof *kept);
    int n = 0, status = 1;
    for (int i = 0; i < argc; i++) {
        struct str word = str_of(argv[i]);
        if (str_is(word, "-quiet") || str_is(word, "--quiet"))
            quiet = true;
        else
            kept[n++] = argv[i];
    }
    if (config_parse_flags(n, kept, &a, &args, &why) != 0) {
        buf_printf(err, "%s\n", why.text);
    } else {
        for (size_t i = 0; i < args.rest.n; i++)
            *LIST_PUSH(&a, &args.files, struct str) = LIST_AT(&args.rest, struct str, i);
        bool known =
            args.format.n == 0 || str_is(args.format, "hcl") || str_is(args.format, "json");
        if (!known)
            buf_put_c(err, "-config-format must be either 'hcl' or 'json\n");
        else if (args.files.n == 0)
            buf_put_c(err, "Must specify at least one config file or directory\n");
        else
            status = validate_arguments(&args, quiet, out, err);
    }
    arena_free(&a);
    return status;
}
