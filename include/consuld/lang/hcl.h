/* SPDX-License-Identifier: Apache-2.0 */
/* HCL 1 texts (agent configuration, ACL rules, operator input) to free-form values. */
#pragma once
#include "consuld/wire/value.h"

/* Deepest nesting of objects and lists; beyond it the text is refused. */
#define HCL_DEPTH_MAX 100

/* Reads a whole text into *out, a V_MAP owned by `a`. Its shape is what HCL 1 gives a program that
 * asks for free-form data:
 *   a = 1              {a: 1}                      numbers are V_INT, or V_FLOAT with point or
 * exponent b { c = true }     {b: [{c: true}]}            an object that is not a list element is
 * in a list b { } b { }        {b: [{}, {}]}               repeated objects and lists are appended
 *   a = 1 a = 2        {a: 2}                      a repeated scalar is replaced
 *   s "x" "y" { }      {s: [{x: [{y: [{}]}]}]}     labels are nested keys
 *   l = [1, { }]       {l: [1, {}]}
 * Values and lists carry their source line. A text that starts with '{' is read as JSON and gives
 * the same shapes. Strings may hold any bytes but NUL; invalid UTF-8 is refused.
 * Errors are HCL's: "At 1:11: object expected closing RBRACE got: EOF" (line and column from 1). */
int hcl_parse(struct str text, struct arena *a, struct value *out, struct error *err) must_check;
