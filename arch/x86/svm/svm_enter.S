// SPDX-License-Identifier: Apache-2.0
// World switch of AMD-V (APM 2 "VMRUN Instruction", "Host State").
//
// svm_enter(rdi = gpr[16], rsi = guest VMCB, rdx = host VMCB). RAX and RSP of the guest are in its VMCB. The
// global interrupt flag stays clear from before VMRUN until the hypervisor's TR and GS are back, because
// an NMI in between would run on the guest's task state segment. STI before VMRUN: with V_INTR_MASKING
// the host's IF decides whether physical interrupts end guest mode.
        .text
        .globl svm_enter
        .type svm_enter, @function
svm_enter:
        push    %rbx
        push    %rbp
        push    %r12
        push    %r13
        push    %r14
        push    %r15
        push    %rdx
        push    %rsi
        push    %rdi
        mov     %rsi, %rax
        clgi
        sti
        vmload  %rax
        mov     8(%rdi), %rcx
        mov     16(%rdi), %rdx
        mov     24(%rdi), %rbx
        mov     40(%rdi), %rbp
        mov     48(%rdi), %rsi
        mov     64(%rdi), %r8
        mov     72(%rdi), %r9
        mov     80(%rdi), %r10
        mov     88(%rdi), %r11
        mov     96(%rdi), %r12
        mov     104(%rdi), %r13
        mov     112(%rdi), %r14
        mov     120(%rdi), %r15
        mov     56(%rdi), %rdi
        vmrun   %rax
        vmsave  %rax
        mov     %rdi, %rax
        pop     %rdi
        mov     %rax, 56(%rdi)
        mov     %rcx, 8(%rdi)
        mov     %rdx, 16(%rdi)
        mov     %rbx, 24(%rdi)
        mov     %rbp, 40(%rdi)
        mov     %rsi, 48(%rdi)
        mov     %r8, 64(%rdi)
        mov     %r9, 72(%rdi)
        mov     %r10, 80(%rdi)
        mov     %r11, 88(%rdi)
        mov     %r12, 96(%rdi)
        mov     %r13, 104(%rdi)
        mov     %r14, 112(%rdi)
        mov     %r15, 120(%rdi)
        pop     %rsi
        pop     %rax
        vmload  %rax
        cli
        stgi
        pop     %r15
        pop     %r14
        pop     %r13
        pop     %r12
        pop     %rbp
        pop     %rbx
        ret
        .size svm_enter, . - svm_enter
        .section .note.GNU-stack, "", @progbits
