// SPDX-License-Identifier: Apache-2.0
// Hypercalls about virtual processors and Keelson's own, from the root: valid use and every documented error.
#include "tests/guest/root/tests.h"

#include <string.h>

#include <gen/exit_reasons.h>

static struct guest g;
#define ROOT_ID (1ull | 1 << 16)

static bool build(uint32_t vps)
{
    return guest_build(&g, 0, 0, vps, 1);
}

// --- life cycle ---

bool root_calls_vp(void)
{
    bool ok = build(1);
    struct hv_create_vp_in in = {.partition = g.partition, .vp_index = 0};

    ok = EXPECT(HV_STATUS_INVALID_VP_INDEX, HVCALL_CREATE_VP, in) && ok; // exists
    in.vp_index = 64;
    ok = EXPECT(HV_STATUS_INVALID_VP_INDEX, HVCALL_CREATE_VP, in) && ok;
    in.vp_index = HV_VP_INDEX_SELF;
    ok = EXPECT(HV_STATUS_INVALID_VP_INDEX, HVCALL_CREATE_VP, in) && ok;
    in.vp_index = 63;
    in.flags = 1;
    ok = EXPECT(HV_STATUS_INVALID_PARAMETER, HVCALL_CREATE_VP, in) && ok;
    in.flags = 0;
    in.subnode_type = 1;
    ok = EXPECT(HV_STATUS_INVALID_PARAMETER, HVCALL_CREATE_VP, in) && ok;
    in.subnode_type = 0;
    ok = EXPECT(HV_STATUS_SUCCESS, HVCALL_CREATE_VP, in) && ok;
    ok = EXPECT(HV_STATUS_SUCCESS, HVCALL_DELETE_VP,
                (struct hv_vp_in){.partition = g.partition, .vp_index = 63}) &&
         ok;
    ok = EXPECT(HV_STATUS_INVALID_VP_INDEX, HVCALL_DELETE_VP,
                (struct hv_vp_in){.partition = g.partition, .vp_index = 63}) &&
         ok;
    ok = EXPECT(HV_STATUS_INVALID_VP_INDEX, HVCALL_DELETE_VP,
                (struct hv_vp_in){.partition = g.partition, .vp_index = ~0u}) &&
         ok;
    in.partition = ROOT_ID;
    ok = EXPECT(HV_STATUS_ACCESS_DENIED, HVCALL_CREATE_VP, in) && ok;
    ok = EXPECT(HV_STATUS_ACCESS_DENIED, HVCALL_DELETE_VP,
                (struct hv_vp_in){.partition = ROOT_ID, .vp_index = HV_VP_INDEX_SELF}) &&
         ok;
    ok = EXPECT(HV_STATUS_ACCESS_DENIED, HVCALL_DELETE_VP,
                (struct hv_vp_in){.partition = ROOT_ID, .vp_index = 1}) &&
         ok;
    in.partition = g.partition; // until the pool is empty
    for (in.vp_index = 1; in.vp_index < 60 && hvif_create_vp(g.partition, in.vp_index) == HV_STATUS_SUCCESS;
         in.vp_index++) {
    }
    ok = WANT(in.vp_index > 3 && in.vp_index < 60) && ok;
    ok = EXPECT(HV_STATUS_INSUFFICIENT_MEMORY, HVCALL_CREATE_VP, in) && ok;
    return guest_tear_down(&g) && ok;
}

// --- registers ---

struct get_in {
    struct hv_vp_registers_in fixed;
    uint32_t name[4];
};

struct set_in {
    struct hv_vp_registers_in fixed;
    struct hv_register_assoc reg[2];
};

static struct get_in get_one(uint32_t name)
{
    return (struct get_in){{.partition = g.partition}, {name}};
}

static struct set_in set_one(uint32_t name, uint64_t value)
{
    return (struct set_in){{.partition = g.partition}, {{.name = name, .value.u64 = value}}};
}

