/* SPDX-License-Identifier: Apache-2.0 */
/* Key queries of others, and our own, as far as our ring goes (gossip.md 9.10). The ring changes
 * between steps of the swim core; a change is answered when the file is written. */
#include <stdio.h>
#include <stdlib.h>

#include "serf_core.h"

#define KEYS_SHOWN_MAX 40 /* of a list that does not fit */
#define KEYRING_TEXT_MAX (KEYRING_KEYS_MAX * 64 + 16)

/* --- answers ------------------------------------------------------------------------------- */

static bool fits(const struct serf *s, const struct serf_query_origin *o,
    const struct serf_key_response *r, struct buf *payload)
{
    struct buf whole = BUF_INIT(4 * SERF_QUERY_MAX);
    buf_clear(payload);
    serf_message_encode(SERF_MSG_KEY_RESPONSE, &type_serf_key_response, r, payload);
    int code = serf__response_encode(s, o, 0, buf_str(payload), &whole, NULL);
    buf_deinit(&whole);
    return !payload->overflow && code != ERR_TOO_LARGE;
}

static void answer(struct serf *s, const struct serf_query_origin *o, struct serf_key_response *r)
{
    struct buf payload = BUF_INIT(KEYRING_TEXT_MAX);
    struct error err;
    char text[96];
    size_t all = r->keys.n, shown = all < KEYS_SHOWN_MAX ? all : KEYS_SHOWN_MAX;
    bool whole = fits(s, o, r, &payload);
    while (!whole && shown > 0) {
        r->keys.n = shown;
        snprintf(text, sizeof text, "truncated key list response, showing first %zu of %zu keys",
            shown, all);
        r->message = str_of(text);
        whole = fits(s, o, r, &payload);
        shown--;
    }
    if (serf__respond(s, o, 0, buf_str(&payload), &err))
        serf__log(s, LOG_ERROR, "serf: Failed to respond to key query: %s", err.text);
    buf_deinit(&payload);
}

static void answer_outcome(
    struct serf *s, const struct serf_query_origin *o, bool ok, struct str message)
{
    struct serf_key_response r = { .result = ok, .message = message };
    answer(s, o, &r);
}

static struct str base64(struct arena *a, struct str key)
{
    struct buf out = BUF_INIT(4 * KEYRING_KEY_MAX);
    base64_encode(key, &out);
    struct str text = str_dup(a, buf_str(&out));
    buf_deinit(&out);
    return text;
}

static void answer_list(struct serf *s, const struct key_job *job)
{
    struct arena a = ARENA_INIT;
    struct serf_key_response r = { .result = true };
    for (size_t i = 0; i < s->o.swim.keys->n; i++)
        *LIST_PUSH(&a, &r.keys, struct str) = base64(&a, keyring_at(s->o.swim.keys, i));
    r.primary_key = LIST_AT(&r.keys, struct str, 0);
    answer(s, &job->origin, &r);
    arena_free(&a);
}

/* --- jobs ---------------------------------------------------------------------------------- */

static const struct {
    int (*change)(struct keyring *k, struct str key, struct error *err);
    const char *no_ring;
} actions[] = {
    [SERF_KEY_LIST] = { NULL, "Keyring is empty (encryption not enabled)" },
    [SERF_KEY_INSTALL] = { keyring_install, "No keyring to modify (encryption not enabled)" },
    [SERF_KEY_USE] = { keyring_use, "No keyring to modify (encryption not enabled)" },
    [SERF_KEY_REMOVE] = { keyring_remove, "No keyring to modify (encryption not enabled)" },
};

static void release(struct serf *s, struct key_job *job)
{
    link_remove(&job->link);
    s->key_jobs_n--;
    volatile uint8_t *wipe = job->key_bytes;
    for (size_t i = 0; i < sizeof job->key_bytes; i++)
        wipe[i] = 0;
    free(job);
}

void serf__key_query(struct serf *s, const struct serf_query_origin *o, enum serf_key_action action,
    struct str payload)
{
    struct arena a = ARENA_INIT;
    struct serf_key_request m;
    if (payload.n == 0 || serf_message_decode(str_slice(payload, 1, payload.n), &a,
                              &type_serf_key_request, &m, NULL, NULL)) {
        s->counters.malformed++;
        serf__log(s, LOG_ERROR, "serf: Failed to decode key request");
    } else if (s->key_jobs_n >= SERF_KEY_SAVES_MAX) {
        answer_outcome(s, o, false, STR("too many key requests at once"));
    } else {
        struct key_job *job = xcalloc(1, sizeof *job);
        job->action = action;
        job->origin = *o;
        /* Longer keys are refused for their length all the same. */
        job->key.p = (const char *)job->key_bytes;
        job->key.n = m.key.n <= KEYRING_KEY_MAX ? m.key.n : 1;
        if (m.key.n && m.key.n <= KEYRING_KEY_MAX) memcpy(job->key_bytes, m.key.p, m.key.n);
        link_push(&s->key_jobs, &job->link);
        s->key_jobs_n++;
        s->todo = true;
    }
    arena_free(&a);
}

/* The key ring file: an indented list, the primary first. */
static struct str ring_text(struct serf *s)
{
    struct buf out = BUF_INIT(KEYRING_TEXT_MAX);
    buf_put_c(&out, "[");
    for (size_t i = 0; i < s->o.swim.keys->n; i++) {
        buf_put_c(&out, i ? ",\n  \"" : "\n  \"");
        base64_encode(keyring_at(s->o.swim.keys, i), &out);
        buf_put_c(&out, "\"");
    }
    buf_put_c(&out, "\n]");
    struct str text = serf__keep(s, buf_str(&out));
    buf_deinit(&out);
    return text;
}

/* True while the job goes on. */
static bool run(struct serf *s, struct key_job *job)
{
    struct keyring *keys = s->o.swim.keys;
    struct error err;
    if (!keys || keys->n == 0) {
        answer_outcome(s, &job->origin, false, str_of(actions[job->action].no_ring));
        return false;
    }
    if (job->action == SERF_KEY_LIST) {
        answer_list(s, job);
        return false;
    }
    if (actions[job->action].change(keys, job->key, &err)) {
        serf__log(s, LOG_ERROR, "serf: Failed to change the keyring: %s", err.text);
        answer_outcome(s, &job->origin, false, str_of(err.text));
        return false;
    }
    if (!s->o.save_keys) {
        answer_outcome(s, &job->origin, true, STR_NIL);
        return false;
    }
    job->save = s->next_id++;
    struct serf_notice *notice = serf__notice(s, SERF_SAVE_KEYS);
    notice->save_keys.save = job->save;
    notice->save_keys.text = ring_text(s);
    return true;
}

void serf__key_jobs_run(struct serf *s)
{
    link_each (l, &s->key_jobs) {
        struct key_job *job = container_of(l, struct key_job, link);
        if (job->save == 0 && !run(s, job)) release(s, job);
    }
}

void serf__key_saved(struct serf *s, uint64_t save, struct str error)
{
    link_each (l, &s->key_jobs) {
        struct key_job *job = container_of(l, struct key_job, link);
        if (save == 0 || job->save != save) continue;
        answer_outcome(s, &job->origin, error.n == 0, error);
        release(s, job);
    }
}

void serf__key_jobs_free(struct serf *s)
{
    link_each (l, &s->key_jobs)
        release(s, container_of(l, struct key_job, link));
}
