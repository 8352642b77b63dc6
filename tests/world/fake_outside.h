/* SPDX-License-Identifier: Apache-2.0 */
/* Nobody outside: dials and lookups wait until the test says how they end, processes cannot be
 * started.
 * Included by one file of a test binary: it defines the functions of base/outside.h. */
#pragma once
#include "consuld/base/outside.h"

static struct dial *fake_dial; /* the last one started and not ended */

void dial_start(struct dial *d)
{
    fake_dial = d;
    d->impl = (struct dial_impl *)(void *)d;
}

void dial_cancel(struct dial *d)
{
    if (d->impl && fake_dial == d) fake_dial = NULL;
    d->impl = NULL;
}

__attribute__((unused)) static void fake_dial_refuse(void)
{
    struct dial *d = fake_dial;
    fake_dial = NULL;
    d->impl = NULL;
    error_set(&d->err, ERR_IO, "dial tcp %.*s:%u: connect: connection refused", STR_ARG(d->host),
        d->port);
    d->done(d, NULL);
}

static struct resolve *fake_lookup; /* the same */

void resolve_start(struct resolve *r)
{
    fake_lookup = r;
    r->impl = (struct resolve_impl *)(void *)r;
}
void resolve_cancel(struct resolve *r)
{
    if (fake_lookup == r) fake_lookup = NULL;
    r->impl = NULL;
}

struct process *process_start(
    struct world *w, const struct process_options *opts, struct error *err)
{
    (void)w;
    error_set(err, ERR_IO, "fork/exec %s: no such file or directory", opts->argv[0]);
    return NULL;
}
void process_read(struct process *p, bool on)
{
    (void)p;
    (void)on;
}
void process_kill(struct process *p)
{
    (void)p;
}
void process_forget(struct process *p)
{
    (void)p;
}
