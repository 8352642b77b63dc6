/* SPDX-License-Identifier: Apache-2.0 */
/* MD5 (RFC 1321), for names of files that Consul chose so. It holds against nobody who means harm.
 */
#pragma once
#include "consuld/base/str.h"

/* 32 lower-case hex digits, owned by `a`. */
struct str md5_hex(struct arena *a, struct str bytes);
