// srcs: boot/elf.c boot/mem.c
// SPDX-License-Identifier: Apache-2.0
// Fuzz target: any bytes as an image for the loader; what it accepts is loaded into exactly the memory it asked for.
#include "boot/elf.h"

#include <stdlib.h>
#include <string.h>

#define LOAD_MAX (64u << 20) // larger ones are legal and slow

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct elf_image image = {0};
    void *file = malloc(size + 1); // aligned, as the payload is
    uint8_t *memory;

    if (file == NULL) {
        return 0;
    }
    memcpy(file, data, size);
    if (elf_parse(&image, file, size) == NULL) {
        if (image.vend <= image.vbase || image.entry < image.vbase || image.entry >= image.vend) {
            abort();
        }
        memory = image.vend - image.vbase <= LOAD_MAX ? malloc(image.vend - image.vbase) : NULL;
        if (memory != NULL) {
            elf_load(&image, memory);
        }
        free(memory);
    }
    free(file);
    return 0;
}
