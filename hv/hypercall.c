// SPDX-License-Identifier: Apache-2.0
// Hypercall dispatch (TLFS "Hypercall Interface"): input value, parameter blocks, privileges, rep continuation.
#include "hv/hypercall.h"

#include "hv/cpu.h"
#include "hv/exit.h"
#include "hv/frames.h"
#include "hv/gpa.h"
#include "hv/hvcall.h"

#define REP_BUDGET_US 50 // a rep call gives the processor back after this long

enum { PRIV_NONE = 0, PRIV_CREATE_PARTITIONS = 32, PRIV_ACCESS_PARTITION_ID = 33, PRIV_ACCESS_MEMORY_POOL = 34 };
enum caller_rule { CALLER_ANY, CALLER_PARENT, CALLER_PARENT_OR_SELF, CALLER_ROOT };

struct hvcall_row {
    hv_status_t (*handler)(struct hvcall *c);
    uint16_t in, out, var;
    uint8_t rep_in, rep_out;
    bool is_rep, fast_only;
    uint8_t privilege, caller;
};

#define ROW(code, name, in_, rep_in_, out_, rep_out_, is_rep_, var_, fast_only_, priv_, caller_)    \
    {.handler = hvcall_##name,                                                                     \
     .in = (in_),                                                                                  \
     .out = (out_),                                                                                \
     .var = (var_),                                                                                \
     .rep_in = (rep_in_),                                                                          \
     .rep_out = (rep_out_),                                                                        \
     .is_rep = (is_rep_),                                                                          \
     .fast_only = (fast_only_),                                                                    \
     .privilege = PRIV_##priv_,                                                                    \
     .caller = CALLER_##caller_},
static const struct hvcall_row rows[] = {HVCALL_TABLE(ROW)};

#define INDEX(code, name, ...) IDX_##name,
enum { HVCALL_TABLE(INDEX) IDX_COUNT };

#define CASE(code, name, ...)                                                                      \
    case code:                                                                                     \
        return &rows[IDX_##name];
static const struct hvcall_row *find_row(uint16_t code)
{
    switch (code) {
        HVCALL_TABLE(CASE)
    default:
        return NULL;
    }
}

// Private copies of the parameter blocks, one pair a processor.
static uint8_t in_buf[HV_MAX_CPUS][PAGE_SIZE] __attribute__((aligned(16)));
static uint8_t out_buf[HV_MAX_CPUS][PAGE_SIZE] __attribute__((aligned(16)));

struct call_regs { // the caller's view of the call, by its mode
    uint64_t input;
    gpa_t in, out;
    bool long_mode;
};

static struct call_regs read_regs(struct vp *vp)
{
    struct call_regs r;
    union hv_register_value cs = {.u64 = 0};

    (void)virt->get_reg(vp, HV_REG_CS, &cs);
    r.long_mode = (cs.segment.attributes & BIT(13)) != 0;
    if (r.long_mode) {
        r.input = vp_gpr(vp, GPR_RCX);
        r.in = GPA(vp_gpr(vp, GPR_RDX));
        r.out = GPA(vp_gpr(vp, GPR_R8));
    } else {
        r.input = vp_gpr(vp, GPR_RDX) << 32 | (uint32_t)vp_gpr(vp, GPR_RAX);
        r.in = GPA(vp_gpr(vp, GPR_RBX) << 32 | (uint32_t)vp_gpr(vp, GPR_RCX));
        r.out = GPA(vp_gpr(vp, GPR_RDI) << 32 | (uint32_t)vp_gpr(vp, GPR_RSI));
    }
    return r;
}

static void write_result(struct vp *vp, const struct call_regs *r, hv_status_t status, uint32_t reps)
{
    uint64_t result = (uint64_t)status | (uint64_t)reps << 32;

    if (r->long_mode) {
        vp_set_gpr(vp, GPR_RAX, result);
    } else {
        vp_set_gpr(vp, GPR_RAX, (uint32_t)result);
        vp_set_gpr(vp, GPR_RDX, result >> 32);
    }
}

bool hvcall_more(const struct hvcall *c, uint32_t done)
{
    return done < c->rep_count && (done == 0 || (done & 7) != 0 || host_tsc() < c->deadline);
}

// --- decoding ---

static hv_status_t check_input(const struct hvcall_row *row, uint64_t input, struct hvcall *c)
{
    uint32_t count = (uint32_t)(input >> 32) & 0xfff;
    uint32_t start = (uint32_t)(input >> 48) & 0xfff;
    bool fast = (input & HVCALL_FAST) != 0;

    if ((input & 0xf000f000fffe0000ull) != 0) {
        return HV_STATUS_INVALID_HYPERCALL_INPUT; // reserved bits and variable header size
    }
    if (row->is_rep ? count == 0 || start >= count : count != 0 || start != 0) {
        return HV_STATUS_INVALID_HYPERCALL_INPUT;
    }
    if (fast && (row->in > 16 || row->out != 0 || row->is_rep || row->var != 0)) {
        return HV_STATUS_INVALID_HYPERCALL_INPUT;
    }
    if (!fast && row->fast_only) {
        return HV_STATUS_INVALID_HYPERCALL_INPUT;
    }
    c->rep_count = count - start;
    c->rep_start = start;
    return HV_STATUS_SUCCESS;
}

static bool block_is_valid(gpa_t gpa, size_t len)
{
    return len == 0 || ((gpa.v & 7) == 0 && (gpa.v & (PAGE_SIZE - 1)) + len <= PAGE_SIZE);
}

// Copies the input block. Calls with a variable part take as much as the page holds up to their limit.
static hv_status_t fetch_input(const struct hvcall_row *row, const struct call_regs *r, struct hvcall *c)
{
    uint8_t *buf = in_buf[this_cpu()->index];
    size_t fixed = row->in + (size_t)row->rep_in * c->rep_start;
    size_t reps = (size_t)row->rep_in * c->rep_count;
    size_t var = row->var == 0 ? 0 : MIN(row->var, PAGE_SIZE - ((r->in.v + row->in) & (PAGE_SIZE - 1)));

    if (!block_is_valid(r->in, fixed + reps)) {
        return HV_STATUS_INVALID_ALIGNMENT;
    }
    c->in = buf;
    c->rep_in = buf + row->in;
    c->var_len = (uint32_t)var;
    c->in_gpa = r->in;
    if (row->in + var != 0 && !vp_read_gpa(c->vp->partition, r->in, buf, row->in + var)) {
        return HV_STATUS_INVALID_PARAMETER;
    }
    if (reps != 0 && !vp_read_gpa(c->vp->partition, GPA(r->in.v + fixed), buf + row->in, reps)) {
        return HV_STATUS_INVALID_PARAMETER;
    }
    return HV_STATUS_SUCCESS;
}

static hv_status_t prepare_output(const struct hvcall_row *row, const struct call_regs *r, struct hvcall *c)
{
    uint8_t *buf = out_buf[this_cpu()->index];
    size_t len = row->out + (size_t)row->rep_out * (c->rep_start + c->rep_count);
    struct gpa_mapping m;

    if (len == 0) {
        return HV_STATUS_SUCCESS;
    }
    if (!block_is_valid(r->out, len)) {
        return HV_STATUS_INVALID_ALIGNMENT;
    }
    if (!gpa_lookup(c->vp->partition, r->out, &m) || (m.flags & HV_MAP_WRITE) == 0) {
        return HV_STATUS_INVALID_PARAMETER; // found before anything has been done
    }
    c->out = buf;
    c->rep_out = buf + row->out;
    __builtin_memset(buf, 0, row->out);
    return HV_STATUS_SUCCESS;
}

static bool store_output(const struct hvcall_row *row, const struct call_regs *r, const struct hvcall *c,
                         hv_status_t status)
{
    size_t reps = (size_t)row->rep_out * c->rep_done;
    gpa_t at = GPA(r->out.v + row->out + (uint64_t)row->rep_out * c->rep_start);

    if (row->out != 0 && status == HV_STATUS_SUCCESS &&
        !vp_write_gpa(c->vp->partition, r->out, c->out, row->out)) {
        return false;
    }
    return reps == 0 || vp_write_gpa(c->vp->partition, at, c->rep_out, reps);
}

// --- who may call ---

static hv_status_t check_caller(const struct hvcall_row *row, struct hvcall *c)
{
    struct partition *self = c->vp->partition;
    uint64_t id;

    if (row->privilege != PRIV_NONE && (self->privileges & BIT(row->privilege)) == 0) {
        return HV_STATUS_ACCESS_DENIED;
    }
    if (row->caller == CALLER_ANY) {
        return HV_STATUS_SUCCESS;
    }
    if (row->caller == CALLER_ROOT) {
        return self->is_root ? HV_STATUS_SUCCESS : HV_STATUS_ACCESS_DENIED;
    }
    __builtin_memcpy(&id, c->in, sizeof(id));
    c->target = partition_lookup(self, id);
    if (c->target == NULL) {
        return self->is_root ? HV_STATUS_INVALID_PARTITION_ID : HV_STATUS_ACCESS_DENIED;
    }
    if (c->target == self && !self->is_root && row->caller != CALLER_PARENT_OR_SELF) {
        return HV_STATUS_ACCESS_DENIED;
    }
    return HV_STATUS_SUCCESS;
}

static hv_status_t run_call(const struct hvcall_row *row, const struct call_regs *r, struct hvcall *c)
{
    hv_status_t status;
    uint64_t fast_in[2] = {r->in.v, r->out.v};

    if ((r->input & HVCALL_FAST) != 0) {
        __builtin_memcpy(in_buf[this_cpu()->index], fast_in, sizeof(fast_in));
        c->in = in_buf[this_cpu()->index];
    } else {
        status = fetch_input(row, r, c);
        if (status == HV_STATUS_SUCCESS) {
            status = prepare_output(row, r, c);
        }
        if (status != HV_STATUS_SUCCESS) {
            return status;
        }
    }
    hv_lock();
    status = check_caller(row, c);
    if (status == HV_STATUS_SUCCESS) {
        status = row->handler(c);
    }
    hv_unlock();
    if ((r->input & HVCALL_FAST) == 0 && !store_output(row, r, c, status)) {
        status = HV_STATUS_INVALID_PARAMETER;
    }
    return status;
}

// A rep call that ran out of budget is entered again with a new start index (TLFS "Hypercall Continuation").
static enum vp_action continue_rep(struct vp *vp, const struct call_regs *r, uint32_t start)
{
    uint64_t input = (r->input & ~(0xfffull << 48)) | HVCALL_REP_START(start);

    if (r->long_mode) {
        vp_set_gpr(vp, GPR_RCX, input);
    } else {
        vp_set_gpr(vp, GPR_RDX, input >> 32);
        vp_set_gpr(vp, GPR_RAX, (uint32_t)input);
    }
    return VP_RESUME;
}

enum vp_action exit_hypercall(struct vp *vp)
{
    struct call_regs r = read_regs(vp);
    struct hvcall c = {.vp = vp};
    const struct hvcall_row *row;
    hv_status_t status;

    if (vp_cpl(vp) != 0 || (vp_reg(vp, HV_REG_CR0) & 1) == 0 || (vp->partition->privileges & BIT(5)) == 0) {
        return vp_inject_ud(vp);
    }
    vp->hypercalls++;
    vp->exit.insn_len = (uint8_t)vp_insn_len(vp, 3);
    row = find_row((uint16_t)r.input);
    if (row == NULL) {
        write_result(vp, &r, HV_STATUS_INVALID_HYPERCALL_CODE, 0);
        return VP_ADVANCE;
    }
    status = check_input(row, r.input, &c);
    if (status == HV_STATUS_SUCCESS) {
        if (row->is_rep) {
            c.deadline = host_tsc() + host_tsc_hz / 1000000 * REP_BUDGET_US;
        }
        status = run_call(row, &r, &c);
    }
    if (row->is_rep && status == HV_STATUS_SUCCESS && c.rep_done < c.rep_count) {
        return continue_rep(vp, &r, c.rep_start + c.rep_done);
    }
    write_result(vp, &r, status, c.rep_start + c.rep_done);
    return VP_ADVANCE;
}
