// SPDX-License-Identifier: Apache-2.0
// What the device models need of the world, under a test's control: registers, interrupts, time, events.
#include "tests/unit/fake_hvif.h"

#include <stdlib.h>
#include <string.h>

#include "mgmt/plat.h"

struct fake fake;

void fake_reset(void)
{
    memset(&fake, 0, sizeof(fake));
    fake.unix_ms = 1767225600000; // 2026-01-01 00:00:00
    fake.now_ns = 1000000000;
}

// --- interfaces ---

hv_status_t hvif_assert_interrupt(uint64_t partition, const struct hv_assert_interrupt_in *in)
{
    (void)partition;
    if (fake.interrupt_status != HV_STATUS_SUCCESS) {
        return fake.interrupt_status;
    }
    if (fake.interrupt_count < FAKE_MAX_INTERRUPTS) {
        fake.interrupts[fake.interrupt_count] = *in;
    }
    fake.interrupt_count++;
    return HV_STATUS_SUCCESS;
}

hv_status_t hvif_set_doorbell(const struct hv_x_doorbell_in *in)
{
    if (in->partition != 7 || in->index >= 64 || in->vector != DP_DOORBELL_VECTOR) {
        abort();
    }
    fake.doorbell[in->index] = in->gpa;
    return HV_STATUS_SUCCESS;
}

static int system_index(uint32_t name)
{
    static const uint32_t names[] = {
        HV_REG_ES, HV_REG_CS,  HV_REG_SS,  HV_REG_DS,  HV_REG_FS,
        HV_REG_GS, HV_REG_CR0, HV_REG_CR3, HV_REG_CR4, HV_REG_EFER,
    };

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (names[i] == name) {
            return (int)i;
        }
    }
    abort();
}

hv_status_t hvif_get_registers(uint64_t partition, uint32_t vp, const uint32_t *names,
                               union hv_register_value *values, size_t count)
{
    (void)partition;
    (void)vp;
    for (size_t i = 0; i < count; i++) {
        values[i] = fake.system[system_index(names[i])];
    }
    return fake.register_status;
}

hv_status_t hvif_set_registers(uint64_t partition, uint32_t vp, const struct hv_register_assoc *regs,
                               size_t count)
{
    (void)partition;
    (void)vp;
    for (size_t i = 0; i < count; i++) {
        if (regs[i].name == HV_REG_PENDING_INTERRUPTION) {
            fake.pending = regs[i].value.u64;
        } else if (regs[i].name == HV_REG_CR2) {
            fake.cr2 = regs[i].value.u64;
        } else {
            abort();
        }
    }
    return fake.register_status;
}

void dp_emit(struct dp_vm *vm, enum dp_event_type type, uint32_t arg, uint32_t code)
{
    if (fake.event_count < FAKE_MAX_EVENTS) {
        fake.events[fake.event_count] = (struct dp_event){.type = type, .arg = arg, .code = code, .vm = vm};
    }
    fake.event_count++;
}

void dp_work(struct dp_vm *vm)
{
    vm->work_queued = true;
    fake.work_count++;
}

uint32_t switch_send(struct switch_port *port, const struct switch_frame *frame)
{
    uint32_t at = 0;

    fake.sent_to = port;
    fake.sent = *frame;
    for (uint32_t i = 0; i < frame->piece_count; i++) {
        memcpy(fake.sent_bytes + at, frame->pieces[i].data, frame->pieces[i].length);
        at += frame->pieces[i].length;
    }
    if (at != frame->length || frame->pieces[0].length < 14) {
        abort();
    }
    fake.sent_count++;
    return at;
}

void switch_flush(void)
{
    fake.flush_count++;
}

// Guests' memory lies at the same address for the root.
void *plat_pool_va(gpa_t gpa)
{
    return (void *)(uintptr_t)gpa.v;
}

uint64_t plat_now_ns(void)
{
    return fake.now_ns;
}

int64_t plat_unix_ms(void)
{
    return fake.unix_ms;
}

// --- a guest ---

static void make_devices(struct fake_guest *g)
{
    struct machine_config machine = {.disks = g->vm.disk_count, .nics = g->vm.nic_count};
    size_t size = ALIGN_UP(vm_devices_size(&machine), (size_t)64);

    free(g->vm.devices);
    g->vm.devices = aligned_alloc(64, size);
    memset(g->vm.devices, 0, size);
    vm_devices_init(&g->vm);
}

void fake_guest_add_disk(struct fake_guest *g, struct block_device *device)
{
    g->vm.disk[g->vm.disk_count++] = (struct dp_disk){.device = device, .served = true};
    make_devices(g);
}

void fake_guest_add_console(struct fake_guest *g)
{
    struct dp_console *c = &g->vm.com[DP_CONSOLE_VIRTIO];

    spsc_init(&c->tx, g->console_tx, sizeof(g->console_tx), 1);
    spsc_init(&c->rx, g->console_rx, sizeof(g->console_rx), 1);
    c->present = true;
    make_devices(g);
}

