// srcs: hv/hypercall.c hv/hvcall_partition.c hv/hvcall_vp.c hv/hvcall_x.c hv/partition.c hv/vp.c hv/gpa.c hv/frames.c hv/intercept.c hv/interrupt.c hv/synthetic.c hv/exit.c hv/doorbell.c hv/trace.c hv/sched.c hv/runqueue.c hv/balance.c hv/share.c hv/watchdog.c hv/log_limit.c hv/timer.c hv/lock.c arch/x86/vlapic.c arch/x86/vlapic_timer.c arch/x86/vlapic_ipi.c arch/x86/vlapic_exit.c arch/x86/msr_policy.c arch/x86/cpuid_policy.c arch/x86/exit_cr.c arch/x86/guest_walk.c arch/x86/decode.c tests/unit/fake_virt.c tests/unit/fake_node.c
// SPDX-License-Identifier: Apache-2.0
// A root partition that makes any hypercall, and children that leave by any exit, on the real hypervisor above the
// processor, scheduler and timers included. Whatever they have done: when the children are taken down, every page is
// back where it was, the frame table reads as before, and nothing has panicked.
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include "arch/x86/host.h"
#include "arch/x86/x86.h"
#include "hv/cpu.h"
#include "hv/exit.h"
#include "hv/sched.h"
#include "hv/trace.h"
#include "tests/unit/fake_node.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_ENTRIES 400 // of an input
#define FIRST_FREE_PAGE (NODE_ROOT_PAGE + 512u)
#define FREE_PAGES 256u
#define BUILD_PAGES 48u

static struct {
    const uint8_t *at, *end;
    unsigned entries;
    bool over; // the children have been taken down
} input;
static jmp_buf done;

static void require(bool condition)
{
    if (!condition) {
        abort();
    }
}

static uint8_t take8(void)
{
    return input.at < input.end ? *input.at++ : 0;
}

static uint64_t take64(void)
{
    uint64_t v = 0;

    for (unsigned i = 0; i < 8; i++) {
        v = v << 8 | take8();
    }
    return v;
}

// --- words that hypercalls like ---

static uint64_t some_partition(void)
{
    uint8_t which = take8() % 8;
    uint64_t id = HV_PARTITION_ID_INVALID;

    if (which == 0) {
        return HV_PARTITION_ID_SELF;
    }
    if (which == 1) {
        return take64();
    }
    if (which == 2) {
        return root_partition->id;
    }
    for (unsigned i = 2; i < which; i++) { // one of the first children
        uint64_t next = partition_next_child(root_partition, id);

        id = next == HV_PARTITION_ID_INVALID ? id : next;
    }
    return id;
}

static uint64_t some_word(void)
{
    static const uint64_t words[] = {0xfee00, 1ull << 36, ~0ull, HV_VP_INDEX_SELF, HV_VP_INDEX_ANY, 0x1000};
    uint8_t which = take8(), low = take8();

    switch (which & 7) {
    case 0:
        return 0;
    case 1:
        return low;
    case 2:
        return (uint64_t)low << 32 | which >> 3;
    case 3:
        return FIRST_FREE_PAGE + low % FREE_PAGES;
    case 4:
        return (uint64_t)(0x10000u * (which >> 3)) | low; // register names: kind and number
    case 5:
        return words[low % ARRAY_LEN(words)];
    case 6:
        return (low + 1ull) << 9; // multiples of a large page
    default:
        return take64();
    }
}

// --- the root's code ---

static uint16_t some_code(void)
{
    static const uint16_t codes[] = {
#define CODE(code_, ...) code_,
        HVCALL_TABLE(CODE)};
    uint8_t which = take8();

    return which < 240 ? codes[which % ARRAY_LEN(codes)] : (uint16_t)take64();
}

// Calls that end the node are none; pages given to the root itself never come back, by design.
static bool is_excluded(uint16_t code, const uint64_t *words)
{
    if (code == HVCALL_X_SYSTEM_CONTROL) {
        return (uint32_t)words[0] == HV_X_POWER_OFF || (uint32_t)words[0] == HV_X_REBOOT;
    }
    return code == HVCALL_DEPOSIT_MEMORY &&
           (words[0] == HV_PARTITION_ID_SELF || words[0] == root_partition->id);
}

