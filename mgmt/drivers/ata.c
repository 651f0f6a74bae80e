// SPDX-License-Identifier: Apache-2.0
// IDENTIFY DEVICE and the handful of commands that a disk needs.
#include "mgmt/drivers/ata.h"

#include "mgmt/drivers/disk.h"

#include <string.h>

#define READ_DMA 0xc8
#define READ_DMA_EXT 0x25
#define WRITE_DMA 0xca
#define WRITE_DMA_EXT 0x35
#define WRITE_DMA_FUA_EXT 0x3d
#define FLUSH_CACHE 0xe7
#define FLUSH_CACHE_EXT 0xea
#define DATA_SET_MANAGEMENT 0x06

#define FEATURE_TRIM 0x01
#define DEVICE_LBA 0x40
#define LBA28_LIMIT (1ull << 28)
#define LBA48_LIMIT (1ull << 48)
#define LBA28_COUNT 256u

#define RANGE_COUNT 0xffffu // sectors in one range entry, above its 48 bits of LBA
#define RANGES_PER_BLOCK 64u

// Words of IDENTIFY DEVICE data.
enum {
    W_GENERAL = 0,
    W_SERIAL = 10, // 20 characters
    W_MODEL = 27,  // 40 characters
    W_CAPABILITIES = 49,
    W_SECTORS28 = 60, // two words
    W_SUPPORTED_2 = 83,
    W_SUPPORTED_3 = 84,
    W_ENABLED_1 = 85,
    W_SECTORS48 = 100, // four words
    W_SECTOR_SIZE = 106,
    W_LOGICAL_SIZE = 117, // two words: 16-bit words in a logical sector
    W_TRIM = 169,
};

static uint16_t word(const uint8_t *identity, unsigned n)
{
    return (uint16_t)(identity[2 * n] | identity[2 * n + 1] << 8);
}

static uint64_t words(const uint8_t *identity, unsigned n, unsigned count)
{
    uint64_t value = 0;

    for (unsigned i = count; i-- > 0;) {
        value = value << 16 | word(identity, n + i);
    }
    return value;
}

// Words 83, 84, 106 say by their upper two bits (01) that they mean something.
static uint16_t valid_word(const uint8_t *identity, unsigned n)
{
    uint16_t value = word(identity, n);

    return (value & 0xc000) == 0x4000 ? value : 0;
}

static bool read_sizes(const uint8_t *identity, struct ata_facts *facts, struct block_device *dev)
{
    uint16_t sizes = valid_word(identity, W_SECTOR_SIZE);
    uint64_t logical = BLOCK_SECTOR, count;

    if ((sizes & BIT(12)) != 0) {
        logical = words(identity, W_LOGICAL_SIZE, 2) * 2;
    }
    count = words(identity, facts->lba48 ? W_SECTORS48 : W_SECTORS28, facts->lba48 ? 4 : 2);
    if ((logical != BLOCK_SECTOR && logical != PAGE_SIZE) || count == 0 ||
        count > (facts->lba48 ? LBA48_LIMIT : LBA28_LIMIT)) {
        return false;
    }
    facts->unit = (uint32_t)(logical / BLOCK_SECTOR);
    dev->sectors = count * facts->unit;
    dev->logical_block = (uint32_t)logical;
    // Bit 13: a physical sector is 2^(bits 3:0) logical ones.
    dev->physical_block = logical == PAGE_SIZE || ((sizes & BIT(13)) != 0 && (sizes & 0xf) >= 3)
                              ? (uint32_t)PAGE_SIZE
                              : BLOCK_SECTOR;
    return true;
}

bool ata_identify(const uint8_t *identity, struct ata_facts *facts, struct block_device *dev,
                  const char **why)
{
    uint16_t supported = valid_word(identity, W_SUPPORTED_2);

    *facts = (struct ata_facts){
        .lba48 = (supported & BIT(10)) != 0,
        .flush_ext = (supported & BIT(13)) != 0,
        .fua = (supported & BIT(10)) != 0 && (valid_word(identity, W_SUPPORTED_3) & BIT(6)) != 0,
    };
    if ((word(identity, W_GENERAL) & BIT(15)) != 0 || (word(identity, W_CAPABILITIES) & BIT(9)) == 0 ||
        (word(identity, W_CAPABILITIES) & BIT(8)) == 0) {
        *why = "it is no disk with LBA and DMA";
        return false;
    }
    if (!read_sizes(identity, facts, dev)) {
        *why = "it has no usable size";
        return false;
    }
    disk_copy_text(dev->model, sizeof(dev->model), identity + 2 * W_MODEL, 40, true);
    disk_copy_text(dev->serial, sizeof(dev->serial), identity + 2 * W_SERIAL, 20, true);
    dev->write_cache = (word(identity, W_ENABLED_1) & BIT(5)) != 0;
    dev->can_discard = facts->lba48 && (word(identity, W_TRIM) & BIT(0)) != 0;
    dev->max_discard = dev->can_discard ? RANGES_PER_BLOCK * RANGE_COUNT * facts->unit : 0;
    dev->max_sectors = facts->lba48 ? BLOCK_MAX_SECTORS : LBA28_COUNT;
    return true;
}

static uint8_t opcode(const struct ata_facts *facts, const struct block_request *r, enum block_op step)
{
    switch (step) {
    case BLOCK_READ:
        return facts->lba48 ? READ_DMA_EXT : READ_DMA;
    case BLOCK_WRITE:
        if (r->fua && facts->fua) {
            return WRITE_DMA_FUA_EXT;
        }
        return facts->lba48 ? WRITE_DMA_EXT : WRITE_DMA;
    case BLOCK_DISCARD:
        return DATA_SET_MANAGEMENT;
    default:
        return facts->flush_ext ? FLUSH_CACHE_EXT : FLUSH_CACHE;
    }
}

struct ata_command ata_command_for(const struct ata_facts *facts, const struct block_request *request,
                                   enum block_op step)
{
    struct ata_command c = {
        .command = opcode(facts, request, step),
        .device = DEVICE_LBA,
        .extended = facts->lba48,
        .has_data = step != BLOCK_FLUSH,
    };

    if (step == BLOCK_READ || step == BLOCK_WRITE) {
        c.lba = request->sector / facts->unit;
        c.count = (uint16_t)(request->sectors / facts->unit);
    } else if (step == BLOCK_DISCARD) {
        c.features = FEATURE_TRIM;
        c.count = 1; // block of range entries
    } else {
        c.extended = facts->flush_ext;
    }
    if (!c.extended) {
        c.device |= (uint8_t)(c.lba >> 24 & 0xf);
        c.count &= 0xff;
    }
    return c;
}

void ata_trim_ranges(const struct ata_facts *facts, const struct block_request *request, uint64_t entries[64])
{
    uint64_t lba = request->sector / facts->unit;
    uint32_t left = request->sectors / facts->unit;

    memset(entries, 0, RANGES_PER_BLOCK * sizeof(entries[0]));
    for (uint32_t i = 0; i < RANGES_PER_BLOCK && left > 0; i++) {
        uint32_t count = MIN(left, RANGE_COUNT);

        entries[i] = lba | (uint64_t)count << 48;
        lba += count;
        left -= count;
    }
}
