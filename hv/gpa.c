// SPDX-License-Identifier: Apache-2.0
// GPA spaces: the one walker of second-level page tables.
//
// Four levels of 512 entries (SDM 3C "EPT Translation Mechanism", APM 2 "Nested Paging"). The entry format
// is the back end's (virt->npt).
#include "hv/gpa.h"

#include "arch/x86/virt.h"
#include "hv/cpu.h"
#include "hv/frames.h"

#define TOP_LEVEL 4

static unsigned index_at(gpa_t gpa, int level)
{
    return (unsigned)(gpa.v >> (PAGE_SHIFT + 9 * (level - 1))) & 511;
}

static bool entry_present(uint64_t e)
{
    return (e & virt->npt->present) != 0;
}

static bool entry_is_leaf(uint64_t e, int level)
{
    return level == GPA_4K || (e & virt->npt->large) != 0;
}

static uint64_t *entry_table(uint64_t e)
{
    return spa_to_va(SPA(e & virt->npt->addr_mask));
}

static uint64_t make_leaf(spa_t spa, int level, uint32_t flags)
{
    const struct npt_format *f = virt->npt;
    uint64_t e = spa.v | ((flags & HV_MAP_NOT_CACHED) ? f->leaf_uncached : f->leaf_common);

    if ((flags & HV_MAP_READ) == 0) {
        return 0; // no access at all is the same as not mapped
    }
    e |= (flags & HV_MAP_READ) ? f->read : 0;
    e |= (flags & HV_MAP_WRITE) ? f->write : 0;
    e |= (flags & (HV_MAP_KEXEC | HV_MAP_UEXEC)) ? f->exec : f->noexec;
    return e | (level > GPA_4K ? f->large : 0);
}

static uint32_t leaf_flags(uint64_t e)
{
    const struct npt_format *f = virt->npt;
    uint32_t flags = (e & f->read) == f->read ? HV_MAP_READ : 0;

    if ((e & f->write) != 0) {
        flags |= HV_MAP_WRITE;
    }
    if ((e & f->exec) == f->exec && (e & f->noexec) == 0) {
        flags |= HV_MAP_KEXEC | HV_MAP_UEXEC;
    }
    return flags;
}

static void set_entry(uint64_t *slot, uint64_t e)
{
    __atomic_store_n(slot, e, __ATOMIC_RELEASE);
}

// With APIC virtualization the processor recognizes the APIC page by the address it translates to (SDM 3C
// "Virtualizing Memory-Mapped APIC Accesses"). Each partition has a page of its own, because guests can reach
// it as memory while their APIC is in x2APIC mode or off.
static bool map_apic_page(struct partition *p)
{
    void *page;

    if (!virt_caps.apicv) {
        return true;
    }
    page = partition_page_alloc(p);
    if (page == NULL) {
        return false;
    }
    p->apic_access = va_to_spa(page);
    return gpa_map(p, GPA(0xfee00000), p->apic_access, GPA_4K, HV_MAP_READ | HV_MAP_WRITE) ==
           HV_STATUS_SUCCESS;
}

bool gpa_space_init(struct partition *p)
{
    p->npt_root = partition_page_alloc(p);
    if (p->npt_root == NULL) {
        return false;
    }
    p->npt_pages = 1;
    p->gpa_generation = 1; // 0 is that of a translation that was never made
    if (!map_apic_page(p)) {
        gpa_space_fini(p); // with more memory it can be tried again
        return false;
    }
    return true;
}

// Replaces a leaf by a table of 512 leaves one level down with the same rights.
static bool split(struct partition *p, uint64_t *slot, int level)
{
    uint64_t e = *slot;
    uint64_t *table = partition_page_alloc(p);
    uint64_t step = gpa_level_size((enum gpa_level)(level - 1));
    uint64_t base = e & virt->npt->addr_mask & ~(gpa_level_size((enum gpa_level)level) - 1);
    uint64_t attr = e & ~virt->npt->addr_mask;

    if (table == NULL) {
        return false;
    }
    if (level - 1 == GPA_4K) {
        attr &= ~virt->npt->large;
    }
    for (unsigned i = 0; i < 512; i++) {
        table[i] = (base + i * step) | attr;
    }
    p->npt_pages++;
    set_entry(slot, va_to_spa(table).v | virt->npt->table);
    return true;
}

// The slot for `gpa` at `level`, with tables made and larger leaves split on the way if `make`.
// NULL: nothing there (not make), or out of pages (make).
static uint64_t *slot_at(struct partition *p, gpa_t gpa, int level, bool make)
{
    uint64_t *table = p->npt_root;

    for (int l = TOP_LEVEL; l > level; l--) {
        uint64_t *slot = &table[index_at(gpa, l)];

        if (!entry_present(*slot)) {
            uint64_t *next = make ? partition_page_alloc(p) : NULL;

            if (next == NULL) {
                return NULL;
            }
            p->npt_pages++;
            set_entry(slot, va_to_spa(next).v | virt->npt->table);
        } else if (entry_is_leaf(*slot, l) && !split(p, slot, l)) {
            return NULL;
        }
        table = entry_table(*slot);
    }
    return &table[index_at(gpa, level)];
}

static void free_table(struct partition *p, uint64_t *table)
{
    p->npt_pages--;
    partition_page_free(p, table);
}

// Frees a table whose leaves have been accounted for by the caller or hold nothing.
static bool table_is_empty(const uint64_t *table)
{
    for (unsigned i = 0; i < 512; i++) {
        if (entry_present(table[i])) {
            return false;
        }
    }
    return true;
}

