/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "serf_core.h"

struct serf_notice *serf__notice(struct serf *s, enum serf_notice_type type)
{
    struct serf_outbox *out = &s->out;
    if (out->n == out->cap) {
        out->cap = out->cap ? out->cap * 2 : 8;
        out->v = xrealloc(out->v, out->cap * sizeof *out->v);
    }
    struct serf_notice *notice = &out->v[out->n++];
    memset(notice, 0, sizeof *notice);
    notice->type = type;
    return notice;
}

struct str serf__keep(struct serf *s, struct str text)
{
    return str_dup(&s->out.arena, text);
}

void serf__member_notice(struct serf *s, enum serf_notice_type type, const struct member *m)
{
    struct serf_notice *notice = serf__notice(s, type);
    notice->member = m->view;
    notice->member.name = serf__keep(s, m->view.name);
    notice->member.meta = serf__keep(s, m->view.meta);
}

struct serf_notice *serf__result(struct serf *s, uint64_t handle, int code, const char *fmt, ...)
{
    if (handle == 0) return NULL;
    struct serf_notice *notice = serf__notice(s, SERF_RESULT);
    notice->result.handle = handle;
    notice->result.code = code;
    char text[ERROR_TEXT_MAX];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    notice->result.text = serf__keep(s, str_of(text));
    return notice;
}

const char *serf_notice_name(enum serf_notice_type t)
{
    switch (t) {
    case SERF_MEMBER_JOINED:
        return "member-join";
    case SERF_MEMBER_LEFT:
        return "member-leave";
    case SERF_MEMBER_FAILED:
        return "member-failed";
    case SERF_MEMBER_UPDATED:
        return "member-update";
    case SERF_MEMBER_REAPED:
        return "member-reap";
    case SERF_USER_EVENT:
        return "user";
    case SERF_QUERIED:
        return "query";
    case SERF_ANSWER:
        return "answer";
    case SERF_RESULT:
        return "result";
    case SERF_SAVE_KEYS:
        return "save-keys";
    case SERF_NAME_LOST:
        return "name-lost";
    }
    return "";
}
