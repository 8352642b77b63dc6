/* SPDX-License-Identifier: Apache-2.0 */
/* Commands cut into several entries (raft.md 4.3). */
#include <endian.h>
#include <string.h>

#include "state.h"

#define CHUNKS_MAX 4096

struct chunk_tag {
    uint64_t op_num;
    uint64_t seq;
    uint64_t total;
};

static bool varint(struct str s, size_t *at, uint64_t *out)
{
    *out = 0;
    for (unsigned shift = 0; shift < 64 && *at < s.n; shift += 7) {
        uint8_t byte = (uint8_t)s.p[(*at)++];
        *out |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) return true;
    }
    return false;
}

/* The protobuf message of the extensions: fields 1 to 3 are varints, others are passed over. */
static bool tag_parse(struct str s, struct chunk_tag *out)
{
    *out = (struct chunk_tag){ 0 };
    for (size_t at = 0; at < s.n;) {
        uint64_t head, value;
        if (!varint(s, &at, &head) || !varint(s, &at, &value)) return false;
        if ((head & 7) == 2) {
            if (value > s.n - at) return false;
            at += value;
        } else if ((head & 7) != 0) {
            return false;
        }
        if (head == 8) out->op_num = value;
        if (head == 16) out->seq = value;
        if (head == 24) out->total = value;
    }
    return out->total > 0 && out->total <= CHUNKS_MAX && out->seq < out->total;
}

#define CHUNK_KEY 12

static struct str chunk_key(uint8_t out[CHUNK_KEY], uint64_t op_num, uint64_t seq)
{
    uint64_t op = htobe64(op_num);
    uint32_t n = htobe32((uint32_t)seq);
    memcpy(out, &op, sizeof op);
    memcpy(out + sizeof op, &n, sizeof n);
    return (struct str){ (char *)out, CHUNK_KEY };
}

struct chunk_head {
    uint64_t term;
    uint32_t total;
    uint32_t unused;
};

static void chunk_write(struct store_batch *b, uint64_t op_num, uint64_t seq,
    const struct chunk_head *head, struct str data)
{
    uint8_t key[CHUNK_KEY];
    buf_clear(&b->row);
    buf_put(&b->row, head, sizeof *head);
    buf_put_str(&b->row, data);
    if (b->row.overflow)
        view_fail(&b->view, ERR_TOO_LARGE, "a chunk of a command is too large");
    else
        raw_put(b, b->view.env->chunks, chunk_key(key, op_num, seq), buf_str(&b->row));
}

static const struct str term_key = { "chunk-term", 10 };

static void new_term(struct store_batch *b, uint64_t term)
{
    struct str bytes;
    uint64_t last = 0;
    if (raw_get(&b->view, b->view.env->meta, term_key, &bytes) && bytes.n == sizeof last)
        memcpy(&last, bytes.p, sizeof last);
    if (last == term || b->view.code) return;
    view_check(&b->view, mdb_drop(b->view.txn, b->view.env->chunks, 0), "clear");
    raw_put(b, b->view.env->meta, term_key, (struct str){ (char *)&term, sizeof term });
}

/* Joins the chunks of an operation if all are there. */
static bool chunk_join(
    struct store_batch *b, const struct chunk_tag *tag, struct arena *a, struct str *command)
{
    uint8_t key[CHUNK_KEY];
    struct str part;
    size_t n = 0;
    for (uint64_t i = 0; i < tag->total; i++) {
        if (!raw_get(&b->view, b->view.env->chunks, chunk_key(key, tag->op_num, i), &part) ||
            part.n < sizeof(struct chunk_head))
            return false;
        n += part.n - sizeof(struct chunk_head);
    }
    char *p = arena_alloc(a, n);
    *command = (struct str){ p, n };
    for (uint64_t i = 0; i < tag->total; i++) {
        struct str at = chunk_key(key, tag->op_num, i);
        if (!raw_get(&b->view, b->view.env->chunks, at, &part)) return false;
        memcpy(p, part.p + sizeof(struct chunk_head), part.n - sizeof(struct chunk_head));
        p += part.n - sizeof(struct chunk_head);
    }
    for (uint64_t i = 0; i < tag->total; i++)
        raw_delete(b, b->view.env->chunks, chunk_key(key, tag->op_num, i));
    return !b->view.code && n > 0;
}

bool chunk_apply(
    struct store_batch *b, const struct store_entry *e, struct arena *a, struct str *command)
{
    struct chunk_tag tag;
    if (!tag_parse(e->extensions, &tag)) {
        log_error("agent.fsm", "ignoring a chunk with damaged extensions");
        return false;
    }
    new_term(b, e->term);
    struct chunk_head head = { .term = e->term, .total = (uint32_t)tag.total };
    chunk_write(b, tag.op_num, tag.seq, &head, e->data);
    return chunk_join(b, &tag, a, command);
}

void chunk_state_put(struct store_batch *b, const struct chunking_state *st)
{
    for (size_t i = 0; i < st->ops.n; i++) {
        const struct chunk_op *op = &LIST_AT(&st->ops, struct chunk_op, i);
        for (size_t k = 0; k < op->chunks.n; k++) {
            const struct chunk_info *c = &LIST_AT(&op->chunks, struct chunk_info, k);
            if (!c->num_chunks || c->num_chunks > CHUNKS_MAX || k >= c->num_chunks) continue;
            new_term(b, c->term);
            struct chunk_head head = { .term = c->term, .total = (uint32_t)c->num_chunks };
            chunk_write(b, op->op_num, k, &head, c->data);
        }
    }
}

void chunk_state_get(struct view *v, struct arena *a, struct chunking_state *out)
{
    MDB_cursor *cursor;
    *out = (struct chunking_state){ 0 };
    if (v->code || !view_check(v, mdb_cursor_open(v->txn, v->env->chunks, &cursor), "read")) return;
    MDB_val k, val;
    int rc;
    struct chunk_op *op = NULL;
    while ((rc = mdb_cursor_get(cursor, &k, &val, MDB_NEXT)) == 0) {
        struct chunk_head head;
        uint64_t op_num;
        uint32_t seq;
        memcpy(&op_num, k.mv_data, sizeof op_num);
        memcpy(&seq, (char *)k.mv_data + sizeof op_num, sizeof seq);
        memcpy(&head, val.mv_data, sizeof head);
        op_num = be64toh(op_num);
        seq = be32toh(seq);
        if (!op || op->op_num != op_num) {
            op = LIST_PUSH(a, &out->ops, struct chunk_op);
            op->op_num = op_num;
            op->chunks.v = arena_array(a, head.total, sizeof(struct chunk_info));
            op->chunks.n = head.total;
        }
        size_t n = val.mv_size - sizeof head;
        LIST_AT(&op->chunks, struct chunk_info, seq) = (struct chunk_info){ .op_num = op_num,
            .sequence_num = seq,
            .num_chunks = head.total,
            .term = head.term,
            .data = { arena_copy(a, (char *)val.mv_data + sizeof head, n), n } };
    }
    view_check(v, rc, "read");
    mdb_cursor_close(cursor);
}
