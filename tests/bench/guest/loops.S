// SPDX-License-Identifier: Apache-2.0
// The measured loops: uint64_t loop_NAME(uint64_t count, uint64_t base) returns the ticks of `count` rounds.
//
// Each round is the operation and the two instructions of the loop; R15 counts, RBX is `base`. The rounds
// behind KVM's figures (peers.json) are made of the same instructions.
        .macro  LOOP name:req, body:req
        .globl  loop_\name
        .align  16
loop_\name:
        push    %rbx
        push    %r12
        push    %r13
        push    %r14
        push    %r15
        mov     %rdi, %r15
        mov     %rsi, %rbx
        mov     $0x7fffffff, %r13d
        rdtsc
        shl     $32, %rdx
        or      %rdx, %rax
        mov     %rax, %r12
1:      \body
        dec     %r15
        jnz     1b
        rdtsc
        shl     $32, %rdx
        or      %rdx, %rax
        sub     %r12, %rax
        pop     %r15
        pop     %r14
        pop     %r13
        pop     %r12
        pop     %rbx
        ret
        .endm

        .text
        LOOP    null, "nop"
        LOOP    cpuid0, "xor %eax, %eax; xor %ecx, %ecx; mov %rbx, %r14; cpuid; mov %r14, %rbx"
        LOOP    cpuid1, "mov $1, %eax; xor %ecx, %ecx; mov %rbx, %r14; cpuid; mov %r14, %rbx"
        LOOP    rdmsr_vp_index, "mov $0x40000002, %ecx; rdmsr"
        LOOP    rdmsr_apic_base, "mov $0x1b, %ecx; rdmsr"
        LOOP    rdmsr_pat, "mov $0x277, %ecx; rdmsr"
        LOOP    wrmsr_pat, "mov $0x277, %ecx; mov $0x00070406, %eax; mov %eax, %edx; wrmsr"
        LOOP    wrmsr_tsc_adjust, "mov $0x3b, %ecx; xor %eax, %eax; xor %edx, %edx; wrmsr"
        LOOP    wrmsr_tsc_deadline, "mov $0x6e0, %ecx; xor %eax, %eax; mov $0x00700000, %edx; wrmsr"
        LOOP    port_write, "mov $0x3ff, %edx; out %al, %dx"
        LOOP    port_read, "mov $0x3ff, %edx; in %dx, %al"
        LOOP    mem_write, "mov %eax, (%rbx)"
        LOOP    mem_read, "mov (%rbx), %eax"
        LOOP    touch, "movq $1, (%rbx); add $4096, %rbx"

// uint64_t loop_vmcall(count, in_gpa, input), loop_vmmcall(...): the memory form of a hypercall whose output
// page follows its input page (TLFS "Hypercall Inputs"). RDX is R14 because each result leaves RCX, RDX, R8 alone.
        .macro  CALL name:req, insn:vararg
        .globl  loop_\name
        .align  16
loop_\name:
        push    %r12
        push    %r14
        push    %r15
        mov     %rdi, %r15
        mov     %rdx, %r14
        lea     4096(%rsi), %r8
        rdtsc
        shl     $32, %rdx
        or      %rdx, %rax
        mov     %rax, %r12
        mov     %rsi, %rdx
1:      mov     %r14, %rcx
        .byte   \insn
        dec     %r15
        jnz     1b
        mov     %rax, %rcx
        rdtsc
        shl     $32, %rdx
        or      %rdx, %rax
        sub     %r12, %rax
        mov     %rcx, loop_last_result(%rip)
        pop     %r15
        pop     %r14
        pop     %r12
        ret
        .endm
        CALL    vmcall, 0x0f, 0x01, 0xc1
        CALL    vmmcall, 0x0f, 0x01, 0xd9

// void loop_count(uint64_t *counter): counts for ever, GUEST_COUNT_TICKS instructions a count.
        .globl  loop_count
        .align  16
loop_count:
        incq    (%rdi)
        jmp     loop_count

        .bss
        .globl  loop_last_result
        .align  8
loop_last_result:
        .quad   0
        .section .note.GNU-stack, "", @progbits
