/* SPDX-License-Identifier: Apache-2.0 */
/* Interpolated texts: parsed once, evaluated against named texts and one function. */
#pragma once
#include "consuld/base.h"

struct interpolation;

/* What texts are evaluated against. */
struct interpolation_scope {
    /* False: no such variable. */
    bool (*variable)(const void *ctx, struct str name, struct str *out);
    /* The function `match`. */
    struct str (*match)(const void *ctx, int64_t n);
    const void *ctx;
};

/* "parse error: syntax error" is the only error. */
int interpolation_parse(
    struct str text, struct arena *a, struct interpolation **out, struct error *err) must_check;
int interpolation_eval(const struct interpolation *t, const struct interpolation_scope *scope,
    struct arena *a, struct str *out, struct error *err) must_check;
