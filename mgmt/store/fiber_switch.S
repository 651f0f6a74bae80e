// SPDX-License-Identifier: Apache-2.0
// void fiber_switch(void **save, void *load): leaves one stack for another.
//
// Saves what the System V ABI (x86-64 psABI 1.0, section 3.2.1) has a callee preserve: six registers and the control
// words of x87 and SSE. fiber.c builds the same frame for a fiber that never ran.

        .text
        .globl  fiber_switch
        .type   fiber_switch, @function
        .balign 16
fiber_switch:
        push    %rbp
        push    %rbx
        push    %r12
        push    %r13
        push    %r14
        push    %r15
        sub     $8, %rsp
        stmxcsr (%rsp)
        fnstcw  4(%rsp)
        mov     %rsp, (%rdi)
        mov     %rsi, %rsp
        ldmxcsr (%rsp)
        fldcw   4(%rsp)
        add     $8, %rsp
        pop     %r15
        pop     %r14
        pop     %r13
        pop     %r12
        pop     %rbx
        pop     %rbp
        ret
        .size   fiber_switch, . - fiber_switch

        .section .note.GNU-stack, "", @progbits
