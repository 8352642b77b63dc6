/* SPDX-License-Identifier: Apache-2.0 */
/* From files and options to OpenSSL's contexts. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "tls.h"

#define DEPTH_MAX 16
/* In Go's order of preference. */
#define CIPHERS_DEFAULT \
    "ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES128:ECDHE+AES256:AES128-GCM-SHA256:AES256-GCM-SHA384:" \
    "AES128-SHA256:AES128-SHA:AES256-SHA"

struct loading {
    const struct tls_config *c;
    struct error *err;
    struct arena *a;   /* the material's */
    struct str *texts; /* of files of authorities */
    size_t n_texts, texts_room;
    X509_STORE *cas, *configured; /* all, those of files */
    bool of_file;
    STACK_OF(X509_NAME) * ca_names;
    size_t n_cas, n_files;
};

/* What OpenSSL says of its first error, without its codes. */
static const char *reason(void)
{
    const char *text = ERR_reason_error_string(ERR_peek_error());
    ERR_clear_error();
    return text ? text : "unknown error";
}

/* --- files ----------------------------------------------------------------------------------- */

static const char *system_reason(int code)
{
    return code == ENOENT   ? "no such file or directory"
           : code == EACCES ? "permission denied"
           : code == EISDIR ? "is a directory"
                            : strerror(code);
}

/* A file of credentials is small and regular: no pipe may make the start wait. */
static int read_file(const char *path, struct buf *out, struct error *err)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return error_set(err, ERR_IO, "open %s: %s", path, system_reason(errno));
    int code = fstat(fd, &st) < 0 ? errno : S_ISDIR(st.st_mode) ? EISDIR : 0;
    if (code == 0 && !S_ISREG(st.st_mode)) code = EINVAL;
    while (code == 0) {
        uint8_t *to = buf_reserve(out, 65536);
        ssize_t n = to ? read(fd, to, 65536) : -1;
        if (!to) code = EFBIG;
        if (to && n < 0) code = errno;
        if (n <= 0) break;
        out->n += (size_t)n;
    }
    close(fd);
    return code ? error_set(err, ERR_IO, "read %s: %s", path, system_reason(code)) : 0;
}

/* --- authorities ----------------------------------------------------------------------------- */

static void add_ca(struct loading *l, X509 *cert)
{
    if (l->of_file && !X509_STORE_add_cert(l->configured, cert)) return;
    if (!X509_STORE_add_cert(l->cas, cert)) return;
    X509_NAME *name = X509_NAME_dup(X509_get_subject_name(cert));
    if (name && !sk_X509_NAME_push(l->ca_names, name)) X509_NAME_free(name);
    l->n_cas++;
}

/* Blocks of other kinds and unreadable certificates are passed over, as long as there is one. */
static int add_pem(struct loading *l, struct str pem)
{
    size_t before = l->n_cas;
    BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);
    while (bio && BIO_pending(bio) > 0) {
        X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
        if (cert) add_ca(l, cert);
        X509_free(cert);
    }
    BIO_free(bio);
    ERR_clear_error();
    return l->n_cas > before ? 0 : error_set(l->err, ERR_BAD_REQUEST, "no certificates found");
}

static void keep_text(struct loading *l, struct str text)
{
    if (l->n_texts == l->texts_room) {
        size_t room = l->texts_room ? l->texts_room * 2 : 1;
        struct str *more = arena_array(l->a, room, sizeof *more);
        if (l->n_texts) memcpy(more, l->texts, l->n_texts * sizeof *more);
        l->texts = more;
        l->texts_room = room;
    }
    l->texts[l->n_texts++] = str_dup(l->a, text);
}

static int add_file(struct loading *l, const char *path)
{
    struct buf text = BUF_INIT(TLS_FILE_MAX);
    int failed = read_file(path, &text, l->err);
    if (!failed) failed = add_pem(l, buf_str(&text));
    if (!failed) keep_text(l, buf_str(&text));
    if (failed) error_prefix(l->err, "Error loading from %s: ", path);
    buf_deinit(&text);
    return failed;
}

