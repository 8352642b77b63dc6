/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "collection.h"
#include "consuld/wire/json.h"
#include "number.h"
#include "quote.h"

#define INDENT 4
/* Maps up to this size are sorted without taking memory. */
#define SORT_STACK_MAX 32

/* --- bytes --------------------------------------------------------------------------------- */

/* Non-zero: the byte cannot be copied as it is (or begins a sequence to be checked). */
static const uint8_t special[256] = {
    [0x00] = 1,
    [0x01] = 1,
    [0x02] = 1,
    [0x03] = 1,
    [0x04] = 1,
    [0x05] = 1,
    [0x06] = 1,
    [0x07] = 1,
    [0x08] = 1,
    ['\t'] = 't',
    ['\n'] = 'n',
    [0x0b] = 1,
    [0x0c] = 1,
    ['\r'] = 'r',
    [0x0e] = 1,
    [0x0f] = 1,
    [0x10] = 1,
    [0x11] = 1,
    [0x12] = 1,
    [0x13] = 1,
    [0x14] = 1,
    [0x15] = 1,
    [0x16] = 1,
    [0x17] = 1,
    [0x18] = 1,
    [0x19] = 1,
    [0x1a] = 1,
    [0x1b] = 1,
    [0x1c] = 1,
    [0x1d] = 1,
    [0x1e] = 1,
    [0x1f] = 1,
    ['"'] = '"',
    ['\\'] = '\\',
    ['<'] = 1,
    ['>'] = 1,
    ['&'] = 1,
    [0x80 ... 0xff] = 2,
};

static inline uint8_t *room(struct buf *out, size_t n)
{
    return out->cap - out->n >= n && !out->overflow ? out->p + out->n : buf_reserve(out, n);
}

static inline void put(struct buf *out, const void *p, size_t n)
{
    uint8_t *w = room(out, n);
    if (!w || n == 0) return;
    memcpy(w, p, n);
    out->n += n;
}

static inline void put_char(struct buf *out, char c)
{
    put(out, &c, 1);
}

static void put_escape(struct buf *out, uint8_t c)
{
    static const char hex[] = "0123456789abcdef";
    if (special[c] == 1) {
        char text[6] = { '\\', 'u', '0', '0', hex[c >> 4], hex[c & 15] };
        put(out, text, sizeof text);
    } else {
        char text[2] = { '\\', (char)special[c] };
        put(out, text, sizeof text);
    }
}

/* Length of a UTF-8 sequence that is written as it is, 0 for an invalid byte or a line or paragraph
 * separator. */
static size_t sequence_kept(const uint8_t *p, size_t n, bool *separator)
{
    size_t len = utf8_sequence(p, n);
    *separator = len == 3 && p[0] == 0xe2 && p[1] == 0x80 && (p[2] == 0xa8 || p[2] == 0xa9);
    return *separator ? 0 : len;
}

/* Quotes around bytes that need no escape. */
static void put_clean(struct buf *out, const void *p, size_t n)
{
    uint8_t *w = room(out, n + 2);
    if (!w) return;
    w[0] = '"';
    if (n) memcpy(w + 1, p, n);
    w[n + 1] = '"';
    out->n += n + 2;
}

/* The first `i` bytes are clean. */
static void put_escaped(struct buf *out, const uint8_t *p, size_t n, size_t i)
{
    size_t from = 0;
    put_char(out, '"');
    while (i < n) {
        uint8_t c = p[i];
        if (!special[c]) {
            i++;
            continue;
        }
        bool separator = false;
        size_t len = c < 0x80 ? 0 : sequence_kept(p + i, n - i, &separator);
        if (len) {
            i += len;
            continue;
        }
        put(out, p + from, i - from);
        if (c < 0x80) {
            put_escape(out, c);
        } else if (separator) {
            put(out, p[i + 2] == 0xa8 ? "\\u2028" : "\\u2029", 6);
        } else {
            put(out, "\\ufffd", 6);
        }
        i += separator ? 3 : 1;
        from = i;
    }
    put(out, p + from, n - from);
    put_char(out, '"');
}

