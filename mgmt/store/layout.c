// SPDX-License-Identifier: Apache-2.0
// Superblock, length records, and names for what other systems write.
#include "mgmt/store/layout.h"

#include <string.h>

#define SUPER_MAGIC "KEELSTOR"
#define LENGTH_MAGIC "KEELDBLN"
#define MIB_SECTORS 2048u
#define SECTORS_MIN (16u * MIB_SECTORS)
#define DATABASE_MIN (4u * MIB_SECTORS)
#define DATABASE_MAX (256u * MIB_SECTORS)
#define EXTENTS_MAX 0xfffffffeull // an extent's number has 32 bits

// CRC-32C (Castagnoli), RFC 3720 appendix B.4, bit by bit: it covers single sectors.
uint32_t layout_crc32c(uint32_t crc, const void *data, size_t length)
{
    const uint8_t *p = data;

    crc = ~crc;
    for (size_t i = 0; i < length; i++) {
        crc ^= p[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
        }
    }
    return ~crc;
}

static uint32_t super_crc(const struct layout_super *super)
{
    struct layout_super copy = *super;

    copy.crc = 0;
    return layout_crc32c(0, &copy, sizeof copy);
}

// The database gets a sixty-fourth, in whole MiB; the journal, which at worst holds all of its pages, half of that.
bool layout_plan(struct layout_super *super, uint64_t sectors, const uint8_t uuid[LAYOUT_UUID],
                 int64_t now_ms)
{
    uint64_t database = ALIGN_DOWN(sectors / 64, MIB_SECTORS);

    if (sectors < SECTORS_MIN) {
        return false;
    }
    database = MIN(MAX(database, DATABASE_MIN), DATABASE_MAX);
    *super = (struct layout_super){
        .magic = SUPER_MAGIC,
        .version = LAYOUT_VERSION,
        .sectors = sectors,
        .journal_sector = LAYOUT_HEAD_SECTORS,
        .journal_sectors = database / 2,
        .database_sector = LAYOUT_HEAD_SECTORS + database / 2,
        .database_sectors = database,
        .extent_sector = LAYOUT_HEAD_SECTORS + database / 2 + database,
        .created_ms = now_ms,
    };
    super->extent_count = MIN((sectors - super->extent_sector) / LAYOUT_EXTENT_SECTORS, EXTENTS_MAX);
    memcpy(super->uuid, uuid, LAYOUT_UUID);
    super->crc = super_crc(super);
    return true;
}

// One region after the other, whole MiB, none empty, all within the partition; no sum can overflow.
static bool regions_fit(const struct layout_super *s, uint64_t sectors)
{
    return s->journal_sectors % MIB_SECTORS == 0 && s->database_sectors % MIB_SECTORS == 0 &&
           s->sectors <= sectors && s->journal_sector >= LAYOUT_HEAD_SECTORS &&
           s->journal_sector <= s->sectors && s->journal_sectors >= MIB_SECTORS &&
           s->journal_sectors <= s->sectors - s->journal_sector &&
           s->database_sector >= s->journal_sector + s->journal_sectors && s->database_sector <= s->sectors &&
           s->database_sectors >= MIB_SECTORS && s->database_sectors <= s->sectors - s->database_sector &&
           s->extent_sector >= s->database_sector + s->database_sectors && s->extent_sector <= s->sectors &&
           s->extent_count > 0 && s->extent_count <= EXTENTS_MAX &&
           s->extent_count <= (s->sectors - s->extent_sector) / LAYOUT_EXTENT_SECTORS;
}

enum layout_verdict layout_judge(const struct layout_super *super, uint64_t sectors)
{
    if (memcmp(super->magic, SUPER_MAGIC, sizeof super->magic) != 0) {
        return LAYOUT_OTHER;
    }
    if (super_crc(super) != super->crc) {
        return LAYOUT_DAMAGED;
    }
    if (super->version != LAYOUT_VERSION) {
        return super->version > LAYOUT_VERSION ? LAYOUT_NEWER : LAYOUT_DAMAGED;
    }
    return regions_fit(super, sectors) ? LAYOUT_OK : LAYOUT_DAMAGED;
}

static uint32_t length_crc(const struct layout_length *record)
{
    struct layout_length copy = *record;

    copy.crc = 0;
    return layout_crc32c(0, &copy, sizeof copy);
}

void layout_seal_length(struct layout_length *record, uint64_t sequence, uint64_t bytes)
{
    *record = (struct layout_length){.magic = LENGTH_MAGIC, .sequence = sequence, .bytes = bytes};
    record->crc = length_crc(record);
}

bool layout_length_valid(const struct layout_length *record)
{
    return memcmp(record->magic, LENGTH_MAGIC, sizeof record->magic) == 0 &&
           record->crc == length_crc(record);
}

struct signature {
    uint32_t offset;
    const char *bytes;
    uint32_t length;
    const char *name;
};

static const struct signature signatures[] = {
    {0, "LUKS\xba\xbe", 6, "LUKS"},
    {3, "NTFS    ", 8, "NTFS"},
    {3, "EXFAT   ", 8, "exFAT"},
    {82, "FAT32   ", 8, "FAT32"},
    {54, "FAT1", 4, "FAT"},
    {0, "XFSB", 4, "XFS"},
    {512, "EFI PART", 8, "a GPT disk"},
    {512, "LABELONE", 8, "LVM"},
    {1080, "\x53\xef", 2, "ext2/3/4"},
    {4086, "SWAPSPACE2", 10, "swap"},
    {65600, "_BHRfS_M", 8, "btrfs"},
    {4096, "\xfc\x4e\x2b\xa9", 4, "md RAID"},
    {0, "SQLite format 3", 16, "SQLite"},
    {510, "\x55\xaa", 2, "a partitioned disk"},
};

const char *layout_recognise(const uint8_t *head, size_t length)
{
    for (size_t i = 0; i < ARRAY_LEN(signatures); i++) {
        const struct signature *s = &signatures[i];

        if (s->offset + s->length <= length && memcmp(head + s->offset, s->bytes, s->length) == 0) {
            return s->name;
        }
    }
    return NULL;
}
