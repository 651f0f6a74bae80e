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
#define INPUT_START 0x0fff000000000000ull
#define INPUT_NEVER 0xf000f000fffe0000ull // reserved bits; no call has a header of variable size

struct hvcall_row {
    hv_status_t (*handler)(struct hvcall *c);
    uint64_t mask, value; // input & mask == value, or the input is not one of this call
    uint64_t special;     // an input with any of these bits is for special_call()
    uint16_t in, out, var;
    uint8_t rep_in, rep_out;
    bool is_rep;
    uint8_t privilege, caller;
    bool self_service; // anybody may make it about himself, and then it needs no lock
};

// Parameters in registers are for calls that have no more than two, and no result.
#define MAY_BE_FAST(in, out, is_rep, var) ((in) <= 16 && (out) == 0 && !(is_rep) && (var) == 0)

#define ROW(code, name, in_, rep_in_, out_, rep_out_, is_rep_, var_, fast_only_, priv_, caller_)             \
    {.handler = hvcall_##name,                                                                               \
     .mask = INPUT_CODE | INPUT_NEVER | ((is_rep_) ? 0 : INPUT_REPS) |                                       \
             (!(fast_only_) && MAY_BE_FAST(in_, out_, is_rep_, var_) ? 0 : HVCALL_FAST),                     \
     .value = (code) | ((fast_only_) ? HVCALL_FAST : 0),                                                     \
     .special = HVCALL_FAST | INPUT_START | ((var_) != 0 ? INPUT_CODE : 0),                                  \
     .in = (in_),                                                                                            \
     .out = (out_),                                                                                          \
     .var = (var_),                                                                                          \
     .rep_in = (rep_in_),                                                                                    \
     .rep_out = (rep_out_),                                                                                  \
     .is_rep = (is_rep_),                                                                                    \
     .privilege = PRIV_##priv_,                                                                              \
     .caller = CALLER_##caller_,                                                                             \
     .self_service = CALLER_##caller_ == CALLER_PARENT_OR_SELF && PRIV_##priv_ == PRIV_NONE},
static const struct hvcall_row rows[] = {HVCALL_TABLE(ROW)};
static const struct hvcall_row no_row = {.mask = 0, .value = 1}; // no input is one of it

#define INDEX(code, name, ...) IDX_##name,
enum { HVCALL_TABLE(INDEX) IDX_COUNT };

// Rows by code: TLFS calls in 0x0000..0x00ff, Keelson's own in 0xf000..0xf0ff. An input of another code does not match
// the row that it finds.
static const struct hvcall_row *row_of[2][256];

// Private copies of the parameter blocks, one pair a processor.
static struct call_buffers {
    uint8_t in[PAGE_SIZE] __attribute__((aligned(16)));
    uint8_t out[PAGE_SIZE] __attribute__((aligned(16)));
} buffers[HV_MAX_CPUS];
static struct hvcall calls[HV_MAX_CPUS];

#define FILL(code, name, ...) row_of[(code) >> 12 == 0xf][(code)&0xff] = &rows[IDX_##name];
void hypercall_init(void)
{
    for (unsigned i = 0; i < HV_MAX_CPUS; i++) {
        calls[i].in = buffers[i].in;
        calls[i].out = buffers[i].out;
        cpus[i].hvcall = &calls[i];
    }
    for (unsigned i = 0; i < 256; i++) {
        row_of[0][i] = row_of[1][i] = &no_row;
    }
    HVCALL_TABLE(FILL)
    rep_budget = host_tsc_hz / 1000000 * REP_BUDGET_US;
}

// --- parameter blocks ---

// Address bits of a word in its page; all others say which page it is, or that it is no word.
#define WORD_IN_PAGE 0xff8ull

// Where a parameter block lies. The last translation is kept a VP and direction; it holds while the GPA space does not
// change (gpa_flush() counts, never to 0, and waits for processors that are in here).
static inline bool block_is_known(const struct call_block *b, gpa_t gpa, size_t len, uint64_t generation)
{
    return ((b->page ^ gpa.v) & ~WORD_IN_PAGE) == 0 && (gpa.v & ~PAGE_MASK) + len <= PAGE_SIZE &&
           b->generation == generation;
}

// A block has to be aligned to eight bytes, may not cross a page, and the caller needs the right to it.
static SELDOM hv_status_t translate_block(struct vp *vp, struct call_block *b, gpa_t gpa, size_t len,
                                          uint32_t right)
{
    struct gpa_mapping m;

    if ((gpa.v & 7) != 0 || (gpa.v & ~PAGE_MASK) + len > PAGE_SIZE) {
        return HV_STATUS_INVALID_ALIGNMENT;
    }
    if (!gpa_lookup(vp->partition, GPA(gpa.v & PAGE_MASK), &m) || (m.flags & right) == 0) {
        return HV_STATUS_INVALID_PARAMETER;
    }
    *b = (struct call_block){gpa.v & PAGE_MASK, vp->partition->gpa_generation, spa_to_va(m.spa)};
    return HV_STATUS_SUCCESS;
}

static inline hv_status_t find_block(struct vp *vp, struct call_block *b, gpa_t gpa, size_t len,
                                     uint32_t right, uint64_t generation)
{
    return __builtin_expect(block_is_known(b, gpa, len, generation), 1)
               ? HV_STATUS_SUCCESS
               : translate_block(vp, b, gpa, len, right);
}

static inline uint8_t *block_pointer(const struct call_block *b, gpa_t gpa)
{
    return b->va + (gpa.v & ~PAGE_MASK);
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
        uint64_t word;

        __asm__("mov %1, %0" : "=r"(word) : "m"(*(const uint64_t *)(from + at)));
        *(uint64_t *)(to + at) = word;
    }
}