static int add_folder(struct loading *l, const char *path, unsigned depth)
{
    char name[PATH_MAX];
    struct dirent *entry;
    struct stat st;
    DIR *dir = depth < DEPTH_MAX ? opendir(path) : NULL;
    int failed = 0;
    if (!dir)
        return error_set(l->err, ERR_IO, "Error loading from %s: open %s: %s", path, path,
            system_reason(depth < DEPTH_MAX ? errno : ELOOP));
    while (!failed && (entry = readdir(dir))) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
        int n = snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        if (n < 0 || (size_t)n >= sizeof name || lstat(name, &st) < 0) continue;
        if (S_ISDIR(st.st_mode)) {
            failed = add_folder(l, name, depth + 1);
        } else if (++l->n_files > TLS_CA_FILES_MAX) {
            failed = error_set(l->err, ERR_TOO_LARGE, "Error loading from %s: more than %d files",
                path, TLS_CA_FILES_MAX);
        } else {
            failed = add_file(l, name);
        }
    }
    closedir(dir);
    return failed;
}

static int add_cas(struct loading *l)
{
    struct arena a = ARENA_INIT;
    int failed = 0;
    l->of_file = true;
    if (l->c->ca_file.n) {
        failed = add_file(l, str_c(&a, l->c->ca_file));
    } else if (l->c->ca_path.n) {
        failed = add_folder(l, str_c(&a, l->c->ca_path), 0);
        if (!failed && l->n_cas == 0)
            failed = error_set(l->err, ERR_BAD_REQUEST, "Error loading from CAPath: no CAs found");
    }
    l->of_file = false;
    for (size_t i = 0; i < l->c->n_more_cas && !failed; i++) {
        failed = add_pem(l, l->c->more_cas[i]);
        if (failed) error_prefix(l->err, "Error loading a CA: ");
    }
    arena_free(&a);
    return failed;
}

/* --- certificate and key --------------------------------------------------------------------- */

struct pair {
    X509 *cert;
    STACK_OF(X509) * chain;
    EVP_PKEY *key;
};

static void pair_free(struct pair *p)
{
    X509_free(p->cert);
    sk_X509_pop_free(p->chain, X509_free);
    EVP_PKEY_free(p->key);
    *p = (struct pair){ 0 };
}

/* A key with a passphrase is an error, not a question. */
static int no_passphrase(char *to, int size, int writing, void *arg)
{
    (void)to, (void)size, (void)writing, (void)arg;
    return -1;
}

static int pair_parse(struct pair *p, struct str cert, struct str key, struct error *err)
{
    BIO *certs = BIO_new_mem_buf(cert.p, (int)cert.n), *keys = BIO_new_mem_buf(key.p, (int)key.n);
    X509 *more;
    p->chain = sk_X509_new_null();
    if (certs) p->cert = PEM_read_bio_X509(certs, NULL, no_passphrase, NULL);
    while (p->cert && p->chain && (more = PEM_read_bio_X509(certs, NULL, no_passphrase, NULL)))
        if (!sk_X509_push(p->chain, more)) X509_free(more);
    ERR_clear_error();
    if (keys) p->key = PEM_read_bio_PrivateKey(keys, NULL, no_passphrase, NULL);
    BIO_free(certs);
    BIO_free(keys);
    if (!p->cert) return error_set(err, ERR_BAD_REQUEST, "tls: no certificate found");
    if (!p->key) return error_set(err, ERR_BAD_REQUEST, "tls: no readable private key found");
    if (X509_check_private_key(p->cert, p->key) == 1) return 0;
    ERR_clear_error();
    return error_set(err, ERR_BAD_REQUEST, "tls: private key does not match public key");
}

static int pair_load(struct loading *l, struct pair *p)
{
    struct arena a = ARENA_INIT;
    struct buf cert = BUF_INIT(TLS_FILE_MAX), key = BUF_INIT(TLS_FILE_MAX);
    int failed = 0;
    if (l->c->cert_file.n && l->c->key_file.n) {
        failed = read_file(str_c(&a, l->c->cert_file), &cert, l->err);
        if (!failed) failed = read_file(str_c(&a, l->c->key_file), &key, l->err);
        if (!failed) failed = pair_parse(p, buf_str(&cert), buf_str(&key), l->err);
        if (failed) error_prefix(l->err, "Failed to load cert/key pair: ");
    }
    if (key.p) OPENSSL_cleanse(key.p, key.cap);
    buf_deinit(&cert);
    buf_deinit(&key);
    arena_free(&a);
    return failed;
}

