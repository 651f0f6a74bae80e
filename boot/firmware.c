// SPDX-License-Identifier: Apache-2.0
// ACPI and SMBIOS pointers, frame buffer, clock and TSC rate, by way of EFI.
#include "boot/firmware.h"

#include "boot/acpi.h"
#include "boot/x86.h"
#include <efilib.h>

#define STALL_US 10000
#define TIMEZONE_UNSPECIFIED 2047 // UEFI GetTime(): local time of an unknown zone

EFI_HANDLE firmware_image;

static uint64_t configuration_table(EFI_GUID guid)
{
    for (UINTN i = 0; i < ST->NumberOfTableEntries; i++) {
        if (CompareGuid(&ST->ConfigurationTable[i].VendorGuid, &guid) == 0) {
            return (uint64_t)ST->ConfigurationTable[i].VendorTable;
        }
    }
    return 0;
}

void firmware_find_tables(struct boot_info *info)
{
    EFI_GUID acpi2 = ACPI_20_TABLE_GUID;
    EFI_GUID acpi1 = ACPI_TABLE_GUID;
    EFI_GUID smbios3 = SMBIOS3_TABLE_GUID;
    EFI_GUID smbios = SMBIOS_TABLE_GUID;

    info->rsdp = configuration_table(acpi2);
    if (!acpi_rsdp_valid(info->rsdp)) {
        info->rsdp = configuration_table(acpi1);
    }
    if (!acpi_rsdp_valid(info->rsdp)) {
        info->rsdp = 0;
    }
    info->smbios = configuration_table(smbios3);
    if (info->smbios == 0) {
        info->smbios = configuration_table(smbios);
    }
}

// Returns 0 for RGBX, 1 for BGRX, -1 for what nobody can draw on simply.
static int pixel_format(const EFI_GRAPHICS_OUTPUT_MODE_INFORMATION *mode)
{
    if (mode->PixelFormat == PixelRedGreenBlueReserved8BitPerColor) {
        return 0;
    }
    if (mode->PixelFormat == PixelBlueGreenRedReserved8BitPerColor) {
        return 1;
    }
    if (mode->PixelFormat == PixelBitMask && mode->PixelInformation.GreenMask == 0xff00) {
        if (mode->PixelInformation.RedMask == 0xff) {
            return 0;
        }
        if (mode->PixelInformation.RedMask == 0xff0000) {
            return 1;
        }
    }
    return -1;
}

void firmware_find_framebuffer(struct boot_info *info)
{
    EFI_GUID guid = EFI_GRAPHICS_OUTPUT_PROTOCOL_GUID;
    EFI_GRAPHICS_OUTPUT_PROTOCOL *gop;
    if (EFI_ERROR(BS->LocateProtocol(&guid, NULL, (void **)&gop)) || gop->Mode == NULL ||
        gop->Mode->Info == NULL) {
        return;
    }
    const EFI_GRAPHICS_OUTPUT_MODE_INFORMATION *mode = gop->Mode->Info;
    int format = pixel_format(mode);
    uint64_t bytes = (uint64_t)mode->PixelsPerScanLine * mode->VerticalResolution * 4;
    if (format < 0 || bytes == 0 || mode->HorizontalResolution > mode->PixelsPerScanLine ||
        bytes > gop->Mode->FrameBufferSize) {
        return;
    }
    info->fb = (struct boot_framebuffer){
        .base = gop->Mode->FrameBufferBase,
        .width = mode->HorizontalResolution,
        .height = mode->VerticalResolution,
        .stride = mode->PixelsPerScanLine,
        .format = (uint32_t)format,
    };
}

// Days from 1970-01-01 to a date of the Gregorian calendar, for years from 1970.
static int64_t days_since_1970(int64_t year, int64_t month, int64_t day)
{
    // Count years from March, so that the leap day is the last of its year.
    if (month <= 2) {
        year--;
        month += 12;
    }
    int64_t leap_days = year / 4 - year / 100 + year / 400;
    int64_t days_before_month = (153 * (month - 3) + 2) / 5;
    return year * 365 + leap_days + days_before_month + day - 1 - 719468;
}

void firmware_read_clock(struct boot_info *info)
{
    EFI_TIME now;
    if (EFI_ERROR(RT->GetTime(&now, NULL)) || now.Year < 2000 || now.Month < 1 || now.Month > 12) {
        return;
    }
    info->tsc_at_time = rdtsc();
    info->unix_time = days_since_1970(now.Year, now.Month, now.Day) * 86400 + now.Hour * 3600 +
                      now.Minute * 60 + now.Second;
    if (now.TimeZone != TIMEZONE_UNSPECIFIED) {
        info->unix_time += now.TimeZone * 60; // local time = UTC - TimeZone
    }
}

void firmware_measure_tsc(struct boot_info *info)
{
    uint64_t start = rdtsc();
    BS->Stall(STALL_US);
    info->tsc_hz_hint = (rdtsc() - start) * (1000000 / STALL_US);
}
