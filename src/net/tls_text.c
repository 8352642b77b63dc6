/* SPDX-License-Identifier: Apache-2.0 */
/* OpenSSL's errors in Go's words, which operators and scripts of Consul know. */
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

#include "tls.h"

#define NAMES_MAX 512

static const struct {
    int alert;
    const char *text;
} alerts[] = {
    { SSL_AD_UNEXPECTED_MESSAGE, "unexpected message" },
    { SSL_AD_BAD_RECORD_MAC, "bad record MAC" },
    { SSL_AD_RECORD_OVERFLOW, "record overflow" },
    { SSL_AD_HANDSHAKE_FAILURE, "handshake failure" },
    { SSL_AD_BAD_CERTIFICATE, "bad certificate" },
    { SSL_AD_UNSUPPORTED_CERTIFICATE, "unsupported certificate" },
    { SSL_AD_CERTIFICATE_REVOKED, "revoked certificate" },
    { SSL_AD_CERTIFICATE_EXPIRED, "expired certificate" },
    { SSL_AD_CERTIFICATE_UNKNOWN, "unknown certificate" },
    { SSL_AD_ILLEGAL_PARAMETER, "illegal parameter" },
    { SSL_AD_UNKNOWN_CA, "unknown certificate authority" },
    { SSL_AD_ACCESS_DENIED, "access denied" },
    { SSL_AD_DECODE_ERROR, "error decoding message" },
    { SSL_AD_DECRYPT_ERROR, "error decrypting message" },
    { SSL_AD_PROTOCOL_VERSION, "protocol version not supported" },
    { SSL_AD_INSUFFICIENT_SECURITY, "insufficient security level" },
    { SSL_AD_INTERNAL_ERROR, "internal error" },
    { SSL_AD_USER_CANCELLED, "user canceled" },
    { SSL_AD_NO_RENEGOTIATION, "no renegotiation" },
    { SSL_AD_MISSING_EXTENSION, "missing extension" },
    { SSL_AD_UNSUPPORTED_EXTENSION, "unsupported extension" },
    { SSL_AD_UNRECOGNIZED_NAME, "unrecognized name" },
    { SSL_AD_CERTIFICATE_REQUIRED, "certificate required" },
    { SSL_AD_NO_APPLICATION_PROTOCOL, "no application protocol" },
};

static const struct {
    int reason;
    const char *text;
} reasons[] = {
    { SSL_R_WRONG_VERSION_NUMBER, "first record does not look like a TLS handshake" },
    { SSL_R_HTTP_REQUEST, "first record does not look like a TLS handshake" },
    { SSL_R_HTTPS_PROXY_REQUEST, "first record does not look like a TLS handshake" },
    { SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE, "client didn't provide a certificate" },
    { SSL_R_NO_SHARED_CIPHER, "no cipher suite supported by both client and server" },
    { SSL_R_UNSUPPORTED_PROTOCOL, "client offered only unsupported versions" },
    { SSL_R_VERSION_TOO_LOW, "client offered only unsupported versions" },
    { SSL_R_NO_APPLICATION_PROTOCOL, "client requested unsupported application protocols" },
};

static int alert_text(int alert, char *out, size_t n)
{
    for (size_t i = 0; i < sizeof alerts / sizeof alerts[0]; i++)
        if (alerts[i].alert == alert)
            return snprintf(out, n, "remote error: tls: %s", alerts[i].text);
    return snprintf(out, n, "remote error: tls: alert(%d)", alert);
}

static int reason_text(unsigned long code, char *out, size_t n)
{
    int reason = ERR_GET_REASON(code);
    if (ERR_GET_LIB(code) == ERR_LIB_SSL && reason >= SSL_AD_REASON_OFFSET)
        return alert_text(reason - SSL_AD_REASON_OFFSET, out, n);
    for (size_t i = 0; ERR_GET_LIB(code) == ERR_LIB_SSL && i < sizeof reasons / sizeof reasons[0];
         i++)
        if (reasons[i].reason == reason) return snprintf(out, n, "tls: %s", reasons[i].text);
    const char *text = ERR_reason_error_string(code);
    return snprintf(out, n, "tls: %s", text ? text : "protocol error");
}

/* What snprintf wrote of it. */
static struct str fit(char *out, size_t len, size_t n)
{
    return (struct str){ out, len < n ? len : n - 1 };
}

static int name_text(X509 *cert, bool address, const char *name, char *out, size_t n)
{
    struct buf valid = BUF_INIT(NAMES_MAX);
    bool any = net__tls_valid_for(cert, address, &valid);
    int len;
    if (any) {
        len = snprintf(
            out, n, "x509: certificate is valid for %.*s, not %s", STR_ARG(buf_str(&valid)), name);
    } else if (address) {
        len = snprintf(out, n,
            "x509: cannot validate certificate for %s because it doesn't contain any IP SANs",
            name);
    } else {
        len = snprintf(
            out, n, "x509: certificate is not valid for any names, but wanted to match %s", name);
    }
    buf_deinit(&valid);
    return len;
}

struct str net__tls_why_refused(
    X509 *leaf, int result, bool accepting, const char *name, char *out, size_t n)
{
    static const char of_client[] = "tls: failed to verify client's certificate: ";
    size_t at = accepting ? sizeof of_client - 1 : 0;
    ensure(n > sizeof of_client);
    memcpy(out, of_client, at);
    const char *text = NULL;
    int len = 0;
    switch (result) {
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_CERT_UNTRUSTED:
        text = "certificate signed by unknown authority";
        break;
    case X509_V_ERR_CERT_HAS_EXPIRED:
    case X509_V_ERR_CERT_NOT_YET_VALID:
        text = "certificate has expired or is not yet valid";
        break;
    case X509_V_ERR_INVALID_PURPOSE:
        text = "certificate specifies an incompatible key usage";
        break;
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        len = name_text(
            leaf, result == X509_V_ERR_IP_ADDRESS_MISMATCH, name ? name : "", out + at, n - at);
        break;
    default:
        text = X509_verify_cert_error_string(result);
    }
    if (text) len = snprintf(out + at, n - at, "x509: %s", text);
    return fit(out, len < 0 ? at : at + (size_t)len, n);
}

struct str net__tls_why(char *out, size_t n)
{
    int len = reason_text(ERR_peek_error(), out, n);
    ERR_clear_error();
    return fit(out, len < 0 ? 0 : (size_t)len, n);
}
