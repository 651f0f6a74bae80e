// SPDX-License-Identifier: Apache-2.0
// Reads keelson.cfg through the EFI file protocol.
#include "boot/config.h"

#include "boot/firmware.h"
#include <efi.h>
#include <efilib.h>

static EFI_FILE_HANDLE open_config(void)
{
    EFI_LOADED_IMAGE *image;
    EFI_SIMPLE_FILE_SYSTEM_PROTOCOL *volume;
    EFI_FILE_HANDLE root, file = NULL;
    EFI_GUID image_guid = EFI_LOADED_IMAGE_PROTOCOL_GUID;
    EFI_GUID volume_guid = EFI_SIMPLE_FILE_SYSTEM_PROTOCOL_GUID;

    if (EFI_ERROR(BS->HandleProtocol(firmware_image, &image_guid, (void **)&image)) ||
        EFI_ERROR(BS->HandleProtocol(image->DeviceHandle, &volume_guid, (void **)&volume)) ||
        EFI_ERROR(volume->OpenVolume(volume, &root))) {
        return NULL; // for example loaded over the network
    }
    if (EFI_ERROR(root->Open(root, &file, L"\\keelson.cfg", EFI_FILE_MODE_READ, 0))) {
        file = NULL;
    }
    root->Close(root);
    return file;
}

enum config_result config_read(struct boot_info *info)
{
    EFI_FILE_HANDLE file = open_config();
    if (file == NULL) {
        return CONFIG_ABSENT;
    }
    UINTN size = BOOT_CONFIG_MAX;
    EFI_STATUS status = file->Read(file, &size, info->config);
    file->Close(file);
    if (EFI_ERROR(status)) {
        info->config[0] = '\0';
        return CONFIG_ABSENT;
    }
    bool cut = size == BOOT_CONFIG_MAX; // one byte more than fits with its terminator
    info->config_len = config_tidy(info->config, (uint32_t)size, cut);
    return cut ? CONFIG_CUT : CONFIG_FOUND;
}
