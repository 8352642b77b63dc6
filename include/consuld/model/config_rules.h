/* SPDX-License-Identifier: Apache-2.0 */
/* What a config entry must hold before it goes to the log (fsm.md 13.2), whoever writes it: the
 * endpoint, or the entries of a configuration file. What entries say about each other is the state
 * machine's to judge. */
#pragma once
#include "consuld/model/config_entry.h"

/* Puts an entry into the form it is stored in: protocols lower-case, methods upper-case, weights
 * of two decimals, the one name of proxy-defaults. What changes is copied into `a`. */
void config_entry_normalize(struct config_entry *e, struct arena *a);
/* Of a normalized entry. ERR_BAD_REQUEST with the first fault. */
int config_entry_validate(const struct config_entry *e, struct error *err) must_check;
