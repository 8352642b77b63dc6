/* SPDX-License-Identifier: Apache-2.0 */
#include "records.h"

#define DEFINE(tag, fields, go_name, ...) DEFINE_RECORD_WITH(tag, fields, go_name, __VA_ARGS__)
#define ADDRESS(tag, ...) &record_##tag,

MODEL_RECORDS(DEFINE)

static const struct record *const records[] = { MODEL_RECORDS(ADDRESS) };

void model_init(void)
{
    for (size_t i = 0; i < sizeof records / sizeof records[0]; i++)
        record_init(records[i]);
}
