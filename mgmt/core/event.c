// SPDX-License-Identifier: Apache-2.0
// The event ring.
#include "mgmt/core/event.h"

#include <stdarg.h>
#include <stdio.h>

#include "mgmt/plat.h"

#define KEPT 512u

static const char *const names[EVENT_TYPE_COUNT] = {
    [EVENT_NODE_READY] = "NodeReady",
    [EVENT_NODE_STOPPING] = "NodeStopping",
    [EVENT_SYSTEM_CREATED] = "SystemCreated",
    [EVENT_SYSTEM_STARTED] = "SystemStarted",
    [EVENT_SYSTEM_PAUSED] = "SystemPaused",
    [EVENT_SYSTEM_RESUMED] = "SystemResumed",
    [EVENT_SYSTEM_RESET] = "SystemReset",
    [EVENT_SYSTEM_EXITED] = "SystemExited",
    [EVENT_SYSTEM_CRASHED] = "SystemCrashed",
    [EVENT_SYSTEM_DELETED] = "SystemDeleted",
    [EVENT_OPERATION_FAILED] = "OperationFailed",
    [EVENT_IMAGE_ADDED] = "ImageAdded",
    [EVENT_IMAGE_DELETED] = "ImageDeleted",
    [EVENT_DISK_CREATED] = "DiskCreated",
    [EVENT_DISK_DELETED] = "DiskDeleted",
    [EVENT_DISK_FULL] = "DiskFull",
    [EVENT_DISK_FAILED] = "DiskFailed",
    [EVENT_AUTH_REFUSED] = "AuthenticationRefused",
};

static struct event ring[KEPT];
static uint64_t next_sequence = 1;
static struct notify_list listeners;

void event_post(enum event_type type, const char *subject, const char *fmt, ...)
{
    struct event *e = &ring[next_sequence % KEPT];
    va_list ap;

    e->sequence = next_sequence++;
    e->unix_ms = plat_unix_ms();
    e->type = type;
    snprintf(e->subject, sizeof e->subject, "%s", subject);
    va_start(ap, fmt);
    vsnprintf(e->text, sizeof e->text, fmt, ap);
    va_end(ap);
    plat_log(type == EVENT_SYSTEM_CRASHED ? LOG_WARN : LOG_NOTICE, "%s %s: %s", names[type], e->subject,
             e->text);
    notify_raise(&listeners);
}

void event_range(uint64_t *oldest, uint64_t *next)
{
    *next = next_sequence;
    *oldest = next_sequence > KEPT ? next_sequence - KEPT : 1;
}

const struct event *event_get(uint64_t sequence)
{
    uint64_t oldest, next;

    event_range(&oldest, &next);
    return sequence >= oldest && sequence < next ? &ring[sequence % KEPT] : NULL;
}

const char *event_type_name(enum event_type type)
{
    return (unsigned)type < EVENT_TYPE_COUNT ? names[type] : "Unknown";
}

struct notify_list *event_listeners(void)
{
    return &listeners;
}
