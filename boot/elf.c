// SPDX-License-Identifier: Apache-2.0
// Checks and loads a static ELF64 executable (System V ABI, "Object Files" and "Program Loading").
#include "boot/elf.h"

#include "boot/mem.h"

struct elf_header {
    uint8_t ident[16];
    uint16_t type, machine;
    uint32_t version;
    uint64_t entry, phoff, shoff;
    uint32_t flags;
    uint16_t ehsize, phentsize, phnum, shentsize, shnum, shstrndx;
};

struct elf_segment {
    uint32_t type, flags;
    uint64_t offset, vaddr, paddr, filesz, memsz, align;
};

_Static_assert(sizeof(struct elf_header) == 64, "Elf64_Ehdr");
_Static_assert(sizeof(struct elf_segment) == 56, "Elf64_Phdr");

#define ET_EXEC 2
#define EM_X86_64 62
#define PT_LOAD 1
#define PT_DYNAMIC 2
#define PT_INTERP 3
#define PF_EXEC 1
#define PF_WRITE 2
#define MAX_SEGMENTS 16
#define MAX_IMAGE_BYTES (256ull << 20)

static const struct elf_segment *segments(const struct elf_image *image, unsigned *count)
{
    const struct elf_header *header = (const void *)image->file;
    *count = header->phnum;
    return (const void *)(image->file + header->phoff);
}

static const char *check_header(const struct elf_header *header, size_t file_size)
{
    static const uint8_t magic[7] = {0x7f, 'E', 'L', 'F', 2 /* 64-bit */, 1 /* little-endian */, 1};
    if (file_size < sizeof(*header)) {
        return "the file is shorter than an ELF header";
    }
    if (mem_compare(header->ident, magic, sizeof(magic)) != 0) {
        return "not a little-endian ELF64 file";
    }
    if (header->type != ET_EXEC || header->machine != EM_X86_64) {
        return "not a static x86-64 executable";
    }
    if (header->phentsize != sizeof(struct elf_segment) || header->phnum == 0 ||
        header->phnum > MAX_SEGMENTS || header->phoff % 8 != 0) {
        return "bad program header table";
    }
    if (header->phoff > file_size || header->phnum * sizeof(struct elf_segment) > file_size - header->phoff) {
        return "the program headers lie outside the file";
    }
    return NULL;
}

static const char *check_segment(const struct elf_segment *segment, size_t file_size)
{
    if (segment->offset > file_size || segment->filesz > file_size - segment->offset) {
        return "a segment lies outside the file";
    }
    if (segment->filesz > segment->memsz) {
        return "a segment is larger in the file than in memory";
    }
    if (segment->memsz > MAX_IMAGE_BYTES || segment->vaddr + segment->memsz < segment->vaddr) {
        return "a segment is too large";
    }
    if (segment->vaddr % PAGE_SIZE != 0) {
        return "a segment does not begin on a page"; // pages have one kind of rights
    }
    if ((segment->flags & (PF_WRITE | PF_EXEC)) == (PF_WRITE | PF_EXEC)) {
        return "a segment is both writable and executable";
    }
    return NULL;
}

// Begin on a page both, so without overlap they share none.
static bool overlaps(const struct elf_segment *a, const struct elf_segment *b)
{
    return a->vaddr < b->vaddr + b->memsz && b->vaddr < a->vaddr + a->memsz;
}

static bool overlaps_an_earlier_one(const struct elf_segment *table, unsigned index)
{
    for (unsigned i = 0; i < index; i++) {
        if (table[i].type == PT_LOAD && table[i].memsz != 0 && overlaps(&table[i], &table[index])) {
            return true;
        }
    }
    return false;
}

static bool holds_entry(const struct elf_segment *segment, uint64_t entry)
{
    return (segment->flags & PF_EXEC) != 0 && entry >= segment->vaddr &&
           entry - segment->vaddr < segment->filesz;
}

// Checks the loadable segments and computes the bounds of the image.
static const char *check_segments(struct elf_image *image)
{
    unsigned count;
    const struct elf_segment *table = segments(image, &count);
    uint64_t low = UINT64_MAX;
    uint64_t high = 0;
    bool entry_found = false;

    for (unsigned i = 0; i < count; i++) {
        if (table[i].type == PT_DYNAMIC || table[i].type == PT_INTERP) {
            return "the image is dynamically linked";
        }
        if (table[i].type != PT_LOAD) {
            continue;
        }
        const char *error = check_segment(&table[i], image->file_size);
        if (error != NULL) {
            return error;
        }
        if (table[i].memsz == 0) {
            continue;
        }
        if (overlaps_an_earlier_one(table, i)) {
            return "segments overlap";
        }
        low = MIN(low, table[i].vaddr);
        high = MAX(high, table[i].vaddr + table[i].memsz);
        entry_found = entry_found || holds_entry(&table[i], image->entry);
    }
    if (high == 0) {
        return "the image has nothing to load";
    }
    if (!entry_found) {
        return "the entry point is not in an executable segment";
    }
    image->vbase = ALIGN_DOWN(low, PAGE_SIZE_2M);
    image->vend = high;
    return high - image->vbase > MAX_IMAGE_BYTES ? "the image is too large" : NULL;
}

const char *elf_parse(struct elf_image *image, const void *file, size_t file_size)
{
    const struct elf_header *header = file;
    const char *error = check_header(header, file_size);
    if (error != NULL) {
        return error;
    }
    *image = (struct elf_image){.file = file, .file_size = file_size, .entry = header->entry};
    return check_segments(image);
}

void elf_load(const struct elf_image *image, uint8_t *memory)
{
    unsigned count;
    const struct elf_segment *table = segments(image, &count);

    mem_set(memory, 0, image->vend - image->vbase);
    for (unsigned i = 0; i < count; i++) {
        if (table[i].type == PT_LOAD && table[i].memsz != 0) {
            mem_copy(memory + (table[i].vaddr - image->vbase), image->file + table[i].offset,
                     table[i].filesz);
        }
    }
}

uint32_t elf_segments(const struct elf_image *image, struct boot_segment *out, uint32_t cap)
{
    unsigned count;
    const struct elf_segment *table = segments(image, &count);
    uint32_t found = 0;

    for (unsigned i = 0; i < count; i++) {
        if (table[i].type != PT_LOAD || table[i].memsz == 0) {
            continue;
        }
        if (found == cap) {
            return 0;
        }
        out[found++] = (struct boot_segment){
            .vaddr = table[i].vaddr,
            .size = table[i].memsz,
            .rights = table[i].flags & (BOOT_SEGMENT_READ | BOOT_SEGMENT_WRITE | BOOT_SEGMENT_EXEC),
        };
    }
    return found;
}
