// SPDX-License-Identifier: Apache-2.0
// Offsets in struct vp that entry.S uses; exit.c checks them at compile time.
#ifndef ARCH_VMX_OFFSETS_H
#define ARCH_VMX_OFFSETS_H

#define VP_LAUNCHED 0x48        // vp->vmx.launched
#define VP_HOST_RSP_SHADOW 0x58 // vp->vmx.host_rsp_shadow

#endif
