// SPDX-License-Identifier: Apache-2.0
// The measuring guest's file.
        .section .rodata
        .globl  bench_guest, bench_guest_end
bench_guest:
        .incbin "bench.bzimage"
bench_guest_end:
        .section .note.GNU-stack, "", @progbits
