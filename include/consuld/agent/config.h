/* SPDX-License-Identifier: Apache-2.0 */
/* Configuration of an agent: command line, files and built-in values in, one struct agent_config
 * out. config_load is a function of its arguments and of the files they name; everything it needs
 * to know of the machine stands in struct config_host. A configuration is built whole or not at
 * all. Spec: agent.md 1, 2, 3. */
#pragma once
#include "consuld/agent/config_record.h"
#include "consuld/wire/json.h"

#define CONSUL_VERSION "1.8.6"

#define CONFIG_FILES_MAX 4096
#define CONFIG_FILE_SIZE_MAX (64u << 20)
/* Room for all messages of one load. */
#define CONFIG_MESSAGE_MAX (256u << 10)

/* One address of the machine, for address templates. */
struct config_interface {
    struct str name; /* "eth0" */
    struct str ip;   /* text of an IPv4 or IPv6 address */
};

/* What the configuration depends on besides command line and files. */
struct config_host {
    struct str name;          /* host name, default of node_name */
    struct str intro_token;   /* CONSUL_INTRO_TOKEN, nil if unset */
    uint64_t descriptors_max; /* RLIMIT_NOFILE, 0: unknown */
    struct list interfaces;   /* struct config_interface, those that are up */
};

/* Asks the machine. */
void config_host_read(struct arena *a, struct config_host *out);

/* One option given on the command line. */
struct config_flag {
    const struct config_option *option;
    struct str text; /* "true" for a bare boolean */
};

struct config_args {
    bool dev;
    struct str format;       /* -config-format, "" when absent */
    struct list files;       /* struct str: -config-file and -config-dir, in order */
    struct list hcl;         /* struct str: -hcl fragments */
    struct list flags;       /* struct config_flag, in order */
    struct list rest;        /* struct str: arguments that are no flags */
    struct config_host host; /* filled by the caller, see config_host_read */
};

/* Reads the flags of `consul agent` from argv[0..argc), the words behind the subcommand, by the
 * rules of Go's flag package. Everything is borrowed from argv or owned by `a`. On failure *err
 * holds the line to print before the usage text: flag provided but not defined: -nope ... Code
 * ERR_NOT_FOUND means -h or -help was given. */
int config_parse_flags(
    int argc, char **argv, struct arena *a, struct config_args *out, struct error *err) must_check;
/* The lines of the usage text that describe the flags, one "  -name=<type>" and its description. */
void config_flags_usage(struct buf *out);

/* Builds the configuration. *out and all it points to is owned by `a`. Warnings are lines, each
 * ended by a newline, in the order Consul prints them; `error` gets the text of the refusal (may
 * have several lines). Both buffers are appended to; give them CONFIG_MESSAGE_MAX. */
int config_load(const struct config_args *args, struct arena *a, struct agent_config **out,
    struct buf *warnings, struct buf *error) must_check;

/* The checks an agent (not `validate`) makes after building and before its banner: log level, node
 * id, TLS settings. Texts as config_load's. */
int config_check_start(const struct agent_config *c, struct buf *error) must_check;

/* The TLS part of them, for a reload. */
int config_check_tls(const struct agent_config *c, struct buf *error) must_check;

/* Checked when an agent starts, behind its banner: the size of the gossip key, the versions of the
 * protocols, and the watches. */
int config_check_keyring(const struct agent_config *c, struct buf *error) must_check;
int config_check_protocols(const struct agent_config *c, struct buf *error) must_check;
int config_check_watches(const struct agent_config *c, struct buf *error) must_check;

/* `consul validate`: argv behind the subcommand. Fills `out` (standard output) and `err` (standard
 * error) and returns the exit status. */
int config_validate(
    int argc, char **argv, const struct config_host *host, struct buf *out, struct buf *err);

/* What a running agent becomes on reload: a copy of `running` in `a` with every reloadable member
 * taken from `fresh`. */
struct agent_config *config_reload(
    struct arena *a, const struct agent_config *running, const struct agent_config *fresh);
/* Names of options (struct str) that differ but need a restart. */
struct list config_restart_needed(
    struct arena *a, const struct agent_config *running, const struct agent_config *fresh);

/* The DebugConfig object of /v1/agent/self: keys sorted, secrets "hidden", nil lists and maps
 * empty. */
void config_debug_json(const struct agent_config *c, struct json_writer *w);

/* Parts of an address text of the configuration. */
struct config_addr {
    struct str network; /* "tcp", "udp", "unix" */
    struct str host;    /* IP text without brackets, or the path of a socket */
    int port;           /* 0 for unix */
};
/* False for "" and anything else that is no such text. */
bool config_addr_parse(struct str text, struct config_addr *out);

/* --- the option table ---------------------------------------------------------------------- */

enum config_type {
    CONFIG_BOOL,
    CONFIG_INT,
    CONFIG_UINT,
    CONFIG_UINT32,
    CONFIG_UINT64,
    CONFIG_NUMBER,
    CONFIG_STRING,
    CONFIG_DURATION,  /* a string in sources, nanoseconds at run time */
    CONFIG_LIST,      /* of strings */
    CONFIG_MAP,       /* of strings */
    CONFIG_MAP_LIST,  /* string to list of strings */
    CONFIG_FREE,      /* any map */
    CONFIG_FREE_LIST, /* list of any maps */
    CONFIG_SERVICE,
    CONFIG_SERVICES,
    CONFIG_CHECK,
    CONFIG_CHECKS,
    CONFIG_BLOCK, /* a block of keys, and a list of them: part of a path, never a row */
    CONFIG_BLOCKS,
    CONFIG_BLOCK_MAP, /* blocks under names of the user */
};

enum config_mark {
    CONFIG_RELOAD = 1, /* a running agent takes a new value */
    CONFIG_DEPRECATED = 2,
    CONFIG_ENTERPRISE = 4, /* recognised, no effect, warned about */
    CONFIG_FIXED = 8,      /* a user's value is checked and then overwritten */
    CONFIG_IGNORED = 16,   /* belongs to another program */
    CONFIG_OWN = 32,       /* unknown to Consul */
};

/* A row: one key. */
struct config_option {
    const char *path; /* dotted; "[]" behind a part marks a list of blocks */
    enum config_type type;
    const char *value; /* default, or the value of a fixed option; NULL: none */
    const char *flag;  /* command-line twin or NULL */
    bool derived;      /* `member` depends on other options too, config_derive.c fills it */
    size_t member;     /* 1 + offset in struct agent_config of what the key governs, 0: nothing */
    unsigned marks;    /* of enum config_mark */
    const char *usage; /* one line, for those with a flag */
};

extern const struct config_option config_options[];
extern const size_t config_options_n;
