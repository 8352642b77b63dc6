/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of snapshots: puts of records that follow rules of their own (fsm.md 14). */
#pragma once
#include "commands.h"

/* table_config_entry.c: the entry and the gateway mappings that come from it. */
void restore_config_entry(
    struct store_batch *b, const struct config_entry_request *req, struct arena *a);
/* table_acl_token.c: fills a missing hash. */
void restore_acl_token(struct store_batch *b, const struct acl_token *token, struct arena *a);
/* table_acl_token.c */
void restore_acl_legacy(struct store_batch *b, const struct acl *acl, struct arena *a);
