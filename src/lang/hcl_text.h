/* SPDX-License-Identifier: Apache-2.0 */
/* The values of HCL tokens. */
#pragma once
#include "hcl_scan.h"

#include "consuld/wire/value.h"

/* A quoted string without quotes and escapes; what stands in ${ } stays as written. False when an
 * escape has no meaning. */
bool hcl_unquote(struct str quoted, struct arena *a, struct str *out);
/* The text between the anchors; with <<- and all lines indented at least as the closing anchor,
 * without that indentation. */
struct str hcl_heredoc(struct str token, struct arena *a);
/* Value of a BOOL, NUMBER, FLOAT, STRING or HEREDOC token. */
int hcl_literal(
    const struct hcl_token *t, struct arena *a, struct value *out, struct error *err) must_check;
