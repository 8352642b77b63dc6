/* SPDX-License-Identifier: Apache-2.0 */
/* Every RPC procedure with the types of its argument and result (rpc.md 12). */
#pragma once
#include "consuld/model/rpc.h"

struct method_types {
    const char *method; /* "Catalog.Register" */
    const struct type *args;
    const struct type *reply;
};

/* Sorted by name. An argument or result of {} is type_nothing, a nil result type_any; the two
 * protobuf messages of AutoConfig.InitialConfiguration are type_bytes. */
extern const struct method_types method_table[];
extern const size_t method_count;

const struct method_types *method_find(struct str method);
/* Services for agents that have no certificate yet: they are there behind the first byte 0x07 and
 * nowhere else (rpc.md 11). */
bool method_service_insecure(struct str service);