static const uint32_t readable[] = {
    HV_REG_EXPLICIT_SUSPEND,
    HV_REG_INTERCEPT_SUSPEND,
    HV_REG_PENDING_INTERRUPTION,
    HV_REG_INTERRUPT_STATE,
    HV_REG_RAX,
    HV_REG_RSP,
    HV_REG_R15,
    HV_REG_RIP,
    HV_REG_RFLAGS,
    HV_REG_CR0,
    HV_REG_CR2,
    HV_REG_CR3,
    HV_REG_CR4,
    HV_REG_CR8,
    HV_REG_XFEM,
    HV_REG_DR0,
    HV_REG_DR3,
    HV_REG_DR6,
    HV_REG_DR7,
    HV_REG_ES,
    HV_REG_CS,
    HV_REG_SS,
    HV_REG_DS,
    HV_REG_FS,
    HV_REG_GS,
    HV_REG_LDTR,
    HV_REG_TR,
    HV_REG_IDTR,
    HV_REG_GDTR,
    HV_REG_TSC,
    HV_REG_EFER,
    HV_REG_KERNEL_GS_BASE,
    HV_REG_APIC_BASE,
    HV_REG_PAT,
    HV_REG_SYSENTER_CS,
    HV_REG_SYSENTER_EIP,
    HV_REG_SYSENTER_ESP,
    HV_REG_STAR,
    HV_REG_LSTAR,
    HV_REG_CSTAR,
    HV_REG_SFMASK,
    HV_REG_INITIAL_APIC_ID,
    HV_REG_TSC_AUX,
    HV_REG_TSC_DEADLINE,
    HV_REG_TSC_ADJUST,
    HV_REG_VP_RUNTIME,
    HV_REG_GUEST_OS_ID,
    HV_REG_VP_INDEX,
    HV_REG_TIME_REF_COUNT,
    HV_REG_X_INTERCEPT_COOKIE,
};

// What is written is read back.
static bool round_trips(void)
{
    static const struct {
        uint32_t name;
        uint64_t value;
    } rows[] = {
        {HV_REG_RAX, 0x1122334455667788},
        {HV_REG_R15, 1},
        {HV_REG_RSP, 0x1ff000},
        {HV_REG_RIP, 0x100000},
        {HV_REG_RFLAGS, 0x202},
        {HV_REG_CR2, 0x1234567},
        {HV_REG_CR3, 0x2000},
        {HV_REG_DR0, 0x1000},
        {HV_REG_DR3, 0x2000},
        {HV_REG_DR7, 0x400},
        {HV_REG_CR8, 7},
        {HV_REG_XFEM, 1},
        {HV_REG_PAT, 0x0007040600070406},
        {HV_REG_SYSENTER_CS, 8},
        {HV_REG_SYSENTER_EIP, 0x1000},
        {HV_REG_SYSENTER_ESP, 0x2000},
        {HV_REG_STAR, 0x123ull << 32},
        {HV_REG_LSTAR, 0xffffffff81000000},
        {HV_REG_CSTAR, 0x3000},
        {HV_REG_SFMASK, 0x700},
        {HV_REG_KERNEL_GS_BASE, 0xffff888000000000},
        {HV_REG_X_INTERCEPT_COOKIE, 0x42},
    };
    bool ok = true;

    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        ok = (EXPECT(HV_STATUS_SUCCESS, HVCALL_SET_VP_REGISTERS | REPS(1),
                     set_one(rows[i].name, rows[i].value)) &&
              EXPECT(HV_STATUS_SUCCESS, HVCALL_GET_VP_REGISTERS | REPS(1), get_one(rows[i].name)) &&
              (*(uint64_t *)call_out() == rows[i].value || complain(__LINE__, "register", rows[i].name))) &&
             ok;
    }
    return ok;
}

