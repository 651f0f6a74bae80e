// SPDX-License-Identifier: Apache-2.0
// A guest of the test root partition: building, serving, taking down.
#include "tests/guest/root/root.h"

#include "mgmt/plat.h"
#include "mgmt/rt/interrupt.h"
#include "mgmt/rt/time.h"

static struct guest *active[SLOTS];
static gpa_t (*memory_of)(unsigned slot);

static void nothing(void *arg)
{
    (void)arg;
}

bool guest_init(gpa_t (*memory)(unsigned slot))
{
    memory_of = memory;
    rt_vector_set(RT_VECTOR_TIMER, nothing, NULL); // it ends the wait, that is all
    return true;
}

bool must(hv_status_t status, const char *what)
{
    if (status != HV_STATUS_SUCCESS) {
        put("root: ");
        put(what);
        put(": ");
        put(hvif_status_text(status));
        put("\n");
        return false;
    }
    return true;
}

struct guest_args *guest_args(struct guest *g)
{
    return (struct guest_args *)(g->ram + GUEST_ARGS_GPA);
}

struct guest_modes *guest_modes(struct guest *g)
{
    return (struct guest_modes *)(g->ram + GUEST_KERNEL_GPA + 16);
}

// --- building ---

static bool deposit(struct guest *g)
{
    uint64_t pages[DEPOSIT_PAGES];
    size_t done;

    for (unsigned i = 0; i < DEPOSIT_PAGES; i++) {
        pages[i] = (g->ram_gpa.v + GUEST_MEMORY) / PAGE_SIZE + i;
    }
    return must(hvif_deposit(g->partition, pages, DEPOSIT_PAGES, &done), "deposit");
}

static void fill_memory(struct guest *g, uint32_t seed)
{
    uint64_t *tables = (uint64_t *)(g->ram + GUEST_TABLES_GPA);
    uint64_t *gdt = (uint64_t *)(g->ram + GUEST_GDT_GPA);
    struct guest_args *args = guest_args(g);

    __builtin_memset(g->ram, 0, GUEST_MEMORY);
    tables[0] = (GUEST_TABLES_GPA + 4096) | 7;
    tables[512] = (GUEST_TABLES_GPA + 8192) | 7;
    tables[512 + 3] = (GUEST_TABLES_GPA + 12288) | 7; // the fourth GiB: local APIC
    for (uint64_t i = 0; i < 512; i++) {
        tables[1024 + i] = i << 21 | 0x87;
        tables[1536 + i] = (i + 1536) << 21 | 0x9f;
    }
    gdt[SEL_CODE64 / 8] = 0x00af9b000000ffff;
    gdt[SEL_DATA / 8] = 0x00cf93000000ffff;
    gdt[SEL_CODE32 / 8] = 0x00cf9b000000ffff;
    gdt[SEL_USER_DATA / 8] = 0x00cff3000000ffff;
    gdt[SEL_USER_CODE / 8] = 0x00affb000000ffff;
    __builtin_memcpy(g->ram + GUEST_KERNEL_GPA, guest_kernel, (size_t)(guest_kernel_end - guest_kernel));
    __builtin_memcpy(args->hypercall, (const void *)boot->hypercall_page, 4);
    args->tsc_hz = boot->tsc_hz;
    args->vp_count = g->vps;
    args->partition = g->partition;
    args->seed = seed;
}

static bool set_start_registers(struct guest *g, unsigned number)
{
    const struct hv_segment code = {.limit = 0xffffffff, .selector = SEL_CODE64, .attributes = 0xa09b};
    const struct hv_segment data = {.limit = 0xffffffff, .selector = SEL_DATA, .attributes = 0xc093};
    const struct hv_register_assoc regs[] = {
        {.name = HV_REG_EFER, .value.u64 = 0xd00},
        {.name = HV_REG_CR4, .value.u64 = 0x620},
        {.name = HV_REG_CR3, .value.u64 = GUEST_TABLES_GPA},
        {.name = HV_REG_CR0, .value.u64 = 0x80010033},
        {.name = HV_REG_CS, .value.segment = code},
        {.name = HV_REG_SS, .value.segment = data},
        {.name = HV_REG_DS, .value.segment = data},
        {.name = HV_REG_ES, .value.segment = data},
        {.name = HV_REG_GDTR, .value.table = {.limit = 8 * 8 - 1, .base = GUEST_GDT_GPA}},
        {.name = HV_REG_RIP, .value.u64 = GUEST_KERNEL_GPA},
        {.name = HV_REG_RSP, .value.u64 = GUEST_STACK_TOP - 8},
        {.name = HV_REG_RFLAGS, .value.u64 = 2},
        {.name = HV_REG_RDI, .value.u64 = number},
    };

    return must(hvif_set_registers(g->partition, 0, regs, ARRAY_LEN(regs)), "registers");
}

