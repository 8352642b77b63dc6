/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a struct tls, and what each use of a connection asks of OpenSSL. */
#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#include "tls_stream.h"

/* --- between OpenSSL and the stream below ----------------------------------------------------- */

static int bio_write(BIO *b, const char *p, size_t n, size_t *written)
{
    struct tls_stream *t = BIO_get_data(b);
    struct stream_part part = { p, n, NULL };
    BIO_clear_retry_flags(b);
    *written = n;
    return t->below && stream_write(t->below, &part, 1) == 0;
}

static int bio_read(BIO *b, char *to, size_t n, size_t *got)
{
    struct tls_stream *t = BIO_get_data(b);
    BIO_clear_retry_flags(b);
    *got = n < t->in.n ? n : t->in.n;
    if (*got == 0) {
        BIO_set_retry_read(b);
        return 0;
    }
    memcpy(to, t->in.p, *got);
    t->in = str_slice(t->in, *got, t->in.n);
    return 1;
}

static long bio_ctrl(BIO *b, int cmd, long num, void *p)
{
    (void)b, (void)num, (void)p;
    return cmd == BIO_CTRL_FLUSH;
}

static BIO_METHOD *bio_method(void)
{
    BIO_METHOD *m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "stream");
    ensure(m && BIO_meth_set_write_ex(m, bio_write) && BIO_meth_set_read_ex(m, bio_read) &&
           BIO_meth_set_ctrl(m, bio_ctrl));
    return m;
}

/* --- uses ------------------------------------------------------------------------------------ */

static int on_verify(int ok, X509_STORE_CTX *store)
{
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct tls_stream *t = SSL_get_app_data(ssl);
    char text[WHY_MAX];
    if (ok || t->why) return ok;
    struct str why = net__tls_why_refused(X509_STORE_CTX_get0_cert(store),
        X509_STORE_CTX_get_error(store), t->accepting, t->name, text, sizeof text);
    t->why = xmalloc(why.n + 1);
    memcpy(t->why, text, why.n + 1);
    return 0;
}

/* The first of ours that the client offers too. */
static int select_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_n,
    const unsigned char *in, unsigned in_n, void *arg)
{
    const struct tls_stream *t = SSL_get_app_data(ssl);
    (void)arg;
    for (size_t i = 0; i < t->o.n_alpn; i++) {
        size_t n = strlen(t->o.alpn[i]);
        for (unsigned at = 0; at < in_n; at += 1u + in[at]) {
            if (in[at] != n || in_n - at - 1 < n || memcmp(in + at + 1, t->o.alpn[i], n)) continue;
            *out = in + at + 1;
            *out_n = in[at];
            return SSL_TLSEXT_ERR_OK;
        }
    }
    return t->o.n_alpn ? SSL_TLSEXT_ERR_ALERT_FATAL : SSL_TLSEXT_ERR_NOACK;
}

static bool offer_alpn(struct tls_stream *t)
{
    struct buf names = BUF_INIT(1024);
    for (size_t i = 0; i < t->o.n_alpn; i++) {
        size_t n = strlen(t->o.alpn[i]);
        ensure(n > 0 && n < 256);
        buf_put_char(&names, (char)n);
        buf_put(&names, t->o.alpn[i], n);
    }
    bool ok = !names.overflow &&
              (names.n == 0 || SSL_set_alpn_protos(t->ssl, names.p, (unsigned)names.n) == 0);
    buf_deinit(&names);
    return ok;
}

static bool is_address(const char *name)
{
    struct in6_addr ip;
    return inet_pton(AF_INET, name, &ip) == 1 || inet_pton(AF_INET6, name, &ip) == 1;
}

/* A certificate good for any of the two is. An IP address cannot be one of two. */
static bool expect_names(struct tls_stream *t, const char *other)
{
    bool address = t->name && is_address(t->name);
    if (!t->name && !other) return false;
    SSL_set_hostflags(t->ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    if (address && !other) return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(t->ssl), t->name);
    if (t->name && !address && !SSL_set1_host(t->ssl, t->name)) return false;
    return !other || SSL_add1_host(t->ssl, other);
}

static bool prepare_accept(struct tls_stream *t)
{
    const struct tls_material *m = t->tls->material;
    bool required = t->o.use == TLS_ACCEPT_ALPN ||
                    (t->o.use == TLS_ACCEPT_RPC && m->facts.require_rpc) ||
                    (t->o.use == TLS_ACCEPT_HTTPS && m->require_https);
    SSL_set_verify(t->ssl,
        required ? SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT : SSL_VERIFY_NONE, on_verify);
    SSL_set_accept_state(t->ssl);
    return true;
}

