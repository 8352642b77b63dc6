/* SPDX-License-Identifier: Apache-2.0 */
/* How long each endpoint takes, http.<method>.<path>, and how often those of the catalog are asked,
 * as metrics. */
#include <stdio.h>
#include <string.h>

#include "consuld/base/metrics.h"
#include "consuld/base/world.h"
#include "front.h"

#define NAME_SIZE 160

struct timed {
    const struct api_route *route;
    uint64_t method;
};

static const struct {
    const char *path, *name;
    const char *ended; /* how outcomes are called; NULL: as the question */
} counted[] = {
    { "/v1/catalog/connect/", "catalog_connect_service_nodes", "catalog_service_nodes" },
    { "/v1/catalog/datacenters", "catalog_datacenters", NULL },
    { "/v1/catalog/deregister", "catalog_deregister", NULL },
    { "/v1/catalog/gateway-services/", "catalog_gateway_services", NULL },
    { "/v1/catalog/node-services/", "catalog_node_service_list", NULL },
    { "/v1/catalog/node/", "catalog_node_services", NULL },
    { "/v1/catalog/nodes", "catalog_nodes", NULL },
    { "/v1/catalog/register", "catalog_register", NULL },
    { "/v1/catalog/service/", "catalog_service_nodes", NULL },
    { "/v1/catalog/services", "catalog_services", NULL },
};

static void count(struct api *api, const char *kind, const char *name)
{
    char full[NAME_SIZE];
    const struct api_options *o = &api->config->o;
    struct metric_label node = { "node", o->node_name };
    snprintf(full, sizeof full, "client.%s.%s", kind, name);
    metric_add(metrics_labelled(o->metrics, METRIC_COUNTER, full, &node, 1), 1);
}

static void count_catalog(struct api *api, const struct api_route *route, int status)
{
    if (strncmp(route->pattern, "/v1/catalog/", 12) != 0) return;
    for (size_t i = 0; i < sizeof counted / sizeof counted[0]; i++) {
        if (strcmp(counted[i].path, route->pattern) != 0) continue;
        count(api, "api", counted[i].name);
        const char *ended = counted[i].ended ? counted[i].ended : counted[i].name;
        if (status == 200) count(api, "api.success", ended);
        if (status >= 500) count(api, "rpc.error", ended);
    }
}

/* "/v1/kv/" is v1.kv._ */
static struct metric *make(struct api *api, const struct api_request *req, struct str key)
{
    char name[NAME_SIZE];
    int n =
        snprintf(name, sizeof name, "http.%.*s%s", STR_ARG(req->method_name), req->route->pattern);
    if (n < 0 || (size_t)n >= sizeof name - 1) return NULL;
    for (char *p = name; *p; p++)
        if (*p == '/') *p = '.';
    if (name[n - 1] == '.') {
        name[n] = '_';
        name[n + 1] = '\0';
    }
    struct metric *m = metrics_samples(api->config->o.metrics, name);
    if (m) map_put(&api->timings, key, m);
    return m;
}

void timing__take(struct conn *c)
{
    struct api *api = c->api;
    const struct api_request *req = &c->req;
    struct timed at = { req->route, (uint64_t)req->method };
    if (!api->config->o.metrics || !req->route || !c->began_us) return;
    if (!(req->method & req->route->methods)) return;
    struct str key = { (const char *)&at, sizeof at };
    struct metric *m = map_get(&api->timings, key);
    metric_since(m ? m : make(api, req, key), api->world, c->began_us);
    count_catalog(api, req->route, c->status);
    c->began_us = 0;
}
