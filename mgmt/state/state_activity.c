// SPDX-License-Identifier: Apache-2.0
// Sums of what guests have done with disks: a list by name, as long as there are disks that somebody has used.
#include "mgmt/state/state_activity.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct activity {
    struct activity *next;
    struct activity_use *uses;   // that go on
    struct activity_counts past; // of those that have ended
    char name[KEPT_DISK_NAME_MAX + 1];
};

static struct activity *activities;

// Where the disk is, or belongs.
static struct activity **place_of(const char *name)
{
    struct activity **place = &activities;

    while (*place != NULL && strcmp((*place)->name, name) < 0) {
        place = &(*place)->next;
    }
    return place;
}

static bool is_at(struct activity *const *place, const char *name)
{
    return *place != NULL && strcmp((*place)->name, name) == 0;
}

static void add(struct activity_counts *sum, const struct mapped_disk *d)
{
    block_counters_add(&sum->block, &d->device.counters);
    sum->allocations += d->allocations;
    sum->misses += d->misses;
    sum->commits += d->commits;
}

bool activity_begin(struct activity_use *use, const char *name, const struct mapped_disk *disk)
{
    struct activity **place = place_of(name), *a = *place;

    if (!is_at(place, name)) {
        a = calloc(1, sizeof *a);
        if (a == NULL) {
            return false;
        }
        snprintf(a->name, sizeof a->name, "%s", name);
        a->next = *place;
        *place = a;
    }
    *use = (struct activity_use){.next = a->uses, .of = a, .disk = disk};
    a->uses = use;
    return true;
}

void activity_end(struct activity_use *use)
{
    struct activity_use **place = &use->of->uses;

    add(&use->of->past, use->disk);
    while (*place != use) {
        place = &(*place)->next;
    }
    *place = use->next;
}

void activity_forget(const char *name)
{
    struct activity **place = place_of(name), *a = *place;

    if (is_at(place, name) && a->uses == NULL) {
        *place = a->next;
        free(a);
    }
}

const struct activity *activity_next(const struct activity *previous)
{
    return previous == NULL ? activities : previous->next;
}

const char *activity_name(const struct activity *a)
{
    return a->name;
}

void activity_get(const struct activity *a, struct activity_counts *out)
{
    *out = a->past;
    for (const struct activity_use *use = a->uses; use != NULL; use = use->next) {
        add(out, use->disk);
    }
}
