// SPDX-License-Identifier: Apache-2.0
// Walks of the guest's page tables: 5-level, 4-level, PAE, 32-bit and none; see guest_walk.h.
//
// One loop serves all paging modes; what differs is in struct paging_mode. Source: SDM 3A "Paging".
#include "arch/x86/guest_walk.h"

#include "arch/x86/x86.h"

#define PTE_PRESENT BIT(0)
#define PTE_WRITE BIT(1)
#define PTE_USER BIT(2)
#define PTE_LARGE BIT(7)
#define PTE_NX BIT(63)
#define ADDRESS_BITS 0x000ffffffffff000ull

struct paging_mode {
    uint8_t levels;
    uint8_t index_bits; // of each level
    uint8_t entry_size;
    uint8_t large_levels;    // bit n: level n may hold a page
    bool top_without_rights; // PAE: the PDPTEs carry none
};

struct walk {
    struct paging_mode mode;
    uint64_t root;
    uint64_t reserved;               // bits that must be 0 in every entry
    bool writable, user, no_execute; // of the page, over all levels
    const void *entry[6];            // by level: where each entry is and what it was
    uint64_t value[6];
    uint8_t leaf; // level of the page
};

static const struct paging_mode mode_64 = {
    .levels = 4, .index_bits = 9, .entry_size = 8, .large_levels = 0xc};
static const struct paging_mode mode_pae = {
    .levels = 3, .index_bits = 9, .entry_size = 8, .large_levels = 0x4, .top_without_rights = true};
static const struct paging_mode mode_32 = {.levels = 2, .index_bits = 10, .entry_size = 4};

static uint64_t reserved_bits(struct vp *vp, uint64_t efer)
{
    uint64_t high = ADDRESS_BITS & ~(BIT(vp->partition->gpa_width) - 1);

    return high | (efer & EFER_NXE ? 0 : PTE_NX);
}

static void walk_prepare(struct vp *vp, uint64_t efer, struct walk *w)
{
    uint64_t cr3 = vp_reg(vp, HV_REG_CR3);
    uint64_t cr4 = vp_reg(vp, HV_REG_CR4);

    *w = (struct walk){.writable = true, .user = true};
    if (efer & EFER_LMA) {
        w->mode = mode_64;
        w->mode.levels = cr4 & CR4_LA57 ? 5 : 4;
        w->root = cr3 & ADDRESS_BITS;
        w->reserved = reserved_bits(vp, efer);
    } else if (cr4 & CR4_PAE) {
        w->mode = mode_pae;
        w->root = cr3 & 0xffffffe0;
        w->reserved = reserved_bits(vp, efer);
    } else {
        w->mode = mode_32;
        w->mode.large_levels = cr4 & CR4_PSE ? 0x4 : 0;
        w->root = cr3 & 0xfffff000;
    }
}

// Page frame of a large page. With 32-bit tables bits 20:13 are address bits 39:32 (PSE-36).
static uint64_t large_base(uint64_t entry, const struct walk *w, uint64_t page_size)
{
    if (w->mode.entry_size == 4) {
        return (entry & 0xffc00000) | (entry >> 13 & 0xff) << 32;
    }
    return entry & ADDRESS_BITS & ~(page_size - 1);
}

// Reads an entry once and remembers where it was.
static bool read_entry(struct vp *vp, struct walk *w, int level, uint64_t address)
{
    const void *entry = vp_gpa_pointer(vp->partition, GPA(address));

    if (entry == NULL) {
        return false;
    }
    w->entry[level] = entry;
    w->value[level] = w->mode.entry_size == 8 ? __atomic_load_n((const uint64_t *)entry, __ATOMIC_RELAXED)
                                              : __atomic_load_n((const uint32_t *)entry, __ATOMIC_RELAXED);
    return true;
}

