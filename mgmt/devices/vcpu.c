// SPDX-License-Identifier: Apache-2.0
// View of one VP while one of its intercepts is served: registers, segments, memory, faults.

#include "mgmt/devices/vcpu.h"

#include "mgmt/hvif/hvif.h"

#define STATE_CPL 0x3u
#define STATE_PE BIT(2)
#define STATE_LMA BIT(4)

#define SEG_TYPE_CODE 0x8u
#define SEG_TYPE_EXPAND_DOWN 0x4u // data
#define SEG_TYPE_WRITABLE 0x2u    // data
#define SEG_TYPE_READABLE 0x2u    // code
#define SEG_PRESENT BIT(7)
#define SEG_LONG BIT(13)
#define SEG_BIG BIT(14)

#define CR4_LA57 BIT(12)

static enum decode_mode mode_of(const struct vcpu *v)
{
    if (v->long_mode && (v->hdr->cs.attributes & SEG_LONG)) {
        return DECODE_64;
    }
    return v->hdr->cs.attributes & SEG_BIG ? DECODE_32 : DECODE_16;
}

void vcpu_init(struct vcpu *v, struct dp_vm *vm, uint32_t index, const struct hv_intercept_header *hdr)
{
    v->vm = vm;
    v->dev = vm->devices;
    v->index = index;
    v->regs = vm->vp[index].regs;
    v->hdr = hdr;
    v->cpl = hdr->execution_state & STATE_CPL;
    v->long_mode = hdr->execution_state & STATE_LMA;
    v->protected_mode = hdr->execution_state & STATE_PE;
    v->mode = mode_of(v);
    v->have_system = false;
    v->tlb.valid = false;
}

bool vcpu_need_system(struct vcpu *v)
{
    static const uint32_t names[] = {
        HV_REG_ES, HV_REG_CS,  HV_REG_SS,  HV_REG_DS,  HV_REG_FS,
        HV_REG_GS, HV_REG_CR0, HV_REG_CR3, HV_REG_CR4, HV_REG_EFER,
    };
    union hv_register_value value[ARRAY_LEN(names)];

    if (v->have_system) {
        return true;
    }
    if (hvif_get_registers(v->vm->partition, v->index, names, value, ARRAY_LEN(names)) != HV_STATUS_SUCCESS) {
        return false;
    }
    for (int i = 0; i < SEG_COUNT; i++) {
        v->seg[i] = value[i].segment;
    }
    v->cr0 = value[SEG_COUNT].u64;
    v->cr3 = value[SEG_COUNT + 1].u64;
    v->cr4 = value[SEG_COUNT + 2].u64;
    v->efer = value[SEG_COUNT + 3].u64;
    v->have_system = true;
    return true;
}

enum emu vcpu_raise(struct vcpu *v, uint8_t vector, bool has_error, uint32_t error)
{
    v->fault.vector = vector;
    v->fault.has_error = has_error && v->protected_mode; // real mode pushes none
    v->fault.error = error;
    return EMU_FAULT;
}

bool vcpu_inject(struct vcpu *v)
{
    struct hv_register_assoc set[2] = {{.name = HV_REG_PENDING_INTERRUPTION}, {.name = HV_REG_CR2}};

    set[0].value.u64 = HV_PENDING_VALID | HV_PENDING_TYPE(3) | HV_PENDING_VECTOR(v->fault.vector) |
                       (v->fault.has_error ? HV_PENDING_ERROR_VALID | HV_PENDING_ERROR(v->fault.error) : 0);
    set[1].value.u64 = v->fault.cr2;
    v->dev->counters.injected_faults++;
    return hvif_set_registers(v->vm->partition, v->index, set, v->fault.vector == VECTOR_PF ? 2 : 1) ==
           HV_STATUS_SUCCESS;
}

// --- segmentation ---

static bool canonical(uint64_t address, unsigned bits)
{
    unsigned shift = 64 - bits;

    return (uint64_t)((int64_t)(address << shift) >> shift) == address;
}

static bool type_allows(const struct hv_segment *seg, enum vcpu_access access)
{
    bool code = seg->attributes & SEG_TYPE_CODE;

    if (!(seg->attributes & SEG_PRESENT)) {
        return false;
    }
    switch (access) {
    case ACCESS_WRITE:
        return !code && (seg->attributes & SEG_TYPE_WRITABLE);
    case ACCESS_READ:
        return !code || (seg->attributes & SEG_TYPE_READABLE);
    default:
        return code;
    }
}

