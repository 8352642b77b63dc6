/* SPDX-License-Identifier: Apache-2.0 */
/* Prepared query templates (fsm.md 8, http-api.md 3.11): every text of a query's Service part may
 * hold interpolations, ${...}, of the language that Consul calls HIL:
 *   name.full name.prefix name.suffix agent.segment    texts
 *   match(N)   N-th group of Template.Regexp in the name, "" if there is none; 0 is the whole match
 *   "text"  12  1.5  ( )  -x  + - * / %               a text in quotes may interpolate itself
 * $${ stands for ${. Numbers that end up in a text are written in decimal. */
#pragma once
#include "consuld/model/query.h"

#define TEMPLATE_DEPTH_MAX 50 /* nesting of parentheses, calls and texts */

struct query_template;

/* Checks type, expression and every text, and renders once with the query's own name: what compiles
 * can be rendered, conversions of matched texts to numbers aside. Owned by `a`, borrows `q`.
 * Errors: Bad Template.Type 'x'; Bad Regexp: ...; Bad format '${' in Service.Tags[0]: ... */
int query_template_compile(const struct prepared_query *q, struct arena *a,
    struct query_template **out, struct error *err) must_check;
/* A copy of the query with its texts rendered for `name`, owned by `a`. Empty tags are gone when
 * the template says so. */
int query_template_render(const struct query_template *t, struct str name, struct str segment,
    struct arena *a, struct prepared_query *out, struct error *err) must_check;
