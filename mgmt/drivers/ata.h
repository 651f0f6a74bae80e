// SPDX-License-Identifier: Apache-2.0
// ATA commands, for IDE and AHCI: facts from IDENTIFY DEVICE, task files (ATA/ATAPI Command Set, ACS-3).
#ifndef MGMT_DRIVERS_ATA_H
#define MGMT_DRIVERS_ATA_H

#include "mgmt/block/block.h"

#define ATA_IDENTIFY_SIZE 512u

#define ATA_IDENTIFY_DEVICE 0xec

#define ATA_STATUS_ERR BIT(0)
#define ATA_STATUS_DRQ BIT(3)
#define ATA_STATUS_DF BIT(5)
#define ATA_STATUS_BSY BIT(7)
#define ATA_ERROR_ICRC BIT(7) // damaged on the cable, not on the medium

struct ata_facts {
    bool lba48, flush_ext, fua;
    uint32_t unit; // sectors (BLOCK_SECTOR) in a logical sector
};

struct ata_command {
    uint8_t command, features, device;
    uint64_t lba;   // 48 bits, 28 for commands of the old kind
    uint16_t count; // 0: the largest
    bool extended;  // has 48-bit fields
    bool has_data;
};

// Reads a disk's identity (512 bytes as the device gives them). Fills the facts and the device's model, serial, sizes
// and capabilities; limits of the controller are the caller's. False: not a disk that can be used, *why says so.
MUST_CHECK bool ata_identify(const uint8_t *identity, struct ata_facts *facts, struct block_device *dev,
                             const char **why);

// The command for what is to be done (unit_step()) for a request.
struct ata_command ata_command_for(const struct ata_facts *facts, const struct block_request *request,
                                   enum block_op step);

// The data of a discard: one sector of LBA range entries (ACS-3 "LBA Range Entries").
void ata_trim_ranges(const struct ata_facts *facts, const struct block_request *request,
                     uint64_t entries[64]);

#endif
