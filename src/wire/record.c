/* SPDX-License-Identifier: Apache-2.0 */
#include "consuld/wire/record.h"

#include <string.h>

const struct type type_bool = { .kind = KIND_BOOL, .size = sizeof(bool) };
const struct type type_int = { .kind = KIND_INT, .size = sizeof(int64_t) };
const struct type type_uint = { .kind = KIND_UINT, .size = sizeof(uint64_t) };
const struct type type_f32 = { .kind = KIND_F32, .size = sizeof(float) };
const struct type type_f64 = { .kind = KIND_F64, .size = sizeof(double) };
const struct type type_str = { .kind = KIND_STR, .size = sizeof(struct str) };
const struct type type_bytes = { .kind = KIND_BYTES, .size = sizeof(struct str) };
const struct type type_time = { .kind = KIND_TIME, .size = sizeof(struct gotime) };
const struct type type_dur = { .kind = KIND_DUR, .size = sizeof(int64_t) };
const struct type type_any = { .kind = KIND_ANY, .size = sizeof(struct value) };

const struct type type_list_str = {
    .kind = KIND_LIST, .size = sizeof(struct list), .elem = &type_str
};
const struct type type_list_uint = {
    .kind = KIND_LIST, .size = sizeof(struct list), .elem = &type_uint
};
const struct type type_list_f64 = {
    .kind = KIND_LIST, .size = sizeof(struct list), .elem = &type_f64
};
const struct type type_map_str = {
    .kind = KIND_MAP, .size = sizeof(struct dict), .elem = &type_str
};
const struct type type_map_list_str = {
    .kind = KIND_MAP, .size = sizeof(struct dict), .elem = &type_list_str
};
const struct type type_map_int = {
    .kind = KIND_MAP, .size = sizeof(struct dict), .elem = &type_int
};

void record_init(const struct record *r)
{
    size_t n = 0;
    for (uint16_t i = 0; i < r->n; i++) {
        size_t at = n++;
        while (at > 0 && strcmp(r->fields[r->sorted[at - 1]].name, r->fields[i].name) > 0) {
            r->sorted[at] = r->sorted[at - 1];
            at--;
        }
        r->sorted[at] = i;
    }
}

const struct field *record_field(const struct record *r, struct str go_name)
{
    size_t low = 0, high = r->n;
    while (low < high) {
        size_t middle = (low + high) / 2;
        const struct field *f = &r->fields[r->sorted[middle]];
        int order = str_cmp(go_name, str_of(f->name));
        if (order == 0) return f;
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return NULL;
}