void fake_guest_add_nic(struct fake_guest *g, struct switch_port *port, const uint8_t mac[6])
{
    struct dp_nic *nic = &g->vm.nic[g->vm.nic_count++];

    nic->port = port;
    memcpy(nic->mac, mac, sizeof(nic->mac));
    make_devices(g);
}

void fake_guest_init(struct fake_guest *g, uint32_t ring)
{
    memset(g, 0, sizeof(*g));
    g->vm.partition = 7;
    g->vm.vp_count = 1;
    g->vm.vp[0].regs = &g->regs;
    g->vm.vp[0].msg = &g->msg;
    g->vm.ram_low = FAKE_RAM;
    g->vm.ram = aligned_alloc(4096, FAKE_RAM);
    memset(g->vm.ram, 0, FAKE_RAM);
    g->vm.ram_gpa = (uint64_t)(uintptr_t)g->vm.ram;
    spsc_init(&g->vm.entropy, g->entropy, sizeof(g->entropy), 1);
    for (int i = 0; i < DP_COM_PORTS; i++) {
        spsc_init(&g->vm.com[i].tx, g->tx[i], ring, 1);
        spsc_init(&g->vm.com[i].rx, g->rx[i], sizeof(g->rx[i]), 1);
        g->vm.com[i].present = true;
    }
    make_devices(g);
    fake_guest_long_mode(g);
}

void fake_guest_free(struct fake_guest *g)
{
    free(g->vm.ram);
    free(g->vm.devices);
}

static void set_mode(struct fake_guest *g, uint16_t code, uint16_t data, uint32_t limit, uint16_t state)
{
    for (int i = 0; i < 6; i++) {
        fake.system[i].segment = (struct hv_segment){.limit = limit, .selector = 8, .attributes = data};
    }
    fake.system[1].segment.attributes = code;
    g->msg.intercept.cs = fake.system[1].segment;
    g->msg.intercept.execution_state = state;
}

void fake_guest_long_mode(struct fake_guest *g)
{
    uint64_t *table = (uint64_t *)(g->vm.ram + 0x10000);

    set_mode(g, 0xa09b, 0xc093, 0xffffffff, BIT(2) | BIT(4));
    fake.system[6].u64 = 0x80010031; // CR0: PG WP NE ET PE
    fake.system[7].u64 = 0x10000;
    fake.system[8].u64 = 0x20;
    fake.system[9].u64 = 0xd01;
    table[0] = 0x11003;             // PML4
    table[512] = 0x12003;           // PDPT: first GiB
    table[512 + 3] = 0x13003;       // fourth GiB
    table[1024] = 0x83;             // 2 MiB at 0
    table[1536 + 502] = 0xfec00083; // 0xfec00000
    table[1536 + 503] = 0xfee00083;
}

void fake_guest_protected_mode(struct fake_guest *g)
{
    set_mode(g, 0xc09b, 0xc093, 0xffffffff, BIT(2));
    fake.system[6].u64 = 0x31;
    fake.system[8].u64 = 0;
    fake.system[9].u64 = 0;
}

void fake_guest_real_mode(struct fake_guest *g)
{
    set_mode(g, 0x009b, 0x0093, 0xffff, 0);
    fake.system[6].u64 = 0x30;
    fake.system[8].u64 = 0;
    fake.system[9].u64 = 0;
}

void fake_io(struct fake_guest *g, uint16_t port, uint8_t size, bool out, bool string, bool rep)
{
    g->msg.header.type = HV_MSG_IO_PORT;
    g->msg.io.port = port;
    g->msg.io.info = (uint8_t)(size | (string ? 8 : 0) | (rep ? 16 : 0));
    g->msg.io.insn_byte_count = 0;
    g->msg.intercept.access = out;
}

void fake_mmio(struct fake_guest *g, uint64_t gpa, bool write, const uint8_t *bytes, uint8_t length)
{
    g->msg.header.type = HV_MSG_UNMAPPED_GPA;
    g->msg.memory.gpa = gpa;
    g->msg.memory.gva = 0;
    g->msg.memory.info = 0;
    g->msg.memory.insn_byte_count = length;
    memset(g->msg.memory.insn_bytes, 0, sizeof(g->msg.memory.insn_bytes));
    memcpy(g->msg.memory.insn_bytes, bytes, length);
    g->msg.intercept.access = write;
}

bool fake_serve(struct fake_guest *g, uint32_t *flags)
{
    return vm_handle_intercept(&g->vm, 0, flags);
}

uint32_t fake_in(struct fake_guest *g, uint16_t port, uint8_t size)
{
    uint32_t flags;

    g->regs.gpr[0] = 0;
    fake_io(g, port, size, false, false, false);
    if (!fake_serve(g, &flags) || flags != HV_XWAIT_ADVANCE) {
        abort();
    }
    return (uint32_t)g->regs.gpr[0];
}

void fake_out(struct fake_guest *g, uint16_t port, uint8_t size, uint32_t value)
{
    uint32_t flags;

    g->regs.gpr[0] = value;
    fake_io(g, port, size, true, false, false);
    (void)fake_serve(g, &flags);
}
