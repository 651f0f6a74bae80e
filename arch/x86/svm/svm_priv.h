// SPDX-License-Identifier: Apache-2.0
// Between the files of the AMD-V back end.
#ifndef ARCH_SVM_PRIV_H
#define ARCH_SVM_PRIV_H

#include "arch/x86/host_internal.h"
#include "arch/x86/svm/vmcb.h"
#include "hv/vp.h"

static inline struct vmcb *vmcb_of(struct vp *vp)
{
    return vp->svm.vmcb;
}

bool svm_get_reg(struct vp *vp, uint32_t name, union hv_register_value *value);
bool svm_set_reg(struct vp *vp, uint32_t name, const union hv_register_value *value);
void svm_decode_exit(struct vp *vp); // EXITCODE and friends -> vp->exit
void svm_dump(struct vp *vp);

// svm_enter.S: runs the guest in *vmcb (SPA) with general registers at gpr until #VMEXIT. host_vmcb (SPA)
// keeps what VMRUN does not: FS, GS, TR, LDTR and the SYSCALL MSRs of the hypervisor.
void svm_enter(uint64_t *gpr, uint64_t vmcb, uint64_t host_vmcb);

#endif
