/* SPDX-License-Identifier: Apache-2.0 */
/* What the intention commands share. */
#pragma once
#include "client.h"
#include "consuld/model.h"

/* "web => db (allow)" */
struct str intention__text(struct cli *c, const struct intention *i);
/* The intention between two services, NULL if there is none. */
int intention__find(struct cli *c, struct str source, struct str destination,
    struct intention **out, struct error *err) must_check;
/* The intention between the two arguments; without one the error is told and 1 returned. */
int intention__by_args(struct cli *c, struct intention **out) must_check;

int intention_create(struct cli *c);
int intention_get(struct cli *c);
