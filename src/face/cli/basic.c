/* SPDX-License-Identifier: Apache-2.0 */
/* Commands that ask no agent: agent, keygen, validate, version. */
#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "cli.h"
#include "consuld/agent/config.h"
#include "consuld/face/run.h"

#define GOSSIP_KEY_SIZE 32

static int agent(struct cli *c, int argc, char **argv)
{
    (void)c;
    return run_agent(argc, argv);
}

static int keygen(struct cli *c)
{
    uint8_t key[GOSSIP_KEY_SIZE];
    struct buf text = BUF_INIT(2 * sizeof key);
    char why[128];
    if (getrandom(key, sizeof key, 0) != (ssize_t)sizeof key)
        return cli_fail(c, "Error reading random data: %s", cli_reason(errno, why, sizeof why));
    base64_encode((struct str){ (const char *)key, sizeof key }, &text);
    cli_say(c, "%.*s", STR_ARG(buf_str(&text)));
    buf_deinit(&text);
    return 0;
}

static int validate(struct cli *c, int argc, char **argv)
{
    struct buf out = BUF_INIT(CONFIG_MESSAGE_MAX), err = BUF_INIT(CONFIG_MESSAGE_MAX);
    struct config_host host = { 0 };
    if (argc > 0 &&
        (!strcmp(argv[0], "-h") || !strcmp(argv[0], "-help") || !strcmp(argv[0], "--help"))) {
        cli_help_command(c->command, c->io.out);
        return 0;
    }
    config_host_read(&c->arena, &host);
    int status = config_validate(argc, argv, &host, &out, &err);
    cli_put(c, buf_str(&out));
    if (err.n) fwrite(err.p, 1, err.n, c->io.err);
    buf_deinit(&out);
    buf_deinit(&err);
    return status;
}

static int version(struct cli *c)
{
    struct str format = cli_text(c, "format");
    if (str_is(format, "json")) {
        cli_print_json(c,
            STR("{\"Version\":\"" CONSUL_VERSION "\",\"Revision\":\"\",\"Prerelease\":\"\","
                "\"RPC\":{\"Default\":2,\"Min\":2,\"Max\":3}}"),
            "   ");
        return 0;
    }
    if (!str_is(format, "pretty")) return cli_fail(c, "Unknown format: %.*s", STR_ARG(format));
    cli_say(c, "Consul v" CONSUL_VERSION "\n"
               "Protocol 2 spoken by default, understands 2 to 3 (agent will automatically use "
               "protocol >2 when speaking to compatible agents)\n");
    return 0;
}

static const struct cli_flag validate_flags[] = {
    { CLI_STRING, "config-format",
        .usage = "Format of the files, hcl or json, whatever their "
                 "names." },
    { CLI_BOOL, "quiet", .usage = "Prints nothing when the configuration is valid." },
    { 0 },
};

static const struct cli_flag version_flags[] = {
    { CLI_STRING, "format", .value = "pretty", .usage = "Form of the output: pretty or json." },
    { 0 },
};

const struct cli_command cli_basic_commands[] = {
    { "agent", "Runs a Consul agent", "[options]", .run_words = agent },
    { "keygen", "Generates a new encryption key", "", .run = keygen,
        .about = "Prints a fresh key for the gossip encryption, for the option encrypt." },
    { "validate", "Validate config files/directories", "[options] FILE_OR_DIRECTORY...",
        .flags = validate_flags, .run_words = validate,
        .about = "Reads the files and folders as an agent would and tells what is wrong." },
    { "version", "Prints the Consul version", "[options]", .flags = version_flags, .run = version },
    { 0 },
};
