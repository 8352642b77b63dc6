/* SPDX-License-Identifier: Apache-2.0 */
/* Is a text an expression of RE2's language? A matcher that knows more gets to see only such. */
#pragma once
#include "consuld/base.h"

/* Errors in Go's words: error parsing regexp: missing closing ]: `[` */
int regex_check(struct str text, struct error *err) must_check;
