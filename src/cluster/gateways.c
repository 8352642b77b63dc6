/* SPDX-License-Identifier: Apache-2.0 */
/* What is told to the gateway directory, and what is said about it. */
#include "gateways.h"

#include <stdlib.h>

struct gateways *gateways_create(const struct gateways_options *o)
{
    struct gateways *g = xcalloc(1, sizeof *g);
    g->world = o->world;
    g->tls = o->tls;
    g->datacenter = str_dup(&g->arena, o->datacenter);
    g->domain = str_dup(&g->arena, o->domain);
    g->directory =
        fed_create(&(struct fed_options){ .datacenter = o->datacenter, .primary = o->primary });
    g->troubles = (struct trouble_log){ .world = o->world };
    link_init(&g->observers);
    gateways__tell_road(g);
    return g;
}

void gateways_destroy(struct gateways *g)
{
    if (!g) return;
    link_each (it, &g->observers)
        link_remove(it);
    fed_destroy(g->directory);
    arena_free(&g->arena);
    free(g);
}

const struct fed_directory *gateways_directory(const struct gateways *g)
{
    return g->directory;
}

bool gateways_lead_to(const struct gateways *g, struct str datacenter)
{
    return !str_eq(datacenter, g->datacenter);
}

struct gateways_counters *gateways_counters(struct gateways *g)
{
    return &g->counters;
}

/* --- changes -------------------------------------------------------------------------------- */

static const char *list_text(const struct gateways *g, enum fed_source source, struct arena *a)
{
    struct buf text = BUF_INIT(4096);
    size_t n;
    const struct str *v = fed_gateways(g->directory, source, &n);
    buf_put_char(&text, '[');
    for (size_t i = 0; i < n; i++)
        buf_printf(&text, "%s%.*s", i ? ", " : "", STR_ARG(v[i]));
    buf_put_char(&text, ']');
    const char *out = str_c(a, buf_str(&text));
    buf_deinit(&text);
    return out;
}

static void changed(struct gateways *g)
{
    link_each (it, &g->observers) {
        struct gateways_observer *o = container_of(it, struct gateways_observer, link);
        o->changed(o);
    }
}

void gateways__tell_road(struct gateways *g)
{
    bool local = fed_through_local(g->directory, world_now_ms(g->world));
    if (fed_is_primary(g->directory) || (g->told_road && local == g->through_local)) return;
    g->told_road = true;
    g->through_local = local;
    log_info(GATEWAYS_LOG,
        local ? "will dial the primary datacenter using our local mesh gateways if possible"
              : "will dial the primary datacenter through its mesh gateways");
}

void gateways_states(struct gateways *g, const struct list *states, const struct list *own)
{
    struct arena a = ARENA_INIT;
    if (fed_states(g->directory, states, own)) {
        log_info(GATEWAYS_LOG, "new cached locations of mesh gateways", "primary",
            list_text(g, FED_PRIMARY, &a), "local", list_text(g, FED_LOCAL, &a));
        changed(g);
    }
    gateways__tell_road(g);
    arena_free(&a);
}

void gateways_fallback(struct gateways *g, const struct str *addresses, size_t n)
{
    struct arena a = ARENA_INIT;
    if (fed_fallback(g->directory, addresses, n)) {
        log_info(GATEWAYS_LOG, "updated fallback list of primary mesh gateways", "mesh_gateways",
            list_text(g, FED_FALLBACK, &a));
        changed(g);
    }
    arena_free(&a);
}

void gateways_replicated(struct gateways *g, bool fine)
{
    fed_replicated(g->directory, fine);
    gateways__tell_road(g);
}

void gateways_leads_not(struct gateways *g)
{
    fed_leads_not(g->directory);
    gateways__tell_road(g);
}

void gateways_observe(struct gateways *g, struct gateways_observer *o)
{
    link_init(&o->link);
    link_push(&g->observers, &o->link);
}

void gateways_unobserve(struct gateways_observer *o)
{
    if (o->link.next) link_remove(&o->link);
}
