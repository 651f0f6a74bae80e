// SPDX-License-Identifier: Apache-2.0
// The measuring guest's file: a bzImage with nothing but the header that the 64-bit boot protocol needs
// (Linux Documentation/arch/x86/boot.rst, "The Real-Mode Kernel Header"), and the 64-bit entry point.
        .section .setup, "a"
setup:
        .org    0x1f1
        .byte   1                       // setup_sects
        .word   0
        .long   bench_code_size16       // syssize, from the linker script
        .word   0, 0, 0
        .word   0xaa55                  // boot_flag
        .byte   0xeb, 0x6a              // jump: the header ends at 0x202 + 0x6a
        .ascii  "HdrS"
        .word   0x020f                  // version
        .long   0
        .word   0
        .word   version - setup - 0x200
        .byte   0
        .byte   1                       // loadflags: LOADED_HIGH
        .word   0
        .long   0x200000                // code32_start
        .org    0x22c
        .long   0x7fffffff              // initrd_addr_max
        .long   0x200000                // kernel_alignment
        .byte   0, 0                    // not relocatable
        .word   1                       // xloadflags: XLF_KERNEL_64
        .long   2047                    // cmdline_size
        .org    0x258
        .quad   0x200000                // pref_address
        .long   0x200000                // init_size
        .org    0x26c
version:
        .asciz  "keelson-bench"
        .org    0x400

        .section .text.start, "ax"
        .org    0x200                   // the 64-bit entry; RSI = struct boot_params
        .globl  entry64
entry64:
        cld
        lea     stack_top(%rip), %rsp
        mov     %rsi, %rdi
        call    bench_main
1:      cli
        hlt
        jmp     1b

// What other processors execute: they count themselves and spin, in real mode, for ever. Copied to SPIN_PAGE.
        .globl  spin_code, spin_code_end
spin_code:
        .code16
        cli
        lock incw %cs:spin_count16 - spin_code
1:      jmp     1b
spin_count16:
        .word   0
spin_code_end:
        .code64

        .bss
        .align  16
        .skip   16384
stack_top:
        .section .note.GNU-stack, "", @progbits
