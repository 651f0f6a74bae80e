// SPDX-License-Identifier: Apache-2.0
// Walks a guest's page tables as its processor would: rights, faults, accessed and dirty bits.
//
// Source: SDM 3A "Paging": "32-Bit Paging", "PAE Paging", "4-Level Paging and 5-Level Paging", "Access
// Rights", "Accessed and Dirty Flags". Protection keys are not looked at (guests are not offered them).
// Entries are read once; accessed and dirty bits are set by compare-and-exchange, because other VPs of the
// guest run meanwhile.

#include "mgmt/devices/vcpu.h"

#define CR0_WP BIT(16)
#define CR0_PG BIT(31)
#define CR4_PSE BIT(4)
#define CR4_PAE BIT(5)
#define CR4_LA57 BIT(12)
#define CR4_SMEP BIT(20)
#define CR4_SMAP BIT(21)
#define EFER_NXE BIT(11)

#define PTE_P BIT(0)
#define PTE_W BIT(1)
#define PTE_U BIT(2)
#define PTE_A BIT(5)
#define PTE_D BIT(6)
#define PTE_PS BIT(7)
#define PTE_NX BIT(63)
#define PTE_ADDRESS 0x000ffffffffff000ull

#define MAX_LEVELS 5

// What differs between the paging modes.
struct paging {
    uint8_t levels;
    uint8_t index_bits;  // of the lower levels
    uint8_t entry_size;  // 4 or 8
    uint8_t large_level; // highest level whose entry may map a page itself
    uint64_t root;
};

struct walk {
    struct vcpu *v;
    struct paging mode;
    uint64_t linear;
    enum vcpu_access access;
    uint8_t *slot[MAX_LEVELS]; // entries on the way, for the accessed bits
    uint64_t entry[MAX_LEVELS];
    uint8_t depth;
    bool writable, user, no_execute; // so far
};

static struct paging paging_mode(const struct vcpu *v)
{
    if (v->long_mode) {
        bool la57 = v->cr4 & CR4_LA57;

        return (struct paging){la57 ? 5 : 4, 9, 8, 3, v->cr3 & PTE_ADDRESS};
    }
    if (v->cr4 & CR4_PAE) {
        return (struct paging){3, 9, 8, 2, v->cr3 & 0xffffffe0};
    }
    return (struct paging){2, 10, 4, v->cr4 & CR4_PSE ? 2 : 1, v->cr3 & 0xfffff000};
}

static enum emu page_fault(struct walk *w, uint32_t error)
{
    if (w->access == ACCESS_WRITE) {
        error |= PF_WRITE;
    }
    if (w->access == ACCESS_FETCH && (w->v->efer & EFER_NXE || w->v->cr4 & CR4_SMEP)) {
        error |= PF_FETCH;
    }
    if (w->v->cpl == 3) {
        error |= PF_USER;
    }
    w->v->fault.cr2 = w->linear;
    return vcpu_raise(w->v, VECTOR_PF, true, error);
}

// An entry outside RAM reads as all ones, which the reserved bits then refuse.
static uint64_t read_entry(struct walk *w, uint64_t gpa)
{
    uint8_t size = w->mode.entry_size;
    uint8_t *slot = guest_mem_at(&w->v->dev->mem, GPA(gpa), size);

    w->slot[w->depth] = slot;
    if (slot == NULL) {
        return ~0ull;
    }
    return size == 8 ? __atomic_load_n((uint64_t *)slot, __ATOMIC_RELAXED)
                     : __atomic_load_n((uint32_t *)slot, __ATOMIC_RELAXED);
}

static bool reserved_bits(const struct walk *w, uint8_t level, uint64_t entry)
{
    if (w->slot[w->depth] == NULL) {
        return true;
    }
    if (w->mode.entry_size == 4) {
        return false;
    }
    if ((entry & PTE_NX) && !(w->v->efer & EFER_NXE)) {
        return true;
    }
    return level > w->mode.large_level && w->mode.levels >= 4 && (entry & PTE_PS);
}

static bool is_pae_root(const struct walk *w, uint8_t level)
{
    return w->mode.levels == 3 && level == 3;
}

// Reads the entry of one level and takes its rights into account.
static enum emu descend(struct walk *w, uint8_t level, uint64_t table, uint64_t *entry)
{
    unsigned shift = 12 + w->mode.index_bits * (level - 1);
    uint64_t index = (w->linear >> shift) & ((1u << w->mode.index_bits) - 1);

