/* SPDX-License-Identifier: Apache-2.0 */
/* Loading at start and reloading: configuration first, then what was kept (agent.md 1.7, 7). */
#include "local_state.h"

static int load_configured(struct local *l, const struct list *services, struct error *err)
{
    int failed = 0;
    for (size_t i = 0; i < services->n && !failed; i++) {
        const struct service_definition *def = &LIST_AT(services, struct service_definition, i);
        struct local_register_options opts = { .source = LOCAL_FROM_CONFIG, .token = def->token };
        failed = local_service_register(l, def, &opts, err);
        if (failed) {
            /* What is wrong with checks and sidecar already names the service. */
            if (!str_has_prefix(str_of(err->text), STR("Failed to validate ")))
                error_prefix(err, "Failed to register service \"%.*s\": ",
                    STR_ARG(def->id.n ? def->id : def->name));
        } else {
            persist_forget_registration(l, def->id.n ? def->id : def->name);
        }
    }
    return failed;
}

static int load_configured_checks(struct local *l, const struct list *checks, struct error *err)
{
    int failed = 0;
    for (size_t i = 0; i < checks->n && !failed; i++) {
        const struct check_definition *def = &LIST_AT(checks, struct check_definition, i);
        struct local_register_options opts = { .source = LOCAL_FROM_CONFIG, .token = def->token };
        struct str id = def->id.n ? def->id : def->name;
        struct check_type type;
        local_check_type(def, &type);
        if (id.n == 0) failed = error_set(err, ERR_BAD_REQUEST, "CheckID missing");
        if (!failed && local_check_validate(&type, err) != 0)
            failed = error_prefix(err, "Check is not valid: ");
        if (!failed) failed = local_check_register(l, id, def->service_id, &type, &opts, err);
        if (failed) {
            error_prefix(err, "Failed to register check '%.*s': ", STR_ARG(id));
        } else {
            persist_forget_check(l, id);
        }
    }
    return failed;
}

int local_load(
    struct local *l, const struct list *services, const struct list *checks, struct error *err)
{
    int failed = load_configured(l, services, err);
    if (!failed) failed = persist_load_services(l, err);
    if (!failed) local__drop_orphans(l);
    if (!failed) failed = load_configured_checks(l, checks, err);
    if (!failed) failed = persist_load_checks(l, err);
    return failed;
}

/* Everything is to be seen again. */
static void all_stale(struct local *l)
{
    void *value;
    for (size_t it = 0; map_next(&l->checks, &it, NULL, &value);) {
        struct local_check *c = value;
        c->stale = !c->deleted;
    }
    for (size_t it = 0; map_next(&l->services, &it, NULL, &value);) {
        struct local_service *s = value;
        s->stale = !s->deleted;
    }
}

static void drop_stale(struct local *l)
{
    void *value;
    for (size_t it = 0; map_next(&l->checks, &it, NULL, &value);) {
        struct local_check *c = value;
        if (c->stale) local__check_drop(l, c);
    }
    for (size_t it = 0; map_next(&l->services, &it, NULL, &value);) {
        struct local_service *s = value;
        if (s->stale) local__service_drop(l, s);
    }
}

static void node_meta_set(struct local *l, struct dict node_meta)
{
    if (record_equal(&type_map_str, &l->opts.node_meta, &node_meta)) return;
    record_copy(&l->arena, &type_map_str, &l->opts.node_meta, &node_meta);
    sync_node_dirty(l->sync);
}

/* Files of what is now configured stay until it is known that all of it is taken. */
static int load_again(struct local *l, const struct local_configured *c, struct error *err)
{
    all_stale(l);
    if (l->files) file_queue_hold(l->files);
    int failed = local_load(l, c->services, c->checks, err);
    if (l->files) {
        if (failed)
            file_queue_drop(l->files);
        else
            file_queue_release(l->files);
    }
    return failed;
}

int local_reload(struct local *l, const struct local_configured *present,
    const struct local_configured *fresh, struct error *err)
{
    struct error again;
    sync_pause(l->sync);
    int failed = load_again(l, fresh, err);
    if (!failed) {
        node_meta_set(l, fresh->node_meta);
    } else if (load_again(l, present, &again) != 0) {
        log_error("agent", "Failed to load the former configuration again", "error", again.text);
    }
    drop_stale(l);
    sync_resume(l->sync);
    return failed;
}
