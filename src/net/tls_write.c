/* SPDX-License-Identifier: Apache-2.0 */
/* The sending half: plaintext becomes records only as fast as the stream below gets rid of them, so
 * that a slow reader costs a reference to a shared body, not a copy of it. */
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

#include "tls_stream.h"

#define PIECE_SMALL ((size_t)1024)

/* Plaintext that waits: a reference to shared bytes, or a copy with room for more. */
struct tls_piece {
    struct link link;
    const char *p;
    size_t n, cap;
    struct shared_body *shared;
    char bytes[];
};

static struct tls_stream *self(struct stream *s)
{
    return container_of(s, struct tls_stream, base);
}

/* --- records --------------------------------------------------------------------------------- */

/* One SSL_write of at most a record; bytes taken, 0 when the stream has failed. */
static size_t encrypt(struct tls_stream *t, const char *p, size_t n)
{
    size_t taken = 0;
    ERR_clear_error();
    if (SSL_write_ex(t->ssl, p, n < RECORD_MAX ? n : RECORD_MAX, &taken) == 1) return taken;
    tls__fail_ssl(t);
    return 0;
}

static bool may_encrypt(const struct tls_stream *t, size_t done)
{
    return t->ready && !t->dead && done < TURN_MAX && stream_queued(t->below) <= AHEAD_MAX;
}

/* Where to go on in a list of parts. */
struct place {
    const struct stream_part *parts;
    size_t n, i, at;
};

static void skip_empty(struct place *w)
{
    while (w->i < w->n && w->at == w->parts[w->i].n) {
        w->i++;
        w->at = 0;
    }
}

/* Short parts share a record: a copy of less than a record is cheaper than a record more. */
static size_t encrypt_next(struct tls_stream *t, struct place *w)
{
    char record[RECORD_MAX];
    const struct stream_part *first = &w->parts[w->i];
    if (first->n - w->at >= RECORD_MAX || w->i + 1 == w->n) {
        size_t taken = encrypt(t, (const char *)first->p + w->at, first->n - w->at);
        w->at += taken;
        return taken;
    }
    size_t n = 0;
    while (w->i < w->n && n < sizeof record) {
        const struct stream_part *part = &w->parts[w->i];
        size_t left = part->n - w->at, room = sizeof record - n;
        size_t take = left < room ? left : room;
        memcpy(record + n, (const char *)part->p + w->at, take);
        n += take;
        w->at += take;
        skip_empty(w);
    }
    for (size_t at = 0; at < n && !t->dead;)
        at += encrypt(t, record + at, n - at);
    return n;
}

/* --- what waits ------------------------------------------------------------------------------ */

static void piece_free(struct tls_piece *piece)
{
    link_remove(&piece->link);
    shared_body_unref(piece->shared);
    free(piece);
}

void tls__pending_free(struct tls_stream *t)
{
    while (!link_empty(&t->pending))
        piece_free(container_of(t->pending.next, struct tls_piece, link));
    t->pending_n = 0;
}

static void keep_copy(struct tls_stream *t, const char *p, size_t n)
{
    struct tls_piece *last = container_of(t->pending.prev, struct tls_piece, link);
    if (!link_empty(&t->pending) && !last->shared &&
        last->cap - (size_t)(last->p - last->bytes) - last->n >= n) {
        memcpy(last->bytes + (last->p - last->bytes) + last->n, p, n);
        last->n += n;
        return;
    }
    size_t cap = n < PIECE_SMALL ? PIECE_SMALL : n;
    struct tls_piece *piece = xmalloc(sizeof *piece + cap);
    *piece = (struct tls_piece){ .p = piece->bytes, .n = n, .cap = cap };
    memcpy(piece->bytes, p, n);
    link_push(&t->pending, &piece->link);
}

static void keep(struct tls_stream *t, const struct place *from)
{
    size_t at = from->at;
    for (size_t i = from->i; i < from->n; i++, at = 0) {
        const struct stream_part *part = &from->parts[i];
        size_t n = part->n - at;
        if (n == 0) continue;
        t->pending_n += n;
        if (!part->shared) {
            keep_copy(t, (const char *)part->p + at, n);
            continue;
        }
        struct tls_piece *piece = xmalloc(sizeof *piece);
        *piece = (struct tls_piece){
            .p = (const char *)part->p + at, .n = n, .shared = shared_body_ref(part->shared)
        };
        link_push(&t->pending, &piece->link);
    }
}

static void encrypt_pending(struct tls_stream *t)
{
    size_t done = 0;
    while (!link_empty(&t->pending) && may_encrypt(t, done)) {
        struct tls_piece *piece = container_of(t->pending.next, struct tls_piece, link);
        size_t taken = encrypt(t, piece->p, piece->n);
        piece->p += taken;
        piece->n -= taken;
        t->pending_n -= taken;
        done += taken;
        if (piece->shared)
            shared_body_passed(piece->shared, (size_t)(piece->p - piece->shared->bytes));
        if (piece->n == 0) piece_free(piece);
    }
    if (done >= TURN_MAX && !t->dead) tick_mark(&t->again);
}

/* --- operations ------------------------------------------------------------------------------ */

size_t tls__queued(const struct stream *s)
{
    const struct tls_stream *t = self((struct stream *)(uintptr_t)s);
    return t->pending_n + (t->below && !t->dead ? stream_queued(t->below) : 0);
}

int tls__write(struct stream *s, const struct stream_part *parts, size_t n)
{
    struct tls_stream *t = self(s);
    size_t total = 0, queued = tls__queued(s), done = 0;
    if (t->dead || t->finishing) return ERR_IO;
    for (size_t i = 0; i < n; i++)
        total += parts[i].n;
    if (total == 0) return 0;
    if (queued > 0 && (total > t->o.queue_max || queued > t->o.queue_max - total)) return ERR_FULL;
    struct place w = { .parts = parts, .n = n };
    skip_empty(&w);
    while (link_empty(&t->pending) && w.i < w.n && may_encrypt(t, done)) {
        done += encrypt_next(t, &w);
        skip_empty(&w);
    }
    if (t->dead) return ERR_IO;
    keep(t, &w);
    if (done >= TURN_MAX) tick_mark(&t->again);
    t->backed_up |= tls__queued(s) > 0;
    return 0;
}

void tls__flush(struct tls_stream *t)
{
    encrypt_pending(t);
    if (t->dead || !t->ready || t->pending_n) return;
    if (t->finishing && !(SSL_get_shutdown(t->ssl) & SSL_SENT_SHUTDOWN)) {
        ERR_clear_error();
        SSL_shutdown(t->ssl);
    }
    if (!t->backed_up || stream_queued(t->below)) return;
    t->backed_up = false;
    if (t->base.events->drained) t->base.events->drained(&t->base);
}
