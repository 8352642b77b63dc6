/* SPDX-License-Identifier: Apache-2.0 */
/* The part of ustar that archives use: a stream of members of plain files. */
#pragma once
#include "consuld/base.h"

#define TAR_BLOCK 512
#define TAR_NAME_MAX 101

struct tar_member {
    char name[TAR_NAME_MAX];
    uint64_t size;
};

/* Header block of a file of mode 0600. */
void tar_header(const char *name, uint64_t size, int64_t mtime, uint8_t out[TAR_BLOCK]);
/* Bytes of padding behind a member. */
size_t tar_padding(uint64_t size);
/* Reads a header block: 1 a member, 0 a block of zeros (the end), negative: damaged or no plain
 * file. */
int tar_parse(const uint8_t block[TAR_BLOCK], struct tar_member *out, struct error *err) must_check;
