// SPDX-License-Identifier: Apache-2.0
// Between the files of arch/x86 and the back ends: per-processor data, page tables, firmware tables.
//
// Virtual memory after paging_init() (all of it supervisor-only; nothing is both writable and executable):
//
//   0xffff800000000000  HV_DIRECT_BASE   memory of the firmware's map, read-write, no-execute, large pages;
//                                        device pages join on demand, uncached
//   0xffffffff80000000  HV_IMAGE_BASE    the image: text r-x, rodata r--, data and bss rw-
//   0xffffffffc0000000  HV_PERCPU_BASE   one slot of HV_PERCPU_STRIDE a processor, see percpu.c
//
// The firmware's runtime page tables get the same upper half, so the hypervisor keeps its stack and tables
// while it calls ResetSystem() and while processors start.
#ifndef ARCH_HOST_INTERNAL_H
#define ARCH_HOST_INTERNAL_H

#include "arch/x86/host.h"
#include "arch/x86/x86.h"

// --- selectors of every processor's GDT ---
#define HOST_CS 0x08
#define HOST_DS 0x10
#define HOST_TR 0x18

// --- per-processor data (percpu.c) ---
#define HV_PERCPU_BASE 0xffffffffc0000000ull
#define HV_PERCPU_STRIDE 0x10000ull

struct tss64 { // SDM 3A "64-Bit Task State Segment"
    uint32_t reserved0;
    uint64_t rsp[3];
    uint64_t reserved1;
    uint64_t ist[7]; // ist[0] is IST1
    uint64_t reserved2;
    uint16_t reserved3;
    uint16_t iomap_base;
} __attribute__((packed));
_Static_assert(sizeof(struct tss64) == 104, "TSS");

struct arch_cpu { // this_cpu()->arch
    uint64_t gdt[5];
    struct tss64 tss;
    spa_t virt_page; // VMXON region or host save area, 4 KiB, zeroed, for the back end alone
    const struct partition
        *last_partition;   // whose VP was loaded last: speculation barriers between partitions
    struct vp *vmcs_owner; // VT-x: whose VMCS is the current one here, or NULL
    uint64_t nmi_count;
    bool virt_on; // the extension is enabled here
};

static inline struct arch_cpu *this_arch_cpu(void)
{
    return this_cpu()->arch;
}

uint8_t *percpu_map(uint32_t index); // maps the slot's pages; boot processor only. Returns the stack top
// On the processor itself: GDT, TSS, IDT, GS base, control registers. cpus[index] becomes this_cpu().
void percpu_activate(uint32_t index);
void idt_build(void);
void idt_load(void);
uint64_t idt_base(void);

// --- C side of entry.S ---
uint8_t *host_entry(struct boot_info *info);          // returns the boot processor's own stack
extern const uint8_t trap_stubs[], interrupt_stubs[]; // 16 bytes each: vectors 0..31, 32..255
extern const uint8_t hv_text_start[], hv_text_end[], hv_rodata_start[], hv_rodata_end[], hv_data_start[],
    hv_image_start[], hv_image_end[];

struct fixup {
    uint64_t fault, resume;
};
extern const struct fixup hv_fixups_start[], hv_fixups_end[];

struct trap_frame { // as pushed by entry.S
    uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
    uint64_t vector, error;
    uint64_t rip, cs, rflags, rsp, ss;
};
void trap_dispatch(struct trap_frame *frame);
void interrupt_dispatch(uint64_t vector);

// --- page tables (paging.c) ---
enum page_rights { PAGE_RX, PAGE_R, PAGE_RW, PAGE_UNCACHED };
void paging_init(struct boot_info *info);   // takes table pages from info->hv_free and advances it
spa_t paging_take_page(void);               // a zeroed page of the region; during paging_init's life only
void paging_finish(struct boot_info *info); // after the last paging_take_page() of the boot
void paging_map(uint64_t va, spa_t spa, enum page_rights rights);
uint64_t paging_cr3(void);

// --- local APIC (apic.c) and time (tsc.c) ---
void apic_init_cpu(void); // every processor
bool apic_is_x2apic(void);
uint32_t apic_id(void);
void apic_eoi(void);
void apic_send_ipi(uint32_t apic_id, uint32_t icr_low); // SDM 3A "Interrupt Command Register (ICR)"
void apic_send_nmi_to_others(void);
void apic_look_again(void);      // an interrupt that QEMU lost is found
void apic_timer_calibrate(void); // boot processor, after tsc_calibrate()
void tsc_calibrate(const struct boot_info *info);
void tsc_delay_us(uint32_t us);

// --- power management of the PIIX4 (Intel 290562-001, 7.1), which boards without ACPI tables have (power.c) ---
#define PIIX4_PMBA 0x40u
#define PIIX4_PMREGMISC 0x80u
#define PIIX4_PMIOSE 1u
bool piix4_is_there(void);
uint32_t piix4_read(uint32_t reg); // of its PCI configuration; the data port stays on the register

// --- interrupt controllers ---
void pic_disable(void);
void ioapic_init(void);
struct isa_route { // how an ISA interrupt reaches the IOAPICs
    uint32_t gsi;
    bool level, active_low;
};
struct isa_route ioapic_isa_route(uint8_t irq);

// --- ACPI tables (acpi.c); absent tables are an ordinary case ---
struct acpi_sdt {
    char signature[4];
    uint32_t length;
    uint8_t revision, checksum;
    char oem_id[6], oem_table_id[8];
    uint32_t oem_revision, creator_id, creator_revision;
} __attribute__((packed));
void acpi_init(const struct boot_info *info);
const struct acpi_sdt *acpi_find(const char signature[4]); // NULL: none
struct acpi_power {                                        // from the FADT and \_S5; zero ports: not known
    uint16_t pm1a_control, pm1b_control, pm_timer;
    bool has_s5, has_reset;
    uint8_t s5_type_a, s5_type_b;
    uint8_t reset_space, reset_value; // space 0 memory, 1 I/O
    uint64_t reset_address;
};
const struct acpi_power *acpi_power(void);

// --- cache types (mtrr.c) ---
void mtrr_record(void);      // boot processor
void mtrr_synchronise(void); // others: copy what differs, with caches off

// --- other ---
void power_init(const struct boot_info *info);
void uart_route(void);   // once the IOAPICs are known
void fpu_init(void);     // boot processor: sizes
void fpu_init_cpu(void); // every processor: CR4, XCR0

#endif