static int use_pair(SSL_CTX *ctx, const struct pair *p, struct error *err)
{
    if (!p->cert || SSL_CTX_use_cert_and_key(ctx, p->cert, p->key, p->chain, 1) == 1) return 0;
    return error_set(err, ERR_BAD_REQUEST, "Failed to load cert/key pair: %s", reason());
}

/* --- contexts -------------------------------------------------------------------------------- */

SSL_CTX *net__tls_context(const SSL_METHOD *method)
{
    SSL_CTX *ctx = SSL_CTX_new(method);
    if (!ctx) return NULL;
    /* Each handshake is whole: what a reload no longer trusts does not come back by resuming. */
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(ctx, 0);
    SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_clear_options(ctx, SSL_OP_ENABLE_MIDDLEBOX_COMPAT);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_security_level(ctx, 1);
    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION);
    SSL_CTX_set_cipher_list(ctx, CIPHERS_DEFAULT);
    /* As in Go any certificate of the pool is an anchor, also one that is not self-signed. */
    X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(ctx), X509_V_FLAG_PARTIAL_CHAIN);
    return ctx;
}

static int set_versions(SSL_CTX *ctx, struct str min, struct error *err)
{
    static const struct {
        const char *name;
        int version;
    } versions[] = { { "", TLS1_2_VERSION }, { "tls10", TLS1_VERSION }, { "tls11", TLS1_1_VERSION },
        { "tls12", TLS1_2_VERSION }, { "tls13", TLS1_3_VERSION } };
    for (size_t i = 0; i < sizeof versions / sizeof versions[0]; i++) {
        if (!str_is(min, versions[i].name) && (min.n || i)) continue;
        /* their digests are below every higher level */
        if (versions[i].version < TLS1_2_VERSION) SSL_CTX_set_security_level(ctx, 0);
        SSL_CTX_set_min_proto_version(ctx, versions[i].version);
        return 0;
    }
    return error_set(err, ERR_BAD_REQUEST,
        "TLSMinVersion: value %.*s not supported, please specify one of "
        "[tls10, tls11, tls12, tls13]",
        STR_ARG(min));
}

static int set_ciphers(SSL_CTX *ctx, const struct tls_config *c, struct error *err)
{
    struct buf list = BUF_INIT(8192);
    if (c->prefer_server_cipher_suites) SSL_CTX_set_options(ctx, SSL_OP_CIPHER_SERVER_PREFERENCE);
    if (c->n_cipher_suites == 0) return 0;
    for (size_t i = 0; i < c->n_cipher_suites; i++) {
        const char *name = tls_cipher_name(c->cipher_suites[i]);
        if (!name) {
            buf_deinit(&list);
            return error_set(err, ERR_BAD_REQUEST,
                "tls_cipher_suites: invalid tls cipher suites: unsupported cipher \"%.*s\"",
                STR_ARG(c->cipher_suites[i]));
        }
        buf_printf(&list, "%s%s", i ? ":" : "", name);
    }
    buf_put_char(&list, '\0');
    bool ok = !list.overflow && SSL_CTX_set_cipher_list(ctx, (const char *)list.p) == 1;
    buf_deinit(&list);
    if (ok) return 0;
    ERR_clear_error();
    return error_set(err, ERR_BAD_REQUEST,
        "tls_cipher_suites: none of them is available; name one with AES or CHACHA20");
}

static int context(struct loading *l, const SSL_METHOD *method, const struct pair *p, SSL_CTX **out)
{
    SSL_CTX *ctx = net__tls_context(method);
    if (!ctx) return error_set(l->err, ERR_INTERNAL, "TLS: %s", reason());
    *out = ctx;
    int failed = set_versions(ctx, l->c->min_version, l->err);
    if (!failed) failed = set_ciphers(ctx, l->c, l->err);
    if (!failed) failed = use_pair(ctx, p, l->err);
    if (!failed) SSL_CTX_set1_cert_store(ctx, l->cas);
    return failed;
}

