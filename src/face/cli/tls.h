/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates of `tls ca create` and `tls cert create` (wanfed.md 14.1). */
#pragma once
#include "cli.h"

struct tls_ca_options {
    struct str domain;
    int64_t days;
    bool constrain;         /* names under the domain and localhost alone */
    struct list additional; /* struct str: further permitted names */
};

/* A self-signed authority: PEM texts owned by the arena. */
int tls_ca_make(struct cli *c, const struct tls_ca_options *options, struct str *certificate,
    struct str *key, struct error *err) must_check;

struct tls_cert_options {
    struct str name; /* common name */
    int64_t days;
    struct list names;                   /* struct str, in order */
    struct list addresses;               /* struct str, in order */
    const char *usages;                  /* "serverAuth,clientAuth" or NULL */
    struct str authority, authority_key; /* PEM */
};

/* A key and a certificate signed by the authority and verified against it. */
int tls_cert_make(struct cli *c, const struct tls_cert_options *options, struct str *certificate,
    struct str *key, struct error *err) must_check;
