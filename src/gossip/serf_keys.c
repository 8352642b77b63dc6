/* SPDX-License-Identifier: Apache-2.0 */
/* The asking side of key management (gossip.md 9.10). */
#include <stdio.h>

#include "serf_core.h"

#define KEYS_COUNTED_MAX 1024
#define MESSAGE_MAX 1024

static const char *const names[] = {
    [SERF_KEY_LIST] = "_serf_list-keys",
    [SERF_KEY_INSTALL] = "_serf_install-key",
    [SERF_KEY_USE] = "_serf_use-key",
    [SERF_KEY_REMOVE] = "_serf_remove-key",
};

void serf__keys_ask(struct serf *s, const struct serf_event *ev)
{
    struct serf_key_request m = { .key = ev->keys.key };
    if (!m.key.p || ev->keys.action == SERF_KEY_LIST) m.key = STR("");
    struct buf payload = BUF_INIT(SERF_QUERY_MAX);
    serf_message_encode(SERF_MSG_KEY_REQUEST, &type_serf_key_request, &m, &payload);
    struct ask_options o = { .kind = ASK_KEYS,
        .handle = ev->keys.handle,
        .name = str_of(names[ev->keys.action]),
        .payload = buf_str(&payload),
        .relay_factor = ev->keys.relay_factor };
    serf__ask(s, &o);
    buf_deinit(&payload);
}

static void count(struct ask *q, struct list *counts, struct str key)
{
    for (size_t i = 0; i < counts->n; i++) {
        struct serf_key_count *c = &LIST_AT(counts, struct serf_key_count, i);
        if (!str_eq(c->key, key)) continue;
        c->nodes++;
        return;
    }
    if (counts->n >= KEYS_COUNTED_MAX || key.n > MESSAGE_MAX) return;
    struct serf_key_count *c = LIST_PUSH(&q->arena, counts, struct serf_key_count);
    *c = (struct serf_key_count){ .key = str_dup(&q->arena, key), .nodes = 1 };
}

static void note(struct ask *q, struct str from, struct str text)
{
    struct str_pair *m = LIST_PUSH(&q->arena, &q->keys.messages, struct str_pair);
    m->key = str_dup(&q->arena, from);
    m->value = str_dup(&q->arena, str_slice(text, 0, text.n < MESSAGE_MAX ? text.n : MESSAGE_MAX));
}

void serf__keys_answer(struct ask *q, struct str from, struct str payload)
{
    struct arena a = ARENA_INIT;
    struct serf_key_response r;
    struct error err;
    if (payload.n == 0 || payload.p[0] != SERF_MSG_KEY_RESPONSE) {
        q->keys.errors++;
        char text[64];
        snprintf(text, sizeof text, "Invalid key query response type: %d",
            payload.n ? (uint8_t)payload.p[0] : 0);
        note(q, from, str_of(text));
    } else if (serf_message_decode(
                   str_slice(payload, 1, payload.n), &a, &type_serf_key_response, &r, NULL, &err)) {
        q->keys.errors++;
        note(q, from, str_of(err.text));
    } else {
        if (!r.result) q->keys.errors++;
        if (r.message.n) note(q, from, r.message);
        for (size_t i = 0; i < r.keys.n && i < KEYRING_KEYS_MAX; i++)
            count(q, &q->keys.keys, LIST_AT(&r.keys, struct str, i));
        count(q, &q->keys.primary_keys, r.primary_key);
    }
    arena_free(&a);
}

static struct serf_key_count *copy_counts(struct serf *s, const struct list *counts)
{
    struct serf_key_count *out = arena_array(&s->out.arena, counts->n, sizeof *out);
    for (size_t i = 0; i < counts->n; i++) {
        out[i] = LIST_AT(counts, struct serf_key_count, i);
        out[i].key = serf__keep(s, out[i].key);
    }
    return out;
}

static struct serf_key_outcome *outcome(struct serf *s, const struct ask *q)
{
    const struct key_tally *t = &q->keys;
    struct serf_key_outcome *out = arena_new(&s->out.arena, struct serf_key_outcome);
    struct str_pair *messages = arena_array(&s->out.arena, t->messages.n, sizeof *messages);
    for (size_t i = 0; i < t->messages.n; i++) {
        const struct str_pair *m = &LIST_AT(&t->messages, struct str_pair, i);
        messages[i] = (struct str_pair){ serf__keep(s, m->key), serf__keep(s, m->value) };
    }
    *out = (struct serf_key_outcome){ .nodes = q->nodes,
        .responses = q->answered.n,
        .errors = t->errors,
        .messages = messages,
        .messages_n = t->messages.n,
        .keys = copy_counts(s, &t->keys),
        .keys_n = t->keys.n,
        .primary_keys = copy_counts(s, &t->primary_keys),
        .primary_keys_n = t->primary_keys.n };
    return out;
}

void serf__keys_done(struct serf *s, struct ask *q)
{
    size_t responses = q->answered.n;
    struct serf_notice *notice = NULL;
    if (q->keys.errors) {
        notice = serf__result(
            s, q->handle, ERR_INTERNAL, "%zu/%zu nodes reported failure", q->keys.errors, q->nodes);
    } else if (responses != q->nodes) {
        notice = serf__result(
            s, q->handle, ERR_INTERNAL, "%zu/%zu nodes reported success", responses, q->nodes);
    } else {
        notice = serf__result(s, q->handle, 0, "%s", "");
    }
    if (!notice) return;
    notice->result.responses = responses;
    notice->result.keys = outcome(s, q);
}