static bool limit_allows(const struct hv_segment *seg, uint64_t offset, uint8_t size)
{
    uint64_t last = offset + size - 1;
    bool data = !(seg->attributes & SEG_TYPE_CODE);

    if (data && (seg->attributes & SEG_TYPE_EXPAND_DOWN)) {
        return offset > seg->limit && last <= (seg->attributes & SEG_BIG ? 0xffffffffull : 0xffffull);
    }
    return last <= seg->limit;
}

enum emu vcpu_linear(struct vcpu *v, uint8_t seg, uint64_t offset, uint8_t size, enum vcpu_access access,
                     uint64_t *linear)
{
    uint8_t vector = seg == SEG_SS ? VECTOR_SS : VECTOR_GP;
    const struct hv_segment *s = &v->seg[seg];

    // The usual case needs no register of the VP: canonical for four levels is canonical for five.
    if (v->mode == DECODE_64 && seg < SEG_FS && canonical(offset, 48) && canonical(offset + size - 1, 48)) {
        *linear = offset;
        return EMU_OK;
    }
    if (!vcpu_need_system(v)) {
        return EMU_STOP;
    }
    if (v->mode == DECODE_64) {
        unsigned bits = v->cr4 & CR4_LA57 ? 57 : 48;

        *linear = offset + (seg >= SEG_FS ? s->base : 0);
        if (!canonical(*linear, bits) || !canonical(*linear + size - 1, bits)) {
            return vcpu_raise(v, vector, true, 0);
        }
        return EMU_OK;
    }
    // In real mode the type is not checked: whatever was loaded is read and written.
    if (!limit_allows(s, offset, size) || (v->protected_mode && !type_allows(s, access))) {
        return vcpu_raise(v, vector, true, 0);
    }
    *linear = (uint32_t)(s->base + offset);
    return EMU_OK;
}

// --- memory ---

enum emu vcpu_span(struct vcpu *v, uint64_t linear, uint8_t size, enum vcpu_access access,
                   struct vcpu_span *span)
{
    uint8_t done = 0;

    span->pieces = 0;
    while (done < size) {
        uint64_t address = linear + done;
        uint8_t part = (uint8_t)MIN((uint64_t)(size - done), PAGE_SIZE - (address & (PAGE_SIZE - 1)));
        uint64_t gpa;
        enum emu result;

        if (v->mode != DECODE_64) {
            address = (uint32_t)address;
        }
        result = vcpu_translate(v, address, access, &gpa);
        if (result != EMU_OK) {
            return result;
        }
        span->piece[span->pieces].gpa = gpa;
        span->piece[span->pieces].size = part;
        span->piece[span->pieces].ram = guest_mem_at(&v->dev->mem, GPA(gpa), part);
        span->pieces++;
        done += part;
    }
    return EMU_OK;
}

// Guest RAM is shared with running VPs: whole accesses of a natural size are single loads and stores.
static uint64_t ram_read(const uint8_t *ram, uint8_t size)
{
    uint64_t value = 0;

    switch (size) {
    case 1:
        return *(const volatile uint8_t *)ram;
    case 2:
    case 4:
    case 8:
        __builtin_memcpy(&value, ram, size);
        return value;
    default:
        for (uint8_t i = 0; i < size; i++) {
            value |= (uint64_t)((const volatile uint8_t *)ram)[i] << (i * 8);
        }
        return value;
    }
}

static void ram_write(uint8_t *ram, uint8_t size, uint64_t value)
{
    for (uint8_t i = 0; i < size; i++) {
        ((volatile uint8_t *)ram)[i] = (uint8_t)(value >> (i * 8));
    }
}

// Devices take naturally sized accesses; an odd piece of one that crosses a page goes in bytes.
static uint64_t device_read(struct vcpu *v, uint64_t gpa, uint8_t size)
{
    uint64_t value = 0;

    if ((size & (size - 1)) == 0) {
        return bus_mmio_read(&v->dev->bus, gpa, size);
    }
    for (uint8_t i = 0; i < size; i++) {
        value |= bus_mmio_read(&v->dev->bus, gpa + i, 1) << (i * 8);
    }
    return value;
}

