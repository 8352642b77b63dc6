/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "consuld/base.h"

struct http_line {
    struct str method, target;
    uint8_t minor;
};

/* A request line without its end. 0, or the status to refuse it with (400, 505). */
int http__line_parse(struct str text, struct http_line *out);
