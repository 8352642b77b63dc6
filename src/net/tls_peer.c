/* SPDX-License-Identifier: Apache-2.0 */
/* Names in certificates. A name with a NUL inside is no name. */
#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "tls.h"

static struct str text_of(const ASN1_STRING *s)
{
    struct str out = { (const char *)ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s) };
    return out.n && memchr(out.p, '\0', out.n) ? STR_NIL : out;
}

static struct str common_name(X509 *cert, struct arena *a)
{
    X509_NAME *subject = X509_get_subject_name(cert);
    int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    if (at < 0) return STR_NIL;
    unsigned char *utf8 = NULL;
    int n = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
    struct str out = STR_NIL;
    if (n >= 0 && !memchr(utf8, '\0', (size_t)n))
        out = str_dup(a, (struct str){ (const char *)utf8, (size_t)n });
    OPENSSL_free(utf8);
    return out;
}

static GENERAL_NAMES *alternatives(X509 *cert)
{
    return X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
}

bool net__tls_peer(X509 *cert, struct arena *a, struct tls_peer *out)
{
    *out = (struct tls_peer){ 0 };
    if (!cert) return false;
    out->common_name = common_name(cert, a);
    GENERAL_NAMES *names = alternatives(cert);
    size_t n = names ? (size_t)sk_GENERAL_NAME_num(names) : 0;
    struct str *dns = arena_array(a, n, sizeof *dns), *uris = arena_array(a, n, sizeof *uris);
    for (size_t i = 0; i < n; i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, (int)i);
        if (name->type != GEN_DNS && name->type != GEN_URI) continue;
        struct str text = text_of(name->d.ia5);
        if (text.n == 0) continue;
        if (name->type == GEN_DNS) {
            dns[out->n_dns_names++] = str_dup(a, text);
        } else {
            uris[out->n_uris++] = str_dup(a, text);
        }
    }
    out->dns_names = dns;
    out->uris = uris;
    GENERAL_NAMES_free(names);
    return true;
}

bool net__tls_peer_is(X509 *cert, STACK_OF(X509) * chain, X509_STORE *authorities, const char *name)
{
    X509_STORE_CTX *check = X509_STORE_CTX_new();
    ensure(check);
    bool good = cert && authorities && X509_STORE_CTX_init(check, authorities, cert, chain) == 1 &&
                X509_STORE_CTX_set_default(check, "ssl_client") == 1;
    if (good) X509_STORE_CTX_set_flags(check, X509_V_FLAG_PARTIAL_CHAIN);
    good = good && X509_verify_cert(check) == 1 &&
           X509_check_host(cert, name, 0, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS, NULL) == 1;
    X509_STORE_CTX_free(check);
    ERR_clear_error();
    return good;
}

static void put_address(const ASN1_OCTET_STRING *ip, struct buf *out)
{
    char text[INET6_ADDRSTRLEN] = "";
    int n = ASN1_STRING_length(ip);
    if (n == 4 || n == 16)
        inet_ntop(n == 4 ? AF_INET : AF_INET6, ASN1_STRING_get0_data(ip), text, sizeof text);
    buf_put_c(out, text);
}

bool net__tls_valid_for(X509 *cert, bool addresses, struct buf *out)
{
    GENERAL_NAMES *names = cert ? alternatives(cert) : NULL;
    int n = names ? sk_GENERAL_NAME_num(names) : 0;
    size_t found = 0;
    for (int i = 0; i < n; i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type != (addresses ? GEN_IPADD : GEN_DNS)) continue;
        buf_put_c(out, found++ ? ", " : "");
        if (addresses) {
            put_address(name->d.iPAddress, out);
        } else {
            buf_put_str(out, text_of(name->d.ia5));
        }
    }
    GENERAL_NAMES_free(names);
    return found > 0;
}
