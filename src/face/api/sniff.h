/* SPDX-License-Identifier: Apache-2.0 */
/* The media type of bytes by their beginning, as Go's http.DetectContentType finds it. */
#pragma once
#include "consuld/base.h"

/* Never NULL: application/octet-stream when nothing fits. */
const char *content_sniff(struct str bytes);
