/* SPDX-License-Identifier: Apache-2.0 */
/* What a watch runs: a program or a request, one at a time. */
#pragma once
#include "consuld/base/outside.h"
#include "consuld/base/tls.h"
#include "consuld/model.h"
#include "consuld/mux/http_client.h"

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
    struct dict header; /* texts or lists of texts: struct list of struct str */
    struct arena run;   /* of one run */
    struct buf output;
    uint64_t total;
    struct process *process;
    struct dial dial;
    struct timer timer;
    struct stream *stream;
    struct tls *over;
    struct http_client client;
    bool open; /* client is initialised */
    struct str data;
    uint64_t index;
};

/* Reads `handler`, `args` or `http_handler_config` of a watch. */
void watch_handler_init(struct watch_handler *h, const struct value *watch);
/* `done` follows, never from inside the call. */
void watch_handler_run(struct watch_handler *h, uint64_t index, struct str data);
/* Ends a run without `done`. */
void watch_handler_deinit(struct watch_handler *h);
