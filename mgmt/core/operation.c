// SPDX-License-Identifier: Apache-2.0
// The operation table.
#include "mgmt/core/operation.h"

#include <stdio.h>
#include <stdlib.h>

#include "mgmt/core/event.h"
#include "mgmt/plat.h"

#define TABLE_MAX 512u
#define RETENTION_NS (10 * 60 * 1000000000ull)

static struct operation *table; // newest first
static unsigned table_count;
static uint64_t last_id;

static void unlink_free(struct operation *op)
{
    for (struct operation **p = &table; *p != NULL; p = &(*p)->next) {
        if (*p == op) {
            *p = op->next;
            table_count--;
            free(op);
            return;
        }
    }
}

static bool evictable(const struct operation *op)
{
    return op->state == OPERATION_DONE && op->waiters.head == NULL;
}

// Drops what is past retention and, if the table is full, the oldest finished operation.
static void make_room(void)
{
    uint64_t now = plat_now_ns();
    struct operation *oldest = NULL;

    for (struct operation *op = table, *next; op != NULL; op = next) {
        next = op->next;
        if (!evictable(op)) {
            continue;
        }
        if (now - op->finished_ns > RETENTION_NS) {
            unlink_free(op);
        } else {
            oldest = op;
        }
    }
    if (table_count >= TABLE_MAX && oldest != NULL) {
        unlink_free(oldest);
    }
}

struct operation *operation_create(enum operation_type type, const char *subject)
{
    struct operation *op;

    make_room();
    if (table_count >= TABLE_MAX || (op = calloc(1, sizeof *op)) == NULL) {
        return NULL;
    }
    op->id = ++last_id;
    op->type = type;
    op->created_ms = plat_unix_ms();
    snprintf(op->subject, sizeof op->subject, "%s", subject);
    op->next = table;
    table = op;
    table_count++;
    return op;
}

struct operation *operation_find(uint64_t id)
{
    for (struct operation *op = table; op != NULL; op = op->next) {
        if (op->id == id && !op->closed) {
            return op;
        }
    }
    return NULL;
}

struct operation *operation_first(void)
{
    return table;
}

void operation_progress(struct operation *op, unsigned percent)
{
    if (op != NULL && percent <= 100) {
        op->percent = (uint8_t)percent;
    }
}

void operation_finish(struct operation *op, const struct core_error *error)
{
    if (op == NULL || op->state == OPERATION_DONE) {
        return;
    }
    op->state = OPERATION_DONE;
    op->percent = 100;
    op->finished_ms = plat_unix_ms();
    op->finished_ns = plat_now_ns();
    if (error != NULL && error->status != CORE_OK) {
        op->error = *error;
        event_post(EVENT_OPERATION_FAILED, op->subject, "%s: %s", operation_type_name(op->type), error->text);
    }
    notify_raise(&op->waiters);
    if (op->closed) {
        unlink_free(op);
    }
}

void operation_close(struct operation *op)
{
    op->closed = true;
    if (evictable(op)) {
        unlink_free(op);
    }
}

const char *operation_type_name(enum operation_type type)
{
    switch (type) {
    case OPERATION_ENUMERATE:
        return "Enumerate";
    case OPERATION_CREATE:
        return "Create";
    case OPERATION_START:
        return "Start";
    case OPERATION_SHUTDOWN:
        return "Shutdown";
    case OPERATION_PAUSE:
        return "Pause";
    case OPERATION_RESUME:
        return "Resume";
    case OPERATION_SAVE:
        return "Save";
    case OPERATION_TERMINATE:
        return "Terminate";
    case OPERATION_MODIFY:
        return "Modify";
    case OPERATION_GET_PROPERTIES:
        return "GetProperties";
    case OPERATION_CRASH:
        return "Crash";
    }
    return "None";
}