static void any_call(struct vp *vp)
{
    static uint64_t page[512];
    uint16_t code = some_code();
    uint8_t flags = take8(), reps = take8();
    uint64_t value = code, at = (uint64_t)(FIRST_FREE_PAGE - 1) << PAGE_SHIFT;
    unsigned words = 1 + flags % 12;

    page[0] = some_partition();
    for (unsigned i = 1; i < words; i++) {
        page[i] = some_word();
    }
    if (is_excluded(code, page)) {
        page[0] = 7;
    }
    value |= HVCALL_REP_COUNT(flags & 16 ? reps : reps % 4);
    value |= flags & 32 ? HVCALL_REP_START(take8()) : 0;
    value |= flags & 64 ? HVCALL_FAST : 0;
    value ^= flags & 128 && reps == 0xff ? BIT(take8() & 63) : 0;
    memcpy(spa_to_va(SPA(at)), page, sizeof(page));
    vp_set_gpr(vp, GPR_RCX, value);
    vp_set_gpr(vp, GPR_RDX, flags & 64 ? page[0] : at + (flags & 128 ? take8() * 8ull : 0));
    vp_set_gpr(vp, GPR_R8, flags & 64 ? page[1] : at - PAGE_SIZE);
    if ((value & 0xffff) == HVCALL_X_SYSTEM_CONTROL &&
        is_excluded(HVCALL_X_SYSTEM_CONTROL, (const uint64_t[]){vp_gpr(vp, GPR_RDX)})) {
        vp_set_gpr(vp, GPR_RDX, ~0ull);
    }
    vp->exit = (struct vp_exit){.reason = EXIT_HYPERCALL, .insn_len = 3};
}

// A child with two VPs that run, for what fuzzing would take long to put together.
static void build_child(void)
{
    struct {
        uint64_t id, page[BUILD_PAGES];
    } deposit;
    struct {
        struct hv_vp_registers_in fixed;
        uint64_t pad;
        struct hv_register_assoc reg;
    } set = {.reg = {.name = HV_REG_EXPLICIT_SUSPEND}};
    uint64_t first = FIRST_FREE_PAGE + take8() % FREE_PAGES;

    (void)fake_node_call(HVCALL_CREATE_PARTITION, &(struct hv_create_partition_in){.flags = 0},
                         sizeof(struct hv_create_partition_in), &deposit.id, 8);
    for (unsigned i = 0; i < BUILD_PAGES; i++) {
        deposit.page[i] = first + i;
    }
    (void)fake_node_call(HVCALL_DEPOSIT_MEMORY | HVCALL_REP_COUNT(BUILD_PAGES), &deposit, sizeof(deposit),
                         NULL, 0);
    (void)fake_node_call(HVCALL_INITIALIZE_PARTITION, &deposit.id, 8, NULL, 0);
    for (uint32_t i = 0; i < 2; i++) {
        struct hv_create_vp_in create = {.partition = deposit.id, .vp_index = i};

        (void)fake_node_call(HVCALL_CREATE_VP, &create, sizeof(create), NULL, 0);
    }
    set.fixed.partition = deposit.id;
    memmove((uint8_t *)&set + sizeof(set.fixed), &set.reg, sizeof(set.reg));
    (void)fake_node_call(HVCALL_SET_VP_REGISTERS | HVCALL_REP_COUNT(1), &set, sizeof(set), NULL, 0);
}

static void take_down(uint64_t id)
{
    struct hv_withdraw_in withdraw = {.partition = id};
    uint64_t input_value = HVCALL_WITHDRAW_MEMORY | HVCALL_REP_COUNT(1);

    (void)fake_node_call(HVCALL_FINALIZE_PARTITION, &id, 8, NULL, 0); // refused if it never was initialized
    while (HVCALL_RESULT_STATUS(fake_node_call(input_value, &withdraw, sizeof(withdraw), NULL, 0)) ==
           HV_STATUS_SUCCESS) {
    }
    require(HVCALL_RESULT_STATUS(fake_node_call(HVCALL_DELETE_PARTITION, &id, 8, NULL, 0)) ==
            HV_STATUS_SUCCESS);
}

static void take_all_down(void)
{
    uint64_t id;

    while ((id = partition_next_child(root_partition, HV_PARTITION_ID_INVALID)) != HV_PARTITION_ID_INVALID) {
        take_down(id);
    }
    input.over = true;
}

// Waits for intercepts for ever, which ends the input when there is nobody left (idle()).
static void wait_call(struct vp *vp, uint64_t partition, uint32_t index, uint32_t flags)
{
    vp_set_gpr(vp, GPR_RCX, HVCALL_X_INTERCEPT_WAIT | HVCALL_FAST);
    vp_set_gpr(vp, GPR_RDX, partition);
    vp_set_gpr(vp, GPR_R8, index | (uint64_t)flags << 32);
    vp->exit = (struct vp_exit){.reason = EXIT_HYPERCALL, .insn_len = 3};
}

