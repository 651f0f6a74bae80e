// SPDX-License-Identifier: Apache-2.0
// Callback lists that survive changes while they are walked.
#include "mgmt/core/notify.h"

void notify_add(struct notify_list *list, struct notify *n, void (*fn)(struct notify *))
{
    struct notify **end = &list->head;

    notify_remove(list, n);
    while (*end != NULL) {
        end = &(*end)->next;
    }
    *end = n;
    n->next = NULL;
    n->fn = fn;
    n->added = true;
}

void notify_remove(struct notify_list *list, struct notify *n)
{
    if (!n->added) {
        return;
    }
    for (struct notify **p = &list->head; *p != NULL; p = &(*p)->next) {
        if (*p == n) {
            if (list->cursor == n) {
                list->cursor = n->next;
            }
            *p = n->next;
            break;
        }
    }
    n->added = false;
}

void notify_raise(struct notify_list *list)
{
    list->cursor = list->head;
    while (list->cursor != NULL) {
        struct notify *n = list->cursor;

        list->cursor = n->next;
        n->fn(n);
    }
}
