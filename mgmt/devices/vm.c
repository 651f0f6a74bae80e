// SPDX-License-Identifier: Apache-2.0
// The device models of one guest and the handling of its intercepts.

#include "mgmt/devices/vm.h"

#include "mgmt/devices/intercept.h"
#include "mgmt/devices/vm_priv.h"

size_t vm_devices_size(void)
{
    return sizeof(struct vm_devices);
}

static void init_uarts(struct dp_vm *vm)
{
    static const struct {
        uint16_t port;
        uint8_t gsi;
    } com[MACHINE_COM_PORTS] = {
        {MACHINE_COM1_PORT, MACHINE_COM1_GSI},
        {MACHINE_COM2_PORT, MACHINE_COM2_GSI},
    };
    struct vm_devices *dev = vm->devices;

    for (uint32_t i = 0; i < MACHINE_COM_PORTS; i++) {
        if (vm->com[i].present) {
            uart16550_init(&dev->uart[i], vm, i, (struct irq_line){&dev->ioapic, com[i].gsi});
            bus_add_ports(&dev->bus, com[i].port, UART_PORTS, &uart16550_ops, &dev->uart[i]);
        }
    }
}

void vm_devices_init(struct dp_vm *vm)
{
    struct vm_devices *dev = vm->devices;

    *dev = (struct vm_devices){.mem = {vm->ram, vm->ram_low, vm->ram_high}};
    bus_init(&dev->bus);
    ioapic_init(&dev->ioapic, vm->partition);
    init_uarts(vm); // first in the table: looked up first
    rtc_init(&dev->rtc, (struct irq_line){&dev->ioapic, MACHINE_RTC_GSI}, &vm->timers_moved);
    power_init(&dev->power, (struct irq_line){&dev->ioapic, MACHINE_GED_GSI});
    bus_add_ports(&dev->bus, MACHINE_RTC_PORT, RTC_PORTS, &rtc_ops, &dev->rtc);
    bus_add_ports(&dev->bus, MACHINE_PM_PORT, MACHINE_PM_PORTS, &power_pm_ops, &dev->power);
    bus_add_ports(&dev->bus, MACHINE_RESET_PORT, 1, &power_reset_ops, &dev->power);
    bus_add_mmio(&dev->bus, MACHINE_IOAPIC_BASE, MACHINE_IOAPIC_SIZE, &ioapic_ops, &dev->ioapic);
}

// A VP that asked for power-off or reset does not run on; others may until the control plane stops them.
static __attribute__((noinline)) void report_power(struct dp_vm *vm)
{
    struct vm_devices *dev = vm->devices;

    if (!dev->reported) {
        dev->reported = true;
        dp_emit(vm, dev->power.request == POWER_OFF ? DP_EV_POWER_OFF : DP_EV_RESET, 0, 0);
    }
}

static bool power_requested(struct dp_vm *vm)
{
    if (vm->devices->power.request == POWER_NONE) {
        return false;
    }
    report_power(vm);
    return true;
}

static bool crash(struct dp_vm *vm, uint32_t vp, uint32_t message_type)
{
    dp_emit(vm, DP_EV_CRASH, vp, message_type);
    return false;
}

// An MSR or CPUID intercept that nobody here asked for: to the guest the instruction does not exist.
static enum emu refuse(struct vcpu *v, uint32_t type)
{
    return type == HV_MSG_MSR ? vcpu_raise(v, VECTOR_GP, true, 0) : EMU_STOP;
}

static enum emu emulate(struct vcpu *v, const struct hv_message *msg, uint32_t *flags)
{
    switch (msg->header.type) {
    case HV_MSG_IO_PORT:
        return io_intercept_string(v, &msg->io, flags);
    case HV_MSG_UNMAPPED_GPA:
        v->dev->counters.mmio++;
        return mmio_intercept(v, &msg->memory);
    default:
        return refuse(v, msg->header.type);
    }
}

static bool has_intercept_header(uint32_t type)
{
    return type == HV_MSG_IO_PORT || type == HV_MSG_UNMAPPED_GPA || type == HV_MSG_MSR;
}

