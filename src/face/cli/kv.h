/* SPDX-License-Identifier: Apache-2.0 */
/* What the kv commands share. */
#pragma once
#include "client.h"
#include "consuld/model.h"

/* Without one leading slash. */
struct str kv__key(struct str arg);
/* GET of a key or, with `recurse` in r's query, of a tree: struct dir_entry, none if absent. */
int kv__fetch(struct cli *c, struct str key, struct client_request *r, struct list *out,
    struct error *err) must_check;
/* PUT; *done is the server's answer. */
int kv__put(struct cli *c, struct str key, struct str value, struct client_request *r, bool *done,
    struct error *err) must_check;

int kv_export(struct cli *c);
int kv_import(struct cli *c);
