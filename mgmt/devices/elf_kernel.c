// SPDX-License-Identifier: Apache-2.0
// Reads ELF executables of both classes into one form.
#include "mgmt/devices/elf_kernel.h"

#define PROGRAM_HEADERS_MAX 64
#define NOTES_MAX_BYTES 65536u
#define NOTES_MAX 256

enum { CLASS_32 = 1, CLASS_64 = 2, DATA_LSB = 1, ET_EXEC = 2, EM_386 = 3, EM_X86_64 = 62 };
enum { PT_LOAD = 1, PT_NOTE = 4 };
#define XEN_ELFNOTE_PHYS32_ENTRY 18

// gABI figures 4-3 and 5-1, both classes.
struct elf_ident {
    uint8_t magic[4], class, data, version, os_abi, abi_version, pad[7];
};
struct elf_header32 {
    struct elf_ident ident;
    uint16_t type, machine;
    uint32_t version, entry, phoff, shoff, flags;
    uint16_t ehsize, phentsize, phnum, shentsize, shnum, shstrndx;
};
struct elf_header64 {
    struct elf_ident ident;
    uint16_t type, machine;
    uint32_t version;
    uint64_t entry, phoff, shoff;
    uint32_t flags;
    uint16_t ehsize, phentsize, phnum, shentsize, shnum, shstrndx;
};
struct program_header32 {
    uint32_t type, offset, vaddr, paddr, filesz, memsz, flags, align;
};
struct program_header64 {
    uint32_t type, flags;
    uint64_t offset, vaddr, paddr, filesz, memsz, align;
};
_Static_assert(sizeof(struct elf_header32) == 52 && sizeof(struct program_header32) == 32, "gABI");
_Static_assert(sizeof(struct elf_header64) == 64 && sizeof(struct program_header64) == 56, "gABI");

struct note_header { // gABI figure 5-3
    uint32_t name_size, desc_size, type;
};

// While a file is read; program headers of class 32 are widened.
struct reading {
    const struct image_reader *file;
    struct elf_kernel *elf;
    char *error;
    size_t error_size;
    bool is64;
    uint64_t entry; // as the file has it
    uint64_t phoff;
    uint16_t phnum;
    bool entry_known; // as a virtual address
};

static const uint8_t elf_magic[4] = {0x7f, 'E', 'L', 'F'};

bool elf_kernel_is(const struct image_reader *file)
{
    uint8_t magic[4];

    return image_read_exact(file, 0, magic, sizeof(magic)) &&
           __builtin_memcmp(magic, elf_magic, sizeof(magic)) == 0;
}

static bool refuse(const struct reading *r, const char *text)
{
    return kernel_refuse(r->error, r->error_size, "%s", text);
}

static bool read_header64(struct reading *r)
{
    struct elf_header64 h;

    if (!image_read_exact(r->file, 0, &h, sizeof(h))) {
        return refuse(r, "ELF file is truncated: no header");
    }
    if (h.phentsize != sizeof(struct program_header64)) {
        return refuse(r, "ELF file has program headers of an unknown size");
    }
    r->entry = h.entry;
    r->phoff = h.phoff;
    r->phnum = h.phnum;
    return true;
}

static bool read_header32(struct reading *r)
{
    struct elf_header32 h;

    if (!image_read_exact(r->file, 0, &h, sizeof(h))) {
        return refuse(r, "ELF file is truncated: no header");
    }
    if (h.phentsize != sizeof(struct program_header32)) {
        return refuse(r, "ELF file has program headers of an unknown size");
    }
    r->entry = h.entry;
    r->phoff = h.phoff;
    r->phnum = h.phnum;
    return true;
}

static bool read_header(struct reading *r)
{
    struct {
        struct elf_ident ident;
        uint16_t type, machine;
    } h;

    if (!image_read_exact(r->file, 0, &h, sizeof(h)) ||
        __builtin_memcmp(h.ident.magic, elf_magic, sizeof(elf_magic)) != 0) {
        return refuse(r, "not an ELF file");
    }
    if ((h.ident.class != CLASS_32 && h.ident.class != CLASS_64) || h.ident.data != DATA_LSB ||
        (h.machine != EM_386 && h.machine != EM_X86_64)) {
        return refuse(r, "ELF file is not for x86: i386 or x86-64, least significant byte first, is needed");
    }
    if (h.type != ET_EXEC) {
        return refuse(r, "ELF file is no executable at fixed addresses (ET_EXEC)");
    }
    r->is64 = h.ident.class == CLASS_64;
    if (!(r->is64 ? read_header64(r) : read_header32(r))) {
        return false;
    }
    if (r->phnum == 0 || r->phnum > PROGRAM_HEADERS_MAX) {
        return refuse(r, "ELF file has no program headers, or more than 64");
    }
    return true;
}

static bool read_program_header(const struct reading *r, uint16_t index, struct program_header64 *p)
{
    struct program_header32 narrow = {0};
    size_t size = r->is64 ? sizeof(*p) : sizeof(narrow);
    void *to = r->is64 ? (void *)p : (void *)&narrow;

    *p = (struct program_header64){0};
    if (r->phoff > r->file->size || !image_read_exact(r->file, r->phoff + index * size, to, size)) {
        return refuse(r, "ELF file is truncated: its program headers lie behind its end");
    }
    if (!r->is64) {
        *p = (struct program_header64){
            .type = narrow.type,
            .offset = narrow.offset,
            .vaddr = narrow.vaddr,
            .paddr = narrow.paddr,
            .filesz = narrow.filesz,
            .memsz = narrow.memsz,
            .align = narrow.align,
        };
    }
    return true;
}

