// SPDX-License-Identifier: Apache-2.0
// What the firmware knows about the machine besides memory and processors.
#ifndef KEELSON_BOOT_FIRMWARE_H
#define KEELSON_BOOT_FIRMWARE_H

#include <efi.h>
#include <keelson/bootinfo.h>

// The handle of this application, set once by efi_main().
extern EFI_HANDLE firmware_image;

// Sets rsdp and smbios from the EFI configuration tables; 0 where there is none.
void firmware_find_tables(struct boot_info *info);

// Sets fb from the Graphics Output Protocol when it has a linear 32-bit frame buffer.
void firmware_find_framebuffer(struct boot_info *info);

// Sets unix_time and tsc_at_time from the firmware's clock.
void firmware_read_clock(struct boot_info *info);

// Sets tsc_hz_hint by timing a stall of 10 ms.
void firmware_measure_tsc(struct boot_info *info);

#endif
