/* SPDX-License-Identifier: Apache-2.0 */
#include "consuld/gossip/packet.h"

#include <zlib.h>

/* --- compound -------------------------------------------------------------------------------- */

static void put_u16(struct buf *out, size_t v)
{
    buf_put_char(out, (char)(uint8_t)(v >> 8));
    buf_put_char(out, (char)(uint8_t)v);
}

void packet_compound(const struct str *parts, size_t n, struct buf *out)
{
    ensure(n > 0 && n <= PACKET_PARTS_MAX);
    buf_put_char(out, SWIM_MSG_COMPOUND);
    buf_put_char(out, (char)(uint8_t)n);
    for (size_t i = 0; i < n; i++) {
        ensure(parts[i].n > 0 && parts[i].n <= UINT16_MAX);
        put_u16(out, parts[i].n);
    }
    for (size_t i = 0; i < n; i++)
        buf_put_str(out, parts[i]);
}

bool packet_parts_begin(struct packet_parts *p, struct str body)
{
    *p = (struct packet_parts){ 0 };
    if (body.n < 1) return false;
    size_t heads = 2 * (size_t)(uint8_t)body.p[0];
    if (body.n - 1 < heads) return false;
    p->lengths = (struct str){ body.p + 1, heads };
    p->rest = (struct str){ body.p + 1 + heads, body.n - 1 - heads };
    return true;
}

bool packet_parts_next(struct packet_parts *p, struct str *part)
{
    if (p->lengths.n == 0) return false;
    const uint8_t *head = (const uint8_t *)p->lengths.p;
    size_t n = (size_t)(head[0] << 8 | head[1]);
    if (n > p->rest.n) {
        p->truncated = p->lengths.n / 2;
        p->lengths.n = 0;
        return false;
    }
    *part = (struct str){ p->rest.p, n };
    p->lengths = str_slice(p->lengths, 2, p->lengths.n);
    p->rest = str_slice(p->rest, n, p->rest.n);
    return true;
}

/* --- CRC ---------------------------------------------------------------------------------------
 */

static uint32_t crc_of(struct str bytes)
{
    return (uint32_t)crc32_z(0, (const uint8_t *)bytes.p, bytes.n);
}

void packet_put_crc(struct str message, struct buf *out)
{
    uint32_t crc = crc_of(message);
    buf_put_char(out, SWIM_MSG_CRC);
    put_u16(out, crc >> 16);
    put_u16(out, crc & 0xffff);
}

#define CRC_HEAD 5

static int crc_check(struct str *message, struct error *err)
{
    const uint8_t *p = (const uint8_t *)message->p;
    if (message->n < CRC_HEAD || p[0] != SWIM_MSG_CRC) return 0;
    uint32_t told = (uint32_t)p[1] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 8 | p[4];
    *message = str_slice(*message, CRC_HEAD, message->n);
    if (crc_of(*message) == told) return 0;
    return error_set(err, ERR_CONFLICT, "Got invalid checksum for UDP packet");
}

/* --- whole packets -------------------------------------------------------------------------------
 */

static bool seals(const struct packet_sealing *s)
{
    return s->keys && s->keys->n > 0 && s->verify_outgoing;
}

size_t packet_seal_overhead(const struct packet_sealing *s)
{
    if (!seals(s)) return 0;
    return s->version == 0 ? SEAL_OVERHEAD_V0 : SEAL_OVERHEAD_V1;
}

int packet_write(const struct packet_sealing *s, struct str message, bool compress, bool crc,
    struct buf *out, struct error *err)
{
    int rc = 0;
    struct buf packed = BUF_INIT(2 * message.n + 64), plain = BUF_INIT(message.n + CRC_HEAD);
    buf_clear(out);
    if (compress) {
        packet_compress(message, &packed);
        if (packed.n < message.n) message = buf_str(&packed);
    }
    struct buf *target = seals(s) ? &plain : out;
    if (crc) packet_put_crc(message, target);
    buf_put_str(target, message);
    if (seals(s)) {
        uint8_t nonce[CIPHER_NONCE_SIZE];
        s->cipher->nonce(nonce);
        rc = packet_seal(s->cipher, s->version, keyring_at(s->keys, 0), nonce, STR_NIL,
            buf_str(&plain), out, err);
    }
    if (!rc && out->overflow)
        rc = error_set(err, ERR_TOO_LARGE, "packet of more than %zu bytes", out->max);
    buf_deinit(&packed);
    buf_deinit(&plain);
    return rc;
}

int packet_read(const struct packet_sealing *s, struct str datagram, struct buf *room,
    struct str *message, struct error *err)
{
    *message = datagram;
    buf_clear(room);
    if (s->keys && s->keys->n > 0) {
        int rc = packet_open(s->cipher, s->keys, STR_NIL, datagram, room, err);
        if (!rc) {
            *message = buf_str(room);
        } else if (s->verify_incoming) {
            return rc;
        }
    }
    return crc_check(message, err);
}
