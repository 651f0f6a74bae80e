// SPDX-License-Identifier: Apache-2.0
// Per-processor slots: stacks with guard pages, GDT, TSS, and the shared IDT.
//
// Layout of a slot, in pages; what is not listed is never mapped, so that an overflow faults:
//
//   1..4  stack   6..7  NMI stack   9..10  double fault stack   12..13  machine check stack
//   15    struct arch_cpu; the page for the back end is reached by the direct map only
#include "arch/x86/host_internal.h"

#define SLOT_STACK 1
#define SLOT_STACK_PAGES 4
#define SLOT_NMI 6
#define SLOT_DF 9
#define SLOT_MC 12
#define SLOT_IST_PAGES 2
#define SLOT_ARCH 15

#define IST_NMI 1
#define IST_DF 2
#define IST_MC 3

#define DESC_CODE64 0x00af9b000000ffffull
#define DESC_DATA 0x00cf93000000ffffull
#define DESC_TSS_AVAILABLE 0x89ull
#define GATE_INTERRUPT 0x8eull // present, DPL 0, 64-bit interrupt gate

struct idt_gate { // SDM 3A "64-Bit IDT Gate Descriptors"
    uint16_t offset_low, selector;
    uint8_t ist, type;
    uint16_t offset_mid;
    uint32_t offset_high, reserved;
};
_Static_assert(sizeof(struct idt_gate) == 16, "IDT gate");

struct table_pointer {
    uint16_t limit;
    uint64_t base;
} __attribute__((packed));

static struct idt_gate idt[256] __attribute__((aligned(4096)));

static uint64_t slot_page(uint32_t index, unsigned page)
{
    return HV_PERCPU_BASE + index * HV_PERCPU_STRIDE + page * PAGE_SIZE;
}

static uint64_t map_pages(uint32_t index, unsigned first, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        paging_map(slot_page(index, first + i), paging_take_page(), PAGE_RW);
    }
    return slot_page(index, first + count);
}

static void build_gdt(struct arch_cpu *arch)
{
    uint64_t base = (uint64_t)&arch->tss;
    uint64_t limit = sizeof(arch->tss) - 1;

    arch->gdt[HOST_CS / 8] = DESC_CODE64;
    arch->gdt[HOST_DS / 8] = DESC_DATA;
    arch->gdt[HOST_TR / 8] = limit | (base & 0xffffff) << 16 | DESC_TSS_AVAILABLE << 40 |
                             ((base >> 24) & 0xff) << 56;
    arch->gdt[HOST_TR / 8 + 1] = base >> 32;
}

uint8_t *percpu_map(uint32_t index)
{
    uint64_t stack = map_pages(index, SLOT_STACK, SLOT_STACK_PAGES);
    uint64_t nmi = map_pages(index, SLOT_NMI, SLOT_IST_PAGES);
    uint64_t df = map_pages(index, SLOT_DF, SLOT_IST_PAGES);
    uint64_t mc = map_pages(index, SLOT_MC, SLOT_IST_PAGES);
    map_pages(index, SLOT_ARCH, 1);

    struct arch_cpu *arch = (struct arch_cpu *)slot_page(index, SLOT_ARCH);
    arch->tss.ist[IST_NMI - 1] = nmi;
    arch->tss.ist[IST_DF - 1] = df;
    arch->tss.ist[IST_MC - 1] = mc;
    arch->tss.iomap_base = sizeof(arch->tss);
    arch->virt_page = paging_take_page();
    build_gdt(arch);

    struct cpu *c = &cpus[index];
    c->self = c;
    c->index = index;
    c->stack_top = (uint8_t *)stack;
    c->arch = arch;
    c->armed_deadline = ~0ull;
    return c->stack_top;
}

static void set_gate(unsigned vector, const uint8_t *stub, uint8_t ist)
{
    uint64_t offset = (uint64_t)stub;

    idt[vector] = (struct idt_gate){
        .offset_low = (uint16_t)offset,
        .selector = HOST_CS,
        .ist = ist,
        .type = GATE_INTERRUPT,
        .offset_mid = (uint16_t)(offset >> 16),
        .offset_high = (uint32_t)(offset >> 32),
    };
}

void idt_build(void)
{
    for (unsigned v = 0; v < 32; v++) {
        uint8_t ist = v == VECTOR_NMI ? IST_NMI : v == VECTOR_DF ? IST_DF : v == VECTOR_MC ? IST_MC : 0;
        set_gate(v, trap_stubs + v * 16, ist);
    }
    for (unsigned v = 32; v < 256; v++) {
        set_gate(v, interrupt_stubs + (v - 32) * 16, 0);
    }
}

uint64_t idt_base(void)
{
    return (uint64_t)idt;
}

void idt_load(void)
{
    struct table_pointer p = {sizeof(idt) - 1, (uint64_t)idt};

    __asm__ volatile("lidt %0" : : "m"(p));
}

static void load_gdt(struct arch_cpu *arch)
{
    struct table_pointer p = {sizeof(arch->gdt) - 1, (uint64_t)arch->gdt};

    __asm__ volatile("lgdt %0\n\t"
                     "mov %w1, %%ds\n\t"
                     "mov %w1, %%es\n\t"
                     "mov %w1, %%ss\n\t"
                     "mov %w2, %%fs\n\t"
                     "mov %w2, %%gs\n\t"
                     "pushq %3\n\t"
                     "lea 1f(%%rip), %%rax\n\t"
                     "push %%rax\n\t"
                     "lretq\n"
                     "1:\n\t"
                     "lldt %w2\n\t"
                     "ltr %w4"
                     :
                     : "m"(p), "r"(HOST_DS), "r"(0), "i"(HOST_CS), "r"(HOST_TR)
                     : "rax", "memory");
}

void percpu_activate(uint32_t index)
{
    struct cpu *c = &cpus[index];

    load_gdt(c->arch);
    wrmsr(MSR_GS_BASE, (uint64_t)c);
    idt_load();
    write_cr0((read_cr0() | CR0_MP | CR0_NE | CR0_WP) & ~(CR0_EM | CR0_TS | CR0_AM));
    write_cr4((read_cr4() & CR4_LA57) | CR4_PAE | CR4_PGE | CR4_MCE | CR4_DE | CR4_OSFXSR | CR4_OSXMMEXCPT);
    wrmsr(MSR_PAT, PAT_RESET);
}

uint8_t *host_entry(struct boot_info *info)
{
    uint32_t count = MIN(info->cpu_count, (uint32_t)HV_MAX_CPUS);

    wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_NXE);
    paging_init(info);
    for (uint32_t i = 0; i < MAX(count, 1u); i++) {
        percpu_map(i);
    }
    idt_build();
    percpu_activate(0);
    paging_finish(info);
    cpu_count = 1;
    cpus[0].online = true;
    return cpus[0].stack_top;
}
