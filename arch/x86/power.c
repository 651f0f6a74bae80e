// SPDX-License-Identifier: Apache-2.0
// Power-off and reset of the machine.
//
// Firmware knows best: UEFI ResetSystem() with its own identity map; then the ACPI registers; then what
// chipsets have had for decades. Each step is tried and given some time before the next. INIT and triple
// faults are no way out, because INIT is blocked in VMX root operation.
#include "arch/x86/host_internal.h"
#include "arch/x86/virt.h"

#define EFI_SYSTEM_TABLE_RUNTIME 88  // UEFI "EFI System Table"
#define EFI_RUNTIME_RESET_SYSTEM 104 // UEFI "EFI Runtime Services Table"
#define EFI_SYSTEM_TABLE_SIGNATURE 0x5453595320494249ull
#define EFI_RUNTIME_SIGNATURE 0x56524553544e5552ull
enum efi_reset { EFI_RESET_COLD = 0, EFI_RESET_SHUTDOWN = 2 };

#define SLEEP_ENABLE BIT(13)
#define SLEEP_TYPE_SHIFT 10
#define CF9_PORT 0xcf9
#define CF9_SYSTEM_RESET 0x02
#define CF9_RESET_CPU 0x04
#define KEYBOARD_COMMAND 0x64
#define KEYBOARD_PULSE_RESET 0xfe
#define STEP_US 100000

#define PCI_ADDRESS 0xcf8
#define PCI_DATA 0xcfc
#define PIIX4_PM 0x80000b00u // bus 0, device 1, function 3
#define PIIX4_PM_ID 0x71138086u

typedef void (*efi_reset_fn)(uint32_t type, uint64_t status, uint64_t size, const void *data)
    __attribute__((ms_abi));

static uint64_t system_table, runtime_cr3;

void power_init(const struct boot_info *info)
{
    system_table = info->efi_system_table;
    runtime_cr3 = info->efi_runtime_pt;
}

static uint64_t read_identity(uint64_t address)
{
    return *(volatile uint64_t *)address;
}

// Physical addresses equal virtual ones in the firmware's map; the upper half is the hypervisor's.
static void firmware_reset(enum efi_reset type)
{
    if (system_table == 0 || runtime_cr3 == 0) {
        return;
    }
    write_cr3(runtime_cr3);
    uint64_t runtime = 0;
    if (read_identity(system_table) == EFI_SYSTEM_TABLE_SIGNATURE) {
        runtime = read_identity(system_table + EFI_SYSTEM_TABLE_RUNTIME);
    }
    if (runtime != 0 && read_identity(runtime) == EFI_RUNTIME_SIGNATURE) {
        efi_reset_fn reset = (efi_reset_fn)read_identity(runtime + EFI_RUNTIME_RESET_SYSTEM);
        reset(type, 0, 0, NULL);
    }
    tsc_delay_us(STEP_US);
}

static void acpi_sleep_s5(void)
{
    const struct acpi_power *p = acpi_power();

    if (!p->has_s5) {
        return;
    }
    outw(p->pm1a_control, (uint16_t)(SLEEP_ENABLE | p->s5_type_a << SLEEP_TYPE_SHIFT));
    if (p->pm1b_control != 0) {
        outw(p->pm1b_control, (uint16_t)(SLEEP_ENABLE | p->s5_type_b << SLEEP_TYPE_SHIFT));
    }
    tsc_delay_us(STEP_US);
}

static void acpi_reset(void)
{
    const struct acpi_power *p = acpi_power();

    if (!p->has_reset) {
        return;
    }
    if (p->reset_space == 1) {
        outb((uint16_t)p->reset_address, p->reset_value);
    } else {
        *(volatile uint8_t *)spa_to_va(SPA(p->reset_address)) = p->reset_value;
    }
    tsc_delay_us(STEP_US);
}

static void chipset_reset(void)
{
    outb(CF9_PORT, CF9_SYSTEM_RESET);
    outb(CF9_PORT, CF9_SYSTEM_RESET | CF9_RESET_CPU);
    tsc_delay_us(STEP_US);
    outb(KEYBOARD_COMMAND, KEYBOARD_PULSE_RESET);
    tsc_delay_us(STEP_US);
}

static __attribute__((noreturn)) void stop(void)
{
    for (;;) {
        __asm__ volatile("cli; hlt");
    }
}

uint32_t piix4_read(uint32_t reg)
{
    outl(PCI_ADDRESS, PIIX4_PM | reg);
    return inl(PCI_DATA);
}

bool piix4_is_there(void)
{
    return piix4_read(0) == PIIX4_PM_ID;
}

// Bochs' PIIX4 loses the base of its power management ports in a reset, but not the bit that enables them, by which OVMF
// decides whether to set the base: it would then wait for ever for a timer at port 8.
static void disable_piix4_ports(void)
{
    if (piix4_is_there()) {
        uint32_t misc = piix4_read(PIIX4_PMREGMISC);

        outl(PCI_DATA, misc & ~PIIX4_PMIOSE);
    }
}

// Virtualization first: INIT is blocked in VMX operation (SDM 3C "VMX Operation and SMX"), also the one by which
// firmware or chipset starts processors anew, and a reset need not end VMX operation everywhere.
void host_reset(void)
{
    __asm__ volatile("cli");
    host_stop_others();
    if (virt != NULL) {
        virt->cpu_off();
    }
    disable_piix4_ports();
    firmware_reset(EFI_RESET_COLD);
    acpi_reset();
    chipset_reset();
    stop();
}

void host_power_off(void)
{
    __asm__ volatile("cli");
    firmware_reset(EFI_RESET_SHUTDOWN);
    acpi_sleep_s5();
    stop();
}
