/* SPDX-License-Identifier: Apache-2.0 */
/* From merged options to the runtime configuration, step by step. Each step reads
 * load->merged and writes load->config; a non-zero return ends the load with load->error set. */
#pragma once
#include "config_source.h"

/* --- the merged options: absent and null are the same ----------------------------------------- */

const struct value *config_get(const struct config_load *load, const char *path);
struct str config_get_str(const struct config_load *load, const char *path);
bool config_get_bool(const struct config_load *load, const char *path, bool fallback);
int64_t config_get_int(const struct config_load *load, const char *path, int64_t fallback);
/* List of struct str; empty and not nil when absent. */
struct list config_get_list(const struct config_load *load, const char *path);
/* Nanoseconds of a duration text; 0 and a soft error that names `key` when it is none. */
int64_t config_duration(struct config_load *load, const char *key, struct str text);
/* Fills members of `record` from a decoded block: scalars, lists, maps and free values. Durations
 * that are none are reported as "PREFIX.KEY". */
void config_fill_keys(struct config_load *load, const struct config_key *block,
    const struct value *from, const char *prefix, void *record);

/* --- steps ------------------------------------------------------------------------------------ */

/* Members that an option fills alone. */
void config_fill(struct config_load *load);
int config_ports(struct config_load *load) must_check;
int config_addresses(struct config_load *load) must_check;
void config_services(struct config_load *load);
int config_derive(struct config_load *load) must_check;
int config_validate_all(struct config_load *load) must_check;

/* --- addresses -------------------------------------------------------------------------------- */

/* An IP address, IPv4 also when written as IPv6. */
struct config_ip {
    bool v6;
    uint8_t bytes[16];
};
bool config_ip_parse(struct str text, struct config_ip *out);
struct str config_ip_text(struct arena *a, const struct config_ip *ip);
/* 0.0.0.0, ::, [::]. */
bool config_ip_is_any(struct str text);
/* "tcp://HOST:PORT" with brackets around IPv6. */
struct str config_addr_text(struct arena *a, const char *network, struct str ip, int64_t port);
/* Address of a network, e.g. 10.0.0.0/8. */
bool config_cidr_valid(struct str text);
/* Texts of the machine's private or public addresses; family 4, 6, or 0 for both. */
struct list config_host_addresses(const struct config_load *load, bool public, int family);
/* Puts the results of {{ ... }} into `text`. On failure *why says what is wrong with it. */
int config_template(
    const struct config_load *load, struct str text, struct str *out, struct str *why) must_check;
