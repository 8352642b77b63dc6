/* SPDX-License-Identifier: Apache-2.0 */
#include "json_refuse.h"

#include <string.h>

#include "quote.h"

static const char *kind_name(const struct value *v)
{
    switch (v->kind) {
    case V_NIL:
        return "null";
    case V_BOOL:
        return "bool";
    case V_INT:
    case V_UINT:
    case V_FLOAT:
    case V_FLOAT32:
    case V_NUMBER:
        return "number";
    case V_STR:
    case V_BYTES:
        return "string";
    case V_LIST:
        return "array";
    case V_MAP:
        return "object";
    }
    return "value";
}

static void put_record_type(struct buf *out, const struct record *r)
{
    if (r->json_type) {
        buf_put_c(out, r->json_type);
        return;
    }
    buf_put_c(out, "structs.");
    buf_put_c(out, r->name);
}

static void put_integer_type(struct buf *out, const char *name, unsigned bits)
{
    buf_put_c(out, name);
    if (bits) buf_put_u64(out, bits);
}

static void put_type(struct buf *out, const struct type *t, unsigned bits)
{
    switch (t->kind) {
    case KIND_BOOL:
        buf_put_c(out, "bool");
        break;
    case KIND_INT:
        put_integer_type(out, "int", bits);
        break;
    case KIND_UINT:
        put_integer_type(out, "uint", bits ? bits : 64);
        break;
    case KIND_F32:
        buf_put_c(out, "float32");
        break;
    case KIND_F64:
        buf_put_c(out, "float64");
        break;
    case KIND_STR:
        buf_put_c(out, "string");
        break;
    case KIND_BYTES:
        buf_put_c(out, "[]uint8");
        break;
    case KIND_TIME:
        buf_put_c(out, "time.Time");
        break;
    case KIND_DUR:
        buf_put_c(out, "time.Duration");
        break;
    case KIND_ANY:
        buf_put_c(out, "interface {}");
        break;
    case KIND_REC:
    case KIND_PTR: /* Go names what the pointer leads to */
        put_record_type(out, t->record);
        break;
    case KIND_LIST:
        if (t->elem->kind == KIND_REC && t->elem->record->json_list) {
            buf_put_c(out, t->elem->record->json_list);
            break;
        }
        buf_put_c(out, "[]");
        put_type(out, t->elem, 0);
        break;
    case KIND_MAP:
        buf_put_c(out, "map[string]");
        put_type(out, t->elem, 0);
        break;
    }
}

/* Name of the structure alone; one without a name has none. */
static struct str struct_name(const struct record *r)
{
    if (!r->json_type) return str_of(r->name);
    if (strchr(r->json_type, '{')) return STR("");
    const char *dot = strrchr(r->json_type, '.');
    return str_of(dot ? dot + 1 : r->json_type);
}

static void put_path(struct buf *out, const struct place *at)
{
    if (at->up) {
        put_path(out, at->up);
        buf_put_char(out, '.');
    }
    if (at->alias.n)
        buf_put_str(out, at->alias);
    else
        buf_put_c(out, at->field->json ? at->field->json : at->field->name);
}

static void put_where(struct buf *out, const struct place *at)
{
    buf_put_c(out, " into Go struct field ");
    buf_put_str(out, struct_name(at->record));
    buf_put_char(out, '.');
    put_path(out, at);
    buf_put_c(out, " of type ");
}

void refuse_text(struct reader *r, struct refusal *to, const char *text)
{
    if (to->text.p) return;
    *to = (struct refusal){ .text = str_dup(r->a, str_of(text)) };
}

void refusal_place(struct reader *r, struct refusal *f, const struct place *at)
{
    if (!f->what.p || !at) return;
    struct buf text = BUF_INIT(ERROR_TEXT_MAX);
    buf_put_c(&text, "json: ");
    buf_put_str(&text, f->what);
    put_where(&text, at);
    buf_put_str(&text, f->type);
    f->text = str_dup(r->a, buf_str(&text));
    buf_deinit(&text);
}

/* `what` is consumed. */
static int finish(struct reader *r, const struct place *at, struct buf *what, struct buf *type)
{
    if (!r->first.text.p) {
        struct refusal *f = &r->first;
        f->what = str_dup(r->a, buf_str(what));
        f->type = str_dup(r->a, buf_str(type));
        if (at) {
            refusal_place(r, f, at);
        } else {
            f->text = str_printf(
                r->a, "json: %.*s into Go value of type %.*s", STR_ARG(f->what), STR_ARG(f->type));
        }
    }
    buf_deinit(what);
    buf_deinit(type);
    return 0;
}

int refuse_kind(struct reader *r, const struct place *at, const struct type *t, unsigned bits,
    const struct value *v)
{
    struct buf what = BUF_INIT(ERROR_TEXT_MAX), type = BUF_INIT(ERROR_TEXT_MAX);
    buf_printf(&what, "cannot unmarshal %s", kind_name(v));
    if (at && at->field->go_type && at->field->type == t)
        buf_put_c(&type, at->field->go_type);
    else
        put_type(&type, t, bits);
    return finish(r, at, &what, &type);
}

int refuse_number(struct reader *r, const struct place *at, const struct type *t, unsigned bits,
    const struct value *v)
{
    struct buf what = BUF_INIT(ERROR_TEXT_MAX), type = BUF_INIT(ERROR_TEXT_MAX);
    buf_put_c(&what, "cannot unmarshal number ");
    json_encode_value(v, false, &what);
    put_type(&type, t, bits);
    return finish(r, at, &what, &type);
}

int refuse_map(struct reader *r, const struct place *at, const struct value *v)
{
    struct buf what = BUF_INIT(ERROR_TEXT_MAX), type = BUF_INIT(ERROR_TEXT_MAX);
    buf_printf(&what, "cannot unmarshal %s", kind_name(v));
    buf_put_c(&type, "map[string]interface {}");
    return finish(r, at, &what, &type);
}

int refuse_key(struct reader *r, struct str key)
{
    struct buf text = BUF_INIT(ERROR_TEXT_MAX);
    buf_put_c(&text, "json: unknown field ");
    quote_go(&text, key);
    buf_put_char(&text, '\0');
    refuse_text(r, &r->first, buf_str(&text).p);
    buf_deinit(&text);
    return 0;
}
