/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "consuld/gossip/packet.h"

static void put_u32(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 24);
    p[1] = (uint8_t)(v >> 16);
    p[2] = (uint8_t)(v >> 8);
    p[3] = (uint8_t)v;
}

int stream_wrap(const struct packet_sealing *s, struct str message, bool compress, struct buf *out,
    struct error *err)
{
    int rc = 0;
    struct buf packed = BUF_INIT(2 * message.n + 64);
    buf_clear(out);
    if (compress) {
        packet_compress(message, &packed);
        message = buf_str(&packed);
    }
    if (packet_seal_overhead(s) == 0) {
        buf_put_str(out, message);
    } else {
        uint8_t head[STREAM_SEAL_HEAD] = { SWIM_MSG_ENCRYPTED }, nonce[CIPHER_NONCE_SIZE];
        put_u32(head + 1, (uint32_t)packet_sealed_length(s->version, message.n));
        buf_put(out, head, sizeof head);
        s->cipher->nonce(nonce);
        struct str aad = { (const char *)head, sizeof head };
        rc = packet_seal(
            s->cipher, s->version, keyring_at(s->keys, 0), nonce, aad, message, out, err);
    }
    if (!rc && out->overflow)
        rc = error_set(err, ERR_TOO_LARGE, "stream message of more than %zu bytes", out->max);
    buf_deinit(&packed);
    return rc;
}

/* --- reading ------------------------------------------------------------------------------- */

void stream_reader_init(struct stream_reader *r)
{
    *r = (struct stream_reader){ .in = BUF_INIT(STREAM_MESSAGE_MAX + STREAM_SEAL_HEAD),
        .opened = BUF_INIT(STREAM_MESSAGE_MAX),
        .unpacked = BUF_INIT(STREAM_MESSAGE_MAX),
        .at = 1,
        .nodes_left = -1,
        .empty = true };
}

void stream_reader_deinit(struct stream_reader *r)
{
    buf_deinit(&r->in);
    buf_deinit(&r->opened);
    buf_deinit(&r->unpacked);
}

static enum stream_progress bad(struct stream_reader *r, int code, const char *text)
{
    if (text) error_set(&r->err, code, "%s", text);
    return STREAM_BAD;
}

/* Steps over one record at r->at. */
static enum stream_progress step_over(struct stream_reader *r, struct str plain)
{
    struct cursor c;
    cursor_init(&c, plain.p + r->at, plain.n - r->at, &r->err);
    int rc = msgpack_skip(&c);
    if (rc == ERR_EOF) return STREAM_MORE;
    if (rc) return STREAM_BAD;
    r->at = plain.n - cursor_left(&c);
    return STREAM_WHOLE;
}

/* Reads the head record at r->at, which has two counts or one. */
static enum stream_progress read_head(struct stream_reader *r, struct str plain)
{
    size_t from = r->at;
    enum stream_progress p = step_over(r, plain);
    if (p != STREAM_WHOLE) return p;
    struct str head = { plain.p + from, r->at - from };
    struct arena a = ARENA_INIT;
    int64_t nodes = 0, bytes = 0;
    int rc;
    if (plain.p[0] == SWIM_MSG_PUSH_PULL) {
        struct swim_push_pull m;
        rc = swim_message_decode(head, &a, &type_swim_push_pull, &m, &r->err);
        nodes = m.nodes;
        bytes = m.user_state_len;
    } else {
        struct swim_user_header m;
        rc = swim_message_decode(head, &a, &type_swim_user_header, &m, &r->err);
        bytes = m.user_msg_len;
    }
    arena_free(&a);
    if (rc) return STREAM_BAD;
    if (nodes < 0 || bytes < 0 || nodes > STREAM_MESSAGE_MAX || bytes > STREAM_MESSAGE_MAX)
        return bad(r, ERR_DECODE, "stream message claims an impossible length");
    r->nodes_left = nodes;
    r->need = (uint64_t)bytes;
    return STREAM_WHOLE;
}