bool root_calls_registers(void)
{
    static const uint32_t unknown[] = {0x2,        0x00020012, 0x00040006, 0x00050006, 0x00060008,
                                       0x00070002, 0x00080100, 0x00090100, 0x00f00001, 0xffffffff};
    bool ok = build(1);
    struct get_in get = get_one(HV_REG_RAX);
    struct set_in set = set_one(HV_REG_RAX, 1);

    for (unsigned i = 0; i < ARRAY_LEN(readable); i++) {
        ok = (EXPECT(HV_STATUS_SUCCESS, HVCALL_GET_VP_REGISTERS | REPS(1), get_one(readable[i])) ||
              complain(__LINE__, "register", readable[i])) &&
             ok;
    }
    for (unsigned i = 0; i < ARRAY_LEN(unknown); i++) {
        ok = EXPECT(HV_STATUS_INVALID_PARAMETER, HVCALL_GET_VP_REGISTERS | REPS(1), get_one(unknown[i])) &&
             ok;
        ok = EXPECT(HV_STATUS_INVALID_PARAMETER, HVCALL_SET_VP_REGISTERS | REPS(1), set_one(unknown[i], 0)) &&
             ok;
    }
    ok = round_trips() && ok;
    ok = EXPECT(HV_STATUS_INVALID_PARAMETER, HVCALL_SET_VP_REGISTERS | REPS(1),
                set_one(HV_REG_INTERCEPT_SUSPEND, 1)) &&
         ok;
    ok = EXPECT(HV_STATUS_SUCCESS, HVCALL_SET_VP_REGISTERS | REPS(1), set_one(HV_REG_INTERCEPT_SUSPEND, 0)) &&
         ok;
    ok = EXPECT(HV_STATUS_INVALID_PARAMETER, HVCALL_SET_VP_REGISTERS | REPS(1),
                set_one(HV_REG_VP_INDEX, 1)) &&
         ok;
    get.fixed.vp_index = set.fixed.vp_index = 9;
    ok = EXPECT(HV_STATUS_INVALID_VP_INDEX, HVCALL_GET_VP_REGISTERS | REPS(1), get) && ok;
    ok = EXPECT(HV_STATUS_INVALID_VP_INDEX, HVCALL_SET_VP_REGISTERS | REPS(1), set) && ok;
    get.fixed.vp_index = set.fixed.vp_index = HV_VP_INDEX_SELF; // which is the caller's own, not the target's
    ok = EXPECT(HV_STATUS_INVALID_VP_INDEX, HVCALL_GET_VP_REGISTERS | REPS(1), get) && ok;
    get.fixed.vp_index = set.fixed.vp_index = 0;
    get.fixed.vtl = set.fixed.vtl = 1;
    ok = EXPECT(HV_STATUS_INVALID_PARAMETER, HVCALL_GET_VP_REGISTERS | REPS(1), get) && ok;
    ok = EXPECT(HV_STATUS_INVALID_PARAMETER, HVCALL_SET_VP_REGISTERS | REPS(1), set) && ok;
    get.fixed.vtl = set.fixed.vtl = 0;
    set.fixed.partition = ROOT_ID;
    ok = EXPECT(HV_STATUS_ACCESS_DENIED, HVCALL_SET_VP_REGISTERS | REPS(1), set) && ok;
    // The second element fails: one is done.
    set = set_one(HV_REG_RBX, 5);
    set.reg[1].name = 0x999;
    memcpy(call_in(), &set, sizeof(set));
    ok = WANT(raw_call(HVCALL_SET_VP_REGISTERS | REPS(2), call_in_gpa(), call_out_gpa()) ==
              (REPS(1) | HV_STATUS_INVALID_PARAMETER)) &&
         ok;
    ok = WANT(get_register(&g, 0, HV_REG_RBX) == 5) && ok;
    return guest_tear_down(&g) && ok;
}

// --- addresses and memory of a guest ---

