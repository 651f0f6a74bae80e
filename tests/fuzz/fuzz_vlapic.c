// srcs: arch/x86/vlapic.c arch/x86/vlapic_timer.c arch/x86/vlapic_ipi.c arch/x86/msr_policy.c arch/x86/cpuid_policy.c hv/synthetic.c tests/unit/fake_virt.c tests/unit/fake_hv.c
// SPDX-License-Identifier: Apache-2.0
// A guest that writes anything into its local APIC, MSRs and synthetic timers while time passes. Invariants: vectors
// below 16 never arrive, what is injected is above the priority, timers advance, nothing faults.
#include <stdlib.h>
#include <string.h>
#include "arch/x86/policy.h"
#include "arch/x86/vlapic_priv.h"
#include "tests/unit/fake_hv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define VPS 3

static void require(bool condition)
{
    if (!condition) {
        abort();
    }
}

static void host(uint32_t leaf, uint32_t subleaf, struct cpuid_result *out)
{
    (void)subleaf;
    *out = (struct cpuid_result){leaf == 0            ? 0x16
                                 : leaf == 0x80000000 ? 0x80000008
                                                      : ~0u,
                                 0x756e6547, ~0u, ~0u};
}

struct step {
    uint8_t what, vp;
    uint16_t where;
    uint64_t value;
};

static void expire(struct vp *vp)
{
    uint64_t next = vlapic_timer_expire(vp, fake_tsc);

    require(next > fake_tsc);
    next = stimer_expire(vp, fake_tsc);
    require(next > fake_tsc);
}

// What the run loop does before an entry.
static void enter(struct vp *vp)
{
    int vector;

    if (vp->requests & VP_REQ_INIT) {
        vlapic_reset(vp);
    }
    vp->requests = 0;
    vlapic_sync(vp);
    require(vlapic_highest(vp, APIC_IRR) == 0 || vlapic_highest(vp, APIC_IRR) >= 16);
    vector = vlapic_pending(vp);
    if (vector >= 0) {
        uint64_t ppr;

        require(vector >= 16 && (vector >> 4) > (vlapic_tpr(vp) >> 4));
        vlapic_accept(vp, (uint8_t)vector);
        require(vp->apic.isr_top == vector);
        require(vlapic_mode(vp) == VLAPIC_OFF ||
                (vlapic_read(vp, APIC_PPR, &ppr) && ppr >> 4 == (unsigned)vector >> 4));
    }
}

static void take_step(struct partition *p, const struct step *s)
{
    struct vp *vp = p->vps[s->vp % VPS];
    uint32_t msr = (s->what & 0x80 ? 0x40000000 : 0) | (s->where & 0xfff);
    uint64_t v;

    switch (s->what & 7) {
    case 0:
        (void)!vlapic_write(vp, s->where & 0xff0, s->value);
        break;
    case 1:
        (void)!vlapic_read(vp, s->where & 0xfff, &v);
        break;
    case 2:
        (void)!msr_policy_write(vp, msr, s->value);
        break;
    case 3:
        (void)!msr_policy_read(vp, msr, &v);
        break;
    case 4:
        fake_tsc += s->value >> (s->where & 63);
        fake_tsc &= BIT(62) - 1;
        expire(vp);
        break;
    case 5:
        (void)vlapic_deliver(p, vp, s->value, s->where & 1, s->where >> 1 & 3, s->where >> 3 & 7,
                             (uint8_t)(s->where >> 8), s->where >> 7 & 1);
        break;
    default:
        enter(vp);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct partition *p;

    virt_caps.apicv = false;
    fake_tsc = 1000;
    cpuid_policy_build(host);
    p = fake_partition_new(VPS, 0x4000);
    for (; size >= 12; data += 12, size -= 12) {
        struct step s = {.what = data[0], .vp = data[1]};

        memcpy(&s.where, data + 2, 2);
        memcpy(&s.value, data + 4, 8);
        take_step(p, &s);
    }
    fake_partition_free(p);
    return 0;
}
