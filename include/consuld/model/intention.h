/* SPDX-License-Identifier: Apache-2.0 */
/* What intentions mean (fsm.md 9, connect-xds.md 3): the same for the state machine, the endpoint
 * and agents that authorize connections. */
#pragma once
#include "consuld/model/connect.h"

/* ERR_BAD_REQUEST with every fault: "1 error occurred:\n\t* SourceName must be set\n\n". */
int intention_validate(const struct intention *x, struct error *err) must_check;
/* 9 (exact to exact) down to 1, by wildcards alone. */
int64_t intention_precedence(const struct intention *x);
/* Highest precedence first, then names: for qsort. */
int intention_compare(const void *x, const void *y);
/* The first of a sorted list whose source is (ns, name); NULL: none decides. */
const struct intention *intention_decide(const struct list *sorted, struct str ns, struct str name);
/* "ALLOW default/web => default/db (ID: ..., Precedence: 9)", owned by `a`. */
struct str intention_text(const struct intention *x, struct arena *a);
