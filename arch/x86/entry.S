// SPDX-License-Identifier: Apache-2.0
// First instructions of the hypervisor, starting of other processors, trap and interrupt stubs.

#define MSR_EFER 0xc0000080
#define EFER_LME_NXE 0x900
#define CR0_PE_BIT 0
#define CR0_PG_PE 0x80000001
#define CR4_PAE 0x20

// ---- boot processor: see the entry convention in <keelson/bootinfo.h> ---------------------------------
    .section .text.entry, "ax"
    .global hv_entry
hv_entry:
    cli
    cld
    mov %rdi, %rbx
    lea boot_stack_end(%rip), %rsp
    xor %ebp, %ebp
    call host_entry // rdi = boot_info
    mov %rax, %rsp  // the processor's own stack, with a guard page
    mov %rbx, %rdi
    call hv_main
1:  hlt
    jmp 1b

// ---- other processors ---------------------------------------------------------------------------------
// Copied to boot_info.trampoline and entered in real mode at CS = page >> 4 (SDM 3A "MP Initialization").
// The data at its end is filled in by smp.c for one processor at a time. CR3 there is the firmware's
// identity map, which also holds the hypervisor's upper half.
    .section .rodata
    .balign 16
    .global trampoline_start, trampoline_end, trampoline_params
trampoline_start:
    .code16
    cli
    cld
    mov %cs, %ax
    mov %ax, %ds
    movzwl %ax, %ebx
    shl $4, %ebx
    lgdtl trampoline_gdtr - trampoline_start
    mov %cr0, %eax
    or $(1 << CR0_PE_BIT), %al
    mov %eax, %cr0
    ljmpl *(trampoline_far32 - trampoline_start)
    .code32
trampoline_32:
    mov $0x10, %ax
    mov %ax, %ds
    mov %ax, %ss
    mov $CR4_PAE, %eax
    mov %eax, %cr4
    mov (trampoline_cr3 - trampoline_start)(%ebx), %eax
    mov %eax, %cr3
    mov $MSR_EFER, %ecx
    rdmsr
    or $EFER_LME_NXE, %eax
    wrmsr
    // Firmware may leave CD and NW set after INIT; mtrr.c switches the caches on when the types are right.
    mov %cr0, %eax
    or $CR0_PG_PE, %eax
    mov %eax, %cr0
    ljmpl *(trampoline_far64 - trampoline_start)(%ebx)
    .code64
trampoline_64:
    mov %ebx, %ebx
    mov (trampoline_stack - trampoline_start)(%rbx), %rsp
    mov (trampoline_index - trampoline_start)(%rbx), %edi
    mov (trampoline_entry - trampoline_start)(%rbx), %rax
    xor %ebp, %ebp
    call *%rax // smp_cpu_entry(index), does not return
1:  hlt
    jmp 1b

    .balign 8
trampoline_gdt:
    .quad 0
    .quad 0x00cf9b000000ffff // 0x08 code, 32 bit
    .quad 0x00cf93000000ffff // 0x10 data
    .quad 0x00af9b000000ffff // 0x18 code, 64 bit
trampoline_gdt_end:
// struct trampoline_params in smp.c; addresses are relative to the start of the page until it adds the base.
    .balign 8
trampoline_params:
trampoline_gdtr:
    .word trampoline_gdt_end - trampoline_gdt - 1
    .long trampoline_gdt - trampoline_start
trampoline_far32:
    .long trampoline_32 - trampoline_start
    .word 0x08
trampoline_far64:
    .long trampoline_64 - trampoline_start
    .word 0x18
    .balign 8
trampoline_cr3:
    .quad 0
trampoline_stack:
    .quad 0
trampoline_entry:
    .quad 0
trampoline_index:
    .long 0
trampoline_end:

// ---- exceptions: all registers are saved, for the dump ------------------------------------------------
    .text
    .balign 16
    .global trap_stubs
trap_stubs:
    .set vector, 0
    .rept 32
    .balign 16
    // The processor pushes an error code for 8, 10 to 14, 17, 21, 29 and 30.
    .if !((0x60227d00 >> vector) & 1)
    push $0
    .endif
    push $vector
    jmp trap_common
    .set vector, vector + 1
    .endr
    .balign 16

trap_common:
    push %rax
    push %rcx
    push %rdx
    push %rbx
    push %rbp
    push %rsi
    push %rdi
    push %r8
    push %r9
    push %r10
    push %r11
    push %r12
    push %r13
    push %r14
    push %r15
    cld
    mov %rsp, %rdi
    mov %rsp, %rbx
    and $-16, %rsp
    call trap_dispatch
    mov %rbx, %rsp
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %r11
    pop %r10
    pop %r9
    pop %r8
    pop %rdi
    pop %rsi
    pop %rbp
    pop %rbx
    pop %rdx
    pop %rcx
    pop %rax
    add $16, %rsp
    iretq

// ---- interrupts: they arrive only in host_interrupt_window() and host_halt(), on the current stack -----
    .balign 16
    .global interrupt_stubs
interrupt_stubs:
    .set vector, 32
    .rept 224
    .balign 16
    push $vector
    jmp interrupt_common
    .set vector, vector + 1
    .endr
    .balign 16

interrupt_common:
    push %rdi
    mov 8(%rsp), %rdi
    push %rax
    push %rcx
    push %rdx
    push %rsi
    push %r8
    push %r9
    push %r10
    push %r11
    push %rbp
    mov %rsp, %rbp
    and $-16, %rsp
    cld
    call interrupt_dispatch
    mov %rbp, %rsp
    pop %rbp
    pop %r11
    pop %r10
    pop %r9
    pop %r8
    pop %rsi
    pop %rdx
    pop %rcx
    pop %rax
    pop %rdi
    add $8, %rsp
    iretq

// ---- MSRs that may not exist ----------------------------------------------------------------------------
    .global rdmsr_safe, wrmsr_safe
rdmsr_safe: // (uint32_t msr, uint64_t *value) -> bool
    mov %edi, %ecx
1:  rdmsr
    shl $32, %rdx
    or %rdx, %rax
    mov %rax, (%rsi)
    mov $1, %eax
    ret
wrmsr_safe: // (uint32_t msr, uint64_t value) -> bool
    mov %edi, %ecx
    mov %esi, %eax
    mov %rsi, %rdx
    shr $32, %rdx
2:  wrmsr
    mov $1, %eax
    ret
3:  xor %eax, %eax
    ret
    .section .fixups, "a"
    .quad 1b, 3b
    .quad 2b, 3b

    .bss
    .balign 16
boot_stack:
    .skip 8192
boot_stack_end:

    .section .note.GNU-stack, "", @progbits
