// SPDX-License-Identifier: Apache-2.0
// The test root partition: runs every micro-guest on the real hypervisor and says PASS or FAIL.
//
// It stands where the management partition's data plane normally is, on the same run-time (mgmt/rt). For each
// test it builds a partition from scratch, serves the intercepts of the micro-guest until that is done, tears
// it down, and checks that every page came back.
#include "tests/guest/root/root.h"

#include "mgmt/dataplane/dataplane.h"
#include "mgmt/plat.h"
#include "mgmt/rt/cpu.h"
#include "mgmt/rt/start.h"
#include "mgmt/rt/wake.h"

static bool go;
static gpa_t chunks; // guest memory and deposits, allocated by the control plane before the start
static const struct mgmt_boot_info *boot;
static char line[128];
static unsigned line_len;

// --- text on the console ---

static void flush_line(void)
{
    line[line_len++] = '\n';
    (void)!hvif_console_write(line, line_len);
    line_len = 0;
}

static void put_char(char c)
{
    if (c == '\n') {
        flush_line();
    } else if (line_len < sizeof(line) - 2) {
        line[line_len++] = c;
    }
}

void put(const char *text)
{
    for (; *text != '\0'; text++) {
        put_char(*text);
    }
}

void put_number(uint64_t n)
{
    char digits[21];
    unsigned i = sizeof(digits) - 1;

    digits[i] = '\0';
    do {
        digits[--i] = (char)('0' + n % 10);
        n /= 10;
    } while (n != 0);
    put(digits + i);
}

// --- one guest ---

static bool must(hv_status_t status, const char *what)
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

static bool deposit(struct guest *g)
{
    uint64_t pages[DEPOSIT_PAGES];
    size_t done;

    for (unsigned i = 0; i < DEPOSIT_PAGES; i++) {
        pages[i] = (chunks.v + GUEST_MEMORY) / PAGE_SIZE + i;
    }
    return must(hvif_deposit(g->partition, pages, DEPOSIT_PAGES, &done), "deposit");
}

static void fill_memory(struct guest *g)
{
    uint64_t *tables = (uint64_t *)(g->ram + GUEST_TABLES_GPA);
    uint64_t *gdt = (uint64_t *)(g->ram + GUEST_GDT_GPA);
    struct guest_args *args = (struct guest_args *)(g->ram + GUEST_ARGS_GPA);

    __builtin_memset(g->ram, 0, GUEST_MEMORY);
    tables[0] = (GUEST_TABLES_GPA + 4096) | 7;
    tables[512] = (GUEST_TABLES_GPA + 8192) | 7;
    tables[512 + 3] = (GUEST_TABLES_GPA + 12288) | 7; // the fourth GiB: local APIC
    for (uint64_t i = 0; i < 512; i++) {
        tables[1024 + i] = i << 21 | 0x87;
        tables[1536 + i] = (i + 1536) << 21 | 0x9f;
    }
    gdt[1] = 0x00af9b000000ffff; // 64-bit code
    gdt[2] = 0x00cf93000000ffff; // data
    __builtin_memcpy(g->ram + GUEST_KERNEL_GPA, guest_kernel, (size_t)(guest_kernel_end - guest_kernel));
    __builtin_memcpy(args->hypercall, (const void *)boot->hypercall_page, 4);
    args->tsc_hz = boot->tsc_hz;
    args->vp_count = g->vps;
    args->partition = g->partition;
}

static bool set_start_registers(struct guest *g, unsigned test)
{
    const struct hv_segment code = {.limit = 0xffffffff, .selector = 8, .attributes = 0xa09b};
    const struct hv_segment data = {.limit = 0xffffffff, .selector = 16, .attributes = 0xc093};
    const struct hv_register_assoc regs[] = {
        {.name = HV_REG_EFER, .value.u64 = 0xd00},
        {.name = HV_REG_CR4, .value.u64 = 0x620},
        {.name = HV_REG_CR3, .value.u64 = GUEST_TABLES_GPA},
        {.name = HV_REG_CR0, .value.u64 = 0x80010033},
        {.name = HV_REG_CS, .value.segment = code},
        {.name = HV_REG_SS, .value.segment = data},
        {.name = HV_REG_DS, .value.segment = data},
        {.name = HV_REG_ES, .value.segment = data},
        {.name = HV_REG_GDTR, .value.table = {.limit = 23, .base = GUEST_GDT_GPA}},
        {.name = HV_REG_RIP, .value.u64 = GUEST_KERNEL_GPA},
        {.name = HV_REG_RSP, .value.u64 = GUEST_STACK_TOP - 8},
        {.name = HV_REG_RFLAGS, .value.u64 = 2},
        {.name = HV_REG_RDI, .value.u64 = test},
    };

    return must(hvif_set_registers(g->partition, 0, regs, ARRAY_LEN(regs)), "registers");
}

