// SPDX-License-Identifier: Apache-2.0
// Around a disk driver under test: memory as the device sees it, a clock that the test moves, requests, I/O ports.
#ifndef TESTS_UNIT_FAKE_DISK_H
#define TESTS_UNIT_FAKE_DISK_H

#include "mgmt/block/block.h"
#include "mgmt/drivers/disk.h"

#define FAKE_CHUNK_GPA 0x40000000ull // the driver's
#define FAKE_DATA_GPA 0x40200000ull  // the test's
#define FAKE_HIGH_GPA 0x140000000ull // the test's, beyond 4 GiB
#define FAKE_DATA_SIZE (4ull << 20)

#define SECOND 1000000000ull

// Zeroed memory, the clock at a second, no ports.
void fake_disk_setup(void);
void fake_disk_teardown(void);
// Memory at an address as a device uses it; the test fails if not all of it is there.
void *fake_at(uint64_t gpa, uint64_t length);
// plat_now_ns(). Every look at the clock takes 20 us.
extern uint64_t fake_now_ns;

// Setup for a probe of `pci` with the chunk of memory, no message interrupts.
struct disk_setup fake_disk_probe_setup(const struct pci_device *pci);

struct fake_request {
    struct block_request r;
    unsigned done; // calls of r.done
};
// A request with one segment of memory at `gpa` (not for flush and discard), ready to be submitted.
struct fake_request fake_request(enum block_op op, uint64_t sector, uint32_t sectors, uint64_t gpa);

// The ports that a model answers for; `size` in bytes.
extern uint32_t (*fake_port_read)(uint16_t port, unsigned size);
extern void (*fake_port_write)(uint16_t port, unsigned size, uint32_t value);

// IDENTIFY DEVICE data of a disk with 48-bit LBA, DMA, write cache, FUA and TRIM.
void fake_ata_identity(uint8_t identity[512], uint64_t sectors, const char *model, const char *serial);

#endif
