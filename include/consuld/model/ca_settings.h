/* SPDX-License-Identifier: Apache-2.0 */
/* Settings of the built-in provider of the Connect CA (connect-xds.md 1.5). */
#pragma once
#include "consuld/model/connect.h"

/* Of a provider's Config, over the defaults; texts of `a`. Errors are ERR_INTERNAL, with the texts
 * of the original: error decoding config: ...; leaf cert TTL must be greater or equal than 1h0m0s.
 */
int ca_settings_read(const struct value *config, struct arena *a, struct ca_settings *out,
    struct error *err) must_check;
