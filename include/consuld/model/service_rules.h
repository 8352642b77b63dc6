/* SPDX-License-Identifier: Apache-2.0 */
/* What the structure of a service must hold by its kind (agent.md 4.3 item 5): the same rules for
 * definitions of an agent and for registrations in the catalog. */
#pragma once
#include "consuld/model/catalog.h"

/* What the rules look at. */
struct service_shape {
    struct str kind;
    int64_t port;
    bool native;
    const struct connect_proxy_config *proxy; /* NULL: none given */
    const struct service_definition *sidecar; /* NULL: none */
};

/* ERR_BAD_REQUEST with every fault in one text: "2 errors occurred:\n\t* ...\n\t* ...\n\n". */
int service_shape_validate(const struct service_shape *s, struct error *err) must_check;
bool service_kind_is_gateway(struct str kind);
/* Addresses that mean "all of this machine" and can't be reached: 0.0.0.0, ::, [::]. */
bool service_address_is_any(struct str address);
