/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
#include "consuld/wire/gotime.h"

/* gotime_parse; with `quoted` the error text shows the quotes that stood around it in JSON. */
int time_text_parse(struct str text, bool quoted, struct gotime *out, struct error *err) must_check;