static bool serve_access(struct dp_vm *vm, uint32_t vp, const struct hv_message *msg, uint32_t *flags)
{
    struct vcpu v;

    *flags = 0;
    vm->vp[vp].regs->dirty = 0;
    vcpu_init(&v, vm, vp, &msg->intercept);
    switch (emulate(&v, msg, flags)) {
    case EMU_OK:
        break;
    case EMU_RETRY:
        *flags = 0;
        break;
    case EMU_FAULT:
        // RIP is that of the instruction; registers moved on by completed iterations stay as they are.
        *flags = 0;
        if (!vcpu_inject(&v)) {
            return crash(vm, vp, msg->header.type);
        }
        break;
    default:
        return crash(vm, vp, msg->header.type);
    }
    if (v.regs->dirty != 0) {
        *flags |= HV_XWAIT_DIRTY;
    }
    return !power_requested(vm);
}

// IN and OUT with a register need no more of the VP than RAX. False: not one of those.
static inline bool plain_io(struct vm_devices *dev, struct hv_register_page *regs,
                            const struct hv_io_intercept *msg)
{
    uint8_t size = msg->info & IO_INFO_SIZE;
    uint64_t *rax = &regs->gpr[GPR_RAX], value;

    if ((msg->info & IO_INFO_STRING) || !io_size_is_valid(size)) {
        return false;
    }
    if (msg->hdr.access == ACCESS_WRITE) {
        bus_port_write(&dev->bus, msg->port, size, (uint32_t)*rax);
        return true;
    }
    value = bus_port_read(&dev->bus, msg->port, size);
    *rax = size == 4 ? value : (*rax & ~size_mask(size)) | value; // a 32-bit result clears the upper half
    return true;
}

static __attribute__((noinline)) bool serve_other(struct dp_vm *vm, uint32_t vp, const struct hv_message *msg,
                                                  uint32_t *flags)
{
    if (msg->header.type == HV_MSG_APIC_EOI) {
        vm->devices->counters.eoi++;
        ioapic_eoi(&vm->devices->ioapic, (uint8_t)msg->eoi.vector);
        *flags = 0;
        return true;
    }
    if (!has_intercept_header(msg->header.type)) {
        return crash(vm, vp, msg->header.type);
    }
    return serve_access(vm, vp, msg, flags);
}

bool vm_handle_intercept(struct dp_vm *vm, uint32_t vp, uint32_t *wait_flags)
{
    const struct hv_message *msg = vm->vp[vp].msg;
    struct vm_devices *dev = vm->devices;

    // The path that counts: nearly every intercept is a plain IN or OUT.
    if (msg->header.type == HV_MSG_IO_PORT) {
        dev->counters.io++;
        if (plain_io(dev, vm->vp[vp].regs, &msg->io)) {
            *wait_flags = HV_XWAIT_ADVANCE;
            return !power_requested(vm);
        }
    }
    return serve_other(vm, vp, msg, wait_flags);
}

void vm_console_changed(struct dp_vm *vm)
{
    for (uint32_t i = 0; i < MACHINE_COM_PORTS; i++) {
        if (vm->com[i].present) {
            uart16550_console_changed(&vm->devices->uart[i]);
        }
    }
}

void vm_power_button(struct dp_vm *vm)
{
    power_button(&vm->devices->power);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return b != 0 && b < a ? b : a;
}

uint64_t vm_next_deadline(const struct dp_vm *vm)
{
    const struct vm_devices *dev = vm->devices;
    uint64_t deadline = VM_NO_DEADLINE;

    for (uint32_t i = 0; i < MACHINE_COM_PORTS; i++) {
        deadline = earlier(deadline, uart16550_deadline(&dev->uart[i])); // none where there is no port
    }
    return earlier(deadline, rtc_deadline(&dev->rtc));
}

void vm_run_timers(struct dp_vm *vm, uint64_t now_ns)
{
    if (rtc_deadline(&vm->devices->rtc) != 0) {
        rtc_run(&vm->devices->rtc);
    }
    for (uint32_t i = 0; i < MACHINE_COM_PORTS; i++) {
        if (vm->com[i].present) {
            uart16550_run(&vm->devices->uart[i], now_ns);
        }
    }
}

void vm_get_counters(const struct dp_vm *vm, struct vm_counters *out)
{
    const struct vm_devices *dev = vm->devices;

    *out = dev->counters;
    out->unclaimed_ports = dev->bus.unclaimed_ports;
    out->unclaimed_mmio = dev->bus.unclaimed_mmio;
    for (int i = 0; i < MACHINE_COM_PORTS; i++) {
        out->com_tx[i] = dev->uart[i].sent;
        out->com_rx[i] = dev->uart[i].received;
        out->com_overrun[i] = dev->uart[i].overrun;
    }
}