bool root_calls_guest_memory(void)
{
    bool ok = build(1);
    struct hv_translate_gva_in t = {.partition = g.partition, .control = 1, .gva_page = 0x300};
    const struct hv_translate_gva_out *t_out = call_out();
    struct hv_rw_gpa_in rw = {
        .partition = g.partition, .byte_count = 8, .gpa = GUEST_DATA_GPA, .data = {1, 2, 3, 4, 5, 6, 7, 8}};
    const struct hv_rw_gpa_out *r_out = call_out();

    ok = EXPECT(HV_STATUS_SUCCESS, HVCALL_TRANSLATE_VIRTUAL_ADDRESS, t) &&
         WANT(t_out->result == 0 && t_out->gpa_page == 0x300) && ok;
    t.gva_page = 1ull << 28;
    ok = EXPECT(HV_STATUS_SUCCESS, HVCALL_TRANSLATE_VIRTUAL_ADDRESS, t) && WANT(t_out->result == 1) && ok;
    t.gva_page = 0x20000; // mapped by the tables, without memory
    ok = EXPECT(HV_STATUS_SUCCESS, HVCALL_TRANSLATE_VIRTUAL_ADDRESS, t) && ok;
    t.control = 1ull << 40;
    ok = EXPECT(HV_STATUS_INVALID_PARAMETER, HVCALL_TRANSLATE_VIRTUAL_ADDRESS, t) && ok;
    t.control = 1;
    t.vp_index = 7;
    ok = EXPECT(HV_STATUS_INVALID_VP_INDEX, HVCALL_TRANSLATE_VIRTUAL_ADDRESS, t) && ok;

    ok = EXPECT(HV_STATUS_SUCCESS, HVCALL_WRITE_GPA, rw) && WANT(*(uint64_t *)call_out() == 0) && ok;
    ok = WANT(memcmp(g.ram + GUEST_DATA_GPA, rw.data, 8) == 0) && ok;
    ok = EXPECT(HV_STATUS_SUCCESS, HVCALL_READ_GPA, rw) &&
         WANT(r_out->access_result == 0 && memcmp(r_out->data, rw.data, 8) == 0) && ok;
    rw.gpa = GUEST_UNMAPPED_GPA;
    ok = EXPECT(HV_STATUS_SUCCESS, HVCALL_READ_GPA, rw) && WANT(r_out->access_result == 4) && ok;
    ok = EXPECT(HV_STATUS_SUCCESS, HVCALL_WRITE_GPA, rw) && WANT(*(uint64_t *)call_out() == 4) && ok;
    rw.gpa = GUEST_DATA_GPA + PAGE_SIZE - 4; // crosses a page
    ok = EXPECT(HV_STATUS_INVALID_PARAMETER, HVCALL_READ_GPA, rw) &&
         EXPECT(HV_STATUS_INVALID_PARAMETER, HVCALL_WRITE_GPA, rw) && ok;
    rw.gpa = 1ull << 60;
    ok = EXPECT(HV_STATUS_INVALID_PARAMETER, HVCALL_READ_GPA, rw) &&
         EXPECT(HV_STATUS_INVALID_PARAMETER, HVCALL_WRITE_GPA, rw) && ok;
    rw.gpa = GUEST_DATA_GPA;
    for (uint32_t n = 0; n <= 17; n += 17) { // too few, too many
        rw.byte_count = n;
        ok = EXPECT(HV_STATUS_INVALID_PARAMETER, HVCALL_READ_GPA, rw) &&
             EXPECT(HV_STATUS_INVALID_PARAMETER, HVCALL_WRITE_GPA, rw) && ok;
    }
    rw.byte_count = 4;
    rw.vp_index = 3;
    ok = EXPECT(HV_STATUS_INVALID_VP_INDEX, HVCALL_READ_GPA, rw) &&
         EXPECT(HV_STATUS_INVALID_VP_INDEX, HVCALL_WRITE_GPA, rw) && ok;
    return guest_tear_down(&g) && ok;
}

// --- interrupts and intercepts ---

bool root_calls_interrupt(void)
{
    static const struct hv_assert_interrupt_in bad[] = {
        {.vector = 15},
        {.vector = 256},
        {.vector = 32, .vtl = 1},
        {.vector = 32, .control_flags = 4},
        {.vector = 32, .control = 2},
        {.vector = 32, .control = 3},
        {.vector = 32, .control = 7},
        {.vector = 32, .control = 8},
        {.vector = 32, .control = 99},
    };
    bool ok = build(1);
    struct hv_assert_interrupt_in in;
    struct hv_install_intercept_in install = {.partition = g.partition, .access = 3, .parameter = 0x60};

    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        in = bad[i];
        in.partition = g.partition;
        ok = (EXPECT(HV_STATUS_INVALID_PARAMETER, HVCALL_ASSERT_VIRTUAL_INTERRUPT, in) ||
              complain(__LINE__, "row", i)) &&
             ok;
    }
    in = (struct hv_assert_interrupt_in){.partition = g.partition, .vector = 32, .destination = 55};
    ok = EXPECT(HV_STATUS_INVALID_VP_INDEX, HVCALL_ASSERT_VIRTUAL_INTERRUPT, in) && ok;
    in.destination = 0;
    in.control = 4;
    ok = EXPECT(HV_STATUS_SUCCESS, HVCALL_ASSERT_VIRTUAL_INTERRUPT, in) && ok;
    in.control = 5;
    ok = EXPECT(HV_STATUS_SUCCESS, HVCALL_ASSERT_VIRTUAL_INTERRUPT, in) && ok;
    ok = EXPECT(HV_STATUS_SUCCESS, HVCALL_INSTALL_INTERCEPT, install) && ok;
    install.parameter = 0x10000;
    ok = EXPECT(HV_STATUS_FEATURE_UNAVAILABLE, HVCALL_INSTALL_INTERCEPT, install) && ok;
    install.type = HV_INTERCEPT_MSR;
    ok = EXPECT(HV_STATUS_FEATURE_UNAVAILABLE, HVCALL_INSTALL_INTERCEPT, install) && ok;
    install.type = 77;
    ok = EXPECT(HV_STATUS_INVALID_PARAMETER, HVCALL_INSTALL_INTERCEPT, install) && ok;
    install.partition = ROOT_ID;
    ok = EXPECT(HV_STATUS_ACCESS_DENIED, HVCALL_INSTALL_INTERCEPT, install) && ok;
    return guest_tear_down(&g) && ok;
}