static void put_string(struct buf *out, struct str s)
{
    const uint8_t *p = (const uint8_t *)s.p;
    size_t i = 0;
    while (i < s.n && !special[p[i]])
        i++;
    if (i == s.n) {
        put_clean(out, p, s.n);
    } else {
        put_escaped(out, p, s.n, i);
    }
}

static void put_u64(struct buf *out, uint64_t v)
{
    char text[20];
    size_t at = sizeof text;
    do {
        text[--at] = (char)('0' + v % 10);
        v /= 10;
    } while (v);
    put(out, text + at, sizeof text - at);
}

/* --- structure ----------------------------------------------------------------------------- */

static void new_line(struct json_writer *w)
{
    static const char blanks[] = "                                                                ";
    put_char(w->out, '\n');
    for (size_t left = (size_t)w->depth * INDENT; left > 0;) {
        size_t n = left < sizeof blanks - 1 ? left : sizeof blanks - 1;
        put(w->out, blanks, n);
        left -= n;
    }
}

/* What stands between this value or key and the one before. */
static inline void separate(struct json_writer *w)
{
    if (w->keyed) {
        w->keyed = false;
        return;
    }
    if (w->depth == 0) return;
    if (!w->first) put_char(w->out, ',');
    w->first = false;
    if (w->pretty) new_line(w);
}

static void open(struct json_writer *w, char c)
{
    separate(w);
    put_char(w->out, c);
    w->depth++;
    w->first = true;
}

static void close(struct json_writer *w, char c)
{
    ensure(w->depth > 0);
    w->depth--;
    if (w->pretty && !w->first) new_line(w);
    put_char(w->out, c);
    w->first = false;
}

void json_begin(struct json_writer *w, struct buf *out, bool pretty)
{
    *w = (struct json_writer){ .out = out, .pretty = pretty, .first = true };
}

void json_object(struct json_writer *w)
{
    open(w, '{');
}

void json_object_end(struct json_writer *w)
{
    close(w, '}');
}

void json_array(struct json_writer *w)
{
    open(w, '[');
}

void json_array_end(struct json_writer *w)
{
    close(w, ']');
}

static void after_key(struct json_writer *w)
{
    put(w->out, ": ", w->pretty ? 2 : 1);
    w->keyed = true;
}

void json_key_str(struct json_writer *w, struct str key)
{
    separate(w);
    put_string(w->out, key);
    after_key(w);
}

void json_key(struct json_writer *w, const char *key)
{
    json_key_str(w, str_of(key));
}

void json_str(struct json_writer *w, struct str s)
{
    separate(w);
    put_string(w->out, s);
}

void json_c(struct json_writer *w, const char *s)
{
    json_str(w, str_of(s));
}

void json_u64(struct json_writer *w, uint64_t v)
{
    separate(w);
    put_u64(w->out, v);
}

void json_i64(struct json_writer *w, int64_t v)
{
    separate(w);
    if (v < 0) put_char(w->out, '-');
    put_u64(w->out, v < 0 ? 0 - (uint64_t)v : (uint64_t)v);
}

static void put_float(struct json_writer *w, double v, bool single)
{
    char text[NUMBER_TEXT_MAX];
    size_t n = number_format(v, single, text);
    separate(w);
    if (n) {
        put(w->out, text, n);
    } else {
        put(w->out, "null", 4);
    }
}

void json_f64(struct json_writer *w, double v)
{
    put_float(w, v, false);
}

void json_bool(struct json_writer *w, bool v)
{
    separate(w);
    put(w->out, v ? "true" : "false", v ? 4 : 5);
}

void json_null(struct json_writer *w)
{
    separate(w);
    put(w->out, "null", 4);
}

