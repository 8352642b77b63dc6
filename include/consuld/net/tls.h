/* SPDX-License-Identifier: Apache-2.0 */
/* The agent's credentials behind base/tls.h (rpc.md 2.1): files are read and checked into a
 * tls_material, which a struct tls uses for new connections until it is given the next one. What
 * was begun with the former goes on with it. Nothing here prompts for a passphrase or is read
 * twice. */
#pragma once
#include "consuld/base.h"
#include "consuld/base/certify.h"
#include "consuld/base/tls.h"

/* Borrowed until tls_material_load returns. */
struct tls_config {
    struct str ca_file, ca_path; /* ca_file wins; of ca_path every file below it */
    bool system_cas;             /* the system's, if none is named */
    struct str cert_file, key_file;
    const struct str *more_cas; /* PEM: what auto_encrypt and Connect add */
    size_t n_more_cas;
    struct str auto_cert, auto_key;  /* PEM: offered first, served if there is no file */
    struct str min_version;          /* tls10 ... tls13; "" is tls12 */
    const struct str *cipher_suites; /* Go's names, of TLS 1.2 and before; none: those of Go */
    size_t n_cipher_suites;
    bool prefer_server_cipher_suites;
    bool verify_incoming, verify_incoming_rpc, verify_incoming_https;
    bool verify_outgoing, verify_server_hostname;
    bool auto_tls;             /* auto_encrypt.tls: RPC is dialled with TLS */
    bool agent_tls_for_checks; /* enable_agent_tls_for_checks ... */
    struct str check_name;     /* ... and a name beside the URL's that is good for them */
};

struct tls_material;

#define TLS_FILE_MAX ((size_t)4 << 20)
#define TLS_CA_FILES_MAX 4096

/* Errors name the file: Error loading from FILE: open FILE: no such file or directory. */
int tls_material_load(
    const struct tls_config *c, struct tls_material **out, struct error *err) must_check;
void tls_material_free(struct tls_material *m);

/* Keys and certificates, on OpenSSL. */
extern const struct certifier net_certifier;

struct world;

/* Both take over the material. */
struct tls *net_tls_create(struct world *w, struct tls_material *m);
void net_tls_switch(struct tls *t, struct tls_material *m);
/* Its last stream frees it. */
void net_tls_destroy(struct tls *t);

/* --- for commands: a client over a blocking socket ------------------------------------------- */

struct tls_fd;

struct tls_fd_options {
    const struct tls_config *config;
    int fd; /* connected; stays the caller's */
    struct str server_name;
    bool unverified; /* any certificate is good */
};
/* Shakes hands. Errors are Go's: x509: certificate signed by unknown authority. */
int tls_fd_open(const struct tls_fd_options *o, struct tls_fd **out, struct error *err) must_check;
int tls_fd_write(struct tls_fd *t, struct str bytes, struct error *err) must_check;
/* *got == 0: the peer has ended it. */
int tls_fd_read(struct tls_fd *t, char *to, size_t n, size_t *got, struct error *err) must_check;
void tls_fd_close(struct tls_fd *t);

/* OpenSSL's name for Go's, NULL if it is none of them: ECDHE-RSA-AES128-GCM-SHA256 for
 * TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256. */
const char *tls_cipher_name(struct str go_name);
