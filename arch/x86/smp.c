// SPDX-License-Identifier: Apache-2.0
// Host bring-up: the boot processor's devices, then INIT-SIPI-SIPI for each other processor.
//
// SDM 3A "Multiple-Processor (MP) Initialization". One processor is started at a time, so one trampoline
// page and one parameter block serve all.
#include "arch/x86/host_internal.h"
#include "arch/x86/mitigations.h"

#define ICR_INIT_ASSERT 0x4500u
#define ICR_STARTUP 0x4600u
#define INIT_WAIT_US 10000
#define STARTUP_WAIT_US 200
#define ONLINE_WAIT_US 1000000u
#define BOOT_CPU_BSP BIT(0) // boot_cpu.flags

struct trampoline_params { // end of the trampoline page, see entry.S
    uint16_t gdt_limit;
    uint32_t gdt_base;
    uint32_t far32_offset;
    uint16_t far32_selector;
    uint32_t far64_offset;
    uint16_t far64_selector;
    uint8_t pad[6];
    uint64_t cr3, stack, entry;
    uint32_t index;
} __attribute__((packed));
_Static_assert(offsetof(struct trampoline_params, cr3) == 24, "entry.S: trampoline_params");

extern const uint8_t trampoline_start[], trampoline_end[], trampoline_params[];

// First C code of a processor: on its own stack, with the firmware's tables.
static __attribute__((noreturn)) void smp_cpu_entry(uint32_t index)
{
    write_cr4(read_cr4() | CR4_PGE);
    write_cr3(paging_cr3());
    percpu_activate(index);
    mtrr_synchronise();
    apic_init_cpu();
    fpu_init_cpu();
    mitigations_init_cpu();
    __atomic_store_n(&cpus[index].online, true, __ATOMIC_RELEASE);
    hv_cpu_main();
    __builtin_unreachable();
}

static struct trampoline_params *prepare_trampoline(const struct boot_info *info)
{
    uint8_t *page = spa_to_va(SPA(info->trampoline));
    size_t length = (size_t)(trampoline_end - trampoline_start);

    for (size_t i = 0; i < length; i++) {
        page[i] = trampoline_start[i];
    }
    struct trampoline_params *p = (void *)(page + (trampoline_params - trampoline_start));
    p->gdt_base += (uint32_t)info->trampoline;
    p->far32_offset += (uint32_t)info->trampoline;
    p->far64_offset += (uint32_t)info->trampoline;
    p->cr3 = info->efi_runtime_pt;
    p->entry = (uint64_t)smp_cpu_entry;
    return p;
}

static bool wait_online(const struct cpu *c, uint32_t us)
{
    for (uint32_t waited = 0; waited < us; waited += 10) {
        if (__atomic_load_n(&c->online, __ATOMIC_ACQUIRE)) {
            return true;
        }
        tsc_delay_us(10);
    }
    return false;
}

static bool start_cpu(uint32_t id, uint32_t index, uint64_t trampoline)
{
    uint32_t startup = ICR_STARTUP | (uint32_t)(trampoline >> PAGE_SHIFT);
    const struct cpu *c = &cpus[index];

    apic_send_ipi(id, ICR_INIT_ASSERT);
    tsc_delay_us(INIT_WAIT_US);
    apic_send_ipi(id, startup);
    if (!wait_online(c, STARTUP_WAIT_US)) {
        apic_send_ipi(id, startup);
    }
    return wait_online(c, ONLINE_WAIT_US);
}

void host_start_cpus(const struct boot_info *info)
{
    if (info->efi_runtime_pt == 0 || info->efi_runtime_pt >> 32 || info->trampoline == 0) {
        LOGW("only the boot processor is used: no page tables below 4 GiB to start others with");
        return;
    }
    struct trampoline_params *params = prepare_trampoline(info);
    uint32_t count = MIN(info->cpu_count, (uint32_t)HV_MAX_CPUS);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t id = info->cpus[i].apic_id;
        if (id == cpus[0].apic_id) {
            continue;
        }
        if (cpu_count >= count || (!apic_is_x2apic() && id > 0xfe)) {
            LOGW("the processor with APIC id %u is not used", id);
            continue;
        }
        params->index = cpu_count;
        params->stack = (uint64_t)cpus[cpu_count].stack_top;
        cpus[cpu_count].apic_id = id;
        if (start_cpu(id, cpu_count, info->trampoline)) {
            cpu_count++;
        } else {
            // It may still wake up later on this stack: nobody else may be started from the page.
            LOGE("the processor with APIC id %u did not start; going on with %u", id, cpu_count);
            return;
        }
    }
}

void host_init(const struct boot_info *info)
{
    acpi_init(info);
    pic_disable();
    tsc_calibrate(info);
    apic_init_cpu();
    apic_timer_calibrate();
    ioapic_init();
    uart_route();
    mitigations_init();
    mitigations_init_cpu();
    mtrr_record();
    fpu_init();
    fpu_init_cpu();
    power_init(info);
    LOGI("host: %s, %u interrupt pins", apic_is_x2apic() ? "x2APIC" : "xAPIC", host_ioapic_pins());
}
