/* SPDX-License-Identifier: Apache-2.0 */
/* ACL.* while ACLs are off. */
#include "server.h"

int acl_disabled(struct eval *e)
{
    return error_set(e->err, ERR_DENIED, "ACL support disabled");
}
