/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include <cmocka.h>

#include "consuld/net/tls.h"
#include "world/certificates.h"
#include "world/scratch.h"

struct fixture {
    char *dir;
    struct cert_made ca, leaf;
    struct arena arena;
    struct tls_config config;
};

static struct str path(struct fixture *f, const char *name)
{
    return str_printf(&f->arena, "%s/%s", f->dir, name);
}

static struct str file(struct fixture *f, const char *name, const char *content)
{
    struct str p = path(f, name);
    FILE *out = fopen(p.p, "w");
    assert_non_null(out);
    fputs(content, out);
    fclose(out);
    return p;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    f->dir = scratch_create();
    cert_make(&f->ca, NULL, (struct cert_wish){ .name = "CA", .authority = true });
    cert_make(&f->leaf, &f->ca, (struct cert_wish){ .name = "leaf", .alternatives = "DNS:a" });
    f->config.ca_file = file(f, "ca.pem", f->ca.cert_pem);
    f->config.cert_file = file(f, "leaf.pem", f->leaf.cert_pem);
    f->config.key_file = file(f, "leaf.key", f->leaf.key_pem);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    cert_free(&f->ca);
    cert_free(&f->leaf);
    arena_free(&f->arena);
    scratch_destroy(f->dir);
    free(f);
    return 0;
}

/* "%s" in `why` is the folder. */
static void refused(struct fixture *f, const char *why)
{
    struct tls_material *m = NULL;
    struct error err;
    char text[ERROR_TEXT_MAX] = "";
    struct str rest = str_of(why), head;
    for (bool more = true; more;) {
        more = str_cut(rest, '%', &head, &rest);
        snprintf(text + strlen(text), sizeof text - strlen(text), "%.*s%s", STR_ARG(head),
            more ? f->dir : "");
    }
    if (tls_material_load(&f->config, &m, &err) == 0) {
        tls_material_free(m);
        fail_msg("taken instead of: %s", text);
    }
    assert_string_equal(err.text, text);
}

static struct tls_facts taken(struct fixture *f)
{
    struct tls_material *m = NULL;
    struct error err;
    if (tls_material_load(&f->config, &m, &err) != 0) fail_msg("%s", err.text);
    struct tls *t = net_tls_create(NULL, m);
    struct tls_facts facts = t->facts;
    net_tls_destroy(t);
    return facts;
}

static void files_are_loaded(void **state)
{
    struct fixture *f = *state;
    struct tls_facts facts = taken(f);
    assert_true(facts.can_serve && facts.mutual);
    assert_in_range(facts.served_until_s - time(NULL), 86000, 86400);
    assert_false(facts.require_rpc || facts.dial_rpc || facts.verify_dialled || facts.verify_names);
}

static void facts_follow_the_options(void **state)
{
    struct fixture *f = *state;
    f->config.verify_incoming_rpc = true;
    assert_true(taken(f).require_rpc);
    f->config.verify_server_hostname = true;
    struct tls_facts facts = taken(f);
    assert_true(facts.dial_rpc && facts.verify_dialled && facts.verify_names);
    f->config = (struct tls_config){ .auto_tls = true };
    facts = taken(f);
    assert_true(facts.dial_rpc && !facts.verify_dialled && !facts.can_serve && !facts.mutual);
    f->config.ca_file = path(f, "ca.pem");
    assert_true(taken(f).verify_dialled);
    f->config = (struct tls_config){ .cert_file = path(f, "leaf.pem") };
    assert_false(taken(f).can_serve); /* a certificate without key is none */
}

static void a_missing_ca_is_named(void **state)
{
    struct fixture *f = *state;
    f->config.ca_file = path(f, "none.pem");
    refused(f, "Error loading from %/none.pem: open %/none.pem: no such file or directory");
}

static void a_ca_file_without_certificate(void **state)
{
    struct fixture *f = *state;
    f->config.ca_file = file(f, "junk.pem", "hello\n");
    refused(f, "Error loading from %/junk.pem: no certificates found");
    f->config.ca_file = file(f, "empty.pem", "");
    refused(f, "Error loading from %/empty.pem: no certificates found");
    f->config.ca_file = f->config.key_file;
    refused(f, "Error loading from %/leaf.key: no certificates found");
}

static void unreadable_blocks_are_passed_over(void **state)
{
    struct fixture *f = *state;
    char text[16384];
    snprintf(text, sizeof text,
        "note\n-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n%s%s", f->leaf.key_pem,
        f->ca.cert_pem);
    f->config.ca_file = file(f, "mixed.pem", text);
    assert_true(taken(f).mutual);
}

