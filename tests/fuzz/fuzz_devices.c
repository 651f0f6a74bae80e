// srcs: mgmt/devices/vm.c mgmt/devices/bus.c mgmt/devices/vpci.c mgmt/devices/virtq.c mgmt/devices/virtio.c mgmt/devices/vblk.c mgmt/devices/vrng.c mgmt/devices/vcon.c mgmt/devices/vnet.c mgmt/block/block.c mgmt/devices/guest_mem.c mgmt/devices/ioapic.c mgmt/devices/uart16550.c mgmt/devices/rtc.c mgmt/devices/power.c mgmt/devices/vcpu.c mgmt/devices/walk.c mgmt/devices/io_intercept.c mgmt/devices/mmio_intercept.c mgmt/devices/exec_insn.c mgmt/devices/full_insn.c mgmt/devices/alu.c arch/x86/decode.c tests/unit/fake_hvif.c
// libs: zydis
// SPDX-License-Identifier: Apache-2.0
// A hostile guest: a sequence of intercepts with registers, instructions and page tables of its choice.
#include <stdlib.h>
#include <string.h>

#include "tests/unit/fake_hvif.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct step { // one intercept, as the input has it
    uint8_t kind;
    uint8_t access;
    uint8_t info;
    uint8_t length;
    uint16_t port;
    uint16_t state;
    uint64_t gpa;
    uint64_t gpr[4]; // RAX, RCX, RSI, RDI
    uint64_t rflags;
    uint8_t bytes[15];
    uint8_t poke; // of a page table entry
    uint64_t entry;
} __attribute__((packed));

static const uint16_t ports[] = {0x3f8, 0x3f9, 0x3fa, 0x3fb, 0x3fc, 0x3fd, 0x2f8, 0x70,
                                 0x71,  0x600, 0x601, 0x602, 0xcf9, 0xcf8, 0x80,  0x3ff};

static void take_io(struct fake_guest *g, const struct step *s)
{
    uint16_t port = s->port & 0x8000 ? s->port & 0x7fff : ports[s->port % ARRAY_LEN(ports)];

    fake_io(g, port, s->info & 7, s->access & 1, s->info & 8, s->info & 16);
    g->msg.io.insn_byte_count = s->length & 15;
    memcpy(g->msg.io.insn_bytes, s->bytes, sizeof(s->bytes));
}

static void take_mmio(struct fake_guest *g, const struct step *s)
{
    uint64_t gpa = s->info & 1 ? s->gpa : 0xfec00000 + s->gpa % 0x2000;

    fake_mmio(g, gpa, s->access & 1, s->bytes, MIN(s->length, sizeof(s->bytes)));
    g->msg.memory.insn_byte_count = s->length; // may lie
    g->msg.intercept.access = s->access;
}

static void set_state(struct fake_guest *g, const struct step *s)
{
    switch (s->state & 3) {
    case 0:
        fake_guest_protected_mode(g);
        break;
    case 1:
        fake_guest_real_mode(g);
        break;
    default:
        fake_guest_long_mode(g);
        break;
    }
    g->msg.intercept.execution_state |= s->state >> 14; // CPL
    fake.system[6].u64 ^= s->state & 0x100 ? 1u << 31 : 0;
    fake.system[8].u64 ^= s->state & 0x200 ? 0x30 : 0;
    fake.system[8].u64 ^= s->state & 0x400 ? 1u << 21 : 0;
    g->regs.gpr[0] = s->gpr[0];
    g->regs.gpr[1] = s->gpr[1];
    g->regs.gpr[6] = s->gpr[2];
    g->regs.gpr[7] = s->gpr[3];
    g->regs.rflags = s->rflags;
    memcpy(g->vm.ram + 0x10000 + s->poke * 8, &s->entry, 8);
    memcpy(g->vm.ram + 0x12000, &s->entry, s->state & 0x800 ? 8 : 0);
    memcpy(g->vm.ram + 0x8000, s->bytes, sizeof(s->bytes));
    g->regs.rip = 0x8000;
}

static void run_step(struct fake_guest *g, const struct step *s)
{
    uint32_t flags = ~0u;
    uint8_t byte = s->length;

    set_state(g, s);
    switch (s->kind % 8) {
    case 0:
        (void)spsc_push(&g->vm.com[0].rx, &byte);
        vm_console_changed(&g->vm);
        return;
    case 1:
        fake.now_ns += s->gpa & 0xffffffff;
        fake.unix_ms += (int64_t)(s->entry & 0xffffff);
        (void)vm_next_deadline(&g->vm);
        vm_run_timers(&g->vm, fake.now_ns);
        return;
    case 2:
        g->msg.header.type = HV_MSG_APIC_EOI;
        g->msg.eoi.vector = s->length;
        break;
    case 3:
    case 4:
        take_io(g, s);
        break;
    case 5:
        while (spsc_pop(&g->vm.com[0].tx, &byte)) {
        }
        vm_power_button(&g->vm);
        return;
    default:
        take_mmio(g, s);
        break;
    }
    if (vm_handle_intercept(&g->vm, 0, &flags) && (flags & ~(HV_XWAIT_ADVANCE | HV_XWAIT_DIRTY))) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct fake_guest g;
    struct step step;

    fake_reset();
    if (g.vm.ram == NULL) {
        fake_guest_init(&g, 256);
    }
    vm_devices_init(&g.vm);
    for (; size >= sizeof(step); data += sizeof(step), size -= sizeof(step)) {
        memcpy(&step, data, sizeof(step));
        run_step(&g, &step);
    }
    return 0;
}
