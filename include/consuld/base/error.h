/* SPDX-License-Identifier: Apache-2.0 */
/* One error: a code for programs, a text for people and for peers that match on it. Filled once,
 * where it arises; a failing function returns its negative code. */
#pragma once
#include <stdbool.h>

#include "consuld/base/str.h"

#define ERROR_TEXT_MAX 2048

enum error_code {
    ERR_OK = 0,
    ERR_INTERNAL = -1,     /* HTTP 500 */
    ERR_BAD_REQUEST = -2,  /* HTTP 400 */
    ERR_DENIED = -3,       /* HTTP 403 */
    ERR_NOT_FOUND = -4,    /* HTTP 404 */
    ERR_CONFLICT = -5,     /* HTTP 409 */
    ERR_TOO_LARGE = -6,    /* HTTP 413 */
    ERR_LIMIT = -7,        /* HTTP 429 */
    ERR_UNAUTHORIZED = -8, /* HTTP 401 */
    ERR_IO = -9,
    ERR_DECODE = -10,
    ERR_FULL = -11,
    ERR_EOF = -12,
    ERR_CANCELLED = -13,
};

struct error {
    int code;
    char text[ERROR_TEXT_MAX];
};

#define must_check __attribute__((warn_unused_result))

/* Fills *err (may be NULL) and returns `code`. Text over the maximum is cut. */
int error_set(struct error *err, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Puts text in front of the present one: "prefix" + text. Returns err->code. */
int error_prefix(struct error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Invariants of our own, kept on in release. Never on what a peer can cause. */
#define ensure(cond) \
    do { \
        if (!(cond)) ensure_failed(#cond, __FILE__, __LINE__); \
    } while (0)
_Noreturn void ensure_failed(const char *cond, const char *file, int line);
