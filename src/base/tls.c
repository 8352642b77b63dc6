/* SPDX-License-Identifier: Apache-2.0 */
#include "consuld/base/tls.h"

#include <stdio.h>

void tls_server_name(
    struct str node, struct str datacenter, struct str domain, char out[TLS_NAME_MAX])
{
    bool any = node.n == 0 || str_is(node, "*");
    if (str_has_suffix(domain, STR("."))) domain.n--;
    snprintf(out, TLS_NAME_MAX, "%.*s%sserver.%.*s.%.*s", any ? 0 : (int)node.n, any ? "" : node.p,
        any ? "" : ".", STR_ARG(datacenter), STR_ARG(domain));
}
