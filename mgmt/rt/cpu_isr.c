// SPDX-License-Identifier: Apache-2.0
// Setting up a VP: GDT, TSS and IDT, interrupt stacks, FS, SSE, local APIC.
#include "mgmt/rt/cpu.h"
#include "mgmt/rt/interrupt.h"

#include <string.h>

#define SEL_CODE 0x08
#define SEL_DATA 0x10
#define SEL_TSS 0x18

#define IST_INTERRUPT 1
#define IST_EXCEPTION 2
#define IST_NMI 3
#define IST_DOUBLE_FAULT 4
#define IST_COUNT 4
#define IST_STACK 8192

#define CR0_MP BIT(1)
#define CR0_EM BIT(2)
#define CR0_TS BIT(3)
#define CR0_NE BIT(5)
#define CR0_WP BIT(16)
#define CR4_OSFXSR BIT(9)
#define CR4_OSXMMEXCPT BIT(10)

#define APIC_BASE_X2APIC (BIT(11) | BIT(10))
#define APIC_SVR_ENABLE BIT(8)

#define STACK_MAGIC 0x6b656c736f6e5354ull

struct tss { // SDM 3A "64-Bit TSS"
    uint32_t reserved0;
    uint64_t rsp[3];
    uint64_t reserved1;
    uint64_t ist[7];
    uint64_t reserved2;
    uint16_t reserved3;
    uint16_t io_map;
} __attribute__((packed));
_Static_assert(sizeof(struct tss) == 104, "64-bit TSS");

struct gate { // SDM 3A "64-Bit IDT Gate Descriptors"
    uint16_t offset_low;
    uint16_t selector;
    uint8_t ist;
    uint8_t type;
    uint16_t offset_mid;
    uint32_t offset_high;
    uint32_t reserved;
};
_Static_assert(sizeof(struct gate) == 16, "64-bit gate");

struct table_register {
    uint16_t limit;
    uint64_t base;
} __attribute__((packed));

extern const char rt_vectors[]; // entry.S: 256 stubs of 16 bytes
extern uint64_t rt_stack_data[], rt_stack_control[];
extern const char rt_image_start[], rt_image_end[];

static struct {
    uint64_t gdt[5];
    struct tss tss;
    struct rt_vp vp;
    uint8_t ist[IST_COUNT][IST_STACK] __attribute__((aligned(16)));
} per_vp[RT_VPS] __attribute__((aligned(64)));

static uint8_t call_pages[RT_VPS][2][PAGE_SIZE] __attribute__((aligned(4096)));
static struct gate idt[256];
static uint64_t image_to_gpa; // added to an image address, modulo 2^64

gpa_t rt_virt_to_gpa(const void *va)
{
    uint64_t v = (uint64_t)va;

    return GPA(v >= MGMT_DIRECT_BASE ? v - MGMT_DIRECT_BASE : v + image_to_gpa);
}

static uint8_t ist_of(unsigned vector)
{
    switch (vector) {
    case 2:
        return IST_NMI;
    case 8:
        return IST_DOUBLE_FAULT;
    default:
        return vector < 32 ? IST_EXCEPTION : IST_INTERRUPT;
    }
}

// Both VPs write the same values, at whatever time.
static void load_idt(void)
{
    struct table_register idtr = {sizeof(idt) - 1, (uint64_t)idt};

    for (unsigned v = 0; v < ARRAY_LEN(idt); v++) {
        uint64_t stub = (uint64_t)rt_vectors + 16 * v;

        idt[v] = (struct gate){
            .offset_low = (uint16_t)stub,
            .selector = SEL_CODE,
            .ist = ist_of(v),
            .type = 0x8e, // present, DPL 0, interrupt gate
            .offset_mid = (uint16_t)(stub >> 16),
            .offset_high = (uint32_t)(stub >> 32),
        };
    }
    __asm__ volatile("lidt %0" : : "m"(idtr));
}