static bool in_file(const struct reading *r, const struct program_header64 *p)
{
    return p->offset <= r->file->size && p->filesz <= r->file->size - p->offset;
}

// --- segments ---

static bool add_segment(struct reading *r, const struct program_header64 *p)
{
    struct elf_kernel *elf = r->elf;

    if (p->memsz == 0 && p->filesz == 0) {
        return true;
    }
    if (p->filesz > p->memsz || !in_file(r, p)) {
        return refuse(r, "ELF file is truncated, or a segment is larger in the file than in memory");
    }
    if (p->paddr > UINT32_MAX || p->memsz > UINT32_MAX + 1ull - p->paddr) {
        return refuse(r, "ELF file has a segment whose physical address is not below 4 GiB");
    }
    if (elf->segment_count == KERNEL_MAX_SEGMENTS) {
        return refuse(r, "ELF file has more than 16 segments to load");
    }
    elf->segment[elf->segment_count++] = (struct kernel_segment){
        .offset = p->offset, .file_size = p->filesz, .gpa = p->paddr, .memory_size = p->memsz};
    if (r->entry >= p->vaddr && r->entry - p->vaddr < p->memsz && !r->entry_known) {
        r->entry_known = true;
        elf->entry = (uint32_t)(p->paddr + (r->entry - p->vaddr));
    }
    return true;
}

bool elf_kernel_holds(const struct elf_kernel *elf, uint64_t gpa)
{
    for (size_t i = 0; i < elf->segment_count; i++) {
        if (gpa >= elf->segment[i].gpa && gpa - elf->segment[i].gpa < elf->segment[i].memory_size) {
            return true;
        }
    }
    return false;
}

// e_entry is a virtual address of a segment (then its physical one counts), or physical already, as in Linux.
static void settle_entry(struct reading *r)
{
    r->elf->entry_loaded = r->entry_known || elf_kernel_holds(r->elf, r->entry);
    if (!r->entry_known && r->elf->entry_loaded) {
        r->elf->entry = (uint32_t)r->entry;
    }
}

// --- notes ---

static bool is_xen(const struct reading *r, uint64_t offset, const struct note_header *note)
{
    char name[4];

    return note->name_size == sizeof(name) && image_read_exact(r->file, offset, name, sizeof(name)) &&
           __builtin_memcmp(name, "Xen", sizeof(name)) == 0;
}

static bool read_phys32(struct reading *r, uint64_t offset, uint32_t size)
{
    if ((size != 4 && size != 8) || !image_read_exact(r->file, offset, &r->elf->phys32_entry,
                                                      size)) { // zero before: both orders are little
        return refuse(r, "ELF file's PVH note (XEN_ELFNOTE_PHYS32_ENTRY) is not 4 or 8 bytes long");
    }
    r->elf->has_pvh = true;
    return true;
}

static bool read_notes(struct reading *r, const struct program_header64 *p)
{
    uint64_t align = p->align == 8 ? 8 : 4;
    uint64_t at = p->offset, end = p->offset + p->filesz;
    struct note_header note;

    if (!in_file(r, p) || p->filesz > NOTES_MAX_BYTES) {
        return refuse(r, "ELF file is truncated, or its notes are longer than 64 KiB");
    }
    for (unsigned n = 0; n < NOTES_MAX && end - at >= sizeof(note); n++) {
        uint64_t name, desc;

        if (!image_read_exact(r->file, at, &note, sizeof(note))) {
            return refuse(r, "kernel file cannot be read");
        }
        name = at + sizeof(note);
        desc = p->offset + ALIGN_UP(name + note.name_size - p->offset, align);
        at = p->offset + ALIGN_UP(desc + note.desc_size - p->offset, align);
        if (desc > end || note.desc_size > end - desc) {
            return refuse(r, "ELF file has a note that reaches beyond its segment");
        }
        if (note.type == XEN_ELFNOTE_PHYS32_ENTRY && is_xen(r, name, &note) && !r->elf->has_pvh) {
            return read_phys32(r, desc, note.desc_size);
        }
        if (at > end) { // the last one's padding may be missing
            break;
        }
    }
    return true;
}

bool elf_kernel_read(const struct image_reader *file, struct elf_kernel *elf, char *error, size_t error_size)
{
    struct reading r = {.file = file, .elf = elf, .error = error, .error_size = error_size};
    struct program_header64 p;

    *elf = (struct elf_kernel){0};
    if (!read_header(&r)) {
        return false;
    }
    for (uint16_t i = 0; i < r.phnum; i++) {
        if (!read_program_header(&r, i, &p) || (p.type == PT_LOAD && !add_segment(&r, &p)) ||
            (p.type == PT_NOTE && !read_notes(&r, &p))) {
            return false;
        }
    }
    if (elf->segment_count == 0) {
        return refuse(&r, "ELF file has nothing to load");
    }
    settle_entry(&r);
    return true;
}