static bool create_vps(struct guest *g)
{
    for (uint32_t i = 0; i < g->vps; i++) {
        const struct hv_register_assoc cookie = {.name = HV_REG_X_INTERCEPT_COOKIE,
                                                 .value.u64 = (g->slot << 8 | i) + 1};
        void *page;

        if (!must(hvif_create_vp(g->partition, i), "create VP") ||
            !must(hvif_set_registers(g->partition, i, &cookie, 1), "cookie") ||
            !must(hvif_map_state_page(g->partition, i, HV_STATE_PAGE_REGISTERS, &page), "register page")) {
            return false;
        }
        g->vp[i].regs = page;
        if (!must(hvif_map_state_page(g->partition, i, HV_STATE_PAGE_INTERCEPT_MESSAGE, &page),
                  "message page")) {
            return false;
        }
        g->vp[i].msg = page;
    }
    return true;
}

bool guest_build(struct guest *g, unsigned slot, unsigned number, uint32_t vps, uint32_t seed)
{
    size_t done;

    *g = (struct guest){.slot = slot, .vps = vps, .test = &root_tests[number], .ram_gpa = memory_of(slot)};
    g->ram = plat_pool_va(g->ram_gpa);
    if (!must(hvif_create_partition(&g->partition), "create partition")) {
        return false;
    }
    active[slot] = g;
    fill_memory(g, seed);
    return deposit(g) && must(hvif_initialize_partition(g->partition), "initialize") &&
           must(hvif_map(g->partition, GPA(0), g->ram_gpa, GUEST_MEMORY / PAGE_SIZE_2M,
                         HV_MAP_RWX | HV_MAP_LARGE_PAGE, &done),
                "map") &&
           create_vps(g) && set_start_registers(g, number);
}

bool set_register(struct guest *g, uint32_t vp, uint32_t name, uint64_t value)
{
    const struct hv_register_assoc reg = {.name = name, .value.u64 = value};

    return must(hvif_set_registers(g->partition, vp, &reg, 1), "set register");
}

uint64_t get_register(struct guest *g, uint32_t vp, uint32_t name)
{
    union hv_register_value value = {.u64 = 0};

    (void)must(hvif_get_registers(g->partition, vp, &name, &value, 1), "get register");
    return value.u64;
}

bool set_segment(struct guest *g, uint32_t name, uint16_t selector, uint64_t base, uint32_t limit,
                 uint16_t attributes)
{
    const struct hv_register_assoc reg = {
        .name = name,
        .value.segment = {.base = base, .limit = limit, .selector = selector, .attributes = attributes},
    };

    return must(hvif_set_registers(g->partition, 0, &reg, 1), "set segment");
}

bool guest_start(struct guest *g)
{
    return set_register(g, 0, HV_REG_EXPLICIT_SUSPEND, 0);
}

// --- what is to be completed with the next wait ---

static struct {
    uint64_t partition;
    uint32_t vp, flags;
} owed;

bool guest_tear_down(struct guest *g)
{
    uint64_t pages[DEPOSIT_PAGES];
    size_t done = 0;

    if (g->partition == HV_PARTITION_ID_INVALID) {
        return false;
    }
    if (owed.partition == g->partition) {
        owed.partition = HV_PARTITION_ID_INVALID;
    }
    active[g->slot] = NULL;
    cover_exits(g->partition);
    (void)!hvif_finalize_partition(g->partition); // refused if building went wrong early
    if (hvif_withdraw(g->partition, pages, DEPOSIT_PAGES, &done) != HV_STATUS_SUCCESS ||
        done != DEPOSIT_PAGES) {
        put("root: pages lost\n");
    }
    return must(hvif_delete_partition(g->partition), "delete");
}

