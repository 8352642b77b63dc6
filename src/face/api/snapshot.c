/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/snapshot (http-api.md 3.15). */
#include "consuld/cluster/snapshot_call.h"

#include "state_call.h"
#include "state_routes.h"

static void aborted(struct api_request *req)
{
    struct snapshot_client *client = state_context(req)->snapshots;
    client->cancel(client, req->state);
}

static void done(struct snapshot_call *c)
{
    struct api_request *req = c->ctx;
    struct shared_body *saved = c->saved;
    req->on_abort = NULL;
    if (c->code) {
        api_reply_error(req, &c->err);
    } else if (c->restore) {
        api_reply_empty(req, 200);
    } else {
        api_read_headers(req, c->index, c->known_leader, c->last_contact_ns);
        api_reply_large(req, 200, "application/x-gzip", saved);
    }
    shared_body_unref(saved);
}

static void snapshot(struct api_request *req)
{
    struct snapshot_client *client = state_context(req)->snapshots;
    struct snapshot_call *c = arena_new(req->arena, struct snapshot_call);
    if (api_body_refused(req)) return;
    if (!client) {
        api_reply_text(req, 500, "No known Consul servers");
        return;
    }
    c->restore = req->method == API_PUT;
    c->allow_stale = api_has_param(req, "stale");
    c->archive = req->large;
    c->done = done;
    c->ctx = req;
    api_write_parse(req, &c->datacenter, &c->token);
    req->state = c;
    req->on_abort = aborted;
    client->submit(client, c);
    shared_body_unref(req->large); /* who needs it has it */
    req->large = NULL;
}

const struct api_route api_snapshot_routes[] = {
    { "/v1/snapshot", API_GET | API_PUT, API_BODY_SNAPSHOT, 0, snapshot },
    { 0 },
};
