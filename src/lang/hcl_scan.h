/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens of HCL 1. Positions count characters, not bytes; reading past the end moves the column
 * on, which the error positions of the language show. */
#pragma once
#include "consuld/base.h"

enum hcl_token_kind {
    HCL_ILLEGAL,
    HCL_EOF,
    HCL_COMMENT,
    HCL_IDENT,
    HCL_NUMBER,
    HCL_FLOAT,
    HCL_BOOL,
    HCL_STRING,
    HCL_HEREDOC,
    HCL_LBRACK,
    HCL_LBRACE,
    HCL_COMMA,
    HCL_PERIOD,
    HCL_RBRACK,
    HCL_RBRACE,
    HCL_ASSIGN,
    HCL_ADD,
    HCL_SUB,
};

struct hcl_pos {
    uint32_t line, column;
    size_t offset;
};

struct hcl_token {
    enum hcl_token_kind kind;
    struct hcl_pos pos;
    struct str text; /* as written, quotes and heredoc marks included */
};

struct hcl_scan {
    struct str text;
    struct hcl_pos pos, prev; /* behind the last character read, and before it */
    uint32_t last_line_length;
    size_t last_size;
    bool failed; /* sticky; `error` holds the latest message */
    struct error error;
};

void hcl_scan_init(struct hcl_scan *s, struct str text);
struct hcl_token hcl_scan_next(struct hcl_scan *s);
const char *hcl_token_name(enum hcl_token_kind kind);
