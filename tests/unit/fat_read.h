// SPDX-License-Identifier: Apache-2.0
// Reads FAT12 images as a driver would: long names, chains of clusters. For tests; every step is asserted.
#ifndef TESTS_FAT_READ_H
#define TESTS_FAT_READ_H

#include <keelson/types.h>

// The file's contents from malloc(), with a NUL behind; NULL: there is no such file.
char *fat_read(const uint8_t *image, size_t bytes, const char *name, size_t *length);
// The volume's label without the blanks at its end.
void fat_read_label(const uint8_t *image, char label[12]);

#endif
