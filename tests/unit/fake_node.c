// SPDX-License-Identifier: Apache-2.0
// One processor and its memory, for all of hv/; see fake_node.h.
#include "tests/unit/fake_node.h"

#include <asm/prctl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "arch/x86/host.h"
#include "arch/x86/policy.h"
#include "arch/x86/x86.h"
#include "hv/console.h"
#include "hv/context.h"
#include "hv/exit.h"
#include "hv/frames.h"
#include "hv/gpa.h"
#include "hv/hypercall.h"
#include "hv/root.h"
#include "hv/sched.h"

#define CALL_IN ((uint64_t)(NODE_END_PAGE - 2) << PAGE_SHIFT)
#define CALL_OUT ((uint64_t)(NODE_END_PAGE - 1) << PAGE_SHIFT)

uint64_t fake_tsc = 1;
uint64_t fake_direct_base;
uint64_t hv_image_spa;
uint64_t host_tsc_hz = 1000000000;
uint64_t host_xcr0 = 7;
uint32_t host_xsave_size = 832;
enum log_level log_level;

static void give_up(void)
{
    abort();
}
void (*fake_node_idle)(void) = give_up;
void (*fake_node_kick)(uint32_t index);

// --- the machine ---

static void host_cpuid(uint32_t leaf, uint32_t subleaf, struct cpuid_result *out)
{
    (void)subleaf;
    *out = (struct cpuid_result){leaf == 0            ? 0x16
                                 : leaf == 0x80000000 ? 0x80000008
                                                      : ~0u,
                                 0x756e6547, ~0u, ~0u};
}

static struct boot_range range(uint64_t first_page, uint64_t pages, uint32_t type)
{
    return (struct boot_range){first_page << PAGE_SHIFT, pages << PAGE_SHIFT, type, 0};
}

static void make_memory(void)
{
    static struct boot_info info;
    void *memory = mmap(NULL, (size_t)NODE_END_PAGE << PAGE_SHIFT, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED) {
        abort();
    }
    fake_direct_base = (uint64_t)(uintptr_t)memory;
    info.hv_base = 0x200ull << PAGE_SHIFT;
    info.hv_size = (uint64_t)NODE_HV_PAGES << PAGE_SHIFT;
    info.hv_free = info.hv_base;
    info.range_count = 3;
    info.ranges[0] = range(1, 0x100, BOOT_RANGE_RUNTIME);
    info.ranges[1] = range(0x200, NODE_HV_PAGES, BOOT_RANGE_HV);
    info.ranges[2] = range(NODE_ROOT_PAGE, NODE_ROOT_PAGES, BOOT_RANGE_RAM);
    frames_init(&info);
}

static struct fake_vp *volatile root_backend; // for the leak checker, which does not look into that memory

static void make_root(void)
{
    struct vp *vp;

    if (!gpa_space_init(root_partition)) {
        abort();
    }
    for (uint64_t page = NODE_ROOT_PAGE; page < NODE_END_PAGE; page += 512) {
        uint64_t at = page << PAGE_SHIFT;

        if (gpa_map(root_partition, GPA(at), SPA(at), GPA_2M, HV_MAP_RWX) != HV_STATUS_SUCCESS) {
            abort();
        }
    }
    if (vp_create(root_partition, 0) != HV_STATUS_SUCCESS) {
        abort();
    }
    vp = fake_node_root();
    root_backend = fake_vp(vp);
    fake_set_reg(vp, HV_REG_CR0, CR0_PE | CR0_PG);
    fake_set_segment(vp, HV_REG_CS, (struct hv_segment){.selector = 8, .attributes = 0xa09b});
}

void fake_node_as(uint32_t index)
{
    if (syscall(SYS_arch_prctl, ARCH_SET_GS, &cpus[index]) != 0) {
        abort();
    }
}

void fake_node_start(void)
{
    for (uint32_t i = 0; i < HV_MAX_CPUS; i++) {
        cpus[i].self = &cpus[i];
        cpus[i].index = i;
    }
    fake_node_as(0);
    cpus[0].online = true;
    cpus[0].armed_deadline = ~0ull;
    cpu_count = 1;
    cpuid_policy_build(host_cpuid);
    make_memory();
    sched_init_cpu(0);
    hypercall_init();
    make_root();
}

struct vp *fake_node_root(void)
{
    return root_partition->vps[0];
}