#define WHOLE_WORDS(code, name, in_, rep_in_, out_, rep_out_, ...)                                           \
    _Static_assert((out_) % 8 == 0 && (rep_out_) % 8 == 0 && (in_) % 4 == 0 && (rep_in_) % 4 == 0, #name);
HVCALL_TABLE(WHOLE_WORDS)

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
    c->target = self;
    if (id != HV_PARTITION_ID_SELF) {
        c->target = partition_lookup(self, id);
        if (c->target == NULL) {
            return self->is_root ? HV_STATUS_INVALID_PARTITION_ID : HV_STATUS_ACCESS_DENIED;
        }
    }
    if (c->target == self && !self->is_root && row->caller != CALLER_PARENT_OR_SELF) {
        return HV_STATUS_ACCESS_DENIED;
    }
    return HV_STATUS_SUCCESS;
}

static __attribute__((noinline)) hv_status_t locked_call(const struct hvcall_row *row, struct hvcall *c)
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

// A call that anybody may make about himself needs no lock for that: it reaches nothing but the calling VP.
static inline hv_status_t checked_call(const struct hvcall_row *row, struct hvcall *c, struct partition *self)
{
    if (row->self_service && __builtin_expect(*(const uint64_t *)c->in == HV_PARTITION_ID_SELF, 1)) {
        c->target = self;
        return row->handler(c);
    }
    return locked_call(row, c);
}

// An output block that cannot be written is found before anything has been done.
static inline hv_status_t prepare_output(const struct hvcall_row *row, gpa_t gpa, size_t len,
                                         struct hvcall *c, struct vp *vp, uint64_t generation)
{
    for (size_t i = 0; i < row->out; i += 8) {
        *(uint64_t *)((uint8_t *)c->out + i) = 0;
    }
    return find_block(vp, &vp->call_out, gpa, len, HV_MAP_WRITE, generation);
}

// The page was there before the call; if it has been taken away meanwhile, that is the caller's own mistake.
static inline bool output_is_there(struct vp *vp, gpa_t gpa, size_t len)
{
    return __builtin_expect(vp->call_out.generation == vp->partition->gpa_generation, 1) ||
           translate_block(vp, &vp->call_out, gpa, len, HV_MAP_WRITE) == HV_STATUS_SUCCESS;
}

// --- decoding ---

#define CALL_AGAIN BIT(63) // in a result: elements are left, start with the one that it names

static inline uint64_t result_of(hv_status_t status, uint32_t reps)
{
    return (uint64_t)status | (uint64_t)reps << 32;
}

static SELDOM uint64_t refuse_input(uint64_t input, const struct hvcall_row *row)
{
    bool known = row != &no_row && ((row->value ^ input) & INPUT_CODE) == 0;

    return result_of(known ? HV_STATUS_INVALID_HYPERCALL_INPUT : HV_STATUS_INVALID_HYPERCALL_CODE, 0);
}

