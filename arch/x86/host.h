// SPDX-License-Identifier: Apache-2.0
// The physical machine under the hypervisor: bring-up, interrupts, local APIC, IOAPIC, UART, firmware.
//
// Implemented in arch/x86/*.c; used by hv/ only through this header and hv/cpu.h.
#ifndef ARCH_HOST_H
#define ARCH_HOST_H

#include "hv/cpu.h"
#include <keelson/bootinfo.h>

// Vectors of the host IDT.
enum host_vector {
    HOST_VECTOR_DEVICE_FIRST = 0x30, // 0x30..0xdf: device interrupts, one a mapped source
    HOST_VECTOR_DEVICE_LAST = 0xdf,
    HOST_VECTOR_CONSOLE = 0xe0, // UART
    HOST_VECTOR_TIMER = 0xf0,
    HOST_VECTOR_KICK = 0xf1, // also serves cpu_call()
    HOST_VECTOR_SPURIOUS = 0xff,
};

// arch entry (arch/x86/entry.S) sets up GDT, IDT, TSS and per-processor data of the boot processor and
// calls hv_main() on its stack; hv_main() does not return.
void hv_main(struct boot_info *info);
// Called on every other processor once it is ready; does not return. Set up by host_start_cpus().
void hv_cpu_main(void);

void host_init(
    const struct boot_info *info); // boot processor: IDT, APIC, TSC calibration, PIC masked, IOAPIC
void host_start_cpus(
    const struct boot_info *info); // INIT-SIPI-SIPI; fills cpus[], returns when all are online

// Called from the IDT, interrupts off (hv/interrupt.c implements these).
void hv_device_interrupt(
    uint8_t vector); // before EOI to the local APIC: a level input masked here stays quiet
void hv_console_interrupt(void);
void hv_timer_interrupt(void);

// IOAPIC inputs. Level inputs are active low.
bool host_ioapic_route(uint32_t gsi, uint8_t vector, uint32_t apic_id, bool level, bool active_low);
void host_ioapic_mask(uint32_t gsi, bool masked);
uint32_t host_ioapic_pins(void);
bool host_is_reserved_mmio(spa_t page); // local APIC and IOAPIC pages: never mapped into a partition

// Hypervisor mappings in the direct map, made on demand; boot processor, at boot. Device pages are
// uncached, firmware tables read-only.
void *host_map_device(spa_t base, uint64_t size);
void *host_map_memory(spa_t base, uint64_t size);

// UART (16550 at boot_info.com_port): transmit by interrupt from a ring; polled when `sync`.
void host_uart_init(uint16_t port, uint8_t irq);
enum uart_mode {
    UART_RING,   // what fits the ring, which interrupts drain
    UART_POLLED, // returns when all has left the machine
    UART_PANIC,  // polled, without the lock: its holder may be stopped
};
size_t host_uart_write(const char *text, size_t len, enum uart_mode mode); // bytes accepted
size_t host_uart_room(void);        // what it would accept from now on, at least
bool host_uart_has_interrupt(void); // the ring drains by itself
int host_uart_read(void);           // next received byte, -1 none
void host_uart_interrupt(void);

// Machine control; neither returns. Firmware ResetSystem, then FADT reset register, then CF9, then 8042.
void host_power_off(void) __attribute__((noreturn));
void host_reset(void) __attribute__((noreturn));
// Before a reset, and after a panic: the other processors leave virtualization and halt, by NMI. Waits for them, but not
// long: one whose NMIs are blocked is left alone.
void host_stop_others(void);

// FPU/XSAVE state. The hypervisor itself never uses vector registers.
extern uint32_t host_xsave_size; // bytes of the area for all supported components
extern uint64_t host_xcr0;       // components offered to guests
void fpu_init_area(void *area);
void fpu_save(struct vp *vp);      // registers -> vp->fpu
void fpu_restore(struct vp *vp);   // vp->fpu -> registers, XCR0
void fpu_set_xcr0(uint64_t value); // the loaded VP has written XCR0; the value has been checked
void fpu_read_xcr0(struct vp *vp); // the loaded VP's XCR0 -> vp->xcr0, since not every XSETBV exits

#endif
