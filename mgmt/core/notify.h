// SPDX-License-Identifier: Apache-2.0
// Lists of callbacks for "something changed": console readers, operation waiters, event followers.
//
// Control plane only. notify_raise() calls each listener at once, in the order of their addition. A
// listener may remove itself or others and add new ones while it runs; it must not free the owner of the
// list.
#ifndef MGMT_CORE_NOTIFY_H
#define MGMT_CORE_NOTIFY_H

#include <keelson/types.h>

struct notify {
    struct notify *next; // owned by the list while added
    void (*fn)(struct notify *);
    bool added;
};

struct notify_list { // all zero is an empty list
    struct notify *head;
    struct notify *cursor; // next listener to call during notify_raise()
};

void notify_add(struct notify_list *list, struct notify *n, void (*fn)(struct notify *));
void notify_remove(struct notify_list *list, struct notify *n); // harmless if not added
void notify_raise(struct notify_list *list);

#endif
