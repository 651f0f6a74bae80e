// SPDX-License-Identifier: Apache-2.0
// VM entry and exit. Every instruction here is paid by every exit.
#include "arch/x86/mitigations.h"
#include "arch/x86/vmx/offsets.h"

#define VMCS_HOST_RSP 0x6c14
#define HOST_DS 0x10

// struct hv_register_page: gpr[16] in the order rax rcx rdx rbx rsp rbp rsi rdi r8..r15 (checked in exit.c).
#define GPR(n) (8 + 8 * (n))

    .text
    .balign 64
    .global vmx_vp_run, vmx_exit_point
// void vmx_vp_run(struct vp *vp: rdi): called by virt_run(), which expects no register back but RSP, and has vp above
// the return address
vmx_vp_run:
    cmp %rsp, VP_HOST_RSP_SHADOW(%rdi)
    jne 2f
1:  cmpb $0, mitigations_at_entry(%rip)
    jne 3f
4:  btsw $0, VP_LAUNCHED(%rdi) // carry: launched before; the loads leave it alone
    mov (%rdi), %rdi           // vp->regs
    mov GPR(0)(%rdi), %rax
    mov GPR(1)(%rdi), %rcx
    mov GPR(2)(%rdi), %rdx
    mov GPR(3)(%rdi), %rbx
    mov GPR(5)(%rdi), %rbp
    mov GPR(6)(%rdi), %rsi
    mov GPR(8)(%rdi), %r8
    mov GPR(9)(%rdi), %r9
    mov GPR(10)(%rdi), %r10
    mov GPR(11)(%rdi), %r11
    mov GPR(12)(%rdi), %r12
    mov GPR(13)(%rdi), %r13
    mov GPR(14)(%rdi), %r14
    mov GPR(15)(%rdi), %r15
    mov GPR(7)(%rdi), %rdi
    jnc 5f
    vmresume
    jmp 6f
5:  vmlaunch
6:  // SDM 3C "VMfail": the guest did not run and its registers are unchanged
    mov 8(%rsp), %rdi
    jmp vmx_entry_failed

    .balign 16
vmx_exit_point:
    push %rax
    mov 16(%rsp), %rax
    mov (%rax), %rax // vp->regs
    mov %rcx, GPR(1)(%rax)
    mov %rdx, GPR(2)(%rax)
    mov %rbx, GPR(3)(%rax)
    mov %rbp, GPR(5)(%rax)
    mov %rsi, GPR(6)(%rax)
    mov %rdi, GPR(7)(%rax)
    mov %r8, GPR(8)(%rax)
    mov %r9, GPR(9)(%rax)
    mov %r10, GPR(10)(%rax)
    mov %r11, GPR(11)(%rax)
    mov %r12, GPR(12)(%rax)
    mov %r13, GPR(13)(%rax)
    mov %r14, GPR(14)(%rax)
    mov %r15, GPR(15)(%rax)
    popq GPR(0)(%rax)
    mov 8(%rsp), %rdi
    jmp vmx_exit // returns to the caller of vmx_vp_run()

2:  // another stack than last time
    mov %rsp, VP_HOST_RSP_SHADOW(%rdi)
    mov $VMCS_HOST_RSP, %eax
    vmwrite %rsp, %rax
    jmp 1b

3:  testb $MITIGATE_L1D_FLUSH, mitigations_at_entry(%rip)
    jz 8f
    push %rdi
    call mitigations_flush_l1d
    pop %rdi
8:  testb $MITIGATE_VERW, mitigations_at_entry(%rip)
    jz 4b
    push $HOST_DS
    verw (%rsp)
    lea 8(%rsp), %rsp
    jmp 4b

    .section .note.GNU-stack, "", @progbits