/* Is the plain message, type byte first, all there? */
static enum stream_progress scan(struct stream_reader *r, struct str plain)
{
    enum stream_progress p = STREAM_WHOLE;
    switch ((uint8_t)plain.p[0]) {
    case SWIM_MSG_PUSH_PULL:
    case SWIM_MSG_USER:
        if (r->nodes_left < 0) p = read_head(r, plain);
        while (p == STREAM_WHOLE && r->nodes_left > 0) {
            p = step_over(r, plain);
            r->nodes_left -= p == STREAM_WHOLE;
        }
        if (p == STREAM_WHOLE && plain.n - r->at < r->need) p = STREAM_MORE;
        if (p == STREAM_WHOLE) r->at += (size_t)r->need;
        break;
    case SWIM_MSG_PING:
    case SWIM_MSG_ACK:
    case SWIM_MSG_ERROR:
    case SWIM_MSG_COMPRESSED:
        p = step_over(r, plain);
        break;
    default:
        error_set(&r->err, ERR_DECODE, "Received invalid msgType (%u)", (uint8_t)plain.p[0]);
        return STREAM_BAD;
    }
    if (p == STREAM_WHOLE) r->message = str_slice(plain, 0, r->at);
    return p;
}

static enum stream_progress unpack(struct stream_reader *r, struct str plain, bool whole)
{
    enum stream_progress p = scan(r, plain);
    if (p == STREAM_WHOLE && r->message.p[0] == SWIM_MSG_COMPRESSED) {
        struct str body = str_slice(r->message, 1, r->message.n);
        if (packet_decompress(body, &r->unpacked, &r->err)) return STREAM_BAD;
        r->at = 1;
        whole = true;
        if (r->unpacked.p[0] == SWIM_MSG_COMPRESSED)
            return bad(r, ERR_DECODE, "Received invalid msgType (9)");
        p = scan(r, buf_str(&r->unpacked));
    }
    if (p == STREAM_MORE && whole) return bad(r, ERR_DECODE, "unexpected EOF");
    return p;
}

static enum stream_progress open_sealed(struct stream_reader *r, const struct packet_sealing *s)
{
    const uint8_t *p = r->in.p;
    if (r->in.n < STREAM_SEAL_HEAD) return STREAM_MORE;
    uint32_t n = (uint32_t)p[1] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 8 | p[4];
    if (n > STREAM_MESSAGE_MAX) {
        error_set(&r->err, ERR_TOO_LARGE, "Remote node state is larger than limit (%u)", n);
        return STREAM_BAD;
    }
    if (r->in.n < STREAM_SEAL_HEAD + (size_t)n) return STREAM_MORE;
    struct str all = buf_str(&r->in);
    if (packet_open(s->cipher, s->keys, str_slice(all, 0, STREAM_SEAL_HEAD),
            str_slice(all, STREAM_SEAL_HEAD, STREAM_SEAL_HEAD + n), &r->opened, &r->err))
        return STREAM_BAD;
    return unpack(r, buf_str(&r->opened), true);
}

enum stream_progress stream_reader_add(
    struct stream_reader *r, const struct packet_sealing *s, struct str bytes)
{
    bool keys = s->keys && s->keys->n > 0;
    swim_message_init();
    buf_put_str(&r->in, bytes);
    if (r->in.overflow) return bad(r, ERR_TOO_LARGE, "stream message is too large");
    if (r->in.n == 0) return STREAM_MORE;
    r->empty = false;
    if (r->in.p[0] == SWIM_MSG_LABEL)
        return bad(r, ERR_DENIED, "Labels of pools are not supported");
    if (r->in.p[0] == SWIM_MSG_ENCRYPTED) {
        if (keys) return open_sealed(r, s);
        return bad(r, ERR_DENIED, "Remote state is encrypted and encryption is not configured");
    }
    if (keys && s->verify_incoming)
        return bad(r, ERR_DENIED, "Encryption is configured but remote state is not encrypted");
    return unpack(r, buf_str(&r->in), false);
}