// The end of a call that failed, or has not done all of its elements: what there is of its output, and the result.
static SELDOM uint64_t end_partly(const struct hvcall_row *row, struct hvcall *c, hv_status_t status,
                                  gpa_t out)
{
    size_t fixed = status == HV_STATUS_SUCCESS ? row->out : 0, reps = (size_t)row->rep_out * c->rep_done;
    size_t before = row->out + (size_t)row->rep_out * c->rep_start; // of the elements that have been done now
    uint32_t done = c->rep_start + c->rep_done;

    if (fixed + reps != 0) {
        uint8_t *to;

        if (!output_is_there(c->vp, out, before + reps)) {
            return result_of(HV_STATUS_INVALID_PARAMETER, done);
        }
        to = block_pointer(&c->vp->call_out, out);
        __builtin_memcpy(to, c->out, fixed);
        __builtin_memcpy(to + before, c->rep_out, reps);
    }
    return result_of(status, done) |
           (status == HV_STATUS_SUCCESS && c->rep_done < c->rep_count ? CALL_AGAIN : 0);
}

// Copies the input of a special call. A variable part takes as much as the page holds up to the call's limit; such calls
// have no elements.
static hv_status_t fetch_special(const struct hvcall_row *row, struct hvcall *c, uint64_t input, gpa_t in,
                                 gpa_t out)
{
    size_t room = PAGE_SIZE - (in.v & ~PAGE_MASK), skip = (size_t)row->rep_in * c->rep_start;
    size_t reps = (size_t)row->rep_in * c->rep_count, len = row->in + skip + reps;
    uint8_t *to = (uint8_t *)(uintptr_t)c->in;
    const uint8_t *from;
    hv_status_t status;

    if ((input & HVCALL_FAST) != 0) {
        ((uint64_t *)to)[0] = in.v;
        ((uint64_t *)to)[1] = out.v;
        return HV_STATUS_SUCCESS;
    }
    if (len == 0) {
        return HV_STATUS_SUCCESS;
    }
    status = find_block(c->vp, &c->vp->call_in, in, len, HV_MAP_READ, c->vp->partition->gpa_generation);
    if (status != HV_STATUS_SUCCESS) {
        return status;
    }
    from = block_pointer(&c->vp->call_in, in);
    c->var_len = (uint32_t)MIN(row->var, room - row->in);
    __builtin_memcpy(to, from, row->in + c->var_len);
    __builtin_memcpy(to + row->in, from + row->in + skip, reps);
    return HV_STATUS_SUCCESS;
}

// Calls with parameters in registers, with a variable part, and those that go on after some elements.
static SELDOM uint64_t special_call(const struct hvcall_row *row, struct hvcall *c, uint64_t input, gpa_t in,
                                    gpa_t out)
{
    uint32_t count = (uint32_t)(input >> 32) & 0xfff, start = (uint32_t)(input >> 48) & 0xfff;
    size_t out_len = row->out + (size_t)row->rep_out * count;
    hv_status_t status;

    if (row->is_rep && start >= count) {
        return result_of(HV_STATUS_INVALID_HYPERCALL_INPUT, 0);
    }
    c->rep_count = count - start;
    c->rep_start = start;
    status = fetch_special(row, c, input, in, out);
    if (status == HV_STATUS_SUCCESS && out_len != 0) {
        status = prepare_output(row, out, out_len, c, c->vp, c->vp->partition->gpa_generation);
    }
    if (status != HV_STATUS_SUCCESS) {
        return result_of(status, start);
    }
    return end_partly(row, c, checked_call(row, c, c->vp->partition), out);
}

bool hvcall_in_time(struct hvcall *c, uint32_t done)
{
    uint64_t now = host_tsc();

    if (done == HVCALL_REP_CHECK) {
        c->deadline = now + rep_budget;
    }
    return now < c->deadline;
}

