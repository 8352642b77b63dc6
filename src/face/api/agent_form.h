/* SPDX-License-Identifier: Apache-2.0 */
/* Local services and checks in the forms in which the agent's endpoints show them. */
#pragma once
#include "consuld/face/api.h"
#include "consuld/face/context.h"
#include "consuld/agent/local.h"
#include "consuld/model.h"

static inline struct local *api_local(const struct api_request *req)
{
    return ((const struct face_context *)req->ctx)->local;
}

/* Without ContentHash. Borrows from *svc. */
void agent_service_form(struct arena *a, const struct node_service *svc, struct agent_service *out);
/* The same of an instance in the catalog: with indexes, and proxy and Connect whatever its kind. */
void agent_instance_form(
    struct arena *a, const struct node_service *svc, struct agent_service *out);
void agent_check_form(const struct health_check *check, struct agent_health_check *out);
/* The hash of what agent_service_form made, as the API shows it: lower-case hexadecimal. */
struct str agent_content_hash(struct arena *a, const struct agent_service *form);
/* Answers once what changed here has reached the servers (or failed to): for handlers that change
 * the local state. */
void agent_reply_pushed(struct api_request *req);
/* The same for what would be lost by a restart: if it cannot be written to the data directory
 * `undo` is called and the answer is that error. */
void agent_reply_kept(
    struct api_request *req, void (*undo)(struct api_request *req, void *ctx), void *ctx);
/* Maps a refusal of the local state: 400 and 404 with the plain text, else as api_reply_error. */
void agent_reply_refused(struct api_request *req, const struct error *err);
/* Go's strconv.ParseBool. */
bool agent_parse_bool(struct str text, bool *out);