// --- state pages ---

bool root_calls_state_pages(void)
{
    bool ok = build(1);
    struct hv_vp_state_page_in in = {.partition = g.partition, .type = HV_STATE_PAGE_REGISTERS};

    ok = EXPECT(HV_STATUS_SUCCESS, HVCALL_MAP_VP_STATE_PAGE, in) && ok; // again: the same place
    ok = WANT(*(uint64_t *)call_out() << PAGE_SHIFT == (uint64_t)g.vp[0].regs - MGMT_DIRECT_BASE) && ok;
    in.type = 2;
    ok = EXPECT(HV_STATUS_INVALID_PARAMETER, HVCALL_MAP_VP_STATE_PAGE, in) && ok;
    ok = EXPECT(HV_STATUS_INVALID_PARAMETER, HVCALL_UNMAP_VP_STATE_PAGE, in) && ok;
    in.type = 0;
    in.flags = 1;
    ok = EXPECT(HV_STATUS_INVALID_PARAMETER, HVCALL_MAP_VP_STATE_PAGE, in) && ok;
    in.flags = 0;
    in.vtl = 1;
    ok = EXPECT(HV_STATUS_INVALID_PARAMETER, HVCALL_MAP_VP_STATE_PAGE, in) && ok;
    in.vtl = 0;
    in.vp_index = 8;
    ok = EXPECT(HV_STATUS_INVALID_VP_INDEX, HVCALL_MAP_VP_STATE_PAGE, in) && ok;
    ok = EXPECT(HV_STATUS_INVALID_VP_INDEX, HVCALL_UNMAP_VP_STATE_PAGE, in) && ok;
    in.vp_index = 0;
    ok = EXPECT(HV_STATUS_SUCCESS, HVCALL_UNMAP_VP_STATE_PAGE, in) && ok;
    ok = EXPECT(HV_STATUS_NOT_FOUND, HVCALL_UNMAP_VP_STATE_PAGE, in) && ok;
    in.partition = ROOT_ID;
    in.vp_index = HV_VP_INDEX_SELF;
    ok = EXPECT(HV_STATUS_ACCESS_DENIED, HVCALL_MAP_VP_STATE_PAGE, in) && ok;
    return guest_tear_down(&g) && ok;
}

// --- Keelson's own ---

static bool map_interrupt(void)
{
    static const struct hv_x_map_interrupt_in bad[] = {
        {.source = 4, .vector = 0x40},
        {.source = 0, .gsi = 5000, .vector = 0x40},
        {.source = 0, .gsi = 9, .vector = 0x1f},
        {.source = 0, .gsi = 9, .vector = 0x100},
        {.source = 0, .gsi = 9, .vp_index = 64, .vector = 0x40},
        {.source = 0, .gsi = 9, .vp_index = ~0u, .vector = 0x40},
    };
    bool ok = true;

    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        memcpy(call_in(), &bad[i], sizeof(bad[i]));
        ok = (HVCALL_RESULT_STATUS(raw_call(HVCALL_X_MAP_INTERRUPT, call_in_gpa(), call_out_gpa())) !=
                  HV_STATUS_SUCCESS ||
              complain(__LINE__, "refused row", i + 1)) &&
             ok;
    }
    ok = EXPECT(HV_STATUS_SUCCESS, HVCALL_X_MAP_INTERRUPT,
                (struct hv_x_map_interrupt_in){.source = 0, .gsi = 9, .vector = 0x40}) &&
         ok;
    return EXPECT(HV_STATUS_SUCCESS, HVCALL_X_MAP_INTERRUPT,
                  (struct hv_x_map_interrupt_in){.source = 0, .gsi = 9, .vector = 0}) &&
           ok;
}