void json_base64(struct json_writer *w, struct str bytes)
{
    separate(w);
    put_char(w->out, '"');
    base64_encode(bytes, w->out);
    put_char(w->out, '"');
}

/* --- maps ---------------------------------------------------------------------------------- */

/* Entries of maps and dicts both begin with their key. */
static int by_key(const void *a, const void *b)
{
    const struct str *const *x = a, *const *y = b;
    int order = str_cmp(**x, **y);
    return order ? order : (*x > *y) - (*x < *y);
}

typedef void (*entry_fn)(struct json_writer *w, const void *elem, const struct type *t);

/* Writes entries in the order of their keys, the last one of equal keys. */
static void put_sorted(struct json_writer *w, const void *v, size_t n, size_t stride,
    const struct type *elem, entry_fn put_entry)
{
    const struct str *stack[SORT_STACK_MAX];
    const struct str **order = n <= SORT_STACK_MAX ? stack : xcalloc(n, sizeof *order);
    for (size_t i = 0; i < n; i++)
        order[i] = (const struct str *)(const void *)((const char *)v + i * stride);
    if (n > 1) qsort(order, n, sizeof *order, by_key);
    json_object(w);
    for (size_t i = 0; i < n; i++) {
        if (i + 1 < n && str_eq(*order[i], *order[i + 1])) continue;
        json_key_str(w, *order[i]);
        put_entry(w, order[i] + 1, elem);
    }
    json_object_end(w);
    if (order != stack) free(order);
}

static void put_value_entry(struct json_writer *w, const void *elem, const struct type *t)
{
    (void)t;
    json_value(w, elem);
}

_Static_assert(offsetof(struct value_entry, value) == sizeof(struct str), "value follows its key");

void json_value(struct json_writer *w, const struct value *v)
{
    switch (v->kind) {
    case V_NIL:
        json_null(w);
        break;
    case V_BOOL:
        json_bool(w, v->b);
        break;
    case V_INT:
        json_i64(w, v->i);
        break;
    case V_UINT:
        json_u64(w, v->u);
        break;
    case V_FLOAT:
    case V_FLOAT32:
        json_f64(w, v->f);
        break;
    case V_NUMBER:
        separate(w);
        put(w->out, v->s.p, v->s.n);
        break;
    case V_STR:
        json_str(w, v->s);
        break;
    case V_BYTES:
        json_base64(w, v->s);
        break;
    case V_LIST:
        json_array(w);
        for (size_t i = 0; i < v->list.n; i++)
            json_value(w, &v->list.v[i]);
        json_array_end(w);
        break;
    case V_MAP:
        put_sorted(w, v->map.v, v->map.n, sizeof *v->map.v, NULL, put_value_entry);
        break;
    }
}

/* --- records ------------------------------------------------------------------------------- */

static bool left_out(const struct field *f, const void *member)
{
    if (f->flags & JSON_SKIP) return true;
    if ((f->flags & JSON_TEXT_OMIT_ZERO) && *(const int64_t *)member == 0) return true;
    if (!(f->flags & JSON_OMIT)) return false;
    if (f->flags & TIME_PTR) return gotime_is_zero(*(const struct gotime *)member);
    return record_is_empty(f->type, member);
}

static void put_duration_text(struct json_writer *w, int64_t ns)
{
    separate(w);
    put_char(w->out, '"');
    duration_format(ns, w->out);
    put_char(w->out, '"');
}

static void put_time(struct json_writer *w, struct gotime t)
{
    separate(w);
    put_char(w->out, '"');
    gotime_format(t, w->out);
    put_char(w->out, '"');
}

static void put_nil_collection(struct json_writer *w, const struct field *f)
{
    separate(w);
    put(w->out, f->type->kind == KIND_LIST ? "[]" : "{}", 2);
}

