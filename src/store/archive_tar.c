/* SPDX-License-Identifier: Apache-2.0 */
#include "archive_tar.h"

#include <stdio.h>
#include <string.h>

/* Offsets and lengths of the fields used. */
enum {
    NAME_AT = 0,
    NAME_N = 100,
    MODE_AT = 100,
    UID_AT = 108,
    GID_AT = 116,
    SIZE_AT = 124,
    SIZE_N = 12,
    MTIME_AT = 136,
    SUM_AT = 148,
    SUM_N = 8,
    TYPE_AT = 156,
    MAGIC_AT = 257,
};

static uint64_t sum_of(const uint8_t *block)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < TAR_BLOCK; i++)
        sum += i >= SUM_AT && i < SUM_AT + SUM_N ? ' ' : block[i];
    return sum;
}

void tar_header(const char *name, uint64_t size, int64_t mtime, uint8_t out[TAR_BLOCK])
{
    char *p = (char *)out;
    ensure(strlen(name) < NAME_N && size < UINT64_C(1) << 33);
    memset(out, 0, TAR_BLOCK);
    memcpy(p + NAME_AT, name, strlen(name));
    snprintf(p + MODE_AT, 8, "%07o", 0600);
    snprintf(p + UID_AT, 8, "%07o", 0);
    snprintf(p + GID_AT, 8, "%07o", 0);
    snprintf(p + SIZE_AT, 12, "%011llo", (unsigned long long)size);
    snprintf(p + MTIME_AT, 12, "%011llo", (unsigned long long)mtime & 077777777777);
    p[TYPE_AT] = '0';
    memcpy(p + MAGIC_AT,
        "ustar\0"
        "00",
        8);
    snprintf(p + SUM_AT, 8, "%06llo", (unsigned long long)sum_of(out));
    p[SUM_AT + 7] = ' ';
}

size_t tar_padding(uint64_t size)
{
    return (size_t)((TAR_BLOCK - size % TAR_BLOCK) % TAR_BLOCK);
}

/* Octal digits, ended by the field, a blank or a zero byte. */
static bool parse_octal(const uint8_t *p, size_t n, uint64_t *out)
{
    size_t i = 0;
    *out = 0;
    while (i < n && p[i] == ' ')
        i++;
    for (; i < n && p[i] >= '0' && p[i] <= '7'; i++)
        *out = *out << 3 | (uint64_t)(p[i] - '0');
    for (; i < n; i++)
        if (p[i] != ' ' && p[i] != 0) return false;
    return true;
}

int tar_parse(const uint8_t block[TAR_BLOCK], struct tar_member *out, struct error *err)
{
    uint64_t sum;
    size_t zeros = 0;
    while (zeros < TAR_BLOCK && block[zeros] == 0)
        zeros++;
    if (zeros == TAR_BLOCK) return 0;
    if (!parse_octal(block + SUM_AT, SUM_N, &sum) || sum != sum_of(block))
        return error_set(err, ERR_DECODE, "the sum of a tar header is wrong");
    memcpy(out->name, block + NAME_AT, NAME_N);
    out->name[NAME_N] = '\0';
    if (block[TYPE_AT] != '0' && block[TYPE_AT] != 0)
        return error_set(err, ERR_DECODE, "member \"%s\" is no plain file", out->name);
    if (!parse_octal(block + SIZE_AT, SIZE_N, &out->size))
        return error_set(err, ERR_DECODE, "the size of \"%s\" is malformed", out->name);
    return 1;
}
