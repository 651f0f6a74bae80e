// SPDX-License-Identifier: Apache-2.0
// Entry of the micro-guest kernel, exception stubs, and the 16-bit start of further processors.
#define SEL_USER_DATA 32
#define SEL_USER_CODE 40
#define GUEST_DATA_GPA 0x300000
        .section .text.start, "ax"
        .globl kernel_start
kernel_start:                           // RDI = test number
        jmp     1f
        .balign 16
        .quad   real_code, real_code_end, prot_code, prot_code_end, pae_code, pae_code_end
        .quad   compat_code, compat_code_end, task_code, task_code_end
        .quad   real_events_code, real_events_code_end, prot_events_code, prot_events_code_end
1:      cld
        and     $-16, %rsp
        call    kernel_main
1:      hlt
        jmp     1b

// Interrupts and exceptions: vector and error code are pushed, then one C function sees the frame.
        .altmacro
        .macro  STUB n
        .align  16
        .if     (\n == 8) || (\n >= 10 && \n <= 14) || (\n == 17) || (\n == 21)
        .else
        push    $0
        .endif
        push    $\n
        jmp     common
        .endm
        .text
        .align  16
        .globl  trap_stubs
trap_stubs:
        .set    i, 0
        .rept   256
        STUB    %i
        .set    i, i + 1
        .endr
common:
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
        mov     %rsp, %rdi
        call    trap
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

// Copied to a page below 1 MiB by smp_start(): real mode to 64-bit mode with the boot processor's tables.
        .globl  ap_code, ap_code_end, ap_stack, ap_entry
        .code16
ap_code:
        cli
        mov     %cs, %ax
        mov     %ax, %ds
        lgdtl   ap_gdt_ptr - ap_code
        mov     $0x620, %eax            // PAE, OSFXSR, OSXMMEXCPT
        mov     %eax, %cr4
        mov     $0x2000, %eax           // GUEST_TABLES_GPA
        mov     %eax, %cr3
        mov     $0xc0000080, %ecx
        rdmsr
        or      $0x900, %eax            // LME, NXE
        wrmsr
        mov     $0x80010033, %eax
        mov     %eax, %cr0
        .byte   0x66, 0xea              // far jump to 64-bit code
        .long   ap_long
        .word   8
ap_gdt_ptr:
        .word   23
        .long   0x9000                  // GUEST_GDT_GPA
ap_code_end:
        .code64
ap_long:
        mov     $0x10, %ax
        mov     %ax, %ss
        mov     %ax, %ds
        mov     %ax, %es
        mov     ap_stack(%rip), %rsp
        call    ap_main
1:      hlt
        jmp     1b
        .data
        .align  8
ap_stack: .quad 0

// void enter_user(void (*fn)(void)): ring 3 on a stack of its own; comes back by an exception only.
        .text
        .globl  enter_user
enter_user:
        push    $(SEL_USER_DATA | 3)
        push    $(GUEST_DATA_GPA + 0x8000)
        push    $2
        push    $(SEL_USER_CODE | 3)
        push    %rdi
        iretq
        .section .note.GNU-stack, "", @progbits
