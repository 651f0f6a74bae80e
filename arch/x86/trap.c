// SPDX-License-Identifier: Apache-2.0
// Exceptions, NMIs and interrupts of the host.
//
// The hypervisor runs with interrupts off; interrupts arrive only in host_interrupt_window() and
// host_halt(). An exception that no fixup expects means that host integrity is gone: dump and panic.
#include "arch/x86/host_internal.h"
#include "arch/x86/virt.h"

static volatile bool stop_requested; // by host_stop_others()
static uint32_t stopped;             // processors

#define STOP_WAIT_US 10000 // for the others; they may be waiting for each other, but not with NMIs blocked

static void dump_frame(const struct trap_frame *f)
{
    LOGE("exception %lu error %lx at %lx cpu %u", f->vector, f->error, f->rip, this_cpu()->index);
    LOGE("rax %016lx rcx %016lx rdx %016lx rbx %016lx", f->rax, f->rcx, f->rdx, f->rbx);
    LOGE("rsp %016lx rbp %016lx rsi %016lx rdi %016lx", f->rsp, f->rbp, f->rsi, f->rdi);
    LOGE("r8  %016lx r9  %016lx r10 %016lx r11 %016lx", f->r8, f->r9, f->r10, f->r11);
    LOGE("r12 %016lx r13 %016lx r14 %016lx r15 %016lx", f->r12, f->r13, f->r14, f->r15);
    LOGE("cr2 %016lx cr3 %016lx cr4 %016lx rflags %lx", read_cr2(), read_cr3(), read_cr4(), f->rflags);
}

// Return addresses on the stack, as far as it is mapped: good enough to find the way here.
static void dump_stack(const struct trap_frame *f)
{
    const struct cpu *c = this_cpu();
    const uint64_t *top = (const uint64_t *)c->stack_top;
    const uint64_t *p = (const uint64_t *)ALIGN_DOWN(f->rsp, 8ull);
    unsigned found = 0;

    if (p >= top || p + 2048 < top) {
        return;
    }
    for (; p < top && found < 16; p++) {
        if (*p >= (uint64_t)hv_text_start && *p < (uint64_t)hv_text_end) {
            LOGE("  stack %016lx", *p);
            found++;
        }
    }
}

static bool fix_up(struct trap_frame *frame)
{
    for (const struct fixup *f = hv_fixups_start; f < hv_fixups_end; f++) {
        if (f->fault == frame->rip) {
            frame->rip = f->resume;
            return true;
        }
    }
    return false;
}

static void handle_nmi(void)
{
    this_arch_cpu()->nmi_count++;
    if (stop_requested) {
        if (virt != NULL) {
            virt->cpu_off();
        }
        __atomic_add_fetch(&stopped, 1, __ATOMIC_RELEASE);
        for (;;) {
            __asm__ volatile("cli; hlt");
        }
    }
}

void trap_dispatch(struct trap_frame *frame)
{
    if (frame->vector == VECTOR_NMI) {
        handle_nmi();
        return;
    }
    if (frame->vector == VECTOR_GP && fix_up(frame)) {
        return;
    }
    dump_frame(frame);
    dump_stack(frame);
    panic("exception %lu in the hypervisor at %lx", frame->vector, frame->rip);
}

void interrupt_dispatch(uint64_t vector)
{
    switch (vector) {
    case HOST_VECTOR_DEVICE_FIRST ... HOST_VECTOR_DEVICE_LAST:
        hv_device_interrupt((uint8_t)vector);
        apic_eoi();
        break;
    case HOST_VECTOR_CONSOLE:
        hv_console_interrupt();
        apic_eoi();
        break;
    case HOST_VECTOR_TIMER:
        apic_eoi();
        hv_timer_interrupt();
        break;
    case HOST_VECTOR_KICK:
        apic_eoi();
        cpu_serve_calls();
        break;
    case HOST_VECTOR_SPURIOUS:
        break; // SDM 3A "Spurious Interrupt": no EOI
    default:
        // A stray from the masked PIC has nothing in service; for anything else the EOI is due.
        if (vector >= HOST_VECTOR_DEVICE_FIRST) {
            apic_eoi();
        }
        break;
    }
}

void host_interrupt_window(void)
{
    __asm__ volatile("sti; nop; cli" : : : "memory");
}

void host_halt(void)
{
    __asm__ volatile("sti; hlt; cli" : : : "memory");
}

void host_stop_others(void)
{
    uint32_t others = 0;

    if (stop_requested) {
        return; // a panic while it stops them
    }
    stop_requested = true;
    for (uint32_t i = 0; i < cpu_count; i++) {
        others += cpus[i].online && i != this_cpu()->index;
    }
    if (others == 0) {
        return;
    }
    apic_send_nmi_to_others();
    for (uint32_t us = 0; us < STOP_WAIT_US && __atomic_load_n(&stopped, __ATOMIC_ACQUIRE) < others; us++) {
        tsc_delay_us(1);
    }
}
