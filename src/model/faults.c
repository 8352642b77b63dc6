/* SPDX-License-Identifier: Apache-2.0 */
#include "faults.h"

#include <stdarg.h>

#include "consuld/wire/quote.h"

#define META_PAIRS_MAX 64
#define META_KEY_MAX 128

void fault(struct faults *f, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    buf_put_c(&f->text, "\t* ");
    buf_vprintf(&f->text, fmt, ap);
    buf_put_char(&f->text, '\n');
    va_end(ap);
    f->n++;
}

int faults_report(struct faults *f, struct error *err)
{
    int code = 0;
    if (f->n) {
        code = error_set(err, ERR_BAD_REQUEST, "%zu error%s occurred:\n%.*s\n", f->n,
            f->n == 1 ? "" : "s", STR_ARG(buf_str(&f->text)));
    }
    buf_deinit(&f->text);
    return code;
}

static void key_fault(struct faults *f, const char *what, struct str key, int max)
{
    struct buf quoted = BUF_INIT(key.n * 4 + 16);
    quote_go(&quoted, key);
    fault(f, "Meta %s%.*s exceeds maximum length %d", what, STR_ARG(buf_str(&quoted)), max);
    buf_deinit(&quoted);
}

void faults_of_meta(struct faults *f, const struct dict *meta)
{
    if (meta->n > META_PAIRS_MAX) fault(f, "Meta exceeds maximum element count %d", META_PAIRS_MAX);
    for (size_t i = 0; i < meta->n; i++) {
        struct str key = dict_key(meta, &type_str, i);
        const struct str *value = dict_at(meta, &type_str, i);
        if (key.n > META_KEY_MAX) key_fault(f, "key ", key, META_KEY_MAX);
        if (value->n > META_VALUE_MAX) key_fault(f, "value for key ", key, META_VALUE_MAX);
    }
}
