/* SPDX-License-Identifier: Apache-2.0 */
#include "state.h"

const struct table *const state_tables[TABLE_COUNT] = {
#define TABLE_ROW(id, name) [TABLE_##id] = &table_##name,
    STATE_TABLES(TABLE_ROW)
#undef TABLE_ROW
};
