// SPDX-License-Identifier: Apache-2.0
// The micro-guest kernel's flat binary.
        .section .rodata
        .globl  guest_kernel, guest_kernel_end
guest_kernel:
        .incbin "kernel.bin"
guest_kernel_end:
        .section .note.GNU-stack, "", @progbits