static void device_write(struct vcpu *v, uint64_t gpa, uint8_t size, uint64_t value)
{
    if ((size & (size - 1)) == 0) {
        bus_mmio_write(&v->dev->bus, gpa, size, value & size_mask(size));
        return;
    }
    for (uint8_t i = 0; i < size; i++) {
        bus_mmio_write(&v->dev->bus, gpa + i, 1, (value >> (i * 8)) & 0xff);
    }
}

uint64_t vcpu_span_read(struct vcpu *v, const struct vcpu_span *span)
{
    uint64_t value = 0;
    uint8_t shift = 0;

    for (uint8_t i = 0; i < span->pieces; i++) {
        uint8_t size = span->piece[i].size;
        uint64_t part = span->piece[i].ram != NULL ? ram_read(span->piece[i].ram, size)
                                                   : device_read(v, span->piece[i].gpa, size);

        value |= part << shift;
        shift += size * 8;
    }
    return value;
}

void vcpu_span_write(struct vcpu *v, const struct vcpu_span *span, uint64_t value)
{
    for (uint8_t i = 0; i < span->pieces; i++) {
        uint8_t size = span->piece[i].size;

        if (span->piece[i].ram != NULL) {
            ram_write(span->piece[i].ram, size, value);
        } else {
            device_write(v, span->piece[i].gpa, size, value);
        }
        value = size >= 8 ? 0 : value >> (size * 8);
    }
}

// Copies instruction bytes up to the end of the page of `linear`. 0: not mapped, or not RAM.
static uint8_t fetch_part(struct vcpu *v, uint64_t linear, uint8_t *bytes, uint8_t want)
{
    uint8_t part = (uint8_t)MIN((uint64_t)want, PAGE_SIZE - (linear & (PAGE_SIZE - 1)));
    uint64_t gpa;

    if (vcpu_translate(v, linear, ACCESS_FETCH, &gpa) != EMU_OK ||
        !guest_mem_read(&v->dev->mem, GPA(gpa), bytes, part)) {
        return 0;
    }
    return part;
}

// A first byte that cannot be fetched means that the guest changed its mappings since: the processor will
// find out by itself when the instruction is executed again.
enum emu vcpu_fetch(struct vcpu *v, uint8_t bytes[DECODE_MAX_INSN], uint8_t *length)
{
    uint64_t linear = v->regs->rip;

    if (!vcpu_need_system(v)) {
        return EMU_STOP;
    }
    if (v->mode != DECODE_64) {
        linear = (uint32_t)(v->hdr->cs.base + linear);
    }
    *length = fetch_part(v, linear, bytes, DECODE_MAX_INSN);
    if (*length == 0) {
        return EMU_RETRY;
    }
    if (*length < DECODE_MAX_INSN) {
        *length += fetch_part(v, linear + *length, bytes + *length, DECODE_MAX_INSN - *length);
    }
    return EMU_OK;
}

// --- registers ---

uint64_t vcpu_gpr(const struct vcpu *v, uint8_t reg, uint8_t size, bool high8)
{
    return (v->regs->gpr[reg] >> (high8 ? 8 : 0)) & size_mask(size);
}

void vcpu_set_gpr(struct vcpu *v, uint8_t reg, uint8_t size, bool high8, uint64_t value)
{
    uint64_t mask = size == 4 ? ~0ull : size_mask(size) << (high8 ? 8 : 0);
    uint64_t bits = size == 4 ? (uint32_t)value : value << (high8 ? 8 : 0);

    v->regs->gpr[reg] = (v->regs->gpr[reg] & ~mask) | (bits & mask);
    if (reg == GPR_RSP) {
        v->regs->dirty |= HV_DIRTY_RSP;
    }
}

void vcpu_set_rip(struct vcpu *v, uint64_t rip)
{
    v->regs->rip = v->mode == DECODE_64 ? rip : (uint32_t)rip;
    v->regs->dirty |= HV_DIRTY_RIP;
}

void vcpu_set_rflags(struct vcpu *v, uint64_t rflags)
{
    v->regs->rflags = rflags;
    v->regs->dirty |= HV_DIRTY_RFLAGS;
}
