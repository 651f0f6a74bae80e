// SPDX-License-Identifier: Apache-2.0
// The list of disks, and their turn in the data plane's loop.
#include "mgmt/block/disks.h"

#include <string.h>

static struct node_disk disks[DISKS_MAX];
static uint32_t disk_count;

// --- names ---

static char *put_text(char *at, const char *text)
{
    while (*text != '\0') {
        *at++ = *text++;
    }
    *at = '\0';
    return at;
}

static char *put_number(char *at, uint32_t n)
{
    char digits[11];
    size_t i = sizeof(digits);

    digits[--i] = '\0';
    do {
        digits[--i] = (char)('0' + n % 10);
        n /= 10;
    } while (n > 0);
    return put_text(at, digits + i);
}

// --- set-up ---

struct node_disk *disks_add(struct block_device *dev)
{
    struct node_disk *disk;

    if (disk_count == DISKS_MAX) {
        return NULL;
    }
    disk = &disks[disk_count];
    memset(disk, 0, sizeof(*disk));
    disk->dev = dev;
    put_number(put_text(dev->name, "disk"), disk_count);
    disk_count++;
    return disk;
}

void disks_set_partitions(struct node_disk *disk, const struct gpt *gpt, bool damaged)
{
    uint32_t unit = MAX(disk->dev->logical_block / BLOCK_SECTOR, 1u);

    disk->table = gpt->source;
    disk->table_damaged = damaged;
    disk->partition_count = gpt->count;
    for (uint32_t i = 0; i < gpt->count; i++) {
        struct node_partition *p = &disk->partitions[i];
        char *at;

        p->entry = gpt->partitions[i];
        block_partition_init(&p->dev, disk->dev, p->entry.first * unit, p->entry.blocks * unit);
        at = put_text(p->dev.name, disk->dev->name);
        put_number(put_text(at, "p"), p->entry.number);
    }
}

// --- finding ---

const struct node_disk *disks_get(uint32_t index)
{
    return index < disk_count ? &disks[index] : NULL;
}

struct block_device *disks_find(const char *name)
{
    for (uint32_t i = 0; i < disk_count; i++) {
        if (strcmp(disks[i].dev->name, name) == 0) {
            return disks[i].dev;
        }
        for (uint32_t p = 0; p < disks[i].partition_count; p++) {
            if (strcmp(disks[i].partitions[p].dev.name, name) == 0) {
                return &disks[i].partitions[p].dev;
            }
        }
    }
    return NULL;
}

struct block_device *disks_find_type(const struct gpt_guid *type, uint32_t *found)
{
    struct block_device *first = NULL;
    uint32_t count = 0;

    for (uint32_t i = 0; i < disk_count; i++) {
        for (uint32_t p = 0; p < disks[i].partition_count; p++) {
            if (gpt_guid_equal(&disks[i].partitions[p].entry.type, type)) {
                first = count++ == 0 ? &disks[i].partitions[p].dev : first;
            }
        }
    }
    if (found != NULL) {
        *found = count;
    }
    return first;
}

// --- the loop ---

bool disks_pending(void)
{
    for (uint32_t i = 0; i < disk_count; i++) {
        if (disks[i].dev->pending) {
            return true;
        }
    }
    return false;
}

uint64_t disks_service(uint64_t now_ns)
{
    uint64_t next = UINT64_MAX;

    for (uint32_t i = 0; i < disk_count; i++) {
        struct block_device *dev = disks[i].dev;
        uint64_t deadline;

        if (dev->pending || block_deadline(dev) <= now_ns) {
            (void)block_service(dev);
        }
        deadline = block_deadline(dev);
        next = MIN(next, deadline);
    }
    return next;
}
