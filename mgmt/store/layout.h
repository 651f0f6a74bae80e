// SPDX-License-Identifier: Apache-2.0
// What lies where on the state partition, and the two records that are not in the database.
//
//   0          superblock, copy A
//   8 KiB      length record 0
//   16 KiB     length record 1
//   512 KiB    superblock, copy B
//   1 MiB      rollback journal
//   then       database
//   then       extents of 1 MiB, to the end; what they hold is said by the database
//
// The superblock is written once, at formatting. The database's length changes as it grows; its two records are
// written in turn, so that one always survives. Each record fills one sector, which is written whole or not at all.
// All numbers are little-endian.
#ifndef MGMT_STORE_LAYOUT_H
#define MGMT_STORE_LAYOUT_H

#include "mgmt/store/disk.h"

#define LAYOUT_VERSION 1u
#define LAYOUT_EXTENT (1u << 20)
#define LAYOUT_EXTENT_SECTORS (LAYOUT_EXTENT / DISK_SECTOR)
#define LAYOUT_SUPER_A 0u // sectors
#define LAYOUT_SUPER_B 1024u
#define LAYOUT_LENGTH_0 16u
#define LAYOUT_LENGTH_1 32u
#define LAYOUT_HEAD_SECTORS 2048u
#define LAYOUT_UUID 16

struct layout_super { // one sector
    char magic[8];
    uint32_t version;
    uint32_t crc; // CRC-32C of the sector with this field 0
    uint8_t uuid[LAYOUT_UUID];
    uint64_t sectors; // of the partition when it was formatted
    uint64_t journal_sector, journal_sectors;
    uint64_t database_sector, database_sectors;
    uint64_t extent_sector, extent_count;
    int64_t created_ms; // UTC
    uint8_t reserved[416];
};
_Static_assert(sizeof(struct layout_super) == DISK_SECTOR, "superblock");

struct layout_length { // one sector
    char magic[8];
    uint64_t sequence; // the higher one counts
    uint64_t bytes;    // of the database
    uint32_t crc;      // as above
    uint8_t reserved[484];
};
_Static_assert(sizeof(struct layout_length) == DISK_SECTOR, "length record");

enum layout_verdict {
    LAYOUT_OK,
    LAYOUT_DAMAGED, // ours by its magic, but the rest is not to be trusted
    LAYOUT_NEWER,   // ours, of a later version
    LAYOUT_OTHER,   // not ours
};

// Fills *super for a partition of `sectors`. False: it is too small (less than 16 MiB).
MUST_CHECK bool layout_plan(struct layout_super *super, uint64_t sectors, const uint8_t uuid[LAYOUT_UUID],
                            int64_t now_ms);
// Judges one sector, and whether what it describes fits a partition of `sectors`.
enum layout_verdict layout_judge(const struct layout_super *super, uint64_t sectors);

void layout_seal_length(struct layout_length *record, uint64_t sequence, uint64_t bytes);
bool layout_length_valid(const struct layout_length *record);

// What else the first MiB of a partition may belong to, such as "ext4"; NULL if it is not known.
const char *layout_recognise(const uint8_t *head, size_t length);

uint32_t layout_crc32c(uint32_t crc, const void *data, size_t length); // start with 0

#endif
