// SPDX-License-Identifier: Apache-2.0
// Reading a GPT (UEFI "GUID Partition Table (GPT) Disk Layout"): checked copies, primary table, else the backup.
//
// Whatever is on a disk may be written by strangers: nothing of it is used before its CRC and its bounds are
// checked. The protective MBR is not looked at; nothing is ever written.
#ifndef MGMT_BLOCK_GPT_H
#define MGMT_BLOCK_GPT_H

#include <keelson/gpt.h>
#include <keelson/types.h>

#define GPT_PARTITIONS_MAX 16u      // that are reported; further ones are counted as `more`
#define GPT_BUFFER_SIZE (64u << 10) // room for an array of entries; larger ones are refused (usual: 16 KiB)

struct gpt_partition {
    struct gpt_guid type, unique;
    uint32_t number;        // of its entry, from 1
    uint64_t first, blocks; // in logical blocks; within the disk
    char label[37];         // ASCII; other characters become '?'
};

enum gpt_source { GPT_NONE, GPT_PRIMARY, GPT_BACKUP };

struct gpt {
    enum gpt_source source;
    uint32_t count, more; // of partitions
    struct gpt_partition partitions[GPT_PARTITIONS_MAX];
};

// Where the table is read from.
struct gpt_disk {
    // Reads `count` logical blocks at `block` into the buffer. False: it cannot.
    bool (*read)(void *context, uint64_t block, uint32_t count);
    void *context;
    uint8_t *buffer; // GPT_BUFFER_SIZE bytes, where read() puts data
    uint64_t blocks;
    uint32_t block_size; // bytes: 512 to 4096
};

// Fills *out; source GPT_NONE and no partitions if neither table is good. *damaged (may be NULL) is set when a
// table was there and was refused.
void gpt_read(const struct gpt_disk *disk, struct gpt *out, bool *damaged);

bool gpt_guid_equal(const struct gpt_guid *a, const struct gpt_guid *b);

#endif
