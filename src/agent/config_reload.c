/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "consuld/agent/config.h"

struct leaf {
    const struct type *type;
    size_t offset;
};

/* The member that an option governs; records by value are descended into. */
static struct leaf leaf_at(const struct record *r, size_t base, size_t offset)
{
    for (size_t i = 0; i < r->n; i++) {
        const struct field *f = &r->fields[i];
        size_t from = base + f->offset;
        if (offset < from || offset >= from + f->type->size) continue;
        if (f->type->kind == KIND_REC) return leaf_at(f->type->record, from, offset);
        ensure(offset == from);
        return (struct leaf){ f->type, from };
    }
    ensure_failed("every option's member is a field", __FILE__, __LINE__);
}

static bool differs(struct leaf l, const struct agent_config *a, const struct agent_config *b)
{
    return !record_equal(l.type, (const char *)a + l.offset, (const char *)b + l.offset);
}

struct agent_config *config_reload(
    struct arena *a, const struct agent_config *running, const struct agent_config *fresh)
{
    struct agent_config *out = arena_new(a, struct agent_config);
    record_copy(a, &type_agent_config, out, running);
    for (size_t i = 0; i < config_options_n; i++) {
        const struct config_option *o = &config_options[i];
        if (!(o->marks & CONFIG_RELOAD) || !o->member) continue;
        struct leaf l = leaf_at(&record_agent_config, 0, o->member - 1);
        record_copy(a, l.type, (char *)out + l.offset, (const char *)fresh + l.offset);
    }
    /* telemetry.prefix_filter governs two members */
    record_copy(
        a, &type_list_str, &out->telemetry.blocked_prefixes, &fresh->telemetry.blocked_prefixes);
    return out;
}

struct list config_restart_needed(
    struct arena *a, const struct agent_config *running, const struct agent_config *fresh)
{
    struct list out = LIST_EMPTY;
    for (size_t i = 0; i < config_options_n; i++) {
        const struct config_option *o = &config_options[i];
        if ((o->marks & (CONFIG_RELOAD | CONFIG_FIXED)) || !o->member) continue;
        if (differs(leaf_at(&record_agent_config, 0, o->member - 1), running, fresh))
            *LIST_PUSH(a, &out, struct str) = str_of(o->path);
    }
    return out;
}
