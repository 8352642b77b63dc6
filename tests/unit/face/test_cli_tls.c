/* SPDX-License-Identifier: Apache-2.0 */
/* The recorded run of `tls`: the same answers, the same files, certificates of the same shape. */
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>

#include "cli_world.h"
#include "world/scratch.h"

static struct value recorded(struct arena *a)
{
    struct cli c = { 0 };
    struct error err;
    struct str text;
    struct value v;
    assert_int_equal(
        cli_read_file(&c, STR(TESTS_DIR "/vectors/wanfed/tls-cli.json"), &text, &err), 0);
    text = str_dup(a, text);
    arena_free(&c.arena);
    assert_int_equal(json_parse_whole(text, a, &v, &err), 0);
    assert_int_equal(v.kind, V_LIST);
    return v;
}

/* --- certificates ---------------------------------------------------------------------------- */

/* What does not change from run to run: names' forms, extensions, days. */
static void shape(X509 *cert, char *out, size_t size)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *p;
    int days, seconds;
    ASN1_TIME_diff(&days, &seconds, X509_get0_notBefore(cert), X509_get0_notAfter(cert));
    BIO_printf(bio, "days %d subject ", days);
    X509_NAME_print_ex(bio, X509_get_subject_name(cert), 0, XN_FLAG_ONELINE);
    BIO_printf(bio, " issuer ");
    X509_NAME_print_ex(bio, X509_get_issuer_name(cert), 0, XN_FLAG_ONELINE);
    for (int i = 0; i < X509_get_ext_count(cert); i++) {
        X509_EXTENSION *e = X509_get_ext(cert, i);
        int nid = OBJ_obj2nid(X509_EXTENSION_get_object(e));
        BIO_printf(bio, "\n%s%s ", OBJ_nid2sn(nid), X509_EXTENSION_get_critical(e) ? "!" : "");
        if (nid != NID_subject_key_identifier && nid != NID_authority_key_identifier)
            X509V3_EXT_print(bio, e, 0, 0);
        else
            BIO_printf(bio, "of %d bytes", ASN1_STRING_length(X509_EXTENSION_get_data(e)));
    }
    long n = BIO_get_mem_data(bio, &p);
    snprintf(out, size, "%.*s", (int)n, p);
    BIO_free(bio);
    /* The authority's name ends with its serial number. */
    for (char *at = out; (at = strstr(at, "Consul Agent CA "));) {
        at += strlen("Consul Agent CA ");
        size_t digits = strspn(at, "0123456789");
        memmove(at, at + digits, strlen(at + digits) + 1);
    }
}

static X509 *certificate(struct str pem)
{
    BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);
    X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    BIO_free(bio);
    assert_non_null(cert);
    return cert;
}

static void same_certificate(struct str want, struct str got)
{
    char a[4096], b[4096];
    X509 *x = certificate(want), *y = certificate(got);
    shape(x, a, sizeof a);
    shape(y, b, sizeof b);
    assert_string_equal(b, a);
    X509_free(x);
    X509_free(y);
}

static void same_file(struct cli *c, const struct value *want)
{
    struct error err;
    struct str got, pem = value_at(want, "pem")->s, begin = STR("-----BEGIN EC PRIVATE KEY-----\n");
    struct stat st;
    const char *name = str_c(&c->arena, value_at(want, "name")->s);
    assert_int_equal(cli_read_file(c, str_of(name), &got, &err), 0);
    assert_int_equal(stat(name, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0644);
    assert_int_equal(str_has_prefix(pem, begin), str_has_prefix(got, begin));
    if (!str_has_prefix(pem, begin)) same_certificate(pem, got);
}

/* --- the run --------------------------------------------------------------------------------- */

static size_t files_here(void)
{
    size_t n = 0;
    DIR *d = opendir(".");
    for (struct dirent *e; (e = readdir(d));)
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

static void step(struct cli *c, const struct value *v)
{
    char *words[CLI_WORDS_MAX] = { 0 };
    const struct value *args = value_at(v, "args"), *files = value_at(v, "new_files");
    struct str err = value_at(v, "stderr")->s;
    size_t before = files_here();
    for (size_t i = 0; i < args->list.n; i++)
        words[i] = (char *)(uintptr_t)str_c(&c->arena, args->list.v[i].s);
    struct spoken *s = speak_words(NULL, words);
    assert_int_equal(s->status, value_uint(v, "exit"));
    assert_string_equal(s->out, str_c(&c->arena, value_at(v, "stdout")->s));
    /* Help texts are ours; their first line is not. */
    if (str_has_prefix(err, STR("Usage: "))) str_cut(err, '\n', &err, &(struct str){ 0 });
    if (str_has_prefix(err, STR("Usage: ")))
        assert_begins(s->err, str_c(&c->arena, err));
    else
        assert_string_equal(s->err, str_c(&c->arena, err));
    assert_int_equal(files_here(), before + files->list.n);
    for (size_t i = 0; i < files->list.n; i++)
        same_file(c, &files->list.v[i]);
}

static void recorded_run_gives_the_same_answers_and_files(void **state)
{
    (void)state;
    struct arena a = ARENA_INIT;
    struct cli c = { 0 };
    char *folder = scratch_create(), here[4096];
    mode_t mask = umask(022);
    assert_non_null(getcwd(here, sizeof here));
    struct value v = recorded(&a);
    assert_true(v.list.n > 20);
    assert_int_equal(chdir(folder), 0);
    for (size_t i = 0; i < v.list.n; i++)
        step(&c, &v.list.v[i]);
    assert_int_equal(chdir(here), 0);
    umask(mask);
    scratch_destroy(folder);
    arena_free(&c.arena);
    arena_free(&a);
}

static void foreign_keys_and_bad_addresses_are_refused(void **state)
{
    (void)state;
    char *folder = scratch_create(), here[4096];
    assert_non_null(getcwd(here, sizeof here));
    assert_int_equal(chdir(folder), 0);
    assert_int_equal(speak("tls", "ca", "create")->status, 0);
    struct spoken *s = speak("tls", "cert", "create", "-client", "-key=consul-agent-ca.pem");
    assert_int_equal(s->status, 1);
    assert_string_equal(s->err, "unknown PEM block type for signing key: CERTIFICATE\n");
    s = speak("tls", "cert", "create", "-client", "-additional-ipaddress=bad");
    assert_string_equal(s->err, "failed to parse certificate\n");
    s = speak("tls", "cert", "create", "-client", "-days=99999999");
    assert_int_equal(s->status, 1);
    assert_int_equal(files_here(), 2);
    assert_int_equal(chdir(here), 0);
    scratch_destroy(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recorded_run_gives_the_same_answers_and_files),
        cmocka_unit_test(foreign_keys_and_bad_addresses_are_refused),
    };
    model_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