static bool exhausted(void)
{
    return input.at >= input.end || ++input.entries > MAX_ENTRIES;
}

static void root_code(struct vp *vp)
{
    uint8_t what;

    if (exhausted()) {
        take_all_down();
        wait_call(vp, HV_PARTITION_ID_INVALID, 0, HV_XWAIT_BLOCK);
        return;
    }
    what = take8();
    if (what < 16) {
        build_child();
        vp->exit = (struct vp_exit){.reason = EXIT_CPUID, .insn_len = 2};
    } else if (what < 64) {
        wait_call(vp, some_partition(), take8() % 3, take8() & 7);
    } else {
        any_call(vp);
    }
}

// --- the children's code ---

static void fill_exit(struct vp_exit *e)
{
    uint8_t bits = take8();

    switch (e->reason) {
    case EXIT_IO:
        e->io.port = (uint16_t)take64();
        e->io.size = (uint8_t)(1u << bits % 3);
        e->io.in = bits & 8;
        e->io.string = bits & 16;
        e->io.rep = bits & 32;
        e->io.seg = 3;
        break;
    case EXIT_GPA_FAULT:
        e->gpa.gpa = GPA(bits & 1 ? 0xfee00000 | (take64() & 0xfff) : take64() & (BIT(46) - 1));
        e->gpa.write = bits & 2;
        e->gpa.exec = bits & 4;
        e->gpa.present = bits & 8;
        break;
    case EXIT_CR_ACCESS:
        e->cr.cr = (const uint8_t[]){0, 3, 4, 8}[bits & 3];
        e->cr.gpr = bits >> 4;
        e->cr.kind = bits >> 2 & 3;
        e->cr.lmsw = (uint16_t)take64();
        break;
    case EXIT_EXCEPTION:
        e->exc.vector = bits & 31;
        break;
    case EXIT_APIC_ACCESS:
    case EXIT_APIC_WRITE:
        e->apic.offset = (uint16_t)(take64() & 0xfff);
        e->apic.linear = bits & 1;
        break;
    case EXIT_APIC_EOI:
        e->qual[0] = bits;
        break;
    default:
        break;
    }
}

static void child_code(struct vp *vp)
{
    static const uint32_t msrs[] = {0,     0x1b,       0x10,       0x3b,       0x6e0,      0x277,
                                    0x830, 0x40000000, 0x40000021, 0x400000b0, 0xc0000080, 0x800};

    fake_tsc += 1000;
    if (exhausted()) {
        vp_request(fake_node_root(), VP_REQ_INTERRUPT);
        sched_resched();
        vp->exit = (struct vp_exit){.reason = EXIT_HLT, .insn_len = 1};
        return;
    }
    fake_tsc += (uint64_t)take8() << take8() % 24;
    vp->exit = (struct vp_exit){.reason = take8() % EXIT_REASON_COUNT, .insn_len = 2};
    fill_exit(&vp->exit);
    if (vp->exit.reason == EXIT_RDMSR || vp->exit.reason == EXIT_WRMSR) {
        vp_set_gpr(vp, GPR_RCX, msrs[take8() % ARRAY_LEN(msrs)] + take8() % 64);
    } else {
        vp_set_gpr(vp, GPR_RCX, some_word());
    }
    vp_set_gpr(vp, GPR_RAX, some_word());
    vp_set_gpr(vp, GPR_RDX, take8());
    (void)fake_take_event(vp);
}

static void guest_code(struct vp *vp)
{
    fake_tsc += 100;
    if (vp->partition->is_root) {
        root_code(vp);
    } else {
        child_code(vp);
    }
}

// Nobody can run: the root goes on, or the input is over.
static void idle(void)
{
    if (input.over) {
        longjmp(done, 1);
    }
    fake_tsc += 100000;
    vp_request(fake_node_root(), VP_REQ_INTERRUPT);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool started;
    static struct fake_node_account before;
    struct fake_node_account after;

    if (!started) {
        started = true;
        fake_node_start();
        require(trace_start() == HV_STATUS_SUCCESS); // its rings stay
        fake_node_idle = idle;
        fake_virt_guest = guest_code;
        vp_unblock(fake_node_root(), VP_BLOCK_EXPLICIT);
        before = fake_node_account();
    }
    virt_caps.apicv = size > 0 && (data[0] & 1) != 0;
    input.at = data + (size > 0);
    input.end = data + size;
    input.entries = 0;
    input.over = false;
    vp_request(fake_node_root(), VP_REQ_INTERRUPT);
    if (setjmp(done) == 0) {
        sched_loop();
    }
    after = fake_node_account();
    require(memcmp(&before, &after, sizeof(before)) == 0);
    return 0;
}
