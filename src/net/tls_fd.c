/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "tls.h"

#define WHY_MAX 512

struct tls_fd {
    SSL *ssl;
    BIO_METHOD *bio;
    struct tls_material *material;
    int fd;
    int code; /* errno of the socket */
    char name[TLS_NAME_MAX];
    char why[WHY_MAX]; /* the certificate was refused */
};

/* OpenSSL's own socket BIO would raise SIGPIPE. */
static int fd_write(BIO *b, const char *p, size_t n, size_t *written)
{
    struct tls_fd *t = BIO_get_data(b);
    ssize_t sent;
    do {
        sent = send(t->fd, p, n, MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    if (sent <= 0) t->code = errno;
    *written = sent > 0 ? (size_t)sent : 0;
    return sent > 0;
}

static int fd_read(BIO *b, char *to, size_t n, size_t *got)
{
    struct tls_fd *t = BIO_get_data(b);
    ssize_t taken;
    do {
        taken = recv(t->fd, to, n, 0);
    } while (taken < 0 && errno == EINTR);
    if (taken < 0) t->code = errno;
    *got = taken > 0 ? (size_t)taken : 0;
    return taken > 0;
}

static long fd_ctrl(BIO *b, int cmd, long num, void *p)
{
    (void)b, (void)num, (void)p;
    return cmd == BIO_CTRL_FLUSH;
}

static int on_verify(int ok, X509_STORE_CTX *store)
{
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct tls_fd *t = SSL_get_app_data(ssl);
    if (!ok && !t->why[0])
        net__tls_why_refused(X509_STORE_CTX_get0_cert(store), X509_STORE_CTX_get_error(store),
            false, t->name, t->why, sizeof t->why);
    return ok;
}

static int fail(struct tls_fd *t, const char *doing, struct error *err)
{
    char text[WHY_MAX];
    if (t->why[0]) return error_set(err, ERR_IO, "%s", t->why);
    if (ERR_peek_error()) {
        net__tls_why(text, sizeof text);
        return error_set(err, ERR_IO, "%s", text);
    }
    if (t->code) return error_set(err, ERR_IO, "%s: %s", doing, strerror(t->code));
    return error_set(err, ERR_EOF, "EOF");
}

static bool prepare(struct tls_fd *t, bool unverified)
{
    struct in6_addr ip;
    bool address = inet_pton(AF_INET, t->name, &ip) == 1 || inet_pton(AF_INET6, t->name, &ip) == 1;
    BIO *bio = BIO_new(t->bio);
    t->ssl = SSL_new(t->material->dial);
    if (!bio || !t->ssl) {
        BIO_free(bio);
        return false;
    }
    BIO_set_data(bio, t);
    BIO_set_init(bio, 1);
    SSL_set_bio(t->ssl, bio, bio);
    SSL_set_app_data(t->ssl, t);
    SSL_set_verify(t->ssl, unverified ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, on_verify);
    SSL_set_hostflags(t->ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    if (address) return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(t->ssl), t->name) == 1;
    return t->name[0] && SSL_set1_host(t->ssl, t->name) == 1 &&
           SSL_set_tlsext_host_name(t->ssl, t->name) == 1;
}

int tls_fd_open(const struct tls_fd_options *o, struct tls_fd **out, struct error *err)
{
    struct tls_fd *t = xcalloc(1, sizeof *t);
    t->fd = o->fd;
    if (o->server_name.n < sizeof t->name) memcpy(t->name, o->server_name.p, o->server_name.n);
    int failed = tls_material_load(o->config, &t->material, err);
    if (!failed) {
        t->bio = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "fd");
        ensure(t->bio && BIO_meth_set_write_ex(t->bio, fd_write) &&
               BIO_meth_set_read_ex(t->bio, fd_read) && BIO_meth_set_ctrl(t->bio, fd_ctrl));
        if (!prepare(t, o->unverified)) failed = error_set(err, ERR_IO, "tls: bad server name");
    }
    ERR_clear_error();
    if (!failed && SSL_connect(t->ssl) != 1) failed = fail(t, "read", err);
    if (failed) {
        tls_fd_close(t);
    } else {
        *out = t;
    }
    return failed;
}

int tls_fd_write(struct tls_fd *t, struct str bytes, struct error *err)
{
    size_t n;
    while (bytes.n) {
        ERR_clear_error();
        if (SSL_write_ex(t->ssl, bytes.p, bytes.n, &n) != 1) return fail(t, "write", err);
        bytes = str_slice(bytes, n, bytes.n);
    }
    return 0;
}

int tls_fd_read(struct tls_fd *t, char *to, size_t n, size_t *got, struct error *err)
{
    *got = 0;
    ERR_clear_error();
    int rc = SSL_read_ex(t->ssl, to, n, got);
    if (rc == 1 || SSL_get_error(t->ssl, rc) == SSL_ERROR_ZERO_RETURN) return 0;
    return fail(t, "read", err);
}

void tls_fd_close(struct tls_fd *t)
{
    SSL_free(t->ssl);
    BIO_meth_free(t->bio);
    tls_material_free(t->material);
    free(t);
}
