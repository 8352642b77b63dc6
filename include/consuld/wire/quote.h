/* SPDX-License-Identifier: Apache-2.0 */
/* Text in quotes for error messages, as Go's %q prints it. */
#pragma once
#include "consuld/base.h"

/* Double quotes; control bytes, quotes and invalid UTF-8 escaped. */
void quote_go(struct buf *out, struct str s);
