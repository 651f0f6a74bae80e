// SPDX-License-Identifier: Apache-2.0
// Lazy switching of the register state that the hypervisor does not use.
#include "hv/context.h"

#include "arch/x86/host.h"
#include "arch/x86/x86.h"
#include "hv/cpu.h"

static void save(struct vp *vp)
{
    vp->dr[0] = read_dr0();
    vp->dr[1] = read_dr1();
    vp->dr[2] = read_dr2();
    vp->dr[3] = read_dr3();
    virt->context_save(vp);
    fpu_save(vp);
}

static void restore(struct vp *vp)
{
    fpu_restore(vp);
    virt->context_restore(vp);
    write_dr0(vp->dr[0]);
    write_dr1(vp->dr[1]);
    write_dr2(vp->dr[2]);
    write_dr3(vp->dr[3]);
}

// It takes no context, and is always loaded on its processor.
static bool is_data_plane(const struct vp *vp)
{
    return vp->priority == 0;
}

static void release(struct cpu *c)
{
    struct vp *owner = c->context;

    if (owner != NULL) {
        save(owner);
        virt->vp_unload(owner);
        c->context = NULL;
        __atomic_store_n(&owner->context_live, false, __ATOMIC_RELEASE); // it may move from here on
    }
}

void context_take(struct vp *vp)
{
    struct cpu *c = this_cpu();

    if (c->context == vp) {
        return;
    }
    release(c);
    restore(vp);
    c->context = vp;
    vp->context_live = true;
}

static void save_here(void *arg)
{
    struct cpu *c = this_cpu();

    if (c->context == arg) {
        release(c);
    } else if (is_data_plane(arg)) {
        virt->vp_unload(arg);
    }
}

void context_save(struct vp *vp)
{
    if (__atomic_load_n(&vp->context_live, __ATOMIC_ACQUIRE) || is_data_plane(vp)) {
        cpu_call(vp->cpu, save_here, vp);
    }
}
