/* SPDX-License-Identifier: Apache-2.0 */
#include "consuld/agent/config_services.h"

#include "config_build.h"

int config_services_read(struct str path, struct arena *a, struct list *out, struct buf *error)
{
    struct config_args args = { 0 };
    struct buf warnings = BUF_INIT(CONFIG_MESSAGE_MAX);
    struct config_load load = { .arena = a, .args = &args, .warnings = &warnings, .error = error };
    *LIST_PUSH(a, &args.files, struct str) = path;
    load.config = arena_new(a, struct agent_config);
    int rc = config_sources_read(&load);
    if (rc == 0) {
        config_services(&load);
        if (load.soft.n) {
            config_put_errors(error, &load.soft);
            rc = ERR_BAD_REQUEST;
        }
    }
    buf_deinit(&warnings);
    for (size_t i = 0; rc == 0 && i < load.config->services.n; i++)
        *LIST_PUSH(a, out, struct service_definition) =
            LIST_AT(&load.config->services, struct service_definition, i);
    return rc;
}
