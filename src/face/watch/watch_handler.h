/* SPDX-License-Identifier: Apache-2.0 */
/* What a watch runs: a program or a request, one at a time. */
#pragma once
#include "consuld/agent/http_ask.h"

#define WATCH_OUTPUT_MAX ((size_t)4 << 10)

struct watch_handler {
    /* the owner's */
    struct world *world;
    struct tls *tls;
    /* The run is over, well or not: what there was to tell is logged. */
    void (*done)(struct watch_handler *h);
    /* our own */
    struct arena arena; /* of what is configured */
    const char **argv;  /* of a program; NULL: a request */
    struct str name;    /* for the log: the program or the URL */
    struct str url, method;
    uint64_t timeout_ms;
    bool unverified;
    struct dict header; /* name -> list of texts */
    struct arena run;   /* of one run */
    struct buf output;
    uint64_t total;
    struct process *process;
    struct http_ask ask;
    struct timer timer; /* of a program that could not be started */
    struct str data;
    uint64_t index;
};

/* Reads `handler`, `args` or `http_handler_config` of a watch. */
void watch_handler_init(struct watch_handler *h, const struct value *watch);
/* `done` follows, never from inside the call. */
void watch_handler_run(struct watch_handler *h, uint64_t index, struct str data);
/* Ends a run without `done`. */
void watch_handler_deinit(struct watch_handler *h);
