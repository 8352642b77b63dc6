/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/event/ (http-api.md 3.9). */
#include "consuld/agent/user_events.h"
#include "consuld/gossip/event_payload.h"

#include "agent_routes.h"
#include "state_call.h"

#define WAIT_DEFAULT_MS 300000
#define WAIT_MAX_MS 600000
#define PAYLOAD_MAX (16u << 20)

/* --- fire ------------------------------------------------------------------------------------- */

struct fire {
    struct user_event event;
    struct event_fire_request args;
};

static void finish_fire(struct state_call *c)
{
    const struct fire *f = container_of(c->rpc.args, struct fire, args);
    api_reply_json(c->req, &type_user_event, &f->event);
}

static void encode(struct arena *a, struct fire *f)
{
    struct buf payload = BUF_INIT(PAYLOAD_MAX);
    struct event_payload p = { .id = f->event.id,
        .name = f->event.name,
        .payload = f->event.payload,
        .node_filter = f->event.node_filter,
        .service_filter = f->event.service_filter,
        .tag_filter = f->event.tag_filter,
        .version = EVENT_VERSION };
    event_payload_encode(&p, &payload);
    f->args.payload = str_dup(a, buf_str(&payload));
    buf_deinit(&payload);
}

static struct str text_of(struct api_request *req, const char *param)
{
    struct str s = api_param_str(req, param);
    return s.p ? s : STR("");
}

static void event_fire(struct api_request *req)
{
    struct fire *f = arena_new(req->arena, struct fire);
    struct error err;
    uint8_t id[16];
    char *text = arena_alloc(req->arena, UUID_TEXT_LEN + 1);
    if (req->tail.n == 0) {
        api_reply_text(req, 400, "Missing name");
        return;
    }
    if (api_body_refused(req)) return;
    world_random(state_context(req)->world, id, sizeof id);
    uuid_format(id, text);
    f->event = (struct user_event){ .id = str_of(text),
        .name = req->tail,
        .payload = req->body.n ? req->body : STR_NIL,
        .node_filter = text_of(req, "node"),
        .service_filter = text_of(req, "service"),
        .tag_filter = text_of(req, "tag"),
        .version = EVENT_VERSION };
    if (user_event_check(&f->event, &err) != 0) {
        api_reply_error(req, &err);
        return;
    }
    struct state_call *c = state_call_write(req);
    f->args.datacenter = c->q.datacenter;
    f->args.token = c->q.token;
    f->args.name = req->tail;
    encode(req->arena, f);
    c->finish = finish_fire;
    state_call_submit(c, "Internal.EventFire", &f->args);
}

/* --- list ------------------------------------------------------------------------------------- */

struct listing {
    struct api_request *req;
    struct user_events *events;
    struct str name; /* nil: all */
    uint64_t index;
    struct user_event_wait wait;
    struct timer timer;
};

static void reply_list(struct listing *l, const struct list *all, uint64_t index)
{
    struct api_request *req = l->req;
    req->on_abort = NULL;
    api_header_u64(req, "X-Consul-Index", index ? index : 1);
    api_reply_json(req, &type_user_event_list, all);
}

/* False if nothing has changed and the request may wait. */
static bool try_list(struct listing *l, bool must)
{
    struct list all = LIST_EMPTY;
    uint64_t index = 0;
    for (size_t i = 0; i < user_events_count(l->events); i++) {
        const struct user_event *e = user_events_at(l->events, i);
        if (l->name.n && !str_eq(l->name, e->name)) continue;
        *LIST_PUSH(l->req->arena, &all, struct user_event) = *e;
        index = user_event_index(e);
    }
    if (!must && index && index == l->index) return false;
    timer_stop(&l->timer);
    user_event_wait_cancel(&l->wait);
    reply_list(l, &all, index);
    return true;
}

static void wait_on(struct listing *l)
{
    l->wait.link = (struct link){ 0 };
    user_event_wait_add(l->events, &l->wait);
}

static void event_came(struct user_event_wait *w)
{
    struct listing *l = container_of(w, struct listing, wait);
    if (!try_list(l, false)) wait_on(l);
}

static void waited(struct timer *t)
{
    (void)try_list(container_of(t, struct listing, timer), true);
}

static void gone(struct api_request *req)
{
    struct listing *l = req->state;
    timer_stop(&l->timer);
    user_event_wait_cancel(&l->wait);
}

static void event_list(struct api_request *req)
{
    struct api_query q;
    struct world *w = state_context(req)->world;
    struct listing *l = arena_new(req->arena, struct listing);
    if (api_query_wait(req, &q)) return;
    l->req = req;
    l->events = state_context(req)->events;
    l->name = api_param_str(req, "name");
    l->index = q.min_query_index;
    l->wait.fire = event_came;
    timer_init(&l->timer, w, waited);
    if (try_list(l, false)) return;
    uint64_t ms = q.max_query_time > 0 ? (uint64_t)(q.max_query_time / 1000000) : WAIT_DEFAULT_MS;
    if (ms > WAIT_MAX_MS) ms = WAIT_MAX_MS;
    timer_start(&l->timer, ms + world_random_below(w, ms / 16 + 1));
    req->state = l;
    req->on_abort = gone;
    wait_on(l);
}

const struct api_route api_event_routes[] = {
    { "/v1/event/fire/", API_PUT, API_BODY_PLAIN, 0, event_fire },
    { "/v1/event/list", API_GET, API_BODY_PLAIN, 0, event_list },
    { 0 },
};