static bool prepare_dial(struct tls_stream *t)
{
    const struct tls_material *m = t->tls->material;
    bool rpc = t->o.use == TLS_DIAL_RPC, checked = t->o.use != TLS_DIAL_CHECK_UNVERIFIED;
    bool checks_use_agent = m->agent_tls_for_checks && !rpc && t->o.use != TLS_DIAL_ALPN;
    bool named = rpc ? m->facts.verify_names : true;
    const char *other = checks_use_agent && m->check_name[0] ? m->check_name : NULL;
    const char *sni = t->name && !is_address(t->name) ? t->name : other;
    if (rpc) checked = m->facts.verify_dialled;
    SSL_set_verify(t->ssl, checked ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, on_verify);
    SSL_set_connect_state(t->ssl);
    if (!named) return offer_alpn(t);
    if (checked && !expect_names(t, other)) return false;
    if (sni && SSL_set_tlsext_host_name(t->ssl, sni) != 1) return false;
    return offer_alpn(t);
}

static SSL_CTX *context_of(struct tls_material *m, enum tls_use use)
{
    if (use <= TLS_ACCEPT_HTTPS) return m->accept;
    if (use <= TLS_DIAL_ALPN || m->agent_tls_for_checks) return m->dial;
    if (!m->system) {
        m->system = net__tls_context(TLS_client_method());
        if (m->system) SSL_CTX_set_default_verify_paths(m->system);
    }
    return m->system;
}

bool tls__prepare(struct tls_stream *t, struct str server_name)
{
    if (server_name.n) {
        t->name = xmalloc(server_name.n + 1);
        memcpy(t->name, server_name.p, server_name.n);
        t->name[server_name.n] = '\0';
    }
    if (t->accepting && !t->tls->base.facts.can_serve) {
        tls__fail(t, ERR_IO, STR("tls: no certificates configured"));
        return false;
    }
    SSL_CTX *ctx = context_of(t->tls->material, t->o.use);
    if (!ctx) {
        tls__fail(t, ERR_IO, STR("tls: not configured"));
        return false;
    }
    if (!t->tls->bio) t->tls->bio = bio_method();
    BIO *bio = BIO_new(t->tls->bio);
    t->ssl = SSL_new(ctx);
    if (bio && t->ssl) {
        BIO_set_data(bio, t);
        BIO_set_init(bio, 1);
        SSL_set_bio(t->ssl, bio, bio);
        SSL_set_app_data(t->ssl, t);
        if (t->accepting ? prepare_accept(t) : prepare_dial(t)) return true;
    } else {
        BIO_free(bio);
    }
    ERR_clear_error();
    tls__fail(t, ERR_IO, STR("tls: bad server name"));
    return false;
}

/* --- what is known --------------------------------------------------------------------------- */

static struct tls_stream *of(const struct stream *s)
{
    return container_of((struct stream *)(uintptr_t)s, struct tls_stream, base);
}

static void state(const struct stream *s, struct tls_state *out)
{
    const struct tls_stream *t = of(s);
    const unsigned char *alpn = NULL;
    unsigned n = 0;
    *out = (struct tls_state){ .ready = t->ready, .why = t->why };
    if (!t->ssl) return;
    const SSL_CIPHER *cipher = SSL_get_current_cipher(t->ssl);
    SSL_get0_alpn_selected(t->ssl, &alpn, &n);
    out->version = SSL_get_version(t->ssl);
    out->cipher = cipher ? SSL_CIPHER_standard_name(cipher) : "";
    out->alpn = n ? (struct str){ (const char *)alpn, n } : STR_NIL;
    out->server_name = SSL_get_servername(t->ssl, TLSEXT_NAMETYPE_host_name);
}

static bool peer(const struct stream *s, struct arena *a, struct tls_peer *out)
{
    const struct tls_stream *t = of(s);
    bool shown = t->ssl && t->ready && SSL_get_verify_mode(t->ssl) != SSL_VERIFY_NONE;
    return net__tls_peer(shown ? SSL_get0_peer_certificate(t->ssl) : NULL, a, out);
}

static bool peer_is(const struct stream *s, const char *name)
{
    const struct tls_stream *t = of(s);
    if (!t->ssl || !t->ready) return false;
    return net__tls_peer_is(SSL_get0_peer_certificate(t->ssl), SSL_get_peer_cert_chain(t->ssl),
        t->tls->material->configured, name);
}

/* --- life ------------------------------------------------------------------------------------ */

static const struct tls_ops ops = { tls__start, state, peer, peer_is };

static void take(struct net_tls *t, struct tls_material *m)
{
    t->material = m;
    t->base.facts = m->facts;
    if (m->accept) SSL_CTX_set_alpn_select_cb(m->accept, select_alpn, NULL);
}

struct tls *net_tls_create(struct world *w, struct tls_material *m)
{
    struct net_tls *t = xcalloc(1, sizeof *t);
    *t = (struct net_tls){ .base.ops = &ops, .world = w, .refs = 1 };
    take(t, m);
    return &t->base;
}

void net_tls_switch(struct tls *tls, struct tls_material *m)
{
    struct net_tls *t = container_of(tls, struct net_tls, base);
    tls_material_free(t->material);
    take(t, m);
}

void net__tls_unref(struct net_tls *t)
{
    if (--t->refs) return;
    tls_material_free(t->material);
    BIO_meth_free(t->bio);
    free(t);
}

void net_tls_destroy(struct tls *t)
{
    if (t) net__tls_unref(container_of(t, struct net_tls, base));
}
