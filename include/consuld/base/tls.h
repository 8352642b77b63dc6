/* SPDX-License-Identifier: Apache-2.0 */
/* The seam to TLS: a filter that makes a stream out of a stream (same operations and events), and
 * the agent's credentials behind it. Types and dispatch only; `net` implements them on OpenSSL.
 *
 * A TLS stream is usable at once: what is written before the handshake is over waits in its queue,
 * `data` comes after it. Whatever goes wrong shows as `closed` with a negative code; tls_state says
 * why, until `closed` returns. Specs: rpc.md 2, wanfed.md 4. */
#pragma once
#include "consuld/base/stream.h"

struct arena;

/* --- what a connection is for ---------------------------------------------------------------- */

/* One row per use: who asks for certificates, what is verified. */
enum tls_use {
    /* accepting */
    TLS_ACCEPT_RPC,      /* behind 0x03: client certificate iff verify_incoming or _rpc */
    TLS_ACCEPT_ALPN,     /* native TLS: client certificate always */
    TLS_ACCEPT_INSECURE, /* behind 0x07: never asked for one */
    TLS_ACCEPT_HTTPS,    /* client certificate iff verify_incoming or _https */
    /* dialling */
    TLS_DIAL_RPC, /* chain verified iff facts.verify_dialled; SNI and name iff facts.verify_names */
    TLS_DIAL_ALPN,             /* chain and name verified, the offered name must be negotiated */
    TLS_DIAL_CHECK,            /* chain and name; the system's CAs unless checks use the agent's */
    TLS_DIAL_CHECK_UNVERIFIED, /* nothing verified */
    TLS_USES
};

struct tls_options {
    enum tls_use use;
    /* Dialling: SNI and the name (or IP address) that the certificate must be valid for, as the
     * use says; copied. */
    struct str server_name;
    /* Names in the order of preference: accepting, a client that offers others alone is refused,
     * one that offers none is taken. Alive as long as the stream. */
    const char *const *alpn;
    size_t n_alpn;
    uint64_t timeout_ms;   /* of the handshake; 0: none */
    size_t queue_max;      /* unsent bytes, see stream_write; 0: a large one */
    struct str sniffed;    /* what was read from `below` already, first byte of TLS first; copied */
    struct str plain_text; /* accepting: sent in clear to a peer that speaks HTTP; borrowed */
    const struct stream_events *events;
    void *owner;
    /* The handshake is over and the peer is who it must be; may be NULL. Never from tls_start. */
    void (*ready)(struct stream *s);
};

/* --- what is known of a connection ----------------------------------------------------------- */

struct tls_state {
    bool ready;              /* the handshake is over */
    const char *version;     /* "TLSv1.3"; of the handshake so far, as all below */
    const char *cipher;      /* IANA's name */
    struct str alpn;         /* nil: none negotiated */
    const char *server_name; /* SNI: as received, or as sent; NULL: none */
    const char *why;         /* what ended it, in Go's words; NULL: nothing did */
};

/* Who the peer is by its certificate, which is verified. */
struct tls_peer {
    struct str common_name;
    const struct str *dns_names; /* in order */
    size_t n_dns_names;
    const struct str *uris; /* in order: spiffe://... */
    size_t n_uris;
};

/* --- the agent's TLS ------------------------------------------------------------------------- */

/* What follows from the configuration; changes with a reload. */
struct tls_facts {
    bool can_serve;         /* has a certificate */
    bool mutual;            /* has CAs and a certificate: native TLS is served and may be dialled */
    bool require_rpc;       /* verify_incoming or _rpc: plain RPC is refused */
    bool dial_rpc;          /* RPC is dialled with TLS: verify_outgoing or auto_encrypt */
    bool verify_dialled;    /* the servers' certificates are verified */
    bool verify_names;      /* verify_server_hostname */
    int64_t served_until_s; /* the end of the served certificate, Unix time; 0: there is none */
    const struct str *cas;  /* texts of the configured files of authorities */
    size_t n_cas;
};

struct tls_counters {
    uint64_t handshakes;  /* ended well */
    uint64_t failed;      /* all others, of which ... */
    uint64_t timed_out;   /* ... not in time */
    uint64_t refused;     /* ... more than TLS_HANDSHAKES_MAX at a time */
    uint64_t handshaking; /* now */
    uint64_t open;        /* streams now */
};

#define TLS_HANDSHAKES_MAX 4096

struct tls;

struct tls_ops {
    struct stream *(*start)(struct tls *t, struct stream *below, const struct tls_options *o);
    void (*state)(const struct stream *s, struct tls_state *out);
    bool (*peer)(const struct stream *s, struct arena *a, struct tls_peer *out);
    bool (*peer_is)(const struct stream *s, const char *name);
};

struct tls {
    const struct tls_ops *ops;
    struct tls_facts facts;
    struct tls_counters counters;
};

/* Takes over `below`, which is connected (dialling) or just accepted, with its events and owner,
 * and lets the handshake begin. Below's own queue must hold at least 256 KB. */
static inline struct stream *tls_start(
    struct tls *t, struct stream *below, const struct tls_options *o)
{
    return t->ops->start(t, below, o);
}
/* Of a stream that came of tls_start; the strings live as long as it. */
static inline void tls_state(const struct tls *t, const struct stream *s, struct tls_state *out)
{
    t->ops->state(s, out);
}
/* False if the peer showed no certificate. The strings belong to `a`. */
static inline bool tls_peer(
    const struct tls *t, const struct stream *s, struct arena *a, struct tls_peer *out)
{
    return t->ops->peer(s, a, out);
}

/* True if the peer's certificate is valid for the name, and by a configured authority: those that
 * were given beside the configuration sign what others ask them for. */
static inline bool tls_peer_is(const struct tls *t, const struct stream *s, const char *name)
{
    return t->ops->peer_is(s, name);
}

/* --- names ----------------------------------------------------------------------------------- */

#define TLS_NAME_MAX 512

/* "s1.server.dc1.consul"; node empty or "*" gives "server.dc1.consul". A dot at the end of the
 * domain is left out. Too long a name is cut, and then fits no certificate. */
void tls_server_name(
    struct str node, struct str datacenter, struct str domain, char out[TLS_NAME_MAX]);
