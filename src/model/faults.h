/* SPDX-License-Identifier: Apache-2.0 */
/* Several faults in one text, numbered as Consul numbers them:
 *   2 errors occurred:\n\t* one\n\t* other\n\n */
#pragma once
#include "consuld/wire/record.h"

struct faults {
    struct buf text;
    size_t n;
};

#define FAULTS_INIT \
    { \
        .text = BUF_INIT((size_t)1 << 20) \
    }

void fault(struct faults *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* 0 or ERR_BAD_REQUEST; gives the memory back. */
int faults_report(struct faults *f, struct error *err) must_check;

/* Bounds of free metadata: 64 pairs, keys of 128 bytes, values of 512. */
#define META_VALUE_MAX 512
void faults_of_meta(struct faults *f, const struct dict *meta);
