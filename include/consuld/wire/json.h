/* SPDX-License-Identifier: Apache-2.0 */
/* JSON with the rules of Go's encoding/json (http-api.md 1.3, 1.4). */
#pragma once
#include "consuld/wire/record.h"

#define JSON_DEPTH_MAX 200

/* Reads the first value of `text`, ignoring what follows it. Strings are unescaped into the arena
 * when needed, else borrowed; invalid UTF-8 becomes U+FFFD. Error texts are Go's: "EOF",
 * "unexpected EOF", "invalid character 'x' looking for beginning of value" ... */
int json_parse(struct str text, struct arena *a, struct value *out, struct error *err) must_check;
/* As json_parse but the rest must be blank, and a missing end is "unexpected end of JSON input"
 * (config files). */
int json_parse_whole(
    struct str text, struct arena *a, struct value *out, struct error *err) must_check;

enum json_read_flag {
    JSON_UNKNOWN_IGNORED = 1, /* else: json: unknown field "X" */
};

/* Fills *obj from a parsed value: keys without case, exact match preferred, aliases, last
 * duplicate wins, null leaves the field. Errors as Go's: json: unknown field "X"; json: cannot
 * unmarshal string into Go struct field T.X of type int ... */
int json_read(const struct value *v, struct arena *a, const struct type *t, void *obj, int flags,
    struct error *err) must_check;
/* Parse and read in one. */
int json_decode(struct str text, struct arena *a, const struct type *t, void *obj, int flags,
    struct error *err) must_check;

struct json_writer {
    struct buf *out;
    bool pretty; /* four blanks; a final newline is the caller's */
    uint32_t depth;
    bool first; /* nothing written yet in the innermost object or array */
    bool keyed; /* a key stands before the next value */
};

/* Compact (or pretty) JSON of *obj. NaN and infinities become null. */
void json_encode(const struct type *t, const void *obj, bool pretty, struct buf *out);
void json_encode_value(const struct value *v, bool pretty, struct buf *out);

/* Streaming writer for answers that are no record. */
void json_begin(struct json_writer *w, struct buf *out, bool pretty);
void json_object(struct json_writer *w);
void json_object_end(struct json_writer *w);
void json_array(struct json_writer *w);
void json_array_end(struct json_writer *w);
void json_key(struct json_writer *w, const char *key);
void json_key_str(struct json_writer *w, struct str key);
void json_str(struct json_writer *w, struct str s);
void json_c(struct json_writer *w, const char *s);
void json_u64(struct json_writer *w, uint64_t v);
void json_i64(struct json_writer *w, int64_t v);
void json_f64(struct json_writer *w, double v);
void json_bool(struct json_writer *w, bool v);
void json_null(struct json_writer *w);
void json_base64(struct json_writer *w, struct str bytes);
void json_obj(struct json_writer *w, const struct type *t, const void *obj);
void json_value(struct json_writer *w, const struct value *v);

/* Standard base64 with padding. */
void base64_encode(struct str bytes, struct buf *out);
/* False on malformed text. */
bool base64_decode(struct str text, struct arena *a, struct str *out);
/* The same with Go's error text: illegal base64 data at input byte 4. Line ends are skipped. */
int base64_parse(struct str text, struct arena *a, struct str *out, struct error *err) must_check;