static bool create_vps(struct guest *g)
{
    for (uint32_t i = 0; i < g->vps; i++) {
        const struct hv_register_assoc cookie = {.name = HV_REG_X_INTERCEPT_COOKIE, .value.u64 = i + 1};
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

static bool build(struct guest *g, unsigned test)
{
    size_t done;

    g->ram = plat_pool_va(chunks);
    if (!must(hvif_create_partition(&g->partition), "create partition")) {
        return false;
    }
    fill_memory(g);
    return deposit(g) && must(hvif_initialize_partition(g->partition), "initialize") &&
           must(hvif_map(g->partition, GPA(0), chunks, GUEST_MEMORY / PAGE_SIZE_2M,
                         HV_MAP_RWX | HV_MAP_LARGE_PAGE, &done),
                "map") &&
           create_vps(g) && set_start_registers(g, test);
}

static bool tear_down(struct guest *g)
{
    uint64_t pages[DEPOSIT_PAGES];
    size_t done = 0;
    struct hv_memory_balance_out balance;

    if (!must(hvif_finalize_partition(g->partition), "finalize") ||
        !must(hvif_memory_balance(g->partition, &balance), "balance")) {
        return false;
    }
    g->hv_pages = DEPOSIT_PAGES - balance.available;
    if (!must(hvif_withdraw(g->partition, pages, DEPOSIT_PAGES, &done), "withdraw") ||
        done != DEPOSIT_PAGES) {
        put("root: pages lost\n");
        return false;
    }
    return must(hvif_delete_partition(g->partition), "delete");
}

// --- its intercepts ---

static void assert_interrupt(struct guest *g, uint32_t value)
{
    const struct hv_assert_interrupt_in in = {
        .partition = g->partition,
        .destination = value >> 8 & 0xff,
        .vector = value & 0xff,
        .control_flags = value >> 16 & 1,
    };

    (void)must(hvif_assert_interrupt(g->partition, &in), "assert interrupt");
}

static void show_figure(struct guest *g, uint32_t value)
{
    const struct guest_args *args = (const struct guest_args *)(g->ram + GUEST_ARGS_GPA);

    put("BENCH ");
    for (unsigned i = 0; i < sizeof(args->name) && args->name[i] != '\0'; i++) {
        put_char(args->name[i]);
    }
    put(" ");
    put_number(value);
    put("\n");
}

static void io_write(struct guest *g, uint16_t port, uint32_t value)
{
    switch (port) {
    case PORT_CHAR:
        put_char((char)value);
        break;
    case PORT_FAIL:
        g->failed_line = value;
        g->done = true;
        break;
    case PORT_DONE:
        g->done = true;
        break;
    case PORT_VALUE:
        show_figure(g, value);
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

static uint32_t serve_io(struct guest *g, const struct hv_io_intercept *io, struct hv_register_page *regs)
{
    uint32_t size = io->info & 7;
    uint32_t mask = size == 4 ? ~0u : (1u << (8 * size)) - 1;

    if (io->hdr.access == 1) {
        io_write(g, io->port, (uint32_t)io->rax & mask);
    } else {
        uint32_t value = io->port == PORT_ECHO ? g->echo : ~0u;

        regs->gpr[0] = size == 4 ? value : (regs->gpr[0] & ~(uint64_t)mask) | (value & mask);
    }
    return HV_XWAIT_ADVANCE;
}

// Device memory: eight bytes of storage. The micro-guest uses plain moves only, always with RAX.
static uint32_t serve_memory(struct guest *g, const struct hv_memory_intercept *m,
                             struct hv_register_page *regs)
{
    if (m->hdr.access == 1) {
        g->device[m->gpa >> 3 & 7] = regs->gpr[0];
    } else {
        regs->gpr[0] = g->device[m->gpa >> 3 & 7];
    }
    regs->rip += m->hdr.insn_length != 0 ? (m->hdr.insn_length & 15u) : guest_move_length(m->insn_bytes);
    regs->dirty = HV_DIRTY_RIP;
    return HV_XWAIT_DIRTY;
}

// Completion flags, or STOPPED when the VP must not run on.
static uint32_t serve(struct guest *g, unsigned vp)
{
    const struct hv_message *m = g->vp[vp].msg;

    g->last_message = m->header.type;
    switch (m->header.type) {
    case HV_MSG_IO_PORT:
        return serve_io(g, &m->io, g->vp[vp].regs);
    case HV_MSG_UNMAPPED_GPA:
        g->last_gpa = m->memory.gpa;
        if (m->memory.gpa >= GUEST_CHECKED_GPA) {
            g->done = true;
            return STOPPED;
        }
        return serve_memory(g, &m->memory, g->vp[vp].regs);
    case HV_MSG_APIC_EOI:
        g->eois++;
        return 0;
    default:
        g->done = true; // the VP is stopped for good; the test says whether that was wanted
        return STOPPED;
    }
}

static void run(struct guest *g)
{
    const struct hv_register_assoc start = {.name = HV_REG_EXPLICIT_SUSPEND, .value.u64 = 0};
    uint64_t partition = HV_PARTITION_ID_INVALID;
    uint32_t vp = 0, flags = 0;

    if (!must(hvif_set_registers(g->partition, 0, &start, 1), "start")) {
        return;
    }
    while (!g->done) {
        uint64_t cookie;

        if (!must(hvif_intercept_wait(partition, vp, flags | HV_XWAIT_BLOCK, &cookie), "wait")) {
            return;
        }
        partition = HV_PARTITION_ID_INVALID;
        if (cookie == 0) {
            __asm__ volatile("sti; nop; cli");
            continue;
        }
        vp = (uint32_t)cookie - 1;
        flags = serve(g, vp);
        partition = flags == STOPPED ? HV_PARTITION_ID_INVALID : g->partition;
        flags = flags == STOPPED ? 0 : flags;
    }
}

// --- all of them ---

static bool counts_equal(const struct hv_x_info_out *a, const struct hv_x_info_out *b)
{
    return a->deposited_pages == b->deposited_pages && a->mapped_pages == b->mapped_pages &&
           a->partition_count == b->partition_count && a->hv_pages == b->hv_pages;
}

static bool run_test(unsigned index, const struct root_test *t)
{
    static struct guest g;
    struct hv_x_info_out before, after;
    bool ok;

    __builtin_memset(&g, 0, sizeof(g));
    g.vps = t->vps == 0 ? 1 : t->vps;
    (void)!hvif_info(&before);
    ok = build(&g, index);
    if (ok) {
        run(&g);
        ok = g.failed_line == 0 && g.last_message == t->ends_with;
        if (t->after != NULL) {
            ok = t->after(&g) && ok;
        }
    }
    ok = tear_down(&g) && ok;
    (void)!hvif_info(&after);
    if (!counts_equal(&before, &after)) {
        put("root: memory accounting differs\n");
        ok = false;
    }
    put(ok ? "PASS: " : "FAIL: ");
    put(t->name);
    if (g.failed_line != 0) {
        put(" line ");
        put_number(g.failed_line);
    } else if (!ok) {
        put(" ended with message ");
        put_number(g.last_message);
        put(" address ");
        put_number(g.last_gpa);
    }
    put("\n");
    return ok;
}

static void leave(void)
{
    __asm__ volatile("outb %%al, $0xf4" : : "a"(0)); // QEMU isa-debug-exit, where there is one
    (void)!hvif_system(HV_X_POWER_OFF, 0);
}

// --- in the place of the data plane and of mgmt/main.c ---

void dataplane_init(void)
{
}

void dataplane_heartbeat(uint32_t watchdog_s)
{
    (void)watchdog_s;
}

// Sleeps until the control plane has prepared memory (as mgmt/dataplane/loop.c does).
static void wait_for_go(void)
{
    wake_init(&wake_data);
    while (!__atomic_load_n(&go, __ATOMIC_ACQUIRE)) {
        uint32_t seen = wake_seen(&wake_data);

        if (!__atomic_load_n(&go, __ATOMIC_ACQUIRE) && wake_prepare(&wake_data, seen)) {
            cpu_sleep();
        }
        wake_done(&wake_data);
    }
}

void dataplane_run(void)
{
    unsigned passed = 0, failed = 0;

    wait_for_go();
    for (unsigned i = 0; root_tests[i].name != NULL; i++) {
        if (run_test(i, &root_tests[i])) {
            passed++;
        } else {
            failed++;
        }
    }
    put("guest tests: ");
    put_number(passed);
    put(" passed, ");
    put_number(failed);
    put(" failed\n");
    leave();
    for (;;) {
        __asm__ volatile("hlt");
    }
}

void mgmt_main(const struct mgmt_boot_info *info)
{
    boot = info;
    if (!plat_pool_alloc((GUEST_MEMORY + PAGE_SIZE_2M) / PAGE_SIZE_2M, &chunks)) {
        plat_log(LOG_ERROR, "no memory for guests");
        return;
    }
    __atomic_store_n(&go, true, __ATOMIC_RELEASE);
    wake(&wake_data);
}
