/* SPDX-License-Identifier: Apache-2.0 */
/* The gateway directory: which mesh gateway leads to a server of another datacenter (wanfed.md 8).
 * A pure core: it holds the gateways known, the configured fallback addresses of the primary and
 * the health of each path, and answers with a choice. Nobody is called; whoever learns something
 * (the state's watch, the agent, the dialler) tells it, whoever dials asks it.
 *
 * The one invariant: a choice depends on what was told alone, never on chance, so equal questions
 * give equal gateways until something is told that concerns them. */
#pragma once
#include "consuld/base.h"
#include "consuld/wire.h"

#define FED_GATEWAYS_MAX 256    /* of one list; the first ones by name count */
#define FED_PATHS_MAX 4096      /* whose health is remembered; the longest untouched makes room */
#define FED_BACKOFF_MIN_MS 1000 /* after the first failure of a path, doubling ... */
#define FED_BACKOFF_MAX_MS 8000 /* ... to this */
#define FED_FAILURES_MAX 3      /* in a row of our own gateways: the primary is dialled past them */
#define FED_BYPASS_MIN_MS 30000 /* for so long, doubling ... */
#define FED_BYPASS_MAX_MS 300000
#define FED_WHY_MAX 160

#define FED_META_KEY "consul-wan-federation" /* of gateways that may be used: "1" */
#define FED_ERR_UNREACHABLE "Remote DC has no server currently reachable"

struct check_service_node;

enum fed_side { FED_LAN, FED_WAN };
/* Where an instance is reached from the same datacenter, or from another: the address of its
 * service for that side, else of its node. Node and service must be there. */
struct str fed_address(const struct check_service_node *g, enum fed_side side, int64_t *port);

struct fed_directory;

struct fed_options {
    struct str datacenter;
    struct str primary; /* empty: the own one. Both are copied */
};

struct fed_directory *fed_create(const struct fed_options *o);
/* NULL is ignored. */
void fed_destroy(struct fed_directory *d);

/* --- what is told --------------------------------------------------------------------------- */

/* The federation states as stored -> struct federation_state, and the gateways of the own catalog
 * -> struct check_service_node: what the own record will say once the primary has taken it. It says
 * it already where there is any. True if a list of gateways changed; the first call says that the
 * state was read at all. */
bool fed_states(struct fed_directory *d, const struct list *states, const struct list *own);
/* Configured addresses of the primary's gateways, "host:port". True if they changed. */
bool fed_fallback(struct fed_directory *d, const struct str *addresses, size_t n);
/* How the last round of replicating federation states from the primary went; leaders alone know. */
void fed_replicated(struct fed_directory *d, bool fine);
/* This server leads no more: what it learnt from replicating says nothing any longer. */
void fed_leads_not(struct fed_directory *d);

enum fed_failure {
    FED_FAILED_GATEWAY, /* it was not reached: nobody is, through it */
    FED_FAILED_PATH,    /* it was, and the server behind it was not */
};
/* Whom a dial is for: a server by its gossip name "node.dc"; "*.dc" is any of its datacenter. */
struct fed_peer {
    struct str datacenter;
    struct str name;
};
/* What came of dialling the peer through the gateway at `address`. */
void fed_path_failed(struct fed_directory *d, uint64_t now_ms, const struct fed_peer *peer,
    struct str address, enum fed_failure what, struct str why);
void fed_path_works(
    struct fed_directory *d, uint64_t now_ms, const struct fed_peer *peer, struct str address);

/* --- what is asked -------------------------------------------------------------------------- */

enum fed_verdict {
    FED_GATEWAY,
    FED_UNREAD, /* the state was not read yet: ask again */
    FED_NONE,   /* no gateway is known */
};
enum fed_source { FED_LOCAL, FED_PRIMARY, FED_FALLBACK };
const char *fed_source_name(enum fed_source s);

struct fed_choice {
    enum fed_verdict verdict;
    struct str address; /* "host:port"; valid until something is told */
    struct str host;    /* without brackets */
    uint16_t port;
    enum fed_source source;
    uint64_t wait_ms; /* the path failed lately and should be spared for so long; 0: it is fine */
    size_t others;    /* further gateways that could be tried */
    const char *reason;
};
/* The gateway for a server of another datacenter. The same peer keeps its gateway as long as that
 * works; peers are spread. */
struct fed_choice fed_choose(
    const struct fed_directory *d, uint64_t now_ms, const struct fed_peer *peer);
/* True if the gateway may (still) be chosen for that datacenter. */
bool fed_listed(const struct fed_directory *d, struct str datacenter, struct str address);
/* Changes whenever a list does. */
uint64_t fed_generation(const struct fed_directory *d);
/* In a secondary: the primary is dialled through our own gateways. */
bool fed_through_local(const struct fed_directory *d, uint64_t now_ms);
/* The primary's gateways are known from the state. */
bool fed_primary_known(const struct fed_directory *d);
bool fed_is_primary(const struct fed_directory *d);

/* "host:port", "[v6]:port": its parts; false: it is none. */
bool fed_split_address(struct str text, struct str *host, uint16_t *port);

/* --- for debug data ------------------------------------------------------------------------- */

/* "host:port" in order. */
const struct str *fed_gateways(const struct fed_directory *d, enum fed_source s, size_t *n);

struct fed_path {
    struct str peer; /* empty: the gateway itself */
    struct str address;
    uint32_t failures; /* in a row */
    uint64_t failed_ms, worked_ms;
    char why[FED_WHY_MAX]; /* of the last failure */
};
size_t fed_path_count(const struct fed_directory *d);
const struct fed_path *fed_path_at(const struct fed_directory *d, size_t i);
