/* SPDX-License-Identifier: Apache-2.0 */
/* Checks of an agent that is about to start, which `validate` leaves out. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "consuld/agent/config.h"
#include "consuld/base/log.h"
#include "consuld/base/random.h"

static int refuse(struct buf *error, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static int refuse(struct buf *error, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    buf_vprintf(error, fmt, ap);
    va_end(ap);
    return ERR_BAD_REQUEST;
}

static int check_node_id(struct str id, struct buf *error)
{
    static const char heading[] = "failed to setup node ID: specified NodeID is invalid: ";
    if (id.n == 0 || uuid_valid(id)) return 0;
    if (id.n != UUID_TEXT_LEN) return refuse(error, "%suuid string is wrong length", heading);
    return refuse(error, "%suuid is improperly formatted", heading);
}

static int check_file(struct str path, struct buf *error)
{
    char name[4096];
    if (path.n == 0) return 0;
    if (path.n >= sizeof name) return refuse(error, "Error loading from %.*s", STR_ARG(path));
    memcpy(name, path.p, path.n);
    name[path.n] = '\0';
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        close(fd);
        return 0;
    }
    const char *why = errno == ENOENT ? "no such file or directory" : strerror(errno);
    return refuse(error, "Error loading from %s: open %s: %s", name, name, why);
}

int config_check_tls(const struct agent_config *c, struct buf *error)
{
    static const char *const versions[] = { "tls10", "tls11", "tls12", "tls13" };
    size_t i = 0;
    while (i < 4 && !str_is(c->tls_min_version, versions[i]))
        i++;
    if (i == 4 && c->tls_min_version.n)
        return refuse(error,
            "TLSMinVersion: value %.*s not supported, please specify one of "
            "[tls10, tls11, tls12, tls13]",
            STR_ARG(c->tls_min_version));
    int rc = check_file(c->ca_file, error);
    if (rc) return rc;
    bool authority = c->ca_file.n || c->ca_path.n;
    if (c->verify_outgoing && !authority)
        return refuse(error, "VerifyOutgoing set, and no CA certificate provided!");
    bool incoming = c->verify_incoming || c->verify_incoming_rpc || c->verify_incoming_https;
    if (incoming && !authority)
        return refuse(error, "VerifyIncoming set but no CA certificates were provided");
    if (incoming && (c->cert_file.n == 0 || c->key_file.n == 0) && !c->auto_encrypt_tls)
        return refuse(error,
            "VerifyIncoming requires either a Cert and Key pair in the configuration file, "
            "or auto_encrypt/auto_config be enabled");
    return 0;
}

int config_check_start(const struct agent_config *c, struct buf *error)
{
    enum log_level level;
    char word[16] = "";
    if (c->logging.log_level.n && c->logging.log_level.n < sizeof word)
        memcpy(word, c->logging.log_level.p, c->logging.log_level.n);
    if (!log_level_parse(word, &level))
        return refuse(error,
            "Invalid log level: %.*s. Valid log levels are: "
            "[TRACE DEBUG INFO WARN ERR ERROR]",
            STR_ARG(c->logging.log_level));
    int rc = config_check_tls(c, error);
    return rc ? rc : check_node_id(c->node_id, error);
}

int config_check_protocols(const struct agent_config *c, struct buf *error)
{
    const char *what = c->server_mode ? "server" : "client";
    int64_t gossip = c->rpc_protocol, raft = c->raft_protocol;
    if (gossip > 0 && (gossip < 2 || gossip > 3))
        return refuse(error,
            "Failed to start Consul %s: Protocol version '%lld' too %s. Must be in range: [2, 3]",
            what, (long long)gossip, gossip < 2 ? "low" : "high");
    if (c->server_mode && raft != 0 && (raft < 1 || raft > 3))
        return refuse(error,
            "Failed to start Consul server: Failed to start Raft: Protocol version %lld must be >= "
            "1 and <= 3",
            (long long)raft);
    return 0;
}

int config_check_keyring(const struct agent_config *c, struct buf *error)
{
    struct arena a = ARENA_INIT;
    struct str key = STR("");
    bool decoded = base64_decode(c->encrypt_key, &a, &key);
    size_t n = key.n;
    arena_free(&a);
    if (c->data_dir.n && !c->dev_mode && !c->disable_keyring_file) return 0; /* the file counts */
    if (c->encrypt_key.n == 0 || (decoded && (n == 16 || n == 24 || n == 32))) return 0;
    return refuse(error, "Failed to configure keyring: key size must be 16, 24 or 32 bytes");
}