static uint64_t digest(void)
{
    uint64_t h = 14695981039346656037ull;

    for (uint64_t page = 0; page < NODE_END_PAGE; page++) {
        const struct frame *f = frame_of(SPA(page << PAGE_SHIFT));
        uint32_t word = 0;

        if (f != NULL) {
            memcpy(&word, f, sizeof(word));
        }
        h = (h ^ word) * 1099511628211ull;
    }
    return h;
}

struct fake_node_account fake_node_account(void)
{
    struct frame_counts counts;

    frame_counts(&counts);
    return (struct fake_node_account){.pool = counts.pool,
                                      .mapped = counts.mapped,
                                      .partitions = partition_count(),
                                      .root_used = root_partition->pool.used_pages,
                                      .root_free = root_partition->pool.free_pages,
                                      .frames = digest()};
}

uint64_t fake_node_call(uint64_t input, const void *in, size_t in_len, void *out, size_t out_len)
{
    struct vp *vp = fake_node_root();

    if (in != NULL) {
        memcpy(spa_to_va(SPA(CALL_IN)), in, in_len);
    }
    vp_set_gpr(vp, GPR_RCX, input);
    vp_set_gpr(vp, GPR_RDX, CALL_IN);
    vp_set_gpr(vp, GPR_R8, CALL_OUT);
    do { // long rep calls come back with another RCX
        vp->exit = (struct vp_exit){.reason = EXIT_HYPERCALL, .insn_len = 3};
    } while (exit_hypercall(vp) == VP_RESUME);
    vp->exit.reason = EXIT_CPUID;
    if (out != NULL) {
        memcpy(out, spa_to_va(SPA(CALL_OUT)), out_len);
    }
    return vp_gpr(vp, GPR_RAX);
}

// --- arch/x86/host.h, hv/cpu.h ---

uint64_t host_tsc(void)
{
    return fake_tsc++;
}

void host_timer_arm(uint64_t deadline_tsc)
{
    (void)deadline_tsc;
}

void host_interrupt_window(void)
{
    if (cpus[0].armed_deadline <= fake_tsc) {
        hv_timer_interrupt();
    }
}

void host_halt(void)
{
    fake_node_idle();
}

void cpu_kick(uint32_t index)
{
    if (fake_node_kick != NULL) {
        fake_node_kick(index);
    }
}

void host_power_off(void)
{
    abort();
}

void host_reset(void)
{
    abort();
}

bool host_ioapic_route(uint32_t gsi, uint8_t vector, uint32_t apic_id, bool level, bool active_low)
{
    (void)vector;
    (void)apic_id;
    (void)level;
    (void)active_low;
    return gsi < 24;
}

void host_ioapic_mask(uint32_t gsi, bool masked)
{
    (void)gsi;
    (void)masked;
}

void fpu_init_area(void *area)
{
    memset(area, 0, PAGE_SIZE);
}

void fpu_read_xcr0(struct vp *vp)
{
    (void)vp;
}

void fpu_set_xcr0(uint64_t value)
{
    (void)value;
}

bool rdmsr_safe(uint32_t msr, uint64_t *value)
{
    *value = 0;
    return msr == MSR_ARCH_CAPABILITIES;
}

void context_take(struct vp *vp)
{
    cpus[0].context = vp;
    vp->context_live = true;
}

void context_save(struct vp *vp)
{
    if (cpus[0].context == vp) {
        cpus[0].context = NULL;
        vp->context_live = false;
    }
}

// --- hv/root.c, hv/log.c, hv/console.c ---

bool root_map_device(struct vp *vp, gpa_t page)
{
    (void)vp;
    (void)page;
    return false;
}

void log_msg(enum log_level level, const char *fmt, ...)
{
    (void)level;
    (void)fmt;
}

void panic(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    abort();
}

void log_line(enum log_level level, const char *text, size_t len)
{
    (void)level;
    (void)text;
    (void)len;
}

size_t log_read(uint64_t *sequence, char *buf, size_t cap)
{
    memset(buf, '.', cap);
    *sequence += 1;
    return cap;
}

uint64_t log_next_sequence(void)
{
    return 1;
}

size_t console_shell_write(const char *text, size_t len)
{
    unsigned sum = 0;

    for (size_t i = 0; i < len; i++) {
        sum += (unsigned char)text[i]; // the sanitizer looks
    }
    return sum != 0 ? len : 0;
}

size_t console_shell_read(char *buf, size_t cap)
{
    memset(buf, 'k', cap);
    return cap;
}

bool console_input_pending(void)
{
    return false;
}

void console_end(void)
{
}