// One call, with its three parameters, whatever registers they were in. Returns the result value.
static __attribute__((noinline)) uint64_t run_call(struct vp *vp, uint64_t input, gpa_t in, gpa_t out)
{
    const struct hvcall_row *row = row_of[input >> 15 & 1][input & 0xff];
    struct hvcall *c = this_cpu()->hvcall;
    struct partition *self = vp->partition;
    uint64_t generation = self->gpa_generation;
    size_t in_len = row->in, out_len = row->out;
    uint32_t count = (uint32_t)(input >> 32);
    hv_status_t status;

    if (__builtin_expect((input & row->mask) != row->value, 0)) {
        return refuse_input(input, row);
    }
    c->vp = vp;
    c->rep_in = (const uint8_t *)c->in + in_len;
    c->rep_out = (uint8_t *)c->out + out_len;
    c->rep_start = 0;
    c->rep_done = 0;
    if (__builtin_expect((input & row->special) != 0, 0)) {
        return special_call(row, c, input, in, out);
    }
    if (__builtin_expect(count == 0 && row->is_rep, 0)) {
        return refuse_input(input, row);
    }
    c->rep_count = count;
    in_len += (size_t)row->rep_in * count;
    out_len += (size_t)row->rep_out * count;
    if (__builtin_expect(in_len != 0, 1)) {
        status = find_block(vp, &vp->call_in, in, in_len, HV_MAP_READ, generation);
        if (__builtin_expect(status != HV_STATUS_SUCCESS, 0)) {
            return result_of(status, 0);
        }
        copy_block((uint8_t *)(uintptr_t)c->in, block_pointer(&vp->call_in, in), in_len);
    }
    if (__builtin_expect(out_len != 0, 1)) {
        status = prepare_output(row, out, out_len, c, vp, generation);
        if (__builtin_expect(status != HV_STATUS_SUCCESS, 0)) {
            return result_of(status, 0);
        }
    }
    status = checked_call(row, c, self);
    if (__builtin_expect(status != HV_STATUS_SUCCESS || c->rep_done != c->rep_count, 0)) {
        return end_partly(row, c, status, out);
    }
    if (__builtin_expect(out_len != 0, 1)) {
        if (!output_is_there(vp, out, out_len)) {
            return result_of(HV_STATUS_INVALID_PARAMETER, c->rep_done);
        }
        copy_block(block_pointer(&vp->call_out, out), c->out, out_len);
    }
    return result_of(HV_STATUS_SUCCESS, c->rep_done);
}

// A call that ran out of budget is entered again with a new start index (TLFS "Hypercall Continuation").
static uint64_t continued(uint64_t input, uint64_t result)
{
    return (input & ~INPUT_START) | HVCALL_REP_START(result >> 32 & 0xfff);
}

static inline enum vp_action call_64(struct vp *vp)
{
    uint64_t result = run_call(vp, vp_gpr(vp, GPR_RCX), GPA(vp_gpr(vp, GPR_RDX)), GPA(vp_gpr(vp, GPR_R8)));

    if (__builtin_expect((result & CALL_AGAIN) != 0, 0)) {
        vp_set_gpr(vp, GPR_RCX, continued(vp_gpr(vp, GPR_RCX), result));
        return VP_RESUME;
    }
    vp_set_gpr(vp, GPR_RAX, result);
    return VP_ADVANCE;
}

static SELDOM enum vp_action call_32(struct vp *vp)
{
    uint64_t input = vp_gpr(vp, GPR_RDX) << 32 | (uint32_t)vp_gpr(vp, GPR_RAX);
    gpa_t in = GPA(vp_gpr(vp, GPR_RBX) << 32 | (uint32_t)vp_gpr(vp, GPR_RCX));
    gpa_t out = GPA(vp_gpr(vp, GPR_RDI) << 32 | (uint32_t)vp_gpr(vp, GPR_RSI));
    uint64_t result = run_call(vp, input, in, out);

    if ((result & CALL_AGAIN) != 0) {
        vp_set_gpr(vp, GPR_RDX, continued(input, result) >> 32);
        return VP_RESUME;
    }
    vp_set_gpr(vp, GPR_RAX, (uint32_t)result);
    vp_set_gpr(vp, GPR_RDX, result >> 32);
    return VP_ADVANCE;
}

// The data plane's call, made for each access to a device: straight to its handler.
static inline bool is_intercept_wait(const struct vp *vp, uint32_t mode)
{
    const uint32_t ring0_64 = VP_MODE_PE | VP_MODE_LMA | VP_MODE_CS_L;

    return vp_gpr(vp, GPR_RCX) == (HVCALL_X_INTERCEPT_WAIT | HVCALL_FAST) &&
           (mode & (ring0_64 | VP_MODE_CPL)) == ring0_64;
}

enum vp_action exit_hypercall(struct vp *vp)
{
    uint32_t mode = virt->mode(vp);
    const struct partition *p = vp->partition;

    if (p->is_root && is_intercept_wait(vp, mode)) {
        hv_lock();
        vp_set_gpr(vp, GPR_RAX, intercept_wait(vp, vp_gpr(vp, GPR_RDX), vp_gpr(vp, GPR_R8)));
        hv_unlock();
        return VP_ADVANCE;
    }
    // Only ring 0 in protected mode calls (TLFS "Legal Hypercall Environments").
    if ((mode & (VP_MODE_CPL | VP_MODE_PE)) != VP_MODE_PE || (p->privileges & BIT(5)) == 0) {
        return vp_inject_ud(vp);
    }
    return __builtin_expect((mode & VP_MODE_CS_L) != 0, 1) ? call_64(vp) : call_32(vp);
}
