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
    bool bare = t->trimmed && t->cells.n && LIST_AT(&t->cells, struct str, t->cells.n - 1).n == 0;
    for (size_t i = 0; i < t->cells.n; i++) {
        struct str cell = LIST_AT(&t->cells, struct str, i);
        size_t column = i % t->width;
        cli_put(c, cell);
        if (column + 1 == t->width)
            fputc('\n', c->io.out);
        else if (!bare || i + 2 != t->cells.n)
            fprintf(c->io.out, "%*s", (int)(widest[column] - length(cell) + gap), "");
    }
}