static bool console_and_log(void)
{
    struct {
        struct hv_x_console_in fixed;
        char text[48];
    } write = {.fixed = {.length = 28, .flags = 0}, .text = "written by a raw hypercall\r\n"};
    struct hv_x_console_in read = {.length = 64};
    bool ok = EXPECT(HV_STATUS_SUCCESS, HVCALL_X_CONSOLE_WRITE, write);

    write.fixed = (struct hv_x_console_in){.length = 10, .flags = HV_X_CONSOLE_LOG | 99 << 8};
    ok = EXPECT(HV_STATUS_SUCCESS, HVCALL_X_CONSOLE_WRITE, write) && ok;
    write.fixed.length = 0;
    ok = EXPECT(HV_STATUS_SUCCESS, HVCALL_X_CONSOLE_WRITE, write) && ok;
    write.fixed.length = HV_X_CONSOLE_MAX + 1;
    ok = EXPECT(HV_STATUS_INVALID_PARAMETER, HVCALL_X_CONSOLE_WRITE, write) && ok;
    write.fixed.length = ~0u;
    ok = EXPECT(HV_STATUS_INVALID_PARAMETER, HVCALL_X_CONSOLE_WRITE, write) && ok;
    // At the very end of a page there is no room for what the length promises.
    memcpy((uint8_t *)call_in() + PAGE_SIZE - 8, &(struct hv_x_console_in){.length = 100}, 8);
    ok = WANT(HVCALL_RESULT_STATUS(raw_call(HVCALL_X_CONSOLE_WRITE, call_in_gpa() + PAGE_SIZE - 8, 0)) ==
              HV_STATUS_INVALID_PARAMETER) &&
         ok;
    ok = EXPECT(HV_STATUS_SUCCESS, HVCALL_X_CONSOLE_READ, read) && ok;
    ok = WANT(HVCALL_RESULT_STATUS(raw_call(HVCALL_X_CONSOLE_READ, call_in_gpa(), call_out_gpa() + 2048)) ==
              HV_STATUS_INVALID_ALIGNMENT) &&
         ok;
    ok = EXPECT(HV_STATUS_SUCCESS, HVCALL_X_READ_LOG, (struct hv_x_log_in){.sequence = 0}) && ok;
    ok = WANT(((const struct hv_x_log_out *)call_out())->length > 0) && ok;
    ok = EXPECT(HV_STATUS_SUCCESS, HVCALL_X_READ_LOG, (struct hv_x_log_in){.sequence = ~0ull}) && ok;
    ok = WANT(((const struct hv_x_log_out *)call_out())->length == 0) && ok;
    return WANT(HVCALL_RESULT_STATUS(raw_call(HVCALL_X_READ_LOG, call_in_gpa() + 1, call_out_gpa())) ==
                HV_STATUS_INVALID_ALIGNMENT) &&
           ok;
}

static bool system_control(void)
{
    struct hv_x_info_out info;
    bool ok = must(hvif_info(&info), "info");

    ok = EXPECT(HV_STATUS_INVALID_PARAMETER, HVCALL_X_SYSTEM_CONTROL, (struct hv_x_system_in){.action = 0}) &&
         ok;
    ok = EXPECT(HV_STATUS_INVALID_PARAMETER, HVCALL_X_SYSTEM_CONTROL,
                (struct hv_x_system_in){.action = 77}) &&
         ok;
    ok = EXPECT(HV_STATUS_INVALID_PARAMETER, HVCALL_X_SYSTEM_CONTROL,
                (struct hv_x_system_in){.action = HV_X_SET_LOG_LEVEL, .value = 99}) &&
         ok;
    ok = EXPECT(HV_STATUS_SUCCESS, HVCALL_X_SYSTEM_CONTROL,
                (struct hv_x_system_in){.action = HV_X_SET_LOG_LEVEL, .value = info.log_level}) &&
         ok;
    ok = EXPECT(HV_STATUS_NOT_FOUND, HVCALL_X_SYSTEM_CONTROL,
                (struct hv_x_system_in){.action = HV_X_DUMP, .value = 0x12345678}) &&
         ok;
    ok = EXPECT(HV_STATUS_SUCCESS, HVCALL_X_SYSTEM_CONTROL,
                (struct hv_x_system_in){.action = HV_X_WATCHDOG, .value = 60}) &&
         ok;
    return EXPECT(HV_STATUS_SUCCESS, HVCALL_X_SYSTEM_CONTROL,
                  (struct hv_x_system_in){.action = HV_X_WATCHDOG, .value = 0}) &&
           ok;
}

