/* SPDX-License-Identifier: Apache-2.0 */
#include "cli.h"

void columns_add(struct cli *c, struct columns *t, const struct str *cells)
{
    for (size_t i = 0; i < t->width; i++)
        *LIST_PUSH(&c->arena, &t->cells, struct str) = cells[i];
}

/* Characters, not bytes. */
static size_t length(struct str s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++)
        n += ((unsigned char)s.p[i] & 0xC0) != 0x80;
    return n;
}

void columns_print(struct cli *c, const struct columns *t, size_t gap)
{
    size_t *widest = arena_array(&c->arena, t->width, sizeof *widest);
    for (size_t i = 0; i < t->cells.n; i++) {
        size_t n = length(LIST_AT(&t->cells, struct str, i));
        if (n > widest[i % t->width]) widest[i % t->width] = n;
    }
    struct buf text = BUF_INIT(CLI_INPUT_MAX);
    for (size_t i = 0; i < t->cells.n; i++) {
        struct str cell = LIST_AT(&t->cells, struct str, i);
        size_t column = i % t->width;
        buf_put_str(&text, cell);
        if (column + 1 == t->width)
            buf_put_char(&text, '\n');
        else
            buf_printf(&text, "%*s", (int)(widest[column] - length(cell) + gap), "");
    }
    if (t->trimmed && text.n)
        cli_say(c, "%.*s", STR_ARG(str_trim(buf_str(&text))));
    else
        cli_put(c, buf_str(&text));
    buf_deinit(&text);
}