static void load_gdt(uint32_t index)
{
    uint64_t *gdt = per_vp[index].gdt;
    struct tss *tss = &per_vp[index].tss;
    uint64_t base = (uint64_t)tss;
    struct table_register gdtr = {sizeof(per_vp[index].gdt) - 1, (uint64_t)gdt};

    for (unsigned i = 0; i < IST_COUNT; i++) {
        tss->ist[i] = (uint64_t)per_vp[index].ist[i] + IST_STACK;
    }
    tss->io_map = sizeof(*tss);
    gdt[SEL_CODE / 8] = 0x00af9b000000ffffull; // 64-bit code
    gdt[SEL_DATA / 8] = 0x00cf93000000ffffull;
    gdt[SEL_TSS / 8] = (sizeof(*tss) - 1) | (base & 0xffffff) << 16 | 0x89ull << 40 |
                       (base >> 24 & 0xff) << 56;
    gdt[SEL_TSS / 8 + 1] = base >> 32;
    __asm__ volatile("lgdt %0\n\t"
                     "pushq %1\n\t"
                     "leaq 1f(%%rip), %%rax\n\t"
                     "pushq %%rax\n\t"
                     "lretq\n"
                     "1:\n\t"
                     "movl %2, %%eax\n\t"
                     "movl %%eax, %%ds\n\t"
                     "movl %%eax, %%es\n\t"
                     "movl %%eax, %%ss\n\t"
                     "xorl %%eax, %%eax\n\t"
                     "movl %%eax, %%fs\n\t"
                     "movl %%eax, %%gs\n\t"
                     "lldt %%ax\n\t"
                     "ltr %w3"
                     :
                     : "m"(gdtr), "i"(SEL_CODE), "i"(SEL_DATA), "r"(SEL_TSS)
                     : "rax", "memory");
}

// SSE is used by libraries. Nothing here uses AVX, so that less state is switched between partitions.
static void enable_sse(void)
{
    uint64_t cr0, cr4;

    __asm__ volatile("mov %%cr0, %0" : "=r"(cr0));
    __asm__ volatile("mov %%cr4, %0" : "=r"(cr4));
    cr0 = (cr0 & ~(CR0_EM | CR0_TS)) | CR0_MP | CR0_NE | CR0_WP;
    cr4 |= CR4_OSFXSR | CR4_OSXMMEXCPT;
    __asm__ volatile("mov %0, %%cr0" : : "r"(cr0));
    __asm__ volatile("mov %0, %%cr4" : : "r"(cr4));
    __asm__ volatile("fninit\n\tldmxcsr %0" : : "m"((const uint32_t){0x1f80}));
}

static void init_vp_area(uint32_t index)
{
    struct rt_vp *vp = &per_vp[index].vp;

    vp->self = vp;
    vp->index = index;
    vp->stack_guard = cpu_rdtsc() << 8; // lowest byte 0, as is usual: string functions stop there
    vp->call_in = call_pages[index][0];
    vp->call_out = call_pages[index][1];
    vp->call_in_gpa = rt_virt_to_gpa(vp->call_in).v;
    vp->call_out_gpa = rt_virt_to_gpa(vp->call_out).v;
    cpu_wrmsr(MSR_FS_BASE, (uint64_t)vp);
}

// The hypervisor's local APIC always offers x2APIC, whatever the machine has.
static void enable_apic(void)
{
    cpu_wrmsr(MSR_APIC_BASE, cpu_rdmsr(MSR_APIC_BASE) | APIC_BASE_X2APIC);
    cpu_wrmsr(MSR_X2APIC_TPR, 0);
    cpu_wrmsr(MSR_X2APIC_SVR, APIC_SVR_ENABLE | RT_VECTOR_SPURIOUS);
    cpu_wrmsr(MSR_X2APIC_LVT_TIMER, BIT(18) | RT_VECTOR_TIMER); // TSC-deadline mode
    rt_vp()->apic_id = (uint32_t)cpu_rdmsr(MSR_X2APIC_ID);
}

void cpu_init(uint32_t index, const struct mgmt_boot_info *info)
{
    image_to_gpa = info->boot.mgmt_base - info->boot.mgmt_vbase;
    load_gdt(index);
    load_idt();
    enable_sse();
    init_vp_area(index);
    enable_apic();
    *(index == RT_VP_DATA ? rt_stack_data : rt_stack_control) = STACK_MAGIC;
}

bool cpu_stack_intact(uint32_t index)
{
    return *(index == RT_VP_DATA ? rt_stack_data : rt_stack_control) == STACK_MAGIC;
}
