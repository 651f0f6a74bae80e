// SPDX-License-Identifier: Apache-2.0
// Port I/O: the string forms of IN and OUT. The plain ones are in vm.c.
//
// Source: SDM 2A "IN", "INS/INSB/INSW/INSD", SDM 2B "OUT", "OUTS/OUTSB/OUTSW/OUTSD", "REP". The processor
// has checked the I/O privilege before it intercepted; the memory operand of the string forms is checked
// here.

#include "mgmt/devices/intercept.h"

struct string_io {
    uint16_t port;
    uint8_t size;
    bool in;
    uint8_t seg;          // of the memory operand
    uint8_t index_reg;    // RDI or RSI
    uint8_t address_size; // bytes
};

// The message does not say which segment and address size are in force: the prefixes do.
static enum emu decode_string(struct vcpu *v, const struct hv_io_intercept *msg, struct string_io *io)
{
    uint8_t bytes[DECODE_MAX_INSN];
    uint8_t length = MIN(msg->insn_byte_count, DECODE_MAX_INSN);
    struct insn_prefixes prefixes;
    enum emu result = EMU_OK;

    __builtin_memcpy(bytes, msg->insn_bytes, length);
    if (length == 0) {
        result = vcpu_fetch(v, bytes, &length);
    }
    if (result != EMU_OK) {
        return result;
    }
    decode_prefixes(bytes, length, v->mode, &prefixes);
    if (v->mode == DECODE_64) {
        io->address_size = prefixes.address_size ? 4 : 8;
    } else {
        io->address_size = (v->mode == DECODE_32) != prefixes.address_size ? 4 : 2;
    }
    io->index_reg = io->in ? GPR_RDI : GPR_RSI;
    if (io->in) {
        io->seg = SEG_ES; // cannot be overridden
    } else {
        io->seg = prefixes.seg == DECODE_NO_REG ? SEG_DS : prefixes.seg;
    }
    return EMU_OK;
}

static enum emu transfer_element(struct vcpu *v, const struct string_io *io)
{
    enum vcpu_access access = io->in ? ACCESS_WRITE : ACCESS_READ;
    struct vcpu_span span;
    uint64_t linear;
    enum emu result;

    result = vcpu_linear(v, io->seg, vcpu_gpr(v, io->index_reg, io->address_size, false), io->size, access,
                         &linear);
    if (result == EMU_OK) {
        result = vcpu_span(v, linear, io->size, access, &span);
    }
    if (result != EMU_OK) {
        return result;
    }
    if (io->in) {
        vcpu_span_write(v, &span, bus_port_read(&v->dev->bus, io->port, io->size));
    } else {
        bus_port_write(&v->dev->bus, io->port, io->size, (uint32_t)vcpu_span_read(v, &span));
    }
    string_step(v, io->index_reg, io->address_size, io->size);
    return EMU_OK;
}

static enum emu string_io(struct vcpu *v, const struct string_io *io, bool rep, uint32_t *flags)
{
    uint64_t left = rep ? vcpu_gpr(v, GPR_RCX, io->address_size, false) : 1;
    uint64_t slice = MIN(left, (uint64_t)STRING_SLICE);

    for (uint64_t i = 0; i < slice; i++) {
        enum emu result = transfer_element(v, io);

        if (result != EMU_OK) {
            return result;
        }
        left--;
        if (rep) {
            vcpu_set_gpr(v, GPR_RCX, io->address_size, false, left);
        }
    }
    *flags = left == 0 ? HV_XWAIT_ADVANCE : 0;
    return EMU_OK;
}

enum emu io_intercept_string(struct vcpu *v, const struct hv_io_intercept *msg, uint32_t *flags)
{
    struct string_io io = {
        .port = msg->port,
        .size = msg->info & IO_INFO_SIZE,
        .in = msg->hdr.access != ACCESS_WRITE,
    };
    enum emu result;

    if (!io_size_is_valid(io.size) || !(msg->info & IO_INFO_STRING)) {
        return EMU_STOP;
    }
    result = decode_string(v, msg, &io);
    return result == EMU_OK ? string_io(v, &io, msg->info & IO_INFO_REP, flags) : result;
}