static uint32_t walk_tables(struct vp *vp, struct walk *w, uint64_t gva, gpa_t *gpa)
{
    uint64_t table = w->root;

    for (int level = w->mode.levels;; level--) {
        unsigned shift = PAGE_SHIFT + w->mode.index_bits * (unsigned)(level - 1);
        uint64_t index = gva >> shift & ((1u << w->mode.index_bits) - 1);
        uint64_t entry;

        if (!read_entry(vp, w, level, table + index * w->mode.entry_size)) {
            return TRANSLATE_GPA_UNMAPPED;
        }
        entry = w->value[level];
        w->leaf = (uint8_t)level;
        if ((entry & PTE_PRESENT) == 0) {
            return TRANSLATE_NOT_PRESENT;
        }
        if ((entry & w->reserved) != 0) {
            return TRANSLATE_INVALID_FLAGS;
        }
        if (!(w->mode.top_without_rights && level == w->mode.levels)) {
            w->writable &= (entry & PTE_WRITE) != 0;
            w->user &= (entry & PTE_USER) != 0;
            w->no_execute |= (entry & PTE_NX) != 0;
        }
        if (level == 1) {
            *gpa = GPA((entry & ADDRESS_BITS) | (gva & ~PAGE_MASK));
            return TRANSLATE_OK;
        }
        if ((entry & PTE_LARGE) != 0 && (w->mode.large_levels >> level & 1) != 0) {
            *gpa = GPA(large_base(entry, w, BIT(shift)) | (gva & (BIT(shift) - 1)));
            return TRANSLATE_OK;
        }
        table = entry & ADDRESS_BITS;
    }
}

// SDM 3A "Determination of Access Rights"; protection keys are not offered to guests.
static bool rights_allow(struct vp *vp, const struct walk *w, unsigned access)
{
    bool user_mode = !(access & TRANSLATE_SUPERVISOR) && vp_cpl(vp) == 3;
    uint64_t cr4;

    if ((access & TRANSLATE_EXECUTE) && w->no_execute) {
        return false;
    }
    if (user_mode) {
        return w->user && (w->writable || !(access & TRANSLATE_WRITE));
    }
    if ((access & TRANSLATE_WRITE) && !w->writable && (vp_reg(vp, HV_REG_CR0) & CR0_WP)) {
        return false;
    }
    if (!w->user) {
        return true;
    }
    cr4 = vp_reg(vp, HV_REG_CR4);
    if ((access & TRANSLATE_EXECUTE) && (cr4 & CR4_SMEP)) {
        return false;
    }
    return !(access & (TRANSLATE_READ | TRANSLATE_WRITE)) || !(cr4 & CR4_SMAP) ||
           (!(access & TRANSLATE_SUPERVISOR) && (vp_reg(vp, HV_REG_RFLAGS) & BIT(18)));
}

static bool is_canonical(uint64_t gva, unsigned levels)
{
    unsigned shift = 64 - (PAGE_SHIFT + 9 * levels);

    return (uint64_t)((int64_t)(gva << shift) >> shift) == gva;
}

// Without rights. *w is what the walk found; w->leaf stays 0 when paging is off.
static uint32_t translate(struct vp *vp, uint64_t gva, uint64_t efer, struct walk *w, gpa_t *gpa)
{
    if ((vp_reg(vp, HV_REG_CR0) & CR0_PG) == 0) {
        *w = (struct walk){.writable = true, .user = true};
        *gpa = GPA((uint32_t)gva);
        return TRANSLATE_OK;
    }
    walk_prepare(vp, efer, w);
    if ((efer & EFER_LMA) == 0) {
        gva = (uint32_t)gva;
    } else if (!is_canonical(gva, w->mode.levels)) {
        return TRANSLATE_NOT_PRESENT;
    }
    return walk_tables(vp, w, gva, gpa);
}

bool vp_translate(struct vp *vp, gva_t gva, unsigned access, gpa_t *gpa, uint32_t *result)
{
    struct walk w;

    *result = translate(vp, gva.v, vp_reg(vp, HV_REG_EFER), &w, gpa);
    if (*result == TRANSLATE_OK && w.leaf != 0 && (access & 7) != 0 && !rights_allow(vp, &w, access)) {
        *result = TRANSLATE_PRIVILEGE;
    }
    return *result == TRANSLATE_OK;
}

enum decode_mode guest_code_mode(struct vp *vp)
{
    uint32_t mode = virt->mode(vp);

