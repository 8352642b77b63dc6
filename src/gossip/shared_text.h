/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes with a count of owners: both cores keep the name and the meta of a member, in one copy. */
#pragma once
#include "consuld/base/str.h"

/* A copy with one owner; nil for no bytes. */
struct str shared_text_make(struct str bytes);
/* One owner more of what shared_text_make returned. */
struct str shared_text_ref(struct str text);
/* One owner less; the last one frees it. Leaves nil. */
void shared_text_drop(struct str *text);