// While the trace is on every exit of this partition is in it, those of these calls included.
static bool trace_calls(void)
{
    const struct hv_x_trace_out *out = call_out();
    bool ok = EXPECT(HV_STATUS_SUCCESS, HVCALL_X_TRACE, (struct hv_x_trace_in){.action = HV_X_TRACE_START});
    bool found = false;

    for (uint32_t cpu = 0; cpu < boot->boot.cpu_count && ok; cpu++) {
        ok = EXPECT(HV_STATUS_SUCCESS, HVCALL_X_TRACE,
                    (struct hv_x_trace_in){.action = HV_X_TRACE_READ, .cpu = cpu});
        for (uint32_t i = 0; i < out->count; i++) {
            found |= out->record[i].type == HV_X_TRACE_EXIT && out->record[i].reason == EXIT_HYPERCALL &&
                     out->record[i].cpu == cpu;
        }
    }
    ok = WANT(found) && ok;
    ok = EXPECT(HV_STATUS_INVALID_PARAMETER, HVCALL_X_TRACE,
                (struct hv_x_trace_in){.action = HV_X_TRACE_READ, .cpu = 1000}) &&
         ok;
    ok = EXPECT(HV_STATUS_INVALID_PARAMETER, HVCALL_X_TRACE, (struct hv_x_trace_in){.action = 77}) && ok;
    return EXPECT(HV_STATUS_SUCCESS, HVCALL_X_TRACE, (struct hv_x_trace_in){.action = HV_X_TRACE_STOP}) && ok;
}

bool root_calls_private(void)
{
    bool ok = build(1);
    struct hv_x_info_out info = {0};

    ok = map_interrupt() && ok;
    ok = console_and_log() && ok;
    ok = system_control() && ok;
    ok = trace_calls() && ok;
    ok = EXPECT(
             HV_STATUS_SUCCESS, HVCALL_X_SYSTEM_CONTROL,
             (struct hv_x_system_in){.action = HV_X_DUMP, .value = (uint32_t)(g.partition & 0xffff) << 8}) &&
         ok;
    ok = EXPECT(HV_STATUS_SUCCESS, HVCALL_X_GET_COUNTERS,
                (struct hv_x_counters_in){.partition = g.partition, .vp_index = 0}) &&
         ok;
    ok = EXPECT(HV_STATUS_SUCCESS, HVCALL_X_GET_COUNTERS,
                (struct hv_x_counters_in){.partition = g.partition, .vp_index = HV_VP_INDEX_ANY}) &&
         ok;
    ok = EXPECT(HV_STATUS_INVALID_VP_INDEX, HVCALL_X_GET_COUNTERS,
                (struct hv_x_counters_in){.partition = g.partition, .vp_index = 9}) &&
         ok;
    ok = WANT(HVCALL_RESULT_STATUS(raw_call(HVCALL_X_GET_INFO, call_in_gpa(), call_out_gpa())) ==
              HV_STATUS_SUCCESS) &&
         ok;
    memcpy(&info, call_out(), sizeof(info));
    ok = WANT(info.cpu_count == boot->cpu_count && info.partition_count == 2 &&
              info.tsc_hz == boot->tsc_hz) &&
         ok;
    ok = WANT(info.deposited_pages >= DEPOSIT_PAGES / 2 && info.mapped_pages == GUEST_MEMORY / PAGE_SIZE) &&
         ok;
    ok = WANT(HVCALL_RESULT_STATUS(raw_call(HVCALL_X_GET_INFO, 0, call_out_gpa() + PAGE_SIZE - 8)) ==
              HV_STATUS_INVALID_ALIGNMENT) &&
         ok;
    ok = WANT(HVCALL_RESULT_STATUS(raw_call(HVCALL_X_INTERCEPT_WAIT | HVCALL_FAST, 0, 0)) ==
              HV_STATUS_SUCCESS) &&
         ok;
    ok = WANT(HVCALL_RESULT_STATUS(raw_call(HVCALL_X_INTERCEPT_WAIT | HVCALL_FAST, 0x999, 0)) ==
              HV_STATUS_INVALID_PARTITION_ID) &&
         ok;
    return guest_tear_down(&g) && ok;
}
