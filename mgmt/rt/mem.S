// SPDX-License-Identifier: Apache-2.0
// memcpy, memmove, memset, memcmp without vector registers, for both planes and interrupt handlers.
//
// They replace newlib's, which use SSE and, from 256 bytes up, stores that bypass the cache: wrong for
// packets that are read again at once. Up to 16 bytes go in two overlapping moves.

        .text

        .balign 16
        .globl  memcpy
memcpy:
        mov     %rdi, %rax
        cmp     $16, %rdx
        ja      2f
        cmp     $8, %edx
        jae     1f
        cmp     $4, %edx
        jae     3f
        test    %edx, %edx
        jz      4f
        movzbl  (%rsi), %ecx
        movzbl  -1(%rsi, %rdx), %r8d
        cmp     $2, %edx
        jbe     5f
        movzbl  1(%rsi), %r9d
        mov     %r9b, 1(%rdi)
5:      mov     %cl, (%rdi)
        mov     %r8b, -1(%rdi, %rdx)
4:      ret
3:      mov     (%rsi), %ecx
        mov     -4(%rsi, %rdx), %r8d
        mov     %ecx, (%rdi)
        mov     %r8d, -4(%rdi, %rdx)
        ret
1:      mov     (%rsi), %rcx
        mov     -8(%rsi, %rdx), %r8
        mov     %rcx, (%rdi)
        mov     %r8, -8(%rdi, %rdx)
        ret
2:      mov     %rdx, %rcx              // forwards, eight bytes at a time; the tail first, overlapping
        mov     -8(%rsi, %rdx), %r8
        lea     -8(%rdi, %rdx), %r9
        shr     $3, %rcx
        rep movsq
        mov     %r8, (%r9)
        ret

        .balign 16
        .globl  memmove
memmove:
        mov     %rdi, %rax
        sub     %rsi, %rax
        cmp     %rdx, %rax              // unsigned: destination inside the source's bytes?
        jae     memcpy_forward
        cmp     $16, %rdx
        jbe     memcpy                  // up to 16 bytes it reads everything before it writes
        mov     %rdi, %rax
        mov     %rdx, %rcx
        mov     (%rsi), %r8             // the head last, overlapping
        lea     -8(%rsi, %rdx), %rsi
        lea     -8(%rdi, %rdx), %rdi
        shr     $3, %rcx
        std
        rep movsq
        cld
        mov     %r8, (%rax)
        ret
memcpy_forward:
        cmp     $16, %rdx
        jbe     memcpy
        mov     %rdi, %rax
        mov     %rdx, %rcx
        and     $7, %edx
        shr     $3, %rcx
        rep movsq
        mov     %edx, %ecx              // the source may overlap what was written: no tail read in advance
        rep movsb
        ret

        .balign 16
        .globl  memset
memset:
        mov     %rdi, %r8
        movzbl  %sil, %eax
        mov     $0x0101010101010101, %rcx
        imul    %rcx, %rax
        cmp     $8, %rdx
        jb      1f
        mov     %rax, -8(%rdi, %rdx)    // the tail first, overlapping
        mov     %rdx, %rcx
        shr     $3, %rcx
        rep stosq
        mov     %r8, %rax
        ret
1:      mov     %edx, %ecx
        rep stosb
        mov     %r8, %rax
        ret

        .balign 16
        .globl  memcmp
memcmp:
        xor     %eax, %eax
1:      cmp     $8, %rdx
        jb      2f
        mov     (%rdi), %rcx
        mov     (%rsi), %r8
        cmp     %r8, %rcx
        jne     3f
        add     $8, %rdi
        add     $8, %rsi
        sub     $8, %rdx
        jmp     1b
2:      test    %edx, %edx
        jz      4f
5:      movzbl  (%rdi), %eax
        movzbl  (%rsi), %ecx
        sub     %ecx, %eax
        jnz     4f
        inc     %rdi
        inc     %rsi
        dec     %edx
        jnz     5b
4:      ret
3:      bswap   %rcx                    // first differing byte decides
        bswap   %r8
        cmp     %r8, %rcx
        sbb     %eax, %eax
        or      $1, %eax
        ret

        .section .note.GNU-stack, "", @progbits
