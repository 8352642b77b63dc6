/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/operator/ and /v1/status/ (http-api.md 3.15). */
#include "state_call.h"
#include "state_routes.h"

static const void *record_view(struct state_call *c)
{
    return c->rpc.reply->record;
}

static void dc_read(struct api_request *req, const char *method, const struct type *type,
    void (*finish)(struct state_call *c))
{
    struct state_call *c = state_call_read_global(req, 0);
    if (!c) return;
    struct dc_specific_request *args = arena_new(req->arena, struct dc_specific_request);
    args->datacenter = c->q.datacenter;
    api_query_fill(args, &c->q);
    args->min_query_index = 0;
    c->view = record_view;
    c->type = type;
    c->finish = finish;
    state_call_submit(c, method, args);
}

/* --- status --------------------------------------------------------------------------------- */

static void status_leader(struct api_request *req)
{
    dc_read(req, "Status.Leader", &type_str, NULL);
}

static void status_peers(struct api_request *req)
{
    dc_read(req, "Status.Peers", &type_list_str, NULL);
}

/* --- raft ----------------------------------------------------------------------------------- */

static void raft_configuration(struct api_request *req)
{
    dc_read(req, "Operator.RaftGetConfiguration", &type_raft_configuration_response, NULL);
}

static void raft_peer(struct api_request *req)
{
    struct raft_remove_peer_request *args = arena_new(req->arena, struct raft_remove_peer_request);
    struct state_call *c = state_call_write(req);
    bool by_id = api_param(req, "id", &args->id);
    bool by_address = api_param(req, "address", &args->address);
    if (!by_id && !by_address) {
        api_reply_bad_request(req, "Must specify either ?id with the server's ID or ?address "
                                   "with IP:port of peer to remove");
        return;
    }
    if (by_id && by_address) {
        api_reply_bad_request(req, "Must specify only one of ?id or ?address");
        return;
    }
    args->datacenter = c->q.datacenter;
    args->token = c->q.token;
    c->finish = state_finish_empty;
    state_call_submit(
        c, by_id ? "Operator.RaftRemovePeerByID" : "Operator.RaftRemovePeerByAddress", args);
}

/* --- autopilot ------------------------------------------------------------------------------ */

static void finish_set(struct state_call *c)
{
    /* A plain set is answered false by the servers; only CAS tells anything. */
    api_reply_bool(c->req, c->variant ? *(const bool *)c->rpc.reply->record : true);
}

static void autopilot_set(struct api_request *req)
{
    struct autopilot_set_config_request *args =
        arena_new(req->arena, struct autopilot_set_config_request);
    struct state_call *c = state_call_write(req);
    struct error err;
    struct str cas;
    if (api_body_decode(req, &type_autopilot_config, &args->config, &err)) {
        api_reply_bad_request(req, "Error parsing autopilot config: %s", err.text);
        return;
    }
    if (api_param(req, "cas", &cas)) {
        if (!str_to_u64(cas, &args->config.modify_index)) {
            api_reply_bad_request(req,
                "Error parsing cas value: strconv.ParseUint: parsing \"%.*s\": invalid syntax",
                STR_ARG(cas));
            return;
        }
        args->cas = true;
        c->variant = 1;
    }
    args->datacenter = c->q.datacenter;
    args->token = c->q.token;
    c->finish = finish_set;
    state_call_submit(c, "Operator.AutopilotSetConfiguration", args);
}

static void autopilot_configuration(struct api_request *req)
{
    if (req->method == API_PUT)
        autopilot_set(req);
    else
        dc_read(req, "Operator.AutopilotGetConfiguration", &type_autopilot_config, NULL);
}

static struct str serf_status(int64_t n)
{
    switch (n) {
    case 1:
        return STR("alive");
    case 2:
        return STR("leaving");
    case 3:
        return STR("left");
    case 4:
        return STR("failed");
    }
    return STR("none");
}

static struct gotime to_second(struct gotime t)
{
    if (t.nsec >= 500000000) t.sec++;
    t.nsec = 0;
    t.offset_min = -1;
    return t;
}

static void finish_health(struct state_call *c)
{
    const struct autopilot_operator_health_reply *in =
        state_reply(c, autopilot_operator_health_reply);
    struct api_health_reply out = { .healthy = in->healthy,
        .failure_tolerance = in->failure_tolerance };
    for (size_t i = 0; i < in->servers.n; i++) {
        const struct autopilot_server_health *from =
            &LIST_AT(&in->servers, struct autopilot_server_health, i);
        *LIST_PUSH(c->req->arena, &out.servers, struct api_server_health) =
            (struct api_server_health){
                .id = from->id,
                .name = from->name,
                .address = from->address,
                .serf_status = serf_status(from->serf_status),
                .version = from->version,
                .leader = from->leader,
                .last_contact = from->last_contact,
                .last_term = from->last_term,
                .last_index = from->last_index,
                .healthy = from->healthy,
                .voter = from->voter,
                .stable_since = to_second(from->stable_since),
            };
    }
    api_reply_json_status(c->req, in->healthy ? 200 : 429, &type_api_health_reply, &out);
}

static void autopilot_health(struct api_request *req)
{
    dc_read(req, "Operator.ServerHealth", NULL, finish_health);
}

const struct api_route api_operator_routes[] = {
    { "/v1/operator/autopilot/configuration", API_GET | API_PUT, API_BODY_PLAIN, 0,
        autopilot_configuration },
    { "/v1/operator/autopilot/health", API_GET, API_BODY_PLAIN, 0, autopilot_health },
    { "/v1/operator/raft/configuration", API_GET, API_BODY_PLAIN, 0, raft_configuration },
    { "/v1/operator/raft/peer", API_DELETE, API_BODY_PLAIN, 0, raft_peer },
    { "/v1/status/leader", API_GET, API_BODY_PLAIN, 0, status_leader },
    { "/v1/status/peers", API_GET, API_BODY_PLAIN, 0, status_peers },
    { 0 },
};
