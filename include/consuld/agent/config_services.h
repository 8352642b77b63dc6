/* SPDX-License-Identifier: Apache-2.0 */
/* Service definitions alone from files of configuration, as `consul services` reads them: by the
 * rules of the agent's own files, without building or checking a whole configuration. */
#pragma once
#include "consuld/agent/config.h"

/* Reads the file or folder `path` and appends its services (struct service_definition, owned by
 * `a`) to *out. On failure `error`, which is appended to, holds the text an agent would give. */
int config_services_read(
    struct str path, struct arena *a, struct list *out, struct buf *error) must_check;
