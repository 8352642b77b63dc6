/* SPDX-License-Identifier: Apache-2.0 */
/* Commands of Consul that this build has not got: known by name, refused with a clear text. */
#include "cli.h"

static int absent(struct cli *c, int argc, char **argv)
{
    (void)argc;
    (void)argv;
    return cli_fail(c, "\"%s\" is not in this build of consuld yet", c->command->name);
}

#define GROUP(name, synopsis) CLI_GROUP(name, synopsis, "<subcommand> [options] [args]")
#define ABSENT(name, synopsis, usage) \
    { \
        name, synopsis, usage, .run_words = absent \
    }

const struct cli_command cli_absent_commands[] = {
    GROUP("acl", "Interact with Consul's ACLs"),
    GROUP("acl auth-method", "Manage Consul's ACL Auth Methods"),
    ABSENT(
        "acl auth-method create", "Create an ACL Auth Method", "-name NAME -type TYPE [options]"),
    ABSENT("acl auth-method delete", "Delete an ACL Auth Method", "-name NAME [options]"),
    ABSENT("acl auth-method list", "Lists ACL Auth Methods", "[options]"),
    ABSENT("acl auth-method read", "Read an ACL Auth Method", "-name NAME [options]"),
    ABSENT("acl auth-method update", "Update an ACL Auth Method", "-name NAME [options]"),
    GROUP("acl binding-rule", "Manage Consul's ACL Binding Rules"),
    ABSENT("acl binding-rule create", "Create an ACL Binding Rule", "[options]"),
    ABSENT("acl binding-rule delete", "Delete an ACL Binding Rule", "-id ID [options]"),
    ABSENT("acl binding-rule list", "Lists ACL Binding Rules", "[options]"),
    ABSENT("acl binding-rule read", "Read an ACL Binding Rule", "-id ID [options]"),
    ABSENT("acl binding-rule update", "Update an ACL Binding Rule", "-id ID [options]"),
    ABSENT("acl bootstrap", "Bootstrap Consul's ACL system", "[options]"),
    GROUP("acl policy", "Manage Consul's ACL Policies"),
    ABSENT("acl policy create", "Create an ACL Policy", "-name NAME [options]"),
    ABSENT("acl policy delete", "Delete an ACL Policy", "[options] -id POLICY"),
    ABSENT("acl policy list", "Lists ACL Policies", "[options]"),
    ABSENT("acl policy read", "Read an ACL Policy", "[options] POLICY"),
    ABSENT("acl policy update", "Update an ACL Policy", "[options]"),
    GROUP("acl role", "Manage Consul's ACL Roles"),
    ABSENT("acl role create", "Create an ACL Role", "-name NAME [options]"),
    ABSENT("acl role delete", "Delete an ACL Role", "[options] -id ROLE"),
    ABSENT("acl role list", "Lists ACL Roles", "[options]"),
    ABSENT("acl role read", "Read an ACL Role", "[options] ROLE"),
    ABSENT("acl role update", "Update an ACL Role", "[options]"),
    ABSENT("acl set-agent-token", "Assign tokens for the Consul Agent's usage",
        "[options] TYPE TOKEN"),
    GROUP("acl token", "Manage Consul's ACL Tokens"),
    ABSENT("acl token clone", "Clone an ACL Token", "[options]"),
    ABSENT("acl token create", "Create an ACL Token", "[options]"),
    ABSENT("acl token delete", "Delete an ACL Token", "[options] -id TOKEN"),
    ABSENT("acl token list", "List ACL Tokens", "[options]"),
    ABSENT("acl token read", "Read an ACL Token", "[options] -id TOKENID"),
    ABSENT("acl token update", "Update an ACL Token", "[options]"),
    ABSENT("acl translate-rules", "Translate the legacy rule syntax into the current syntax",
        "[options] TRANSLATE"),
    ABSENT("connect envoy", "Runs or Configures Envoy as a Connect proxy",
        "[options] [-- pass-through options]"),
    ABSENT("connect envoy pipe-bootstrap", "", "(internal)"),
    ABSENT("connect expose", "Expose a Connect-enabled service through an Ingress gateway",
        "[options]"),
    ABSENT("connect proxy", "Runs a Consul Connect proxy", "[options]"),
    ABSENT("login", "Login to Consul using an Auth Method", "[options]"),
    ABSENT("logout", "Destroy a Consul Token created with Login", "[options]"),
    { 0 },
};
