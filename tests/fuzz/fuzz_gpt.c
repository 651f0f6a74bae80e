// srcs: mgmt/block/gpt.c
// SPDX-License-Identifier: Apache-2.0
// Partition tables from strangers: nothing is read outside disk and buffer, and what is reported lies on the disk.
//
// The input is the beginning of a disk (byte 0: size of a block, byte 1: sectors at the end of the input that are also
// the end of the disk); checksums are made right, so that the parts behind them are reached.
#include "mgmt/block/gpt.h"

#include <stdlib.h>
#include <string.h>

#define BLOCKS_MAX 64u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct disk {
    uint8_t *blocks;
    struct gpt_disk source;
};

static uint32_t crc32(const uint8_t *data, size_t length)
{
    uint32_t crc = ~0u;

    while (length-- > 0) {
        crc ^= *data++;
        for (unsigned bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ ((crc & 1) != 0 ? 0xedb88320u : 0);
        }
    }
    return ~crc;
}

static bool read_blocks(void *context, uint64_t block, uint32_t count)
{
    struct disk *d = context;

    if (block >= d->source.blocks || count > d->source.blocks - block ||
        (uint64_t)count * d->source.block_size > GPT_BUFFER_SIZE) {
        abort(); // it was told how large the disk and the buffer are
    }
    memcpy(d->source.buffer, d->blocks + block * d->source.block_size, (size_t)count * d->source.block_size);
    return true;
}

// Makes both checksums of the header in this block right, as far as its fields make sense.
static void mend(struct disk *d, uint64_t block)
{
    uint8_t *h = d->blocks + block * d->source.block_size;
    uint64_t entries, disk_bytes = d->source.blocks * d->source.block_size;
    uint32_t header_size, count, entry_size, crc;

    memcpy(h, "EFI PART", 8);
    memcpy(&header_size, h + 12, 4);
    memcpy(&entries, h + 72, 8);
    memcpy(&count, h + 80, 4);
    memcpy(&entry_size, h + 84, 4);
    if (entries < d->source.blocks &&
        (uint64_t)count * entry_size <= disk_bytes - entries * d->source.block_size) {
        crc = crc32(d->blocks + entries * d->source.block_size, (size_t)count * entry_size);
        memcpy(h + 88, &crc, 4);
    }
    memset(h + 16, 0, 4);
    if (header_size <= d->source.block_size) {
        crc = crc32(h, header_size);
        memcpy(h + 16, &crc, 4);
    }
}

static void check(const struct disk *d, const struct gpt *gpt)
{
    if (gpt->count > GPT_PARTITIONS_MAX || (gpt->source == GPT_NONE && gpt->count != 0)) {
        abort();
    }
    for (uint32_t i = 0; i < gpt->count; i++) {
        const struct gpt_partition *p = &gpt->partitions[i];

        if (p->blocks == 0 || p->first >= d->source.blocks || p->blocks > d->source.blocks - p->first ||
            strlen(p->label) >= sizeof(p->label)) {
            abort();
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct disk d = {.source = {.read = read_blocks, .context = &d}};
    struct gpt gpt;
    size_t bytes, tail;
    bool damaged;

    if (size < 2) {
        return 0;
    }
    d.source.block_size = 512u << (data[0] & 3);
    d.source.blocks = BLOCKS_MAX - (data[0] >> 2);
    bytes = (size_t)d.source.blocks * d.source.block_size;
    tail = MIN(MIN((size_t)data[1] * 512, size - 2), bytes);
    d.blocks = calloc(1, bytes);
    d.source.buffer = malloc(GPT_BUFFER_SIZE); // exactly as large: sanitizers see the first byte beyond
    memcpy(d.blocks, data + 2, MIN(size - 2, bytes));
    memcpy(d.blocks + bytes - tail, data + size - tail, tail);
    if (d.source.blocks > 2) {
        mend(&d, d.source.blocks - 1);
        if ((data[1] & 1) != 0) {
            mend(&d, 1);
        }
    }
    gpt_read(&d.source, &gpt, &damaged);
    check(&d, &gpt);
    free(d.blocks);
    free(d.source.buffer);
    return 0;
}
