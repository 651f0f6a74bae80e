// SPDX-License-Identifier: Apache-2.0
// Memory, clock, requests and ports for tests of disk drivers.
#include "tests/unit/fake_disk.h"

#include "mgmt/plat.h"
#include "mgmt/drivers/port.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_NS 20000u

uint64_t fake_now_ns;
uint32_t (*fake_port_read)(uint16_t port, unsigned size);
void (*fake_port_write)(uint16_t port, unsigned size, uint32_t value);

static struct region {
    uint64_t gpa, size;
    uint8_t *va;
} regions[] = {{FAKE_CHUNK_GPA, DISK_MEMORY_SIZE, NULL},
               {FAKE_DATA_GPA, FAKE_DATA_SIZE, NULL},
               {FAKE_HIGH_GPA, FAKE_DATA_SIZE, NULL}};

void fake_disk_teardown(void)
{
    for (size_t i = 0; i < ARRAY_LEN(regions); i++) {
        free(regions[i].va);
        regions[i].va = NULL;
    }
}

void fake_disk_setup(void)
{
    fake_disk_teardown();
    for (size_t i = 0; i < ARRAY_LEN(regions); i++) {
        regions[i].va = aligned_alloc(PAGE_SIZE, regions[i].size);
        assert_non_null(regions[i].va);
        memset(regions[i].va, 0, regions[i].size);
    }
    fake_now_ns = SECOND;
    fake_port_read = NULL;
    fake_port_write = NULL;
}

void *fake_at(uint64_t gpa, uint64_t length)
{
    for (size_t i = 0; i < ARRAY_LEN(regions); i++) {
        const struct region *r = &regions[i];

        if (gpa >= r->gpa && gpa - r->gpa <= r->size && length <= r->size - (gpa - r->gpa)) {
            return r->va + (gpa - r->gpa);
        }
    }
    fail_msg("the device was sent to %#llx", (unsigned long long)gpa);
    return NULL;
}

uint64_t plat_now_ns(void)
{
    fake_now_ns += LOOK_NS;
    return fake_now_ns;
}

void *plat_pool_va(gpa_t gpa)
{
    return fake_at(gpa.v, 1);
}

struct disk_setup fake_disk_probe_setup(const struct pci_device *pci)
{
    return (struct disk_setup){.pci = *pci,
                               .memory = {fake_at(FAKE_CHUNK_GPA, DISK_MEMORY_SIZE), FAKE_CHUNK_GPA}};
}

// --- requests ---

static void request_done(struct block_request *r)
{
    CONTAINER_OF(r, struct fake_request, r)->done++;
}

struct fake_request fake_request(enum block_op op, uint64_t sector, uint32_t sectors, uint64_t gpa)
{
    struct fake_request f = {.r = {.op = op, .sector = sector, .sectors = sectors, .done = request_done}};

    if (op == BLOCK_READ || op == BLOCK_WRITE) {
        f.r.segment_count = 1;
        f.r.segments[0] = (struct block_segment){gpa, sectors * BLOCK_SECTOR};
    }
    return f;
}

// --- ports ---

uint8_t port_read8(uint16_t port)
{
    return (uint8_t)fake_port_read(port, 1);
}

uint16_t port_read16(uint16_t port)
{
    return (uint16_t)fake_port_read(port, 2);
}

void port_write8(uint16_t port, uint8_t value)
{
    fake_port_write(port, 1, value);
}

void port_write32(uint16_t port, uint32_t value)
{
    fake_port_write(port, 4, value);
}

// --- identity ---

static void put_word(uint8_t *identity, unsigned n, uint16_t value)
{
    memcpy(identity + 2 * n, &value, 2);
}

static void put_text(uint8_t *identity, unsigned n, size_t length, const char *text)
{
    for (size_t i = 0; i < length; i++) {
        identity[2 * n + (i ^ 1)] = i < strlen(text) ? (uint8_t)text[i] : ' ';
    }
}

void fake_ata_identity(uint8_t identity[512], uint64_t sectors, const char *model, const char *serial)
{
    memset(identity, 0, 512);
    put_word(identity, 0, 0x0040);
    put_text(identity, 10, 20, serial);
    put_text(identity, 27, 40, model);
    put_word(identity, 49, 0x0300);            // LBA, DMA
    put_word(identity, 60, (uint16_t)sectors); // 28-bit size
    put_word(identity, 61, (uint16_t)(sectors >> 16));
    put_word(identity, 83, 0x7400); // LBA48, FLUSH CACHE, FLUSH CACHE EXT
    put_word(identity, 84, 0x4040); // FUA
    put_word(identity, 85, 0x0020); // write cache on
    for (unsigned i = 0; i < 4; i++) {
        put_word(identity, 100 + i, (uint16_t)(sectors >> 16 * i));
    }
    put_word(identity, 106, 0x6003); // eight logical sectors in a physical one
    put_word(identity, 169, 1);      // TRIM
}
