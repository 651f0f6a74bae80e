// SPDX-License-Identifier: Apache-2.0
// Entry of the small kernels. One of MULTIBOOT_ELF, MULTIBOOT_FLAT, PVH is defined and says how they are found.

#define MAGIC 0x1BADB002 // Multiboot 0.6.96, 3.1.2
#define ALIGN_AND_MEMORY 0x3
#define ADDRESSES 0x10000

#if defined(MULTIBOOT_ELF)
    .section .header, "a"
    .balign 4
    .long MAGIC, ALIGN_AND_MEMORY, -(MAGIC + ALIGN_AND_MEMORY)
#elif defined(MULTIBOOT_FLAT)
    .section .header, "a"
    .balign 4
header:
    .long MAGIC, ALIGN_AND_MEMORY | ADDRESSES, -(MAGIC + (ALIGN_AND_MEMORY | ADDRESSES))
    .long header, image_start, image_data_end, image_end, start
#elif defined(PVH)
    .section .note.pvh, "a", @note
    .balign 4
    .long 4, 4, 18 // XEN_ELFNOTE_PHYS32_ENTRY
    .asciz "Xen"
    .long start
#endif

    .section .text
    .globl start
start:
    movl $stack_end, %esp
    pushl %ebx
    pushl %eax
    call report
1:  hlt
    jmp 1b

    .section .bss
    .balign 16
    .skip 8192
stack_end:

    .section .note.GNU-stack, "", @progbits
