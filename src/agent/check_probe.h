/* SPDX-License-Identifier: Apache-2.0 */
/* What all checks that run by interval share: the first run after a random part of the interval,
 * the next one a whole interval after the end of the last (agent.md 5.4). */
#pragma once
#include "consuld/base/outside.h"
#include "local_state.h"

struct probe {
    struct local_check *check;
    struct timer timer;
    void (*run)(struct probe *p);
};

void probe_start(struct probe *p, struct local_check *c, void (*run)(struct probe *p));
/* The run has ended with this result; schedules the next. `direct`: past the thresholds. */
void probe_result(struct probe *p, const char *status, struct str output, bool direct);
void probe_stop(struct probe *p);

/* The head of a runner whose runs are conversations over one stream at a time. */
struct exchange {
    struct probe probe;
    struct timer timeout;
    struct dial dial;
    struct stream *stream;
    struct arena arena; /* of the run */
};
/* A runner of `size` bytes that begins with its struct exchange. */
void *exchange_start(struct local_check *c, size_t size, void (*run)(struct probe *p),
    void (*too_late)(struct timer *t));
/* Neither dial nor stream tell anything any more. */
void exchange_hang_up(struct exchange *x);
/* Ends the run and frees the runner. */
void exchange_stop(struct exchange *x);

/* A text and bytes of any kind behind it. */
struct str probe_text(struct arena *a, struct str text, struct str bytes);
/* check_expose.c: where the check has to go: to its target, or to the proxy that exposes it. */
struct str expose_target(struct local_check *c, struct arena *a, struct str target);
/* Splits host:port or [v6]:port; the port may be a service's name, "host:" is port 0. NULL, or
 * what is wrong, in Go's words: "address a: missing port in address". Borrows. */
const char *probe_address(
    struct str text, struct str *host, uint16_t *port, struct arena *a) must_check;
/* The bound of the check's output in bytes. */
size_t probe_output_max(const struct probe *p);
/* The check's timeout, or the default of its kind. */
uint64_t probe_timeout_ms(const struct probe *p, uint64_t fallback_ms);
