/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the rules for config entries. */
#pragma once
#include "consuld/model/config_rules.h"

/* A name in quotes for a refusal; long ones are cut. */
struct quoted {
    char text[512];
};
const char *config__quoted(struct quoted *q, struct str s);

/* config_rules_http.c */
int config__check_router(const struct service_router_config_entry *e, struct error *err);
int config__check_ingress(const struct ingress_gateway_config_entry *e, struct error *err);
