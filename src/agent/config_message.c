/* SPDX-License-Identifier: Apache-2.0 */
#include "config_source.h"

static struct str formatted(struct arena *a, const char *fmt, va_list ap)
    __attribute__((format(printf, 2, 0)));
static struct str formatted(struct arena *a, const char *fmt, va_list ap)
{
    struct buf b = BUF_INIT(CONFIG_MESSAGE_MAX);
    buf_vprintf(&b, fmt, ap);
    struct str s = str_dup(a, buf_str(&b));
    buf_deinit(&b);
    return s;
}

void config_warn(struct config_load *load, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    buf_vprintf(load->warnings, fmt, ap);
    va_end(ap);
    buf_put_char(load->warnings, '\n');
}

int config_refuse(struct config_load *load, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    buf_vprintf(load->error, fmt, ap);
    va_end(ap);
    return ERR_BAD_REQUEST;
}

void config_soft(struct config_load *load, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    *LIST_PUSH(load->arena, &load->soft, struct str) = formatted(load->arena, fmt, ap);
    va_end(ap);
}

void config_soft_alone(struct config_load *load, const char *fmt, ...)
{
    va_list ap;
    load->soft = (struct list){ 0 };
    va_start(ap, fmt);
    *LIST_PUSH(load->arena, &load->soft, struct str) = formatted(load->arena, fmt, ap);
    va_end(ap);
}

void config_put_errors(struct buf *out, const struct list *errors)
{
    buf_printf(out, "%zu error%s occurred:\n", errors->n, errors->n == 1 ? "" : "s");
    for (size_t i = 0; i < errors->n; i++)
        buf_printf(out, "\t* %.*s\n", STR_ARG(LIST_AT(errors, struct str, i)));
    buf_put_char(out, '\n');
}
