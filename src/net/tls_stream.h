/* SPDX-License-Identifier: Apache-2.0 */
/* One TLS stream, shared by the files that read, write and shake hands. */
#pragma once
#include "tls.h"

#define RECORD_MAX ((size_t)16384)
#define AHEAD_MAX ((size_t)64 << 10) /* ciphertext below, above which plaintext waits */
#define TURN_MAX ((size_t)1 << 20)   /* encrypted at a stretch; the rest in the next turn */
#define KEPT_MAX ((size_t)1 << 20)   /* ciphertext that waits for its reader */
#define LINGER_MS 500                /* for the peer to read why it was refused */
#define WHY_MAX 512

struct tls_stream {
    struct stream base;
    struct stream *below; /* NULL: closed */
    struct net_tls *tls;
    SSL *ssl;
    struct tls_options o; /* server_name and sniffed are not kept here */
    struct str in;        /* what OpenSSL reads from, while it does */
    struct buf kept;
    struct link pending; /* struct tls_piece: plaintext that waits */
    size_t pending_n;
    struct timer timer; /* of the handshake, then of lingering */
    struct tick again;
    char *name; /* that the certificate must be valid for, or was sent; may be NULL */
    char *why;
    int code;
    bool accepting;
    bool ready;
    bool dead; /* closed by the owner, or failed */
    bool lingering;
    bool pumping;
    bool want_read;
    bool eof;       /* the owner was told */
    bool below_eof; /* without a word of TLS */
    bool finishing;
    bool backed_up; /* `drained` is owed */
    bool handshaking;
};

/* tls_stream.c */
/* Ends it with a text, unless it has ended. The owner hears of it by `closed`. */
void tls__fail(struct tls_stream *t, int code, struct str why);
/* The same with what OpenSSL says. */
void tls__fail_ssl(struct tls_stream *t);

/* tls_write.c */
int tls__write(struct stream *s, const struct stream_part *parts, size_t n);
/* Encrypts what waits, as far as the stream below takes it in its stride; then the rest of what
 * the owner asked for: the end of its side, `drained`. */
void tls__flush(struct tls_stream *t);
size_t tls__queued(const struct stream *s);
void tls__pending_free(struct tls_stream *t);

/* tls_open.c */
struct stream *tls__start(struct tls *tls, struct stream *below, const struct tls_options *o);
/* Sets up `ssl` for its use; false if it cannot be. */
bool tls__prepare(struct tls_stream *t, struct str server_name);
