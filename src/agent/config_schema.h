/* SPDX-License-Identifier: Apache-2.0 */
/* Which keys a source may hold, and of what type: a tree made of the option table, with the fixed
 * trees of service and check definitions hung in. */
#pragma once
#include "consuld/agent/config.h"

struct config_key {
    const char *name;
    enum config_type type;
    const struct config_key *keys; /* of blocks, services and checks */
    size_t n;
    const char *alias; /* a second spelling, which the name beats */
    size_t offset;     /* services and checks: the member in their record */
};

/* The root block. */
const struct config_key *config_schema(struct arena *a);

/* One source as the merge takes it: maps of known keys under their proper names, every value of
 * its type. A key that was not given, or was null, is absent. */
struct config_source {
    struct str name; /* of a file or fragment, for messages */
    struct value tree;
};

/* Decodes a parsed text. Returns ERR_DECODE with the text of all type errors. Keys that are not
 * known are put into *unknown (struct str, full paths, sorted). */
int config_decode(const struct config_key *root, const struct value *in, struct arena *a,
    struct value *out, struct list *unknown, struct buf *error) must_check;

/* Puts `from` over `into`: scalars replace, lists append, maps overlay, blocks merge. */
void config_merge(
    const struct config_key *block, struct arena *a, struct value *into, const struct value *from);

/* The value at a dotted path, or NULL. */
const struct value *config_at(const struct value *tree, const char *path);
/* Makes the blocks of a dotted path and returns its value, to be set. */
struct value *config_make(struct arena *a, struct value *tree, const char *path);
/* A scalar's text as a value of the option's type; false if it is none. */
bool config_value_of_text(
    struct arena *a, enum config_type type, struct str text, struct value *out);
/* True for the types that hold a list and are appended to. */
bool config_type_is_list(enum config_type type);