hv_status_t gpa_map(struct partition *p, gpa_t gpa, spa_t spa, enum gpa_level level, uint32_t flags)
{
    uint64_t *slot = slot_at(p, gpa, (int)level, true);

    if (slot == NULL) {
        return HV_STATUS_INSUFFICIENT_MEMORY;
    }
    if (level > GPA_4K && entry_present(*slot) && !entry_is_leaf(*slot, (int)level)) {
        uint64_t *table = entry_table(*slot);

        if (!table_is_empty(table)) {
            return HV_STATUS_OBJECT_IN_USE;
        }
        // A stale walk may still hold this table; the flush below is cheap because it is rare.
        set_entry(slot, 0);
        gpa_flush(p);
        free_table(p, table);
    }
    set_entry(slot, make_leaf(spa, (int)level, flags));
    return HV_STATUS_SUCCESS;
}

hv_status_t gpa_unmap(struct partition *p, gpa_t gpa, enum gpa_level level, struct gpa_mapping *old)
{
    uint64_t *slot;

    old->flags = 0;
    if (!gpa_lookup(p, gpa, old)) {
        return HV_STATUS_SUCCESS;
    }
    if (old->level < level) {
        old->flags = 0;
        return HV_STATUS_INVALID_PARAMETER;
    }
    slot = slot_at(p, gpa, (int)level, false);
    if (slot == NULL) {
        old->flags = 0;
        return HV_STATUS_INSUFFICIENT_MEMORY;
    }
    set_entry(slot, 0);
    return HV_STATUS_SUCCESS;
}

// Do 512 entries describe one larger page?
static bool joins(const uint64_t *table, int level)
{
    uint64_t step = gpa_level_size((enum gpa_level)level);

    if (!entry_present(table[0]) || !entry_is_leaf(table[0], level) ||
        (table[0] & virt->npt->addr_mask & (step * 512 - 1)) != 0) {
        return false;
    }
    for (unsigned i = 1; i < 512; i++) {
        if (table[i] != table[0] + i * step) {
            return false;
        }
    }
    return true;
}

static bool merge_at(struct partition *p, gpa_t gpa, int level)
{
    uint64_t *slot = slot_at(p, gpa, level, false);
    uint64_t *table;

    if (slot == NULL || !entry_present(*slot) || entry_is_leaf(*slot, level)) {
        return false;
    }
    table = entry_table(*slot);
    if (!joins(table, level - 1) || (level == GPA_1G && !virt_caps.page_1g)) {
        return false;
    }
    set_entry(slot, table[0] | virt->npt->large);
    gpa_flush(p);
    free_table(p, table);
    return true;
}

void gpa_merge(struct partition *p, gpa_t gpa)
{
    // slot_at() splits larger leaves on its way down, so look before asking.
    struct gpa_mapping m;

    if (gpa_lookup(p, gpa, &m) && m.level == GPA_4K && merge_at(p, gpa, GPA_2M)) {
        (void)merge_at(p, gpa, GPA_1G);
    }
}

bool gpa_lookup(const struct partition *p, gpa_t gpa, struct gpa_mapping *out)
{
    const uint64_t *table = p->npt_root;

    if (gpa.v >> 48 != 0) {
        return false;
    }
    for (int l = TOP_LEVEL;; l--) {
        uint64_t e = __atomic_load_n(&table[index_at(gpa, l)], __ATOMIC_ACQUIRE);

        if (!entry_present(e)) {
            return false;
        }
        if (entry_is_leaf(e, l)) {
            uint64_t mask = gpa_level_size((enum gpa_level)l) - 1;

            out->spa = SPA((e & virt->npt->addr_mask & ~mask) | (gpa.v & mask));
            out->flags = leaf_flags(e);
            out->level = (uint8_t)l;
            return true;
        }
        table = entry_table(e);
    }
}

static void release_leaf(struct partition *p, uint64_t e, int level)
{
    uint64_t pages = gpa_level_size((enum gpa_level)level) >> PAGE_SHIFT;
    uint64_t mask = gpa_level_size((enum gpa_level)level) - 1;
    spa_t spa = SPA(e & virt->npt->addr_mask & ~mask);

    if (!p->is_root && frame_of(spa) != NULL && frame_of(spa)->kind == FRAME_ROOT) {
        frame_map_count(spa, pages, -1);
        p->mapped_pages -= pages;
    }
}

static void release_table(struct partition *p, uint64_t *table, int level)
{
    for (unsigned i = 0; i < 512; i++) {
        if (!entry_present(table[i])) {
            continue;
        }
        if (entry_is_leaf(table[i], level)) {
            release_leaf(p, table[i], level);
        } else {
            release_table(p, entry_table(table[i]), level - 1); // depth is at most TOP_LEVEL
        }
    }
    free_table(p, table);
}

void gpa_space_fini(struct partition *p)
{
    if (p->npt_root != NULL) {
        release_table(p, p->npt_root, TOP_LEVEL);
        p->npt_root = NULL;
        if (p->apic_access.v != 0) {
            partition_page_free(p, spa_to_va(p->apic_access));
            p->apic_access = SPA(0);
        }
    }
}

static void flush_here(void *arg)
{
    virt->flush_gpa(arg);
}

void gpa_flush(struct partition *p)
{
    __atomic_add_fetch(&p->gpa_generation, 1, __ATOMIC_SEQ_CST);
    cpu_call_all(flush_here, p);
}
