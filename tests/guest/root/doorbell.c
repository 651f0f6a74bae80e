// SPDX-License-Identifier: Apache-2.0
// Doorbells: a guest's store that completes in the hypervisor, and the two calls of the parent.
#include "mgmt/rt/interrupt.h"
#include "tests/guest/root/tests.h"

#include <string.h>

#define BELL 5u // number of the guest's doorbell
#define COOKIE 0xb311c001eull
#define ROOT_ID (1ull | 1 << 16)

static volatile uint32_t interrupts;

static void count_interrupt(void *arg)
{
    (void)arg;
    interrupts++;
}

static struct hv_x_doorbell_in a_doorbell(const struct guest *g)
{
    return (struct hv_x_doorbell_in){
        .partition = g->partition,
        .gpa = GUEST_DOORBELL_GPA,
        .cookie = COOKIE,
        .index = BELL,
        .vector = RT_VECTOR_GUESTS,
    };
}

static bool take(struct hv_x_doorbells_out *out)
{
    uint64_t result = raw_call(HVCALL_X_TAKE_DOORBELLS, call_in_gpa(), call_out_gpa());

    memcpy(out, call_out(), sizeof(*out));
    return HVCALL_RESULT_STATUS(result) == HV_STATUS_SUCCESS;
}

bool setup_doorbell(struct guest *g)
{
    interrupts = 0;
    rt_vector_set(RT_VECTOR_GUESTS, count_interrupt, NULL);
    return EXPECT(HV_STATUS_SUCCESS, HVCALL_X_SET_DOORBELL, a_doorbell(g));
}

// It was rung several times: one bit, one interrupt, and nothing is left afterwards.
bool after_doorbell(struct guest *g)
{
    struct hv_x_doorbells_out out;
    bool ok = WANT(take(&out)) && WANT(out.cookie == COOKIE) && WANT(out.rung == BIT(BELL));

    (void)g;
    cpu_take_interrupts();
    return WANT(interrupts == 1) && WANT(take(&out)) && WANT(out.cookie == 0) && ok;
}

bool root_calls_doorbell(void)
{
    static struct guest g;
    bool ok = guest_build(&g, 0, 0, 1, 1);
    struct hv_x_doorbell_in in = a_doorbell(&g);

    in.index = 64;
    ok = EXPECT(HV_STATUS_INVALID_PARAMETER, HVCALL_X_SET_DOORBELL, in) && ok;
    in = a_doorbell(&g);
    in.vector = 0x1f;
    ok = EXPECT(HV_STATUS_INVALID_PARAMETER, HVCALL_X_SET_DOORBELL, in) && ok;
    in.vector = 0x100;
    ok = EXPECT(HV_STATUS_INVALID_PARAMETER, HVCALL_X_SET_DOORBELL, in) && ok;
    in = a_doorbell(&g);
    in.vp_index = 64;
    ok = EXPECT(HV_STATUS_INVALID_PARAMETER, HVCALL_X_SET_DOORBELL, in) && ok;
    in = a_doorbell(&g);
    in.partition = ROOT_ID;
    ok = EXPECT(HV_STATUS_ACCESS_DENIED, HVCALL_X_SET_DOORBELL, in) && ok;
    in.partition = 0x999;
    ok = EXPECT(HV_STATUS_INVALID_PARTITION_ID, HVCALL_X_SET_DOORBELL, in) && ok;
    in = a_doorbell(&g);
    ok = EXPECT(HV_STATUS_SUCCESS, HVCALL_X_SET_DOORBELL, in) && ok;
    in.gpa = 0; // away with it
    ok = EXPECT(HV_STATUS_SUCCESS, HVCALL_X_SET_DOORBELL, in) && ok;
    ok = WANT(HVCALL_RESULT_STATUS(raw_call(HVCALL_X_TAKE_DOORBELLS, 0, call_out_gpa() + PAGE_SIZE - 8)) ==
              HV_STATUS_INVALID_ALIGNMENT) &&
         ok;
    return guest_tear_down(&g) && ok;
}