// --- intercepts ---

static void assert_interrupt(struct guest *g, uint32_t value)
{
    const struct hv_assert_interrupt_in in = {
        .partition = g->partition,
        .control = value >> 24,
        .destination = value >> 8 & 0xff,
        .vector = value & 0xff,
        .control_flags = value >> 16 & 3,
    };

    (void)must(hvif_assert_interrupt(g->partition, &in), "assert interrupt");
}

// Whole lines, so that a guest cannot spoil the root's.
static void put_guest_char(struct guest *g, uint8_t c)
{
    if (c != '\n') {
        g->line[g->line_len++] = c >= ' ' && c < 0x7f ? (char)c : '?';
    }
    if (c == '\n' || g->line_len == sizeof(g->line) - 1) {
        g->line[g->line_len] = '\0';
        put("guest: ");
        put(g->line);
        put("\n");
        g->line_len = 0;
    }
}

static void io_write(struct guest *g, uint16_t port, uint32_t value)
{
    switch (port) {
    case PORT_CHAR:
        put_guest_char(g, (uint8_t)value);
        break;
    case PORT_FAIL:
        g->failed_line = value;
        g->done = true;
        break;
    case PORT_DONE:
        g->done = true;
        break;
    case PORT_ECHO:
        g->echo = value;
        break;
    case PORT_ASSERT:
        assert_interrupt(g, value);
        break;
    default:
        break;
    }
}

// Bits of the registers that the address size of a code segment leaves to string instructions.
static uint64_t address_mask(const struct hv_segment *cs)
{
    return cs->attributes & BIT(13) ? ~0ull : cs->attributes & BIT(14) ? 0xffffffff : 0xffff;
}

// String instructions, as far as the tests use them: forwards, memory in the identity mapped part.
static uint32_t serve_string(struct guest *g, const struct hv_io_intercept *io, struct hv_register_page *regs)
{
    uint64_t mask = address_mask(&io->hdr.cs);
    uint32_t size = io->info & 7;
    uint64_t count = io->info & 16 ? io->rcx & mask : 1;
    bool out = io->hdr.access == 1;
    uint64_t at = out ? io->ds.base + (io->rsi & mask) : io->es.base + (io->rdi & mask);
    uint64_t *index = &regs->gpr[out ? 6 : 7];

    if (io->insn_byte_count == 0 || at + count * size > GUEST_MEMORY || io->port != PORT_ECHO) {
        g->failed_line = __LINE__;
        g->done = true;
        return STOPPED;
    }
    for (uint64_t i = 0; i < count * size; i++) {
        if (out && g->text_len < sizeof(g->text)) {
            g->text[g->text_len++] = g->ram[at + i];
        } else if (!out) {
            g->ram[at + i] = (uint8_t)(g->echo >> (8 * (i % size)));
        }
    }
    *index = (*index & ~mask) | ((*index + count * size) & mask);
    if (io->info & 16) {
        regs->gpr[1] &= ~mask;
    }
    return HV_XWAIT_ADVANCE;
}

static uint32_t serve_io(struct guest *g, const struct hv_io_intercept *io, struct hv_register_page *regs)
{
    uint32_t size = io->info & 7;
    uint32_t mask = size == 4 ? ~0u : (1u << (8 * size)) - 1;

    if (io->info & 8) {
        return serve_string(g, io, regs);
    }
    if (io->hdr.access == 1) {
        io_write(g, io->port, (uint32_t)io->rax & mask);
    } else {
        uint32_t value = io->port == PORT_ECHO ? g->echo : ~0u;

        regs->gpr[0] = size == 4 ? value : (regs->gpr[0] & ~(uint64_t)mask) | (value & mask);
    }
    return HV_XWAIT_ADVANCE;
}

