/* SPDX-License-Identifier: Apache-2.0 */
/* Intrusive doubly linked lists. An unlinked node points to itself. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

struct link {
    struct link *prev, *next;
};

#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

static inline void link_init(struct link *l)
{
    l->prev = l->next = l;
}
static inline bool link_empty(const struct link *l)
{
    return l->next == l;
}
static inline void link_insert_before(struct link *at, struct link *l)
{
    l->prev = at->prev;
    l->next = at;
    at->prev->next = l;
    at->prev = l;
}
/* Appends to the list whose head is `head`. */
static inline void link_push(struct link *head, struct link *l)
{
    link_insert_before(head, l);
}
static inline void link_remove(struct link *l)
{
    l->prev->next = l->next;
    l->next->prev = l->prev;
    link_init(l);
}
/* First node removed from the list, or NULL. */
static inline struct link *link_pop(struct link *head)
{
    struct link *l = head->next;
    if (l == head) return NULL;
    link_remove(l);
    return l;
}
#define link_each(it, head) \
    for (struct link *it = (head)->next, *it##_next = it->next; it != (head); \
         it = it##_next, it##_next = it->next)
