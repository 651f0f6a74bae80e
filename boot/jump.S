// SPDX-License-Identifier: Apache-2.0
// The last instructions of the loader: switch page tables and stack, enter the hypervisor.
#define MSR_EFER 0xc0000080
#define EFER_NXE_BIT 11

    .text
    .global jump_to_hypervisor
// jump_to_hypervisor(boot_info: rdi, entry: rsi, cr3: rdx, stack: rcx), System V ABI, never returns. This code
// lies in RAM that the new tables map one to one, so it survives the switch.
jump_to_hypervisor:
    cli
    cld
    mov %rdx, %r8
    mov %rcx, %r9
    mov $MSR_EFER, %ecx
    rdmsr
    bts $EFER_NXE_BIT, %eax
    wrmsr
    mov %r8, %cr3
    mov %r9, %rsp
    xor %ebp, %ebp
    push %rbp
    jmp *%rsi

    .section .note.GNU-stack, "", @progbits
