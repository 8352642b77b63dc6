/* SPDX-License-Identifier: Apache-2.0 */
/* How long each endpoint takes: http.<method>.<path>, as metrics. */
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
    c->began_us = 0;
}
