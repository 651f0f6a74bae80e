// SPDX-License-Identifier: Apache-2.0
// Micro-guests about hypercalls: what an ordinary partition may do, what it may not, and malformed input.
#include "tests/guest/kernel/guests.h"

#define IN ((uint64_t)HC_IN)
#define OUT ((uint64_t)HC_OUT)
#define GET_ONE (HVCALL_GET_VP_REGISTERS | HVCALL_REP_COUNT(1))

static void prepare_get_registers(uint32_t name)
{
    struct hv_vp_registers_in *in = (void *)HC_IN;

    *in = (struct hv_vp_registers_in){.partition = HV_PARTITION_ID_SELF, .vp_index = HV_VP_INDEX_SELF};
    *(uint32_t *)(in + 1) = name;
}

static uint64_t status(uint64_t input, uint64_t in, uint64_t out)
{
    return HVCALL_RESULT_STATUS(hypercall(input, in, out));
}

void guest_hypercall_errors(void)
{
    CHECK(hypercall(0x7777, IN, OUT) == HV_STATUS_INVALID_HYPERCALL_CODE);
    prepare_get_registers(HV_REG_CR3);
    CHECK(hypercall(HVCALL_GET_VP_REGISTERS, IN, OUT) == HV_STATUS_INVALID_HYPERCALL_INPUT); // no repetitions
    CHECK(status(GET_ONE | HVCALL_REP_START(1), IN, OUT) == HV_STATUS_INVALID_HYPERCALL_INPUT);
    CHECK(status(GET_ONE | HVCALL_REP_START(5), IN, OUT) == HV_STATUS_INVALID_HYPERCALL_INPUT);
    CHECK(status(GET_ONE | BIT(31), IN, OUT) == HV_STATUS_INVALID_HYPERCALL_INPUT); // reserved bits
    CHECK(status(GET_ONE | BIT(44), IN, OUT) == HV_STATUS_INVALID_HYPERCALL_INPUT);
    CHECK(status(GET_ONE | BIT(63), IN, OUT) == HV_STATUS_INVALID_HYPERCALL_INPUT);
    CHECK(status(GET_ONE | BIT(17), IN, OUT) == HV_STATUS_INVALID_HYPERCALL_INPUT); // variable header
    CHECK(status(GET_ONE | HVCALL_FAST, IN, OUT) == HV_STATUS_INVALID_HYPERCALL_INPUT);
    CHECK(status(HVCALL_NOTIFY_LONG_SPIN_WAIT | HVCALL_REP_COUNT(1), IN, OUT) ==
          HV_STATUS_INVALID_HYPERCALL_INPUT);
    for (unsigned i = 1; i < 8; i++) {
        CHECK(status(GET_ONE, IN + i, OUT) == HV_STATUS_INVALID_ALIGNMENT);
        CHECK(status(GET_ONE, IN, OUT + i) == HV_STATUS_INVALID_ALIGNMENT);
    }
    CHECK(status(GET_ONE, IN + 4096 - 16, OUT) == HV_STATUS_INVALID_ALIGNMENT); // crosses a page
    CHECK(status(HVCALL_GET_VP_REGISTERS | HVCALL_REP_COUNT(300), IN, OUT) == HV_STATUS_INVALID_ALIGNMENT);
    CHECK(status(GET_ONE, 0x40000000, OUT) == HV_STATUS_INVALID_PARAMETER); // no memory
    CHECK(status(GET_ONE, IN, 0x40000000) == HV_STATUS_INVALID_PARAMETER);
    CHECK(status(GET_ONE, 1ull << 52, OUT) == HV_STATUS_INVALID_PARAMETER);
    CHECK(status(GET_ONE, IN, ~7ull) != HV_STATUS_SUCCESS);
    CHECK(hypercall(GET_ONE, IN, OUT) == HVCALL_REP_COUNT(1)); // and after all that it works
}

void guest_get_registers(void)
{
    struct hv_vp_registers_in *in = (void *)HC_IN;
    uint32_t *names = (uint32_t *)(in + 1);

    prepare_get_registers(HV_REG_CR3);
    CHECK(hypercall(GET_ONE, IN, OUT) == HVCALL_REP_COUNT(1));
    CHECK(*(uint64_t *)HC_OUT == read_cr3());
    prepare_get_registers(0x99999999);
    CHECK(hypercall(GET_ONE, IN, OUT) == HV_STATUS_INVALID_PARAMETER);
    prepare_get_registers(HV_REG_CR3);
    names[1] = HV_REG_VP_INDEX;
    names[2] = HV_REG_EFER;
    CHECK(hypercall(HVCALL_GET_VP_REGISTERS | HVCALL_REP_COUNT(3) | HVCALL_REP_START(1), IN, OUT) ==
          HVCALL_REP_COUNT(3));
    CHECK(*(uint64_t *)(HC_OUT + 32) == rdmsr(MSR_EFER));
    names[1] = 0xdead; // stops there, and says so
    CHECK(hypercall(HVCALL_GET_VP_REGISTERS | HVCALL_REP_COUNT(3), IN, OUT) ==
          (HVCALL_REP_COUNT(1) | HV_STATUS_INVALID_PARAMETER));
    in->vp_index = 5;
    CHECK(status(GET_ONE, IN, OUT) == HV_STATUS_INVALID_VP_INDEX);
    in->vp_index = 0xffffffff;
    CHECK(status(GET_ONE, IN, OUT) == HV_STATUS_INVALID_VP_INDEX);
    in->vp_index = HV_VP_INDEX_SELF;
    in->vtl = 1;
    CHECK(status(GET_ONE, IN, OUT) == HV_STATUS_INVALID_PARAMETER);
    in->vtl = 0;
    in->partition = 1 | 1 << 16; // root
    CHECK(status(GET_ONE, IN, OUT) == HV_STATUS_ACCESS_DENIED);
    in->partition = ARGS->partition;
    CHECK(status(GET_ONE, IN, OUT) == HV_STATUS_SUCCESS);
}

struct row {
    uint16_t code;
    bool rep, fast;
};
#define ROW(code_, name_, in_, rin_, out_, rout_, rep_, var_, fast_, priv_, caller_) {code_, rep_, fast_},
static const struct row rows[] = {HVCALL_TABLE(ROW)};

// Every call that is a parent's or the root's, on every partition that there might be, with zeros for the rest.
void guest_hypercalls_refused(void)
{
    static const uint64_t ids[] = {HV_PARTITION_ID_SELF, 0, 1 | 1 << 16, 2 | 1 << 16, 0x1234567890ull};

    for (unsigned r = 0; r < ARRAY_LEN(rows); r++) {
        uint64_t input = rows[r].code | (rows[r].rep ? HVCALL_REP_COUNT(1) : 0) |
                         (rows[r].fast ? HVCALL_FAST : 0);

        for (unsigned i = 0; i < ARRAY_LEN(ids); i++) {
            uint64_t s;

            memset(HC_IN, 0, 256);
            *(uint64_t *)HC_IN = ids[i];
            s = status(input, rows[r].fast ? ids[i] : IN, rows[r].fast ? 0 : OUT);
            if (rows[r].code == HVCALL_NOTIFY_LONG_SPIN_WAIT) {
                CHECK(s == HV_STATUS_SUCCESS);
            } else if (rows[r].code == HVCALL_GET_VP_REGISTERS && ids[i] == HV_PARTITION_ID_SELF) {
                CHECK(s == HV_STATUS_SUCCESS);
            } else if (s != HV_STATUS_ACCESS_DENIED) {
                fail(10000 + r * 100 + i);
            }
        }
    }
}
