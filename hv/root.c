// SPDX-License-Identifier: Apache-2.0
// Construction of the root partition (TLFS "Root Partition"; entry convention in <keelson/bootinfo.h>).
#include "hv/root.h"

#include "arch/x86/host.h"
#include "hv/cpu.h"
#include "hv/frames.h"
#include "hv/gpa.h"
#include "hv/mgmt_tables.h"

#define ROOT_VPS 2
#define STACK_SIZE 16384u
#define TABLES_SIZE (1ull << 20) // end of the management range, reserved by the loader

uint8_t root_io_bitmap[3 * 4096] __attribute__((aligned(4096)));

// --- ports that the hypervisor keeps: console UART, both PICs, the timer it calibrates with ---

static void hide_ports(uint16_t first, unsigned count)
{
    for (unsigned p = first; p < first + count; p++) {
        root_io_bitmap[p / 8] |= (uint8_t)(1u << (p % 8));
    }
}

static void init_io_bitmap(const struct boot_info *info)
{
    if (info->com_port != 0) {
        hide_ports(info->com_port, 8);
    }
    hide_ports(0x20, 2);
    hide_ports(0xa0, 2);
    hide_ports(0x40, 4);
    // Bits past port 65535: AMD-V looks at them for accesses that wrap around.
    __builtin_memset(root_io_bitmap + 8192, 0xff, 4096);
}

// --- GPA space ---

static bool is_root_memory(uint32_t type)
{
    return type == BOOT_RANGE_RAM || type == BOOT_RANGE_ACPI_RECLAIM || type == BOOT_RANGE_ACPI_NVS ||
           type == BOOT_RANGE_MGMT;
}

static enum gpa_level largest_page(uint64_t at, uint64_t end)
{
    for (int level = virt_caps.page_1g ? GPA_1G : GPA_2M; level > GPA_4K; level--) {
        uint64_t size = gpa_level_size((enum gpa_level)level);

        if ((at & (size - 1)) == 0 && end - at >= size) {
            return (enum gpa_level)level;
        }
    }
    return GPA_4K;
}

static void map_identity(uint64_t base, uint64_t end, uint32_t flags)
{
    for (uint64_t at = base; at < end;) {
        enum gpa_level level = largest_page(at, end);

        if (gpa_map(root_partition, GPA(at), SPA(at), level, flags) != HV_STATUS_SUCCESS) {
            panic("no memory for the root partition's GPA space at %#llx", (unsigned long long)at);
        }
        at += gpa_level_size(level);
    }
}

// Neighbouring ranges of root memory are mapped as one, so that large pages span them.
static void map_memory(const struct boot_info *info)
{
    for (uint32_t i = 0; i < info->range_count;) {
        uint64_t base = info->ranges[i].base;
        uint64_t end = base + info->ranges[i].size;

        if (!is_root_memory(info->ranges[i++].type)) {
            continue;
        }
        while (i < info->range_count && is_root_memory(info->ranges[i].type) && info->ranges[i].base == end) {
            end += info->ranges[i++].size;
        }
        map_identity(base, end, HV_MAP_RWX);
    }
}

bool root_map_device(struct vp *vp, gpa_t page)
{
    bool ok = false;

    (void)vp;
    hv_lock();
    if (frame_of(SPA(page.v)) == NULL && !host_is_reserved_mmio(SPA(page.v)) &&
        page.v < BIT(root_partition->gpa_width)) {
        ok = gpa_map(root_partition, page, SPA(page.v), GPA_4K,
                     HV_MAP_READ | HV_MAP_WRITE | HV_MAP_NOT_CACHED) == HV_STATUS_SUCCESS;
    }
    hv_unlock();
    if (!ok && log_limit_take(&root_partition->log_limit, root_partition->index)) {
        LOGW("root partition refused at %#llx", (unsigned long long)page.v);
    }
    return ok;
}

// --- memory and first page tables of the management partition, in its own range ---

static uint64_t take(struct arena *a, uint64_t size)
{
    uint64_t at = arena_take(a, size);

    if (at == 0) {
        panic("management range too small for its page tables");
    }
    return at;
}

static bool cpu_has_1g_pages(void)
{
    uint32_t eax = 0x80000001, ebx, ecx = 0, edx;

    __asm__("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
    return (edx & BIT(26)) != 0;
}

static uint64_t build_page_tables(struct arena *a, const struct boot_info *info, uint64_t hypercall_page)
{
    struct mgmt_tables_plan plan = {
        .direct_end = 4ull << 30,
        .hypercall_page = hypercall_page,
        .pages_1g = cpu_has_1g_pages(),
    };
    uint64_t cr3;

    for (uint32_t i = 0; i < info->range_count; i++) {
        uint64_t end = info->ranges[i].base + info->ranges[i].size;

        plan.direct_end = MAX(plan.direct_end, ALIGN_UP(end, PAGE_SIZE_1G));
    }
    if (plan.pages_1g) {
        plan.direct_end = BIT(root_partition->gpa_width); // also what lies above RAM: 64-bit device memory
    }
    cr3 = mgmt_tables_build(a, info, &plan);
    if (cr3 == 0) {
        panic("management range too small for its page tables");
    }
    return cr3;
}

// --- what the VPs are told ---

static void copy_text(char *to, size_t cap, const char *from)
{
    size_t i = 0;

    for (; i + 1 < cap && from[i] != '\0'; i++) {
        to[i] = from[i];
    }
    to[i] = '\0';
}

static void cpu_brand(char brand[48])
{
    for (uint32_t i = 0; i < 3; i++) {
        uint32_t r[4];

        __asm__("cpuid" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3]) : "0"(0x80000002u + i), "2"(0));
        __builtin_memcpy(brand + 16 * i, r, 16);
    }
    brand[47] = '\0';
}

