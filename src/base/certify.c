/* SPDX-License-Identifier: Apache-2.0 */
#include "consuld/base/certify.h"

#include <stdlib.h>

static void run(struct job *job)
{
    struct certify_job *j = container_of(job, struct certify_job, job);
    struct cert_order *o = &j->order;
    if (j->key_type.p) j->code = j->by->key(&j->arena, j->key_type, j->key_bits, &o->key, &j->err);
    j->key = o->key;
    if (j->code == 0) j->code = j->make(&j->arena, o, &j->made, &j->err);
}

static void done(struct job *job)
{
    struct certify_job *j = container_of(job, struct certify_job, job);
    if (j->done) j->done(j);
    arena_free(&j->arena);
    free(j);
}

static void copy_texts(struct arena *a, const struct str **texts, size_t n)
{
    struct str *own = arena_array(a, n, sizeof *own);
    for (size_t i = 0; i < n; i++)
        own[i] = str_dup(a, (*texts)[i]);
    *texts = own;
}

struct certify_job *certify_submit(struct world *w, const struct certify_job *wanted)
{
    struct certify_job *j = xmalloc(sizeof *j);
    *j = *wanted;
    struct cert_order *o = &j->order;
    struct str *texts[] = { &j->key_type, &o->key, &o->request, &o->crossed, &o->signer,
        &o->signer_key, &o->common_name, &o->uri };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (texts[i]->p) *texts[i] = str_dup(&j->arena, *texts[i]);
    copy_texts(&j->arena, &o->dns_names, o->n_dns_names);
    copy_texts(&j->arena, &o->addresses, o->n_addresses);
    j->job = (struct job){ .run = run, .done = done };
    job_submit(w, &j->job);
    return j;
}

void certify_forget(struct certify_job *j)
{
    if (j) j->done = NULL;
}
