// SPDX-License-Identifier: Apache-2.0
// Doorbells between the planes.
#include "mgmt/rt/wake.h"

#include "mgmt/plat.h"
#include "mgmt/rt/cpu.h"
#include "mgmt/rt/interrupt.h"

struct wake wake_data __attribute__((aligned(64)));
struct wake wake_control __attribute__((aligned(64)));

void wake_init(struct wake *w)
{
    w->apic_id = rt_vp()->apic_id;
}

void wake(struct wake *w)
{
    __atomic_fetch_add(&w->count, 1, __ATOMIC_SEQ_CST);
    // A handler that interrupts the sleeper itself need not send anything: the interrupt ends its sleep.
    if (__atomic_exchange_n(&w->asleep, 0, __ATOMIC_SEQ_CST) != 0 && w->apic_id != rt_vp()->apic_id) {
        cpu_send_interrupt(w->apic_id, RT_VECTOR_DOORBELL);
    }
}

void plat_wake(void)
{
    wake(&wake_control);
}
