// SPDX-License-Identifier: Apache-2.0
// Hypercall dispatch (TLFS "Hypercall Interface"): input value, parameter blocks, privileges, rep continuation.
#include "hv/hypercall.h"

#include "hv/cpu.h"
#include "hv/exit.h"
#include "hv/frames.h"
#include "hv/gpa.h"
#include "hv/hvcall.h"

#define REP_BUDGET_US 50    // a rep call gives the processor back after this long
static uint64_t rep_budget; // ticks

enum {
    PRIV_NONE = 0,
    PRIV_CREATE_PARTITIONS = 32,
    PRIV_ACCESS_PARTITION_ID = 33,
    PRIV_ACCESS_MEMORY_POOL = 34
};
enum caller_rule { CALLER_ANY, CALLER_PARENT, CALLER_PARENT_OR_SELF, CALLER_ROOT };

struct hvcall_row {
    hv_status_t (*handler)(struct hvcall *c);
    uint16_t in, out, var;
    uint8_t rep_in, rep_out;
    bool is_rep, fast_only;
    uint8_t privilege, caller;
};

#define ROW(code, name, in_, rep_in_, out_, rep_out_, is_rep_, var_, fast_only_, priv_, caller_)             \
    {.handler = hvcall_##name,                                                                               \
     .in = (in_),                                                                                            \
     .out = (out_),                                                                                          \
     .var = (var_),                                                                                          \
     .rep_in = (rep_in_),                                                                                    \
     .rep_out = (rep_out_),                                                                                  \
     .is_rep = (is_rep_),                                                                                    \
     .fast_only = (fast_only_),                                                                              \
     .privilege = PRIV_##priv_,                                                                              \
     .caller = CALLER_##caller_},
static const struct hvcall_row rows[] = {HVCALL_TABLE(ROW)};

#define INDEX(code, name, ...) IDX_##name,
enum { HVCALL_TABLE(INDEX) IDX_COUNT };

// Rows by code: TLFS calls in 0x0000..0x00ff, Keelson's own in 0xf000..0xf0ff; 0 is no row.
static uint8_t row_index[2][256];
_Static_assert(IDX_COUNT < 255, "row_index");

#define FILL(code, name, ...) row_index[(code) >> 12 == 0xf][(code)&0xff] = IDX_##name + 1;
void hypercall_init(void)
{
    HVCALL_TABLE(FILL)
    rep_budget = host_tsc_hz / 1000000 * REP_BUDGET_US;
}

static const struct hvcall_row *find_row(uint16_t code)
{
    unsigned private = code >> 8 == 0xf0;
    unsigned row = code >> 8 == 0 || private ? row_index[private][code & 0xff] : 0;

    return row == 0 ? NULL : &rows[row - 1];
}

// Private copies of the parameter blocks, one pair a processor.
struct call_buffers {
    uint8_t in[PAGE_SIZE] __attribute__((aligned(16)));
    uint8_t out[PAGE_SIZE] __attribute__((aligned(16)));
};
static struct call_buffers buffers[HV_MAX_CPUS];

struct call_regs { // the caller's view of the call, by its mode
    uint64_t input;
    gpa_t in, out;
    bool long_mode;
};

static struct call_regs read_regs(struct vp *vp, uint32_t mode)
{
    struct call_regs r;

    r.long_mode = (mode & VP_MODE_CS_L) != 0;
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

// Slow half of block_pointer().
static __attribute__((noinline)) void *translate_block(struct vp *vp, struct call_block *b, gpa_t gpa,
                                                       uint32_t right)
{
    struct gpa_mapping m;

    if (!gpa_lookup(vp->partition, GPA(gpa.v & PAGE_MASK), &m) || (m.flags & right) == 0) {
        return NULL;
    }
    *b = (struct call_block){gpa.v & PAGE_MASK, vp->partition->gpa_generation, spa_to_va(m.spa)};
    return b->va + (gpa.v & (PAGE_SIZE - 1));
}

// Where a parameter block lies. The last translation is kept a VP and direction; it holds while the GPA space
// does not change (gpa_flush() counts, and waits for processors that are in here).
static inline void *block_pointer(struct vp *vp, struct call_block *b, gpa_t gpa, uint32_t right)
{
    if (((b->page ^ gpa.v) & PAGE_MASK) == 0 && b->generation == vp->partition->gpa_generation &&
        b->va != NULL) {
        return b->va + (gpa.v & (PAGE_SIZE - 1));
    }
    return translate_block(vp, b, gpa, right);
}

// Blocks are a multiple of four bytes and aligned to eight; most are so short that a loop beats REP MOVS.
static inline void copy_block(void *to, const void *from, size_t len)
{
    uint64_t *t = to;
    const volatile uint64_t *f = from; // the caller's memory: each word is read once

    if (len > 128) {
        __builtin_memcpy(to, from, len);
        return;
    }
    for (; len >= 8; len -= 8) {
        *t++ = *f++;
    }
    if (len > 0) {
        *(uint32_t *)t = *(const volatile uint32_t *)f;
    }
}

// Copies the input block. Calls with a variable part take as much as the page holds up to their limit.
static hv_status_t fetch_input(const struct hvcall_row *row, const struct call_regs *r, struct hvcall *c)
{
    uint8_t *buf = (uint8_t *)(uintptr_t)c->in;
    size_t skip = (size_t)row->rep_in * c->rep_start;
    size_t reps = (size_t)row->rep_in * c->rep_count;
    size_t room = PAGE_SIZE - (r->in.v & (PAGE_SIZE - 1));
    size_t var = room < row->in ? 0 : MIN(row->var, room - row->in);
    const uint8_t *from;

    c->rep_in = buf + row->in;
    c->var_len = (uint32_t)var;
    if (row->in + skip + reps == 0) {
        return HV_STATUS_SUCCESS;
    }
    if (!block_is_valid(r->in, row->in + skip + reps)) {
        return HV_STATUS_INVALID_ALIGNMENT;
    }
    from = block_pointer(c->vp, &c->vp->call_in, r->in, HV_MAP_READ);
    if (from == NULL) {
        return HV_STATUS_INVALID_PARAMETER;
    }
    if (skip == 0) { // the elements follow; calls with a variable part have none
        copy_block(buf, from, row->in + var + reps);
        return HV_STATUS_SUCCESS;
    }
    copy_block(buf, from, row->in);
    copy_block(buf + row->in, from + row->in + skip, reps);
    return HV_STATUS_SUCCESS;
}

static hv_status_t prepare_output(const struct hvcall_row *row, const struct call_regs *r, struct hvcall *c)
{
    uint8_t *buf = c->out;
    size_t len = row->out + (size_t)row->rep_out * (c->rep_start + c->rep_count);

    c->rep_out = buf + row->out;
    if (len == 0) {
        return HV_STATUS_SUCCESS;
    }
    if (!block_is_valid(r->out, len)) {
        return HV_STATUS_INVALID_ALIGNMENT;
    }
    if (block_pointer(c->vp, &c->vp->call_out, r->out, HV_MAP_WRITE) == NULL) {
        return HV_STATUS_INVALID_PARAMETER; // found before anything has been done
    }
    for (size_t i = 0; i < row->out; i += 8) {
        *(uint64_t *)(buf + i) = 0;
    }
    return HV_STATUS_SUCCESS;
}

// The page was there before the call; if the call itself took it away, that is the caller's own mistake.
static bool store_output(const struct hvcall_row *row, const struct call_regs *r, const struct hvcall *c,
                         hv_status_t status)
{
    size_t reps = (size_t)row->rep_out * c->rep_done;
    uint8_t *to;

    if (reps + row->out == 0) {
        return true;
    }
    to = block_pointer(c->vp, &c->vp->call_out, r->out, HV_MAP_WRITE);
    if (to == NULL) {
        return false;
    }
    if (status == HV_STATUS_SUCCESS && row->out != 0) {
        copy_block(to, c->out, row->out);
    }
    copy_block(to + row->out + (size_t)row->rep_out * c->rep_start, c->rep_out, reps);
    return true;
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
    struct call_buffers *b = &buffers[this_cpu()->index];
    hv_status_t status;

    c->in = b->in;
    c->out = b->out;
    if ((r->input & HVCALL_FAST) != 0) {
        ((uint64_t *)b->in)[0] = r->in.v;
        ((uint64_t *)b->in)[1] = r->out.v;
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

// The data plane's call, twice for each access to a device: straight to its handler.
static enum vp_action intercept_wait(struct vp *vp)
{
    const uint64_t in[2] = {vp_gpr(vp, GPR_RDX), vp_gpr(vp, GPR_R8)};
    struct hvcall c = {.vp = vp, .in = in};

    hv_lock();
    vp_set_gpr(vp, GPR_RAX, hvcall_x_intercept_wait(&c));
    hv_unlock();
    return VP_ADVANCE;
}

static enum vp_action general_call(struct vp *vp, uint32_t mode)
{
    struct call_regs r = read_regs(vp, mode);
    const struct hvcall_row *row = find_row((uint16_t)r.input);
    struct hvcall c;
    hv_status_t status;

    if (row == NULL) {
        write_result(vp, &r, HV_STATUS_INVALID_HYPERCALL_CODE, 0);
        return VP_ADVANCE;
    }
    c.vp = vp;
    c.rep_start = 0;
    c.rep_done = 0;
    status = check_input(row, r.input, &c);
    if (status == HV_STATUS_SUCCESS) {
        c.deadline = row->is_rep && c.rep_count > HVCALL_REP_CHECK ? host_tsc() + rep_budget : ~0ull;
        status = run_call(row, &r, &c);
    }
    if (row->is_rep && status == HV_STATUS_SUCCESS && c.rep_done < c.rep_count) {
        return continue_rep(vp, &r, c.rep_start + c.rep_done);
    }
    write_result(vp, &r, status, c.rep_start + c.rep_done);
    return VP_ADVANCE;
}

enum vp_action exit_hypercall(struct vp *vp)
{
    uint32_t mode = virt->mode(vp);

    // Only ring 0 in protected mode calls (TLFS "Legal Hypercall Environments").
    if ((mode & (VP_MODE_CPL | VP_MODE_PE)) != VP_MODE_PE || (vp->partition->privileges & BIT(5)) == 0) {
        return vp_inject_ud(vp);
    }
    vp->hypercalls++;
    if (vp->exit.insn_len == 0) {
        vp->exit.insn_len = (uint8_t)vp_insn_len(vp, 3);
    }
    if ((mode & VP_MODE_CS_L) != 0 && vp->partition->is_root &&
        vp_gpr(vp, GPR_RCX) == (HVCALL_X_INTERCEPT_WAIT | HVCALL_FAST)) {
        return intercept_wait(vp);
    }
    return general_call(vp, mode);
}
