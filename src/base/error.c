/* SPDX-License-Identifier: Apache-2.0 */
#include "consuld/base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int error_set(struct error *err, int code, const char *fmt, ...)
{
    ensure(code < 0);
    if (!err) return code;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(err->text, sizeof err->text, fmt, ap);
    va_end(ap);
    err->code = code;
    return code;
}

int error_prefix(struct error *err, const char *fmt, ...)
{
    if (!err) return ERR_INTERNAL;
    char old[ERROR_TEXT_MAX];
    memcpy(old, err->text, sizeof old);
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(err->text, sizeof err->text, fmt, ap);
    va_end(ap);
    if (n >= 0 && (size_t)n < sizeof err->text) {
        size_t left = sizeof err->text - (size_t)n - 1;
        size_t add = strnlen(old, sizeof old - 1);
        if (add > left) add = left;
        memcpy(err->text + n, old, add);
        err->text[(size_t)n + add] = '\0';
    }
    return err->code;
}

void ensure_failed(const char *cond, const char *file, int line)
{
    fprintf(stderr, "consuld: invariant broken: %s (%s:%d)\n", cond, file, line);
    abort();
}
