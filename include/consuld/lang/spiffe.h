/* SPDX-License-Identifier: Apache-2.0 */
/* Identities of Connect certificates (connect-xds.md 1.1):
 *   spiffe://<trust domain>/ns/<namespace>/dc/<datacenter>/svc/<service>
 *   spiffe://<trust domain>/agent/client/dc/<datacenter>/id/<agent>
 *   spiffe://<trust domain>                      (a cluster's signing identity) */
#pragma once
#include "consuld/base.h"

enum spiffe_kind { SPIFFE_SERVICE, SPIFFE_AGENT, SPIFFE_SIGNING };

struct spiffe_id {
    enum spiffe_kind kind;
    struct str host;
    struct str namespace, datacenter, service; /* decoded */
    struct str agent;
};

/* ERR_BAD_REQUEST for anything that is none of the three. Memory is `a`'s or the text's. */
int spiffe_parse(
    struct str uri, struct arena *a, struct spiffe_id *out, struct error *err) must_check;

/* --- making of names (connect-xds.md 1.1, 1.2); memory is `a`'s ------------------------------- */

/* The trust domain of a cluster. */
struct str spiffe_trust_domain(struct arena *a, struct str cluster_id);
/* spiffe://... of the identity. */
struct str spiffe_uri(struct arena *a, const struct spiffe_id *id);
/* Common name of the certificate of a service or an agent. */
struct str spiffe_common_name(struct arena *a, const struct spiffe_id *id);
/* Common name of the primary's root, or of a secondary's intermediate; `random` is 8 bytes of it.
 */
struct str spiffe_authority_name(struct arena *a, bool primary, struct str provider,
    struct str trust_domain, const uint8_t random[8]);
