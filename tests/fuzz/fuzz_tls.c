/* SPDX-License-Identifier: Apache-2.0 */
/* A TLS stream that is told anything, at either end of a handshake, in pieces of a size the first
 * byte names: it asks for more or ends once with a reason, and never hands on a byte. */
#include "consuld/net/tls.h"
#include "world/certificates.h"
#include "world/fake_world.h"
#include "world/stream_pair.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void on_data(struct stream *s, struct str bytes)
{
    ensure(bytes.n == 0 && s);
}
static void on_closed(struct stream *s, int code)
{
    ensure(code <= 0);
    ++*(int *)s->owner;
}
static const struct stream_events up = { on_data, stream_close, NULL, on_closed };

static struct tls *tls_once(struct world *w)
{
    static struct tls *tls;
    static struct cert_made cert;
    struct tls_material *m;
    struct error err;
    if (tls) return tls;
    cert_make(&cert, NULL, (struct cert_wish){ .name = "a", .alternatives = "DNS:a" });
    struct str pem = str_of(cert.cert_pem);
    struct tls_config c = { .more_cas = &pem, .n_more_cas = 1, .auto_cert = pem };
    c.auto_key = str_of(cert.key_pem);
    ensure(tls_material_load(&c, &m, &err) == 0);
    fake_world_init(w);
    return tls = net_tls_create(w, m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct world world;
    struct tls *tls = tls_once(&world);
    struct stream_pair pair;
    int closed = 0;
    if (n == 0) return 0;
    struct tls_options o = { .server_name = STR("a"), .events = &up, .owner = &closed };
    o.use = data[0] & 1 ? TLS_ACCEPT_ALPN : TLS_DIAL_CHECK_UNVERIFIED;
    stream_pair_init(&pair);
    struct stream *s = tls_start(tls, &pair.b.base, &o);
    for (size_t at = 1, len; at < n && !pair.b.closing; at += len) {
        fake_world_turn(&world);
        len = 1 + (data[0] >> 1) * 4u < n - at ? 1 + (data[0] >> 1) * 4u : n - at;
        pair.b.base.events->data(&pair.b.base, (struct str){ (const char *)data + at, len });
    }
    stream_close(s);
    stream_close(s); /* out of lingering */
    pair_end_close(&pair.b);
    ensure(closed == 1 && tls->counters.open == 0 && tls->counters.handshaking == 0);
    stream_pair_deinit(&pair);
    return 0;
}
