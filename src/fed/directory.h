/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the gateway directory: directory.c has what is told and asked, gateways.c reads
 * addresses out of records, path.c remembers how dialling went. */
#pragma once
#include "consuld/fed/directory.h"
#include "consuld/model.h"

#define FED_SOURCES 3
#define FED_NEVER UINT64_MAX

/* Sorted, each once. */
struct fed_addresses {
    struct arena arena;
    struct str *v;
    size_t n;
};
void fed_addresses_clear(struct fed_addresses *l);
/* Takes over a copy of the texts; true if that changed anything. */
bool fed_addresses_set(struct fed_addresses *l, const struct str *texts, size_t n);
bool fed_addresses_has(const struct fed_addresses *l, struct str text);

/* Addresses of the usable gateways among `gateways` -> struct check_service_node. */
void fed_read_gateways(
    const struct list *gateways, enum fed_side side, struct arena *a, struct list *out);

struct fed_paths {
    struct map by_name; /* peer, NUL, address -> struct fed_path */
    struct fed_path **v;
    size_t n, cap;
    struct buf key;
};
void fed_paths_deinit(struct fed_paths *p);
const struct fed_path *fed_paths_find(
    const struct fed_paths *p, struct str peer, struct str address);
struct fed_path *fed_paths_touch(struct fed_paths *p, struct str peer, struct str address);
/* Until when it should be spared. */
uint64_t fed_path_spared_ms(const struct fed_path *p);
