// SPDX-License-Identifier: Apache-2.0
// A small FAT12 file system in memory, written in one go: a label and a few files in the root directory.
//
// The format is Microsoft's "FAT: General Overview of On-Disk Format" (1.03), names are long ones. Sectors and clusters
// have 512 bytes, each file is one run of clusters; dates are 1980-01-01, so that equal files give equal images.
#ifndef MGMT_BLOCK_FAT_IMAGE_H
#define MGMT_BLOCK_FAT_IMAGE_H

#include <keelson/types.h>

#define FAT_LABEL_MAX 11
#define FAT_NAME_MAX 26       // printable ASCII, none of "*/:<>?\|
#define FAT_CLUSTERS_MAX 339u // what one sector of the table describes

struct fat_file {
    const char *name;
    const void *data;
    uint32_t bytes;
};

// Size of an image of these files, a multiple of 512; 0: they do not fit (clusters, or 16 directory entries).
size_t fat_image_bytes(const struct fat_file *files, unsigned count);
// Fills fat_image_bytes() bytes, which is not 0. `serial` is what a guest sees as the file system's UUID.
void fat_image_write(uint8_t *image, const char *label, uint32_t serial, const struct fat_file *files,
                     unsigned count);

#endif