// Length of a MOV between RAX and memory with a 64-bit base register and no displacement or disp8/32; 0: another one.
static unsigned move_length(const uint8_t *insn)
{
    unsigned at = 0;

    while (insn[at] == 0x66 || (insn[at] & 0xf0) == 0x40) {
        at++;
    }
    if ((insn[at] & 0xfc) != 0x88 || (insn[at + 1] & 0x38) != 0 || (insn[at + 1] & 7) == 4) {
        return 0;
    }
    return at + (insn[at + 1] >> 6 == 1 ? 3 : insn[at + 1] >> 6 == 2 ? 6 : 2);
}

bool is_plain_access(const struct hv_memory_intercept *m)
{
    return m->hdr.access != 2 && m->insn_byte_count != 0 && move_length(m->insn_bytes) != 0;
}

// Device memory: eight words of storage. Instructions other than plain moves end the guest.
static uint32_t serve_memory(struct guest *g, const struct hv_memory_intercept *m,
                             struct hv_register_page *regs)
{
    if ((m->gpa >= GUEST_CHECKED_GPA && m->gpa < GUEST_CHECKED_GPA + PAGE_SIZE) || !is_plain_access(m)) {
        g->done = true;
        return STOPPED;
    }
    if (m->hdr.access == 1) {
        g->device[m->gpa >> 3 & 7] = regs->gpr[0];
    } else {
        regs->gpr[0] = g->device[m->gpa >> 3 & 7];
    }
    regs->rip += move_length(m->insn_bytes);
    regs->dirty = HV_DIRTY_RIP;
    return HV_XWAIT_DIRTY;
}

// Completion flags, or STOPPED when the VP must not run on.
static uint32_t serve(struct guest *g, uint32_t vp)
{
    const struct hv_message *m = g->vp[vp].msg;
    uint32_t flags = 0;

    g->last_message = m->header.type;
    g->last_vp = vp;
    if (m->header.type == HV_MSG_UNMAPPED_GPA || m->header.type == HV_MSG_GPA_INTERCEPT) {
        g->last_gpa = m->memory.gpa;
        g->last_access = m->memory.hdr.access;
    }
    if (g->test->serve != NULL && g->test->serve(g, vp, &flags)) {
        return flags;
    }
    switch (m->header.type) {
    case HV_MSG_IO_PORT:
        return serve_io(g, &m->io, g->vp[vp].regs);
    case HV_MSG_UNMAPPED_GPA:
        return serve_memory(g, &m->memory, g->vp[vp].regs);
    case HV_MSG_APIC_EOI:
        g->eois++;
        return 0;
    default:
        g->done = true; // the VP is stopped for good; the test says whether that was wanted
        return STOPPED;
    }
}

static bool all_done(void)
{
    bool all = true;

    for (unsigned i = 0; i < SLOTS; i++) {
        all = all && (active[i] == NULL || active[i]->done);
    }
    return all;
}

static void serve_cookie(uint64_t cookie)
{
    struct guest *g = active[(cookie - 1) >> 8 & 0xff];
    uint32_t vp = (uint32_t)(cookie - 1) & 0xff, flags;

    if (g == NULL || (cookie - 1) >> 16 != 0 || vp >= g->vps) {
        put("root: an unknown cookie\n");
        return;
    }
    flags = serve(g, vp);
    if (flags != STOPPED) {
        owed.partition = g->partition;
        owed.vp = vp;
        owed.flags = flags;
    }
}

bool serve_guests(uint64_t ms)
{
    uint64_t end = plat_now_ns() + ms * 1000000;

    while (!all_done() || owed.partition != HV_PARTITION_ID_INVALID) {
        uint64_t partition = owed.partition, cookie;

        if (plat_now_ns() >= end) {
            return false; // what is owed stays owed until the next call
        }
        time_arm(end);
        owed.partition = HV_PARTITION_ID_INVALID;
        if (!must(hvif_intercept_wait(partition, owed.vp,
                                      (partition != 0 ? owed.flags : 0) | (all_done() ? 0 : HV_XWAIT_BLOCK),
                                      &cookie),
                  "wait")) {
            return false;
        }
        cpu_take_interrupts();
        if (cookie != 0) {
            serve_cookie(cookie);
        }
    }
    time_arm(UINT64_MAX);
    return true;
}