    if ((mode & VP_MODE_LMA) != 0 && (mode & VP_MODE_CS_L) != 0) {
        return DECODE_64;
    }
    return (mode & VP_MODE_CS_D) != 0 ? DECODE_32 : DECODE_16;
}

// --- instruction fetch ---

static uint64_t generation(const struct vp *vp)
{
    return __atomic_load_n(&vp->partition->gpa_generation, __ATOMIC_ACQUIRE);
}

// Do the page tables still lead where they did at the last fetch?
static bool cache_holds(const struct vp *vp, uint64_t cr3, uint64_t linear)
{
    const struct fetch_cache *c = &vp->fetch;

    if (c->code == NULL || c->page != linear >> PAGE_SHIFT || c->cr3 != cr3 ||
        c->generation != generation(vp)) {
        return false;
    }
    for (unsigned i = c->first; i < ARRAY_LEN(c->entry); i++) {
        if (__atomic_load_n(c->entry[i], __ATOMIC_RELAXED) != c->value[i]) {
            return false;
        }
    }
    return true;
}

static void cache_fill(struct vp *vp, uint64_t linear, const struct walk *w, const uint8_t *code,
                       uint64_t gen)
{
    struct fetch_cache *c = &vp->fetch;

    c->code = NULL;
    if (w->leaf == 0 || w->mode.levels != 4) {
        return;
    }
    c->first = w->leaf - 1;
    for (unsigned level = w->leaf; level <= 4; level++) {
        c->entry[level - 1] = w->entry[level];
        c->value[level - 1] = w->value[level];
    }
    c->cr3 = vp_reg(vp, HV_REG_CR3);
    c->page = linear >> PAGE_SHIFT;
    c->generation = gen;
    c->code = code - (linear & ~PAGE_MASK);
}

// Copies bytes of one page. No rights are checked: the processor has fetched this instruction already.
static bool fetch_part(struct vp *vp, uint64_t linear, uint64_t efer, uint8_t *to, size_t len)
{
    struct walk w;
    gpa_t gpa;
    uint64_t gen = generation(vp);
    const uint8_t *code;

    if (translate(vp, linear, efer, &w, &gpa) != TRANSLATE_OK) {
        return false;
    }
    code = vp_gpa_pointer(vp->partition, gpa);
    if (code == NULL) {
        return false;
    }
    __builtin_memcpy(to, code, len);
    cache_fill(vp, linear, &w, code, gen);
    return true;
}

static uint64_t code_base(struct vp *vp)
{
    union hv_register_value cs;

    (void)virt->get_reg(vp, HV_REG_CS, &cs);
    return cs.segment.base;
}

static size_t fetch_slow(struct vp *vp, uint64_t linear, uint8_t bytes[16])
{
    uint64_t efer = vp_reg(vp, HV_REG_EFER);
    size_t first = MIN(DECODE_MAX_INSN, PAGE_SIZE - (linear & ~PAGE_MASK));

    __builtin_memset(bytes, 0, 16);
    if (!fetch_part(vp, linear, efer, bytes, first)) {
        return 0;
    }
    if (first < DECODE_MAX_INSN &&
        fetch_part(vp, linear + first, efer, bytes + first, DECODE_MAX_INSN - first)) {
        return DECODE_MAX_INSN;
    }
    return first;
}

size_t guest_fetch(struct vp *vp, uint8_t bytes[16], enum decode_mode *mode)
{
    uint64_t linear = vp_reg(vp, HV_REG_RIP);

    *mode = guest_code_mode(vp);
    if (*mode != DECODE_64) {
        return fetch_slow(vp, (uint32_t)(linear + code_base(vp)), bytes);
    }
    if ((linear & ~PAGE_MASK) <= PAGE_SIZE - 16 && cache_holds(vp, vp_reg(vp, HV_REG_CR3), linear)) {
        __builtin_memcpy(bytes, vp->fetch.code + (linear & ~PAGE_MASK), 16);
        return DECODE_MAX_INSN;
    }
    return fetch_slow(vp, linear, bytes);
}

size_t vp_fetch_insn(struct vp *vp, uint8_t bytes[16])
{
    enum decode_mode mode;

    return guest_fetch(vp, bytes, &mode);
}