static void a_ca_path_is_walked(void **state)
{
    struct fixture *f = *state;
    f->config.ca_file = STR_NIL;
    f->config.ca_path = path(f, "cas");
    assert_int_equal(mkdir(f->config.ca_path.p, 0700), 0);
    refused(f, "Error loading from CAPath: no CAs found");
    assert_int_equal(mkdir(path(f, "cas/deep").p, 0700), 0);
    refused(f, "Error loading from CAPath: no CAs found");
    file(f, "cas/deep/ca.pem", f->ca.cert_pem);
    assert_true(taken(f).mutual);
    file(f, "cas/junk", "junk");
    refused(f, "Error loading from %/cas/junk: no certificates found");
    f->config.ca_path = path(f, "nowhere");
    refused(f, "Error loading from %/nowhere: open %/nowhere: no such file or directory");
}

static void the_ca_file_wins(void **state)
{
    struct fixture *f = *state;
    f->config.ca_path = path(f, "nowhere");
    assert_true(taken(f).mutual);
}

static void a_pipe_is_no_file(void **state)
{
    struct fixture *f = *state;
    f->config.ca_file = path(f, "pipe");
    assert_int_equal(mkfifo(f->config.ca_file.p, 0600), 0);
    refused(f, "Error loading from %/pipe: read %/pipe: Invalid argument");
    f->config.ca_file = str_of(f->dir);
    refused(f, "Error loading from %: read %: is a directory");
}

static void certificate_and_key_must_fit(void **state)
{
    struct fixture *f = *state;
    f->config.key_file = file(f, "other.key", f->ca.key_pem);
    refused(f, "Failed to load cert/key pair: tls: private key does not match public key");
    f->config.key_file = path(f, "none.key");
    refused(f, "Failed to load cert/key pair: open %/none.key: no such file or directory");
    f->config.key_file = f->config.cert_file;
    refused(f, "Failed to load cert/key pair: tls: no readable private key found");
    f->config.cert_file = file(f, "empty", "");
    refused(f, "Failed to load cert/key pair: tls: no certificate found");
}

static void a_passphrase_is_not_asked_for(void **state)
{
    struct fixture *f = *state;
    char text[4096];
    BIO *bio = BIO_new(BIO_s_mem());
    assert_int_equal(
        PEM_write_bio_PKCS8PrivateKey(bio, f->leaf.key, EVP_aes_256_cbc(), "pw", 2, NULL, NULL), 1);
    cert_text(bio, text, sizeof text);
    f->config.key_file = file(f, "locked.key", text);
    refused(f, "Failed to load cert/key pair: tls: no readable private key found");
}

static void versions_and_suites_are_checked(void **state)
{
    static const struct str none[] = { { "TLS_RSA_WITH_3DES_EDE_CBC_SHA", 29 } };
    static const struct str unknown[] = { { "NOPE", 4 } };
    struct fixture *f = *state;
    static const char *const good[] = { "", "tls10", "tls11", "tls12", "tls13" };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        f->config.min_version = str_of(good[i]);
        taken(f);
    }
    f->config.min_version = STR("tls9");
    refused(f, "TLSMinVersion: value tls9 not supported, please specify one of "
               "[tls10, tls11, tls12, tls13]");
    f->config.min_version = STR_NIL;
    f->config.cipher_suites = unknown, f->config.n_cipher_suites = 1;
    refused(f, "tls_cipher_suites: invalid tls cipher suites: unsupported cipher \"NOPE\"");
    f->config.cipher_suites = none;
    refused(f, "tls_cipher_suites: none of them is available; name one with AES or CHACHA20");
}

static void names_of_servers(void **state)
{
    char out[TLS_NAME_MAX];
    (void)state;
    tls_server_name(STR("s1"), STR("dc1"), STR("consul."), out);
    assert_string_equal(out, "s1.server.dc1.consul");
    tls_server_name(STR_NIL, STR("dc2"), STR("consul"), out);
    assert_string_equal(out, "server.dc2.consul");
    tls_server_name(STR("*"), STR("dc2"), STR("a.test."), out);
    assert_string_equal(out, "server.dc2.a.test");
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(files_are_loaded),
        T(facts_follow_the_options),
        T(a_missing_ca_is_named),
        T(a_ca_file_without_certificate),
        T(unreadable_blocks_are_passed_over),
        T(a_ca_path_is_walked),
        T(the_ca_file_wins),
        T(a_pipe_is_no_file),
        T(certificate_and_key_must_fit),
        T(a_passphrase_is_not_asked_for),
        T(versions_and_suites_are_checked),
        cmocka_unit_test(names_of_servers),
    };
    return cmocka_run_group_tests_name("tls_load", tests, NULL, NULL);
}
