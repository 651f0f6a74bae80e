// SPDX-License-Identifier: Apache-2.0
// How a Keelson disk is partitioned: GPT (UEFI "GUID Partition Table (GPT) Disk Layout") with these types.
//
//   1  ESP            FAT32: EFI/BOOT/BOOTX64.EFI, optionally keelson.cfg
//   2  keelson-slot-a raw: an update's hypervisor and management partition
//   3  keelson-slot-b raw: the other one
//   4  keelson-state  raw: the node's database, images and guest disks
//
// A node recognises its partitions by type GUID alone, wherever they lie and whatever else is on the disk;
// the types are fixed for ever. tools/mkimage.py reads them from this file, so the lines keep their shape.
#ifndef KEELSON_GPT_H
#define KEELSON_GPT_H

#include <stdint.h>

// A GUID as stored on disk: the first three fields are little-endian.
struct gpt_guid {
    uint32_t a;
    uint16_t b;
    uint16_t c;
    uint8_t d[8];
};
_Static_assert(sizeof(struct gpt_guid) == 16, "EFI_GUID");

// clang-format off
#define GPT_TYPE_ESP    ((struct gpt_guid){0xc12a7328, 0xf81f, 0x11d2, {0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b}})
#define GPT_TYPE_SLOT_A ((struct gpt_guid){0x60b1aa81, 0x52db, 0x4108, {0xb9, 0x4f, 0x6d, 0x4e, 0x1b, 0x67, 0xd4, 0xf4}})
#define GPT_TYPE_SLOT_B ((struct gpt_guid){0x046247f0, 0x0480, 0x4983, {0xaf, 0xd9, 0xbf, 0x02, 0xae, 0x3a, 0xee, 0xca}})
#define GPT_TYPE_STATE  ((struct gpt_guid){0xaec33f2d, 0xa185, 0x4d72, {0xb6, 0x0d, 0xc1, 0x5b, 0xe2, 0x97, 0x1d, 0xad}})
// clang-format on

#define GPT_SLOT_BYTES (16ull << 20)

#endif
