// SPDX-License-Identifier: Apache-2.0
// What happened on the node: typed, numbered events in a bounded ring.
//
// Every face shows the same events in its own form. A follower remembers the next sequence number it
// wants; if the ring has moved past it, it knows how many it lost.
#ifndef MGMT_CORE_EVENT_H
#define MGMT_CORE_EVENT_H

#include "mgmt/core/notify.h"

#define EVENT_SUBJECT_MAX 128
#define EVENT_TEXT_MAX 200

enum event_type {
    EVENT_NODE_READY = 0,
    EVENT_NODE_STOPPING,
    EVENT_SYSTEM_CREATED,
    EVENT_SYSTEM_STARTED,
    EVENT_SYSTEM_PAUSED,
    EVENT_SYSTEM_RESUMED,
    EVENT_SYSTEM_RESET,
    EVENT_SYSTEM_EXITED,
    EVENT_SYSTEM_CRASHED,
    EVENT_SYSTEM_DELETED,
    EVENT_OPERATION_FAILED,
    EVENT_IMAGE_ADDED,
    EVENT_IMAGE_DELETED,
    EVENT_DISK_CREATED,
    EVENT_DISK_DELETED,
    EVENT_DISK_FULL,   // a guest's write failed: the store is full
    EVENT_DISK_FAILED, // a guest's write or flush failed for another reason
    EVENT_AUTH_REFUSED,
    EVENT_TYPE_COUNT
};

struct event {
    uint64_t sequence; // from 1
    int64_t unix_ms;
    enum event_type type;
    char subject[EVENT_SUBJECT_MAX + 1]; // name of the system, image ...
    char text[EVENT_TEXT_MAX + 1];
};

void event_post(enum event_type type, const char *subject, const char *fmt, ...) PRINTF_LIKE(3, 4);
// Sequence numbers kept: [*oldest, *next).
void event_range(uint64_t *oldest, uint64_t *next);
// The event with that number; NULL if it is no longer or not yet there. Valid until the next event_post().
const struct event *event_get(uint64_t sequence);
const char *event_type_name(enum event_type type);
struct notify_list *event_listeners(void); // raised after each event

#endif
