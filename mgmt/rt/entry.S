// SPDX-License-Identifier: Apache-2.0
// Entry of every VP of the management partition, and the stubs that interrupts and exceptions come through.

#define STACK_CONTROL 262144
#define STACK_DATA 32768

        .section .text.entry, "ax", @progbits
        .code64

// Entry convention: <keelson/bootinfo.h>. RDI = struct mgmt_boot_info, RSI = VP index (0 or 1).
        .globl  rt_entry
rt_entry:
        cli
        cld
        lea     rt_stack_data_end(%rip), %rsp
        test    %esi, %esi
        jz      1f
        lea     rt_stack_control_end(%rip), %rsp
1:      xor     %ebp, %ebp
        push    %rbp                    // return address 0: ends a stack trace, and aligns as a call does
        jmp     rt_start

// --- interrupts and exceptions ---
//
// One stub of 16 bytes a vector pushes a zero where the processor pushes no error code, then the vector.
// The common part saves the general registers, which makes a struct rt_frame (interrupt.h), and calls
// rt_interrupt(frame). It is compiled without vector registers, so those stay untouched.

        .text
        .balign 16
        .globl  rt_vectors
rt_vectors:
        .set    vector, 0
        .rept   256
        .balign 16
        .if     vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21
        .else
        push    $0
        .endif
        push    $vector
        jmp     rt_vector_common
        .set    vector, vector + 1
        .endr

        .balign 16
rt_vector_common:
        push    %rax
        push    %rcx
        push    %rdx
        push    %rbx
        push    %rbp
        push    %rsi
        push    %rdi
        push    %r8
        push    %r9
        push    %r10
        push    %r11
        push    %r12
        push    %r13
        push    %r14
        push    %r15
        cld
        mov     %rsp, %rdi
        call    rt_interrupt
        pop     %r15
        pop     %r14
        pop     %r13
        pop     %r12
        pop     %r11
        pop     %r10
        pop     %r9
        pop     %r8
        pop     %rdi
        pop     %rsi
        pop     %rbp
        pop     %rbx
        pop     %rdx
        pop     %rcx
        pop     %rax
        add     $16, %rsp
        iretq

        .bss
        .balign 4096
        .globl  rt_stack_data
rt_stack_data:
        .skip   STACK_DATA
rt_stack_data_end:
        .globl  rt_stack_control
rt_stack_control:
        .skip   STACK_CONTROL
rt_stack_control_end:

        .section .note.GNU-stack, "", @progbits