static int64_t not_after(const X509 *cert)
{
    struct tm tm;
    return cert && ASN1_TIME_to_tm(X509_get0_notAfter(cert), &tm) ? (int64_t)timegm(&tm) : 0;
}

static void set_facts(struct tls_material *m, const struct loading *l, const X509 *served)
{
    const struct tls_config *c = l->c;
    m->facts = (struct tls_facts){ .can_serve = served != NULL,
        .served_until_s = not_after(served),
        .mutual = served && l->n_cas > 0,
        .require_rpc = c->verify_incoming || c->verify_incoming_rpc,
        .dial_rpc = c->verify_outgoing || c->verify_server_hostname || c->auto_tls,
        .verify_dialled =
            c->verify_outgoing || c->verify_server_hostname || (c->auto_tls && l->n_cas > 0),
        .verify_names = c->verify_server_hostname,
        .cas = l->texts,
        .n_cas = l->n_texts };
    m->require_https = c->verify_incoming || c->verify_incoming_https;
    m->agent_tls_for_checks = c->agent_tls_for_checks;
    snprintf(m->check_name, sizeof m->check_name, "%.*s", STR_ARG(c->check_name));
}

static int load(struct loading *l, struct tls_material *m)
{
    struct pair file = { 0 }, own = { 0 };
    int failed = add_cas(l);
    if (!failed && l->n_cas == 0 && l->c->system_cas) X509_STORE_set_default_paths(l->cas);
    if (!failed) failed = pair_load(l, &file);
    if (!failed && l->c->auto_cert.n)
        failed = pair_parse(&own, l->c->auto_cert, l->c->auto_key, l->err);
    const struct pair *served = file.cert ? &file : &own, *offered = own.cert ? &own : &file;
    if (!failed) failed = context(l, TLS_server_method(), served, &m->accept);
    if (!failed) failed = context(l, TLS_client_method(), offered, &m->dial);
    if (!failed) {
        SSL_CTX_set_client_CA_list(m->accept, l->ca_names);
        l->ca_names = NULL;
        set_facts(m, l, served->cert);
    }
    pair_free(&file);
    pair_free(&own);
    return failed;
}

/* OpenSSL's first context costs megabytes, which an agent without TLS need not have. */
static bool asks_for_nothing(const struct tls_config *c)
{
    bool authority = c->ca_file.n || c->ca_path.n || c->n_more_cas || c->system_cas;
    bool pair = (c->cert_file.n && c->key_file.n) || c->auto_cert.n;
    bool verify = c->verify_incoming || c->verify_incoming_rpc || c->verify_incoming_https ||
                  c->verify_outgoing || c->verify_server_hostname;
    return !authority && !pair && !verify && !c->auto_tls && !c->agent_tls_for_checks;
}

int tls_material_load(const struct tls_config *c, struct tls_material **out, struct error *err)
{
    struct tls_material *m = xcalloc(1, sizeof *m);
    if (asks_for_nothing(c)) {
        *out = m;
        return 0;
    }
    struct loading l = { .c = c, .err = err, .a = &m->arena, .cas = X509_STORE_new() };
    l.ca_names = sk_X509_NAME_new_null();
    l.configured = m->configured = X509_STORE_new();
    int failed = l.cas && l.ca_names && l.configured
                     ? load(&l, m)
                     : error_set(err, ERR_INTERNAL, "out of memory");
    X509_STORE_free(l.cas);
    sk_X509_NAME_pop_free(l.ca_names, X509_NAME_free);
    ERR_clear_error();
    if (failed) {
        tls_material_free(m);
    } else {
        *out = m;
    }
    return failed;
}

void tls_material_free(struct tls_material *m)
{
    if (!m) return;
    SSL_CTX_free(m->accept);
    SSL_CTX_free(m->dial);
    SSL_CTX_free(m->system);
    X509_STORE_free(m->configured);
    arena_free(&m->arena);
    free(m);
}
