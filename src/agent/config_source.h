/* SPDX-License-Identifier: Apache-2.0 */
/* All sources of a configuration, read, decoded and merged. */
#pragma once
#include "config_schema.h"

/* Progress of one load. Soft errors are collected and told together after the hard checks. */
struct config_load {
    struct arena *arena;
    const struct config_args *args;
    const struct config_key *schema;
    struct value merged;
    struct agent_config *config;
    struct buf *warnings;
    struct buf *error;
    struct list soft; /* struct str */
};

/* Fills load->merged. */
int config_sources_read(struct config_load *load) must_check;

void config_warn(struct config_load *load, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* Fills load->error; always ERR_BAD_REQUEST. */
int config_refuse(struct config_load *load, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* Adds a soft error; with `alone` it drops those collected before, as Consul does for some. */
void config_soft(struct config_load *load, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void config_soft_alone(struct config_load *load, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* "1 error occurred:\n\t* a\n\n" of struct str. */
void config_put_errors(struct buf *out, const struct list *errors);
