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

// Input values have fields (TLFS "Hypercall Inputs"): code 0..15, fast 16, variable header size 17..26, rep count
// 32..43, rep start 48..59.
#define INPUT_CODE 0xffffull
#define INPUT_REPS 0x0fff0fff00000000ull
#define INPUT_NEVER 0xf000f000fffe0000ull // reserved bits; no call has a header of variable size

struct hvcall_row {
    hv_status_t (*handler)(struct hvcall *c);
    uint64_t mask, value; // input & mask == value, or the input is not one of this call
    uint16_t in, out, var;
    uint8_t rep_in, rep_out;
    bool is_rep;
    uint8_t privilege, caller;
};

// Parameters in registers are for calls that have no more than two, and no result.
#define MAY_BE_FAST(in, out, is_rep, var) ((in) <= 16 && (out) == 0 && !(is_rep) && (var) == 0)

#define ROW(code, name, in_, rep_in_, out_, rep_out_, is_rep_, var_, fast_only_, priv_, caller_)             \
    {.handler = hvcall_##name,                                                                               \
     .mask = INPUT_CODE | INPUT_NEVER | ((is_rep_) ? 0 : INPUT_REPS) |                                       \
             (!(fast_only_) && MAY_BE_FAST(in_, out_, is_rep_, var_) ? 0 : HVCALL_FAST),                     \
     .value = (code) | ((fast_only_) ? HVCALL_FAST : 0),                                                     \
     .in = (in_),                                                                                            \
     .out = (out_),                                                                                          \
     .var = (var_),                                                                                          \
     .rep_in = (rep_in_),                                                                                    \
     .rep_out = (rep_out_),                                                                                  \
     .is_rep = (is_rep_),                                                                                    \
     .privilege = PRIV_##priv_,                                                                              \
     .caller = CALLER_##caller_},
static const struct hvcall_row rows[] = {HVCALL_TABLE(ROW)};

#define INDEX(code, name, ...) IDX_##name,
enum { HVCALL_TABLE(INDEX) IDX_COUNT };

// Rows by code: TLFS calls in 0x0000..0x00ff, Keelson's own in 0xf000..0xf0ff.
static const struct hvcall_row *row_of[2][256];

#define FILL(code, name, ...) row_of[(code) >> 12 == 0xf][(code)&0xff] = &rows[IDX_##name];
void hypercall_init(void)
{
    HVCALL_TABLE(FILL)
    rep_budget = host_tsc_hz / 1000000 * REP_BUDGET_US;
}

static inline const struct hvcall_row *find_row(uint64_t input)
{
    const struct hvcall_row *row = row_of[input >> 15 & 1][input & 0xff];

    return row != NULL && ((row->value ^ input) & INPUT_CODE) == 0 ? row : NULL;
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

static inline struct call_regs read_regs(struct vp *vp, uint32_t mode)
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

static inline void write_result(struct vp *vp, const struct call_regs *r, hv_status_t status, uint32_t reps)
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

static inline bool input_is_valid(const struct hvcall_row *row, uint64_t input, struct hvcall *c)
{
    uint32_t count = (uint32_t)(input >> 32) & 0xfff;
    uint32_t start = (uint32_t)(input >> 48) & 0xfff;

    if ((input & row->mask) != row->value || (row->is_rep && start >= count)) {
        return false;
    }
    c->rep_count = count - start;
    c->rep_start = start;
    return true;
}

static inline bool block_is_valid(gpa_t gpa, size_t len)
{
    return (gpa.v & 7) == 0 && (gpa.v & (PAGE_SIZE - 1)) + len <= PAGE_SIZE;
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

static inline bool block_is_current(const struct vp *vp, const struct call_block *b)
{
    return b->generation == vp->partition->gpa_generation; // which is never 0
}

// Where a parameter block lies. The last translation is kept a VP and direction; it holds while the GPA space
// does not change (gpa_flush() counts, and waits for processors that are in here).
static inline void *block_pointer(struct vp *vp, struct call_block *b, gpa_t gpa, uint32_t right)
{
    if (__builtin_expect((b->page ^ gpa.v) >> PAGE_SHIFT == 0 && block_is_current(vp, b), 1)) {
        return b->va + (gpa.v & (PAGE_SIZE - 1));
    }
    return translate_block(vp, b, gpa, right);
}

// Blocks are aligned to eight bytes, and most are so short that a loop beats REP MOVS: copies whole words, each of which
// is read once. The length of outputs is a multiple of eight; the last word of an input may have four bytes too many,
// which lie in the same page.
static inline void copy_block(uint8_t *to, const uint8_t *from, size_t len)
{
    if (__builtin_expect(len > 128, 0)) {
        __builtin_memcpy(to, from, len);
        return;
    }
    for (size_t at = 0; at < len; at += 8) {
        *(uint64_t *)(to + at) = __atomic_load_n((const uint64_t *)(from + at), __ATOMIC_RELAXED);
    }
}

#define WHOLE_WORDS(code, name, in_, rep_in_, out_, rep_out_, ...)                                           \
    _Static_assert((out_) % 8 == 0 && (rep_out_) % 8 == 0 && (in_) % 4 == 0 && (rep_in_) % 4 == 0, #name);
HVCALL_TABLE(WHOLE_WORDS)

// A variable part takes as much as the page holds up to the call's limit; such calls have no elements.
static __attribute__((noinline)) void fetch_parts(const struct hvcall_row *row, size_t room,
                                                  const uint8_t *from, struct hvcall *c)
{
    uint8_t *buf = (uint8_t *)(uintptr_t)c->in;
    size_t skip = (size_t)row->rep_in * c->rep_start;

    c->var_len = (uint32_t)MIN(row->var, room - row->in);
    __builtin_memcpy(buf, from, row->in + c->var_len);
    __builtin_memcpy(buf + row->in, from + row->in + skip, (size_t)row->rep_in * c->rep_count);
}

// Copies the input block: the fixed part, and the elements that are still to be done.
static inline hv_status_t fetch_input(const struct hvcall_row *row, gpa_t gpa, struct hvcall *c)
{
    uint8_t *buf = (uint8_t *)(uintptr_t)c->in;
    size_t len = row->in + (size_t)row->rep_in * (c->rep_start + c->rep_count);
    const uint8_t *from;

    c->rep_in = buf + row->in;
    if (len == 0) {
        return HV_STATUS_SUCCESS;
    }
    if (!block_is_valid(gpa, len)) {
        return HV_STATUS_INVALID_ALIGNMENT;
    }
    from = block_pointer(c->vp, &c->vp->call_in, gpa, HV_MAP_READ);
    if (from == NULL) {
        return HV_STATUS_INVALID_PARAMETER;
    }
    if (__builtin_expect(row->var != 0 || c->rep_start != 0, 0)) {
        fetch_parts(row, PAGE_SIZE - (gpa.v & (PAGE_SIZE - 1)), from, c);
    } else {
        copy_block(buf, from, len);
    }
    return HV_STATUS_SUCCESS;
}

// An output block that cannot be written is found before anything has been done.
static inline hv_status_t prepare_output(const struct hvcall_row *row, gpa_t gpa, struct hvcall *c)
{
    uint8_t *buf = c->out;
    size_t len = row->out + (size_t)row->rep_out * (c->rep_start + c->rep_count);

    c->rep_out = buf + row->out;
    if (len == 0) {
        return HV_STATUS_SUCCESS;
    }
    if (!block_is_valid(gpa, len)) {
        return HV_STATUS_INVALID_ALIGNMENT;
    }
    if (block_pointer(c->vp, &c->vp->call_out, gpa, HV_MAP_WRITE) == NULL) {
        return HV_STATUS_INVALID_PARAMETER;
    }
    for (size_t i = 0; i < row->out; i += 8) {
        *(uint64_t *)(buf + i) = 0;
    }
    return HV_STATUS_SUCCESS;
}

// The page was there before the call; if it has been taken away meanwhile, that is the caller's own mistake.
static inline bool store_output(const struct hvcall_row *row, gpa_t gpa, const struct hvcall *c,
                                hv_status_t status)
{
    struct call_block *b = &c->vp->call_out;
    size_t fixed = status == HV_STATUS_SUCCESS ? row->out : 0;
    size_t reps = (size_t)row->rep_out * c->rep_done;
    uint8_t *to;

    if (fixed + reps == 0) {
        return true;
    }
    if (!block_is_current(c->vp, b) && translate_block(c->vp, b, gpa, HV_MAP_WRITE) == NULL) {
        return false;
    }
    to = b->va + (gpa.v & (PAGE_SIZE - 1));
    if (fixed != 0) {
        copy_block(to, c->out, fixed);
    }
    copy_block(to + row->out + (size_t)row->rep_out * c->rep_start, c->rep_out, reps);
    return true;
}

// --- who may call ---

static inline hv_status_t check_caller(const struct hvcall_row *row, struct hvcall *c)
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
    c->target = id == HV_PARTITION_ID_SELF ? self : partition_lookup(self, id);
    if (c->target == NULL) {
        return self->is_root ? HV_STATUS_INVALID_PARTITION_ID : HV_STATUS_ACCESS_DENIED;
    }
    if (c->target == self && !self->is_root && row->caller != CALLER_PARENT_OR_SELF) {
        return HV_STATUS_ACCESS_DENIED;
    }
    return HV_STATUS_SUCCESS;
}

static inline hv_status_t locked_call(const struct hvcall_row *row, struct hvcall *c)
{
    hv_status_t status;

    hv_lock();
    status = check_caller(row, c);
    if (status == HV_STATUS_SUCCESS) {
        status = row->handler(c);
    }
    hv_unlock();
    return status;
}

static inline hv_status_t run_call(const struct hvcall_row *row, const struct call_regs *r, struct hvcall *c)
{
    struct call_buffers *b = &buffers[this_cpu()->index];
    hv_status_t status;

    c->in = b->in;
    c->out = b->out;
    if ((r->input & HVCALL_FAST) != 0) {
        ((uint64_t *)b->in)[0] = r->in.v;
        ((uint64_t *)b->in)[1] = r->out.v;
        return locked_call(row, c);
    }
    status = fetch_input(row, r->in, c);
    if (status == HV_STATUS_SUCCESS) {
        status = prepare_output(row, r->out, c);
    }
    if (status != HV_STATUS_SUCCESS) {
        return status;
    }
    status = locked_call(row, c);
    return store_output(row, r->out, c, status) ? status : HV_STATUS_INVALID_PARAMETER;
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

static __attribute__((noinline)) enum vp_action general_call(struct vp *vp, uint32_t mode)
{
    struct call_regs r = read_regs(vp, mode);
    const struct hvcall_row *row = find_row(r.input);
    struct hvcall c;
    hv_status_t status = HV_STATUS_INVALID_HYPERCALL_INPUT;

    if (row == NULL) {
        write_result(vp, &r, HV_STATUS_INVALID_HYPERCALL_CODE, 0);
        return VP_ADVANCE;
    }
    c.vp = vp;
    c.rep_start = 0;
    c.rep_done = 0;
    if (input_is_valid(row, r.input, &c)) {
        c.deadline = row->is_rep && c.rep_count > HVCALL_REP_CHECK ? host_tsc() + rep_budget : ~0ull;
        status = run_call(row, &r, &c);
    }
    if (row->is_rep && status == HV_STATUS_SUCCESS && c.rep_done < c.rep_count) {
        return continue_rep(vp, &r, c.rep_start + c.rep_done);
    }
    write_result(vp, &r, status, c.rep_start + c.rep_done);
    return VP_ADVANCE;
}

// The data plane's call, made for each access to a device: straight to its handler.
static inline bool is_intercept_wait(const struct vp *vp, uint32_t mode)
{
    const uint32_t ring0_64 = VP_MODE_PE | VP_MODE_LMA | VP_MODE_CS_L;

    return vp->partition->is_root && vp_gpr(vp, GPR_RCX) == (HVCALL_X_INTERCEPT_WAIT | HVCALL_FAST) &&
           (mode & (ring0_64 | VP_MODE_CPL)) == ring0_64;
}

enum vp_action exit_hypercall(struct vp *vp)
{
    uint32_t mode = virt->mode(vp);

    if (is_intercept_wait(vp, mode)) {
        vp->hypercalls++;
        hv_lock();
        vp_set_gpr(vp, GPR_RAX, intercept_wait(vp, vp_gpr(vp, GPR_RDX), vp_gpr(vp, GPR_R8)));
        hv_unlock();
        return VP_ADVANCE;
    }
    // Only ring 0 in protected mode calls (TLFS "Legal Hypercall Environments").
    if ((mode & (VP_MODE_CPL | VP_MODE_PE)) != VP_MODE_PE || (vp->partition->privileges & BIT(5)) == 0) {
        return vp_inject_ud(vp);
    }
    vp->hypercalls++;
    if (vp->exit.insn_len == 0) {
        vp->exit.insn_len = (uint8_t)vp_insn_len(vp, 3);
    }
    return general_call(vp, mode);
}