static void hide_hypervisor(struct boot_info *info)
{
    for (uint32_t i = 0; i < info->range_count; i++) {
        if (info->ranges[i].type == BOOT_RANGE_HV || info->ranges[i].type == BOOT_RANGE_RUNTIME) {
            info->ranges[i].type = BOOT_RANGE_RESERVED;
        }
    }
    info->hv_base = info->hv_size = info->hv_image_size = info->hv_free = 0;
    info->efi_runtime_pt = info->efi_system_table = info->trampoline = 0;
}

static uint64_t write_hypercall_page(struct arena *a)
{
    uint64_t page = take(a, PAGE_SIZE);
    uint8_t *code = arena_va(a, page);

    __builtin_memcpy(code, virt->hypercall_insn, 3);
    code[3] = 0xc3; // RET
    return page;
}

static uint64_t write_boot_info(struct arena *a, const struct boot_info *info, uint64_t hypercall_page)
{
    uint64_t spa = take(a, sizeof(struct mgmt_boot_info));
    struct mgmt_boot_info *m = arena_va(a, spa);

    // Field by field: the structure is larger than the stack may bear.
    m->magic = MGMT_BOOT_MAGIC;
    m->tsc_hz = host_tsc_hz;
    m->vp_count = ROOT_VPS;
    m->cpu_count = cpu_working();
    m->hypercall_page = MGMT_DIRECT_BASE + hypercall_page;
    __builtin_memcpy(&m->boot, info, sizeof(*info));
    copy_text(m->engine, sizeof(m->engine), virt->name);
    copy_text(m->version, sizeof(m->version), KEELSON_VERSION);
    cpu_brand(m->cpu_brand);
    hide_hypervisor(&m->boot);
    return spa;
}

// --- VPs ---

static void set_segment(struct vp *vp, uint32_t name, uint16_t selector, uint16_t attributes)
{
    union hv_register_value v = {
        .segment = {.limit = 0xffffffff, .selector = selector, .attributes = attributes},
    };

    if (!virt->set_reg(vp, name, &v)) {
        panic("root partition: segment register %#x refused", name);
    }
}

static void set_checked(struct vp *vp, uint32_t name, uint64_t value)
{
    union hv_register_value v = {.u128 = {value, 0}};

    if (!virt->set_reg(vp, name, &v)) {
        panic("root partition: register %#x refused", name);
    }
}

static void enter_long_mode(struct vp *vp, uint64_t cr3)
{
    set_checked(vp, HV_REG_EFER, 0xd00); // NXE, LMA, LME
    set_checked(vp, HV_REG_CR4, 0x20);   // PAE
    set_checked(vp, HV_REG_CR3, cr3);
    set_checked(vp, HV_REG_CR0, 0x80010033); // PG, WP, NE, ET, MP, PE
    set_segment(vp, HV_REG_CS, 0x8, 0xa09b);
    for (uint32_t name = HV_REG_ES; name <= HV_REG_GS; name++) {
        if (name != HV_REG_CS) {
            set_segment(vp, name, 0x10, 0xc093);
        }
    }
}

static void start_vp(uint32_t index, struct arena *a, uint64_t cr3, uint64_t info_spa, uint64_t entry)
{
    struct vp *vp;

    if (vp_create(root_partition, index) != HV_STATUS_SUCCESS) {
        panic("no memory for the root partition's VP %u", index);
    }
    vp = root_partition->vps[index];
    virt->vp_load(vp);
    enter_long_mode(vp, cr3);
    set_checked(vp, HV_REG_RIP, entry);
    set_checked(vp, HV_REG_RSP, MGMT_DIRECT_BASE + take(a, STACK_SIZE) + STACK_SIZE);
    set_checked(vp, HV_REG_RFLAGS, 2);
    virt->vp_unload(vp);
    vp->regs->gpr[GPR_RDI] = MGMT_DIRECT_BASE + info_spa;
    vp->regs->gpr[GPR_RSI] = index;
    vp->wait_sipi = false;
    vp_unblock(vp, VP_BLOCK_EXPLICIT | VP_BLOCK_WAIT_SIPI);
}

void root_create(const struct boot_info *info)
{
    uint64_t tables = info->mgmt_base + info->mgmt_size - TABLES_SIZE; // the loader cleared them
    struct arena arena = {
        .base = tables,
        .next = tables,
        .end = tables + TABLES_SIZE,
        .va = spa_to_va(SPA(tables)),
    };
    uint64_t cr3, boot, stacks, hypercall_page;
    struct mgmt_boot_info *m;

    init_io_bitmap(info);
    if (!gpa_space_init(root_partition)) {
        panic("no memory for the root partition's GPA space");
    }
    root_partition->time_base_tsc = host_tsc();
    map_memory(info);
    hypercall_page = write_hypercall_page(&arena);
    cr3 = build_page_tables(&arena, info, hypercall_page);
    boot = write_boot_info(&arena, info, hypercall_page);
    m = arena_va(&arena, boot);
    stacks = ROOT_VPS * STACK_SIZE;
    m->mgmt_free_pages_base = arena.next + stacks;
    m->mgmt_free_pages_end = arena.end;
    for (uint32_t i = 0; i < ROOT_VPS; i++) {
        start_vp(i, &arena, cr3, boot, info->mgmt_entry);
    }
}