static bool is_nil_collection(const struct type *t, const void *member)
{
    if (t->kind == KIND_LIST) return !((const struct list *)member)->v;
    if (t->kind == KIND_MAP) return !((const struct dict *)member)->v;
    return t->kind == KIND_ANY && ((const struct value *)member)->kind == V_NIL;
}

static void put_member(struct json_writer *w, const struct field *f, const void *member)
{
    if (f->flags & JSON_DUR_TEXT) {
        put_duration_text(w, *(const int64_t *)member);
    } else if ((f->flags & JSON_EMPTY_LIST) && is_nil_collection(f->type, member)) {
        put_nil_collection(w, f);
    } else if ((f->flags & TIME_PTR) && gotime_is_zero(*(const struct gotime *)member)) {
        json_null(w);
    } else {
        json_obj(w, f->type, member);
    }
}

/* A key that is known to need no escape. */
static void put_name(struct json_writer *w, const char *name)
{
    separate(w);
    put_clean(w->out, name, strlen(name));
    after_key(w);
}

static void put_record(struct json_writer *w, const struct record *r, const void *obj)
{
    json_object(w);
    for (uint16_t i = 0; i < r->n; i++) {
        const struct field *f = &r->fields[i];
        const void *member = (const char *)obj + f->offset;
        if (left_out(f, member)) continue;
        put_name(w, f->json ? f->json : f->name);
        put_member(w, f, member);
    }
    json_object_end(w);
}

static void put_list(struct json_writer *w, const struct type *elem, const struct list *l)
{
    if (!l->v) {
        json_null(w);
        return;
    }
    json_array(w);
    for (size_t i = 0; i < l->n; i++)
        json_obj(w, elem, (const char *)l->v + i * elem->size);
    json_array_end(w);
}

static void put_dict_entry(struct json_writer *w, const void *elem, const struct type *t)
{
    json_obj(w, t, elem);
}

static void put_dict(struct json_writer *w, const struct type *elem, const struct dict *d)
{
    if (d->v) {
        put_sorted(w, d->v, d->n, dict_stride(elem), elem, put_dict_entry);
    } else {
        json_null(w);
    }
}

static void put_bytes(struct json_writer *w, struct str s)
{
    if (s.p) {
        json_base64(w, s);
    } else {
        json_null(w);
    }
}

void json_obj(struct json_writer *w, const struct type *t, const void *obj)
{
    switch (t->kind) {
    case KIND_BOOL:
        json_bool(w, *(const bool *)obj);
        break;
    case KIND_INT:
    case KIND_DUR:
        json_i64(w, *(const int64_t *)obj);
        break;
    case KIND_UINT:
        json_u64(w, *(const uint64_t *)obj);
        break;
    case KIND_F32:
        put_float(w, (double)*(const float *)obj, true);
        break;
    case KIND_F64:
        put_float(w, *(const double *)obj, false);
        break;
    case KIND_STR:
        json_str(w, *(const struct str *)obj);
        break;
    case KIND_BYTES:
        put_bytes(w, *(const struct str *)obj);
        break;
    case KIND_TIME:
        put_time(w, *(const struct gotime *)obj);
        break;
    case KIND_ANY:
        json_value(w, obj);
        break;
    case KIND_REC:
        put_record(w, t->record, obj);
        break;
    case KIND_PTR:
        if (*(void *const *)obj) {
            put_record(w, t->record, *(void *const *)obj);
        } else {
            json_null(w);
        }
        break;
    case KIND_LIST:
        put_list(w, t->elem, obj);
        break;
    case KIND_MAP:
        put_dict(w, t->elem, obj);
        break;
    }
}

void json_encode(const struct type *t, const void *obj, bool pretty, struct buf *out)
{
    struct json_writer w;
    json_begin(&w, out, pretty);
    json_obj(&w, t, obj);
}

void json_encode_value(const struct value *v, bool pretty, struct buf *out)
{
    struct json_writer w;
    json_begin(&w, out, pretty);
    json_value(&w, v);
}
