/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "consuld/base/str.h"

/* Splits "host:port", "[v6]:port" as Go's net package does; the port may be any text. NULL, or why
 * not, in Go's words: "missing port in address". */
const char *host_port_split(struct str text, struct str *host, struct str *port);
