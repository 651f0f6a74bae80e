// SPDX-License-Identifier: Apache-2.0
// GPT: header and array of entries, each by its CRC; entries by their bounds.
#include "mgmt/block/gpt.h"

#include <string.h>

#define SIGNATURE 0x5452415020494645ull // "EFI PART"
#define REVISION_MAJOR 1
#define HEADER_MIN 92u
#define ENTRY_MIN 128u
#define PRIMARY_BLOCK 1u

struct gpt_header { // UEFI "GPT Header"
    uint64_t signature;
    uint32_t revision;
    uint32_t header_size;
    uint32_t header_crc; // of header_size bytes, this field being zero
    uint32_t reserved;
    uint64_t this_block, other_block;
    uint64_t first_usable, last_usable;
    struct gpt_guid disk;
    uint64_t entries_block;
    uint32_t entry_count, entry_size;
    uint32_t entries_crc;
} __attribute__((packed));
_Static_assert(sizeof(struct gpt_header) == HEADER_MIN, "UEFI GPT Header");

struct gpt_entry { // UEFI "GPT Partition Entry"
    struct gpt_guid type, unique;
    uint64_t first, last;
    uint64_t attributes;
    uint16_t name[36]; // UTF-16
};
_Static_assert(sizeof(struct gpt_entry) == ENTRY_MIN, "UEFI GPT Partition Entry");

// CRC-32 of IEEE 802.3, reflected, as UEFI asks for. Bitwise: tables are small and read once.
static uint32_t crc32(uint32_t crc, const uint8_t *data, size_t length)
{
    crc = ~crc;
    while (length-- > 0) {
        crc ^= *data++;
        for (unsigned bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ (0xedb88320u & -(crc & 1));
        }
    }
    return ~crc;
}

bool gpt_guid_equal(const struct gpt_guid *a, const struct gpt_guid *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

// --- header ---

static bool header_crc_good(const uint8_t *block, const struct gpt_header *h)
{
    static const uint8_t zero[4];
    const size_t at = offsetof(struct gpt_header, header_crc);
    uint32_t crc = crc32(0, block, at);

    crc = crc32(crc, zero, sizeof(zero));
    return crc32(crc, block + at + 4, h->header_size - at - 4) == h->header_crc;
}

static uint64_t entries_bytes(const struct gpt_header *h)
{
    return (uint64_t)h->entry_count * h->entry_size;
}

static uint64_t entries_blocks(const struct gpt_disk *disk, const struct gpt_header *h)
{
    return (entries_bytes(h) + disk->block_size - 1) / disk->block_size;
}

static bool header_good(const struct gpt_disk *disk, const struct gpt_header *h, uint64_t at)
{
    if (h->revision >> 16 != REVISION_MAJOR || h->header_size < HEADER_MIN ||
        h->header_size > disk->block_size || !header_crc_good(disk->buffer, h) || h->this_block != at) {
        return false;
    }
    if (h->entry_size < ENTRY_MIN || (h->entry_size & (h->entry_size - 1)) != 0 || h->entry_count == 0 ||
        entries_bytes(h) > GPT_BUFFER_SIZE) {
        return false;
    }
    return h->entries_block > PRIMARY_BLOCK && h->entries_block < disk->blocks &&
           entries_blocks(disk, h) <= disk->blocks - h->entries_block && h->first_usable <= h->last_usable &&
           h->last_usable < disk->blocks;
}

// --- entries ---

static void copy_label(char *label, const struct gpt_entry *e)
{
    size_t n = 0;

    for (; n < ARRAY_LEN(e->name) && e->name[n] != 0; n++) {
        label[n] = e->name[n] >= ' ' && e->name[n] < 0x7f ? (char)e->name[n] : '?';
    }
    label[n] = '\0';
}

static void take_entries(const struct gpt_disk *disk, const struct gpt_header *h, struct gpt *out)
{
    static const struct gpt_guid unused;

    for (uint32_t i = 0; i < h->entry_count; i++) {
        struct gpt_entry e;

        memcpy(&e, disk->buffer + (size_t)i * h->entry_size, sizeof(e));
        if (gpt_guid_equal(&e.type, &unused) || e.first < h->first_usable || e.last > h->last_usable ||
            e.first > e.last) {
            continue;
        }
        if (out->count == GPT_PARTITIONS_MAX) {
            out->more++;
            continue;
        }
        out->partitions[out->count] = (struct gpt_partition){.type = e.type,
                                                             .unique = e.unique,
                                                             .number = i + 1,
                                                             .first = e.first,
                                                             .blocks = e.last - e.first + 1};
        copy_label(out->partitions[out->count].label, &e);
        out->count++;
    }
}

// Reads the table whose header is at block `at`. *present: something that calls itself a GPT was there.
static bool read_table(const struct gpt_disk *disk, uint64_t at, struct gpt *out, bool *present)
{
    struct gpt_header h;

    if (!disk->read(disk->context, at, 1)) {
        return false;
    }
    memcpy(&h, disk->buffer, sizeof(h));
    if (h.signature != SIGNATURE) {
        return false;
    }
    *present = true;
    if (!header_good(disk, &h, at) ||
        !disk->read(disk->context, h.entries_block, (uint32_t)entries_blocks(disk, &h)) ||
        crc32(0, disk->buffer, entries_bytes(&h)) != h.entries_crc) {
        return false;
    }
    take_entries(disk, &h, out);
    return true;
}

void gpt_read(const struct gpt_disk *disk, struct gpt *out, bool *damaged)
{
    bool primary = false, backup = false;

    memset(out, 0, sizeof(*out));
    if (damaged != NULL) {
        *damaged = false;
    }
    if (disk->block_size < BIT(9) || disk->block_size > PAGE_SIZE || disk->blocks <= PRIMARY_BLOCK) {
        return;
    }
    if (read_table(disk, PRIMARY_BLOCK, out, &primary)) {
        out->source = GPT_PRIMARY;
    } else if (read_table(disk, disk->blocks - 1, out, &backup)) {
        out->source = GPT_BACKUP;
    }
    if (damaged != NULL) {
        *damaged = out->source != GPT_PRIMARY && (primary || backup);
    }
}