    *entry = read_entry(w, table + index * w->mode.entry_size);
    if (w->slot[w->depth] != NULL && !(*entry & PTE_P)) {
        return page_fault(w, 0);
    }
    if (reserved_bits(w, level, *entry)) {
        return page_fault(w, PF_PRESENT | PF_RESERVED);
    }
    if (!is_pae_root(w, level)) { // those have neither rights nor an accessed bit
        w->writable = w->writable && (*entry & PTE_W);
        w->user = w->user && (*entry & PTE_U);
        w->no_execute = w->no_execute || (w->mode.entry_size == 8 && (*entry & PTE_NX));
        w->entry[w->depth++] = *entry;
    }
    return EMU_OK;
}

// SDM 3A "Determination of Access Rights".
static bool allowed(const struct walk *w)
{
    const struct vcpu *v = w->v;
    bool supervisor = v->cpl != 3;

    if (!supervisor && !w->user) {
        return false;
    }
    if (w->access == ACCESS_FETCH) {
        return !w->no_execute && !(supervisor && w->user && (v->cr4 & CR4_SMEP));
    }
    if (supervisor && w->user && (v->cr4 & CR4_SMAP) && !(v->regs->rflags & RFLAGS_AC)) {
        return false;
    }
    if (w->access == ACCESS_WRITE) {
        return w->writable || (supervisor && !(v->cr0 & CR0_WP));
    }
    return true;
}

static bool set_bits(uint8_t *slot, uint8_t size, uint64_t seen, uint64_t bits)
{
    if ((seen & bits) == bits) {
        return true;
    }
    if (size == 8) {
        return __atomic_compare_exchange_n((uint64_t *)slot, &seen, seen | bits, false, __ATOMIC_ACQ_REL,
                                           __ATOMIC_RELAXED);
    }
    uint32_t seen32 = (uint32_t)seen;

    return __atomic_compare_exchange_n((uint32_t *)slot, &seen32, seen32 | (uint32_t)bits, false,
                                       __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

// False: an entry changed under us.
static bool mark_used(struct walk *w)
{
    for (uint8_t i = 0; i < w->depth; i++) {
        bool leaf = i + 1 == w->depth;
        uint64_t bits = PTE_A | (leaf && w->access == ACCESS_WRITE ? PTE_D : 0);

        if (!set_bits(w->slot[i], w->mode.entry_size, w->entry[i], bits)) {
            return false;
        }
    }
    return true;
}

static uint64_t page_address(const struct walk *w, uint8_t level, uint64_t entry)
{
    uint64_t offset_mask = BIT(12 + w->mode.index_bits * (level - 1)) - 1;
    uint64_t base = entry & PTE_ADDRESS;

    if (w->mode.entry_size == 4 && level == 2) { // PSE-36: bits 20:13 are address bits 39:32
        base = (entry & 0xffc00000) | ((entry >> 13) & 0xff) << 32;
    }
    return (base & ~offset_mask) | (w->linear & offset_mask);
}

static enum emu walk(struct walk *w, uint64_t *gpa)
{
    uint64_t table = w->mode.root;
    uint64_t entry = 0;
    uint8_t level = w->mode.levels;

    for (;; level--) {
        enum emu result = descend(w, level, table, &entry);

        if (result != EMU_OK) {
            return result;
        }
        if (level == 1 || (level <= w->mode.large_level && (entry & PTE_PS))) {
            break;
        }
        table = entry & PTE_ADDRESS;
    }
    if (!allowed(w)) {
        return page_fault(w, PF_PRESENT);
    }
    if (!mark_used(w)) {
        return EMU_RETRY;
    }
    *gpa = page_address(w, level, entry);
    return EMU_OK;
}

static bool tlb_hit(const struct vcpu *v, uint64_t linear, enum vcpu_access access)
{
    return access != ACCESS_FETCH && v->tlb.valid && v->tlb.page == (linear & PAGE_MASK) &&
           (access == ACCESS_READ || v->tlb.write);
}

enum emu vcpu_translate(struct vcpu *v, uint64_t linear, enum vcpu_access access, uint64_t *gpa)
{
    struct walk w = {.v = v, .linear = linear, .access = access, .writable = true, .user = true};
    enum emu result;

    if (tlb_hit(v, linear, access)) {
        *gpa = v->tlb.gpa | (linear & (PAGE_SIZE - 1));
        return EMU_OK;
    }
    if (!vcpu_need_system(v)) {
        return EMU_STOP;
    }
    if (!(v->cr0 & CR0_PG)) {
        *gpa = linear;
        return EMU_OK;
    }
    w.mode = paging_mode(v);
    result = walk(&w, gpa);
    if (result == EMU_OK && access != ACCESS_FETCH) {
        v->tlb.valid = true;
        v->tlb.write = access == ACCESS_WRITE;
        v->tlb.page = linear & PAGE_MASK;
        v->tlb.gpa = *gpa & PAGE_MASK;
    }
    return result;
}
