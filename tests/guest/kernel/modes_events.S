// SPDX-License-Identifier: Apache-2.0
// Events in modes other than 64-bit: exceptions, interrupts, single steps, interrupt shadows, virtual-8086 mode.
// As modes.S: the root copies the code below 1 MiB; each check leaves its number in EBP.
#define PORT_FAIL 0xf4
#define PORT_DONE 0xf5
#define PORT_ECHO 0xf7
#define REAL_BASE 0x10000
#define PROT_BASE 0x20000
#define PAGE_DIRECTORY 0x40000
#define IDT 0x50000
#define TSS 0x51000
#define STACK (PROT_BASE + 0xff00)
#define GDT 0x9000 // GUEST_GDT_GPA
#define SEL_DATA 16
#define SEL_CODE 24
#define SEL_TSS 48
#define VECTOR 0x30
#define MSR_APIC_BASE 0x1b
#define X2_EOI 0x80b
#define X2_SVR 0x80f
#define X2_ICR 0x830
#define X2_TIMER 0x832
#define X2_COUNT 0x838
#define X2_DIVIDE 0x83e
#define X2_SELF 0x83f
#define ICR_NMI 0x400
#define CR0_PG 0x80000000
#define CR4_PSE 0x10
#define FLAG_TF 0x100
#define FLAG_IF 0x200
#define DR6_BS 0x4000

        .macro  WRITE_MSR msr value
        mov     $\msr, %ecx
        mov     $\value, %eax
        xor     %edx, %edx
        wrmsr
        .endm
        .macro  APIC_ON // x2APIC mode, software enable
        mov     $MSR_APIC_BASE, %ecx
        rdmsr
        or      $0xc00, %eax
        wrmsr
        WRITE_MSR X2_SVR 0x1ff
        .endm

        .section .text.modes, "ax"

// --- real mode: CS = DS = ES = SS = REAL_BASE >> 4, IP = 0; IVT at 0 ---
        .code16
        .macro  REAL_VECTOR n handler
        movw    $(\handler - real_events_code), %fs:(\n * 4)
        movw    %cs, %fs:(\n * 4 + 2)
        .endm
        .globl  real_events_code, real_events_code_end
real_events_code:
        xor     %ax, %ax
        mov     %ax, %fs
        REAL_VECTOR 0 re_divide
        REAL_VECTOR 1 re_debug
        REAL_VECTOR 2 re_nmi
        REAL_VECTOR VECTOR re_interrupt

        mov     $1, %ebp                // exceptions push no error code here
        mov     %sp, re_sp - real_events_code
        xor     %dx, %dx
        xor     %cx, %cx
        div     %cx
        cmpw    $1, re_divides - real_events_code
        jne     re_fail
        mov     $2, %ebp
        cmp     %sp, re_sp - real_events_code
        jne     re_fail

        APIC_ON
        mov     $3, %ebp                // held back while IF is clear, then for one instruction more: one that exits
        cli
        WRITE_MSR X2_SELF VECTOR
        nop
        cmpw    $0, re_interrupts - real_events_code
        jne     re_fail
        mov     $4, %ebp
        xor     %eax, %eax
        sti
        cpuid
re_behind_cpuid:
        nop
        cli
        cmpw    $1, re_interrupts - real_events_code
        jne     re_fail
        mov     $5, %ebp
        cmpw    $(re_behind_cpuid - real_events_code), re_ip - real_events_code
        jne     re_fail
        mov     $6, %ebp                // the same by the root
        WRITE_MSR X2_SELF VECTOR
        sti
        out     %al, $PORT_ECHO
re_behind_out:
        nop
        cli
        cmpw    $(re_behind_out - real_events_code), re_ip - real_events_code
        jne     re_fail

        mov     $7, %ebp                // a timer's interrupt ends HLT
        WRITE_MSR X2_DIVIDE 0xb
        WRITE_MSR X2_TIMER VECTOR
        WRITE_MSR X2_COUNT 20000
        sti
        hlt
re_behind_hlt:
        cli
        cmpw    $3, re_interrupts - real_events_code
        jne     re_fail
        mov     $8, %ebp
        cmpw    $(re_behind_hlt - real_events_code), re_ip - real_events_code
        jne     re_fail

        mov     $9, %ebp                // NMI, and none while one is under way
        WRITE_MSR X2_ICR ICR_NMI
        cmpw    $1, re_nmis - real_events_code
        jb      re_fail
        mov     $10, %ebp
        mov     $3000000, %ecx
1:      cmpw    $2, re_nmis - real_events_code
        je      1f
        loopl   1b
        jmp     re_fail
1:      mov     $11, %ebp
        cmpw    $1, re_nmi_depth - real_events_code
        jne     re_fail

        mov     $12, %ebp               // as guest_single_step
        pushf
        mov     %sp, %bx
        orw     $FLAG_TF, %ss:(%bx)
        popf
        nop
        xor     %eax, %eax
        cpuid
        out     %al, $PORT_ECHO
        pushf
        mov     %sp, %bx
        andw    $~FLAG_TF, %ss:(%bx)
        popf
        cmpw    $8, re_debugs - real_events_code
        jne     re_fail
        mov     $13, %ebp
        mov     %dr6, %eax
        test    $DR6_BS, %eax
        jz      re_fail
        xor     %eax, %eax
        mov     $PORT_DONE, %dx
        out     %eax, %dx
1:      hlt
        jmp     1b
re_fail:
        mov     %ebp, %eax
        mov     $PORT_FAIL, %dx
        out     %eax, %dx
1:      hlt
        jmp     1b
re_divide:
        incw    re_divides - real_events_code
        push    %bp
        mov     %sp, %bp
        addw    $2, 2(%bp)
        pop     %bp
        iret
re_debug:
        incw    re_debugs - real_events_code
        iret
re_nmi:                                 // the first one sends another: it comes after the IRET
        pushal
        incw    re_nmi_level - real_events_code
        mov     re_nmi_level - real_events_code, %ax
        cmp     %ax, re_nmi_depth - real_events_code
        jae     1f
        mov     %ax, re_nmi_depth - real_events_code
1:      incw    re_nmis - real_events_code
        cmpw    $1, re_nmis - real_events_code
        jne     1f
        WRITE_MSR X2_ICR ICR_NMI
        xor     %eax, %eax
        cpuid
1:      decw    re_nmi_level - real_events_code
        popal
        iret
re_interrupt:
        pushal
        mov     %sp, %bp
        mov     %ss:32(%bp), %ax
        mov     %ax, re_ip - real_events_code
        incw    re_interrupts - real_events_code
        WRITE_MSR X2_EOI 0
        popal
        iret
re_divides: .word 0
re_debugs: .word 0
re_nmis: .word 0
re_nmi_level: .word 0
re_nmi_depth: .word 0
re_interrupts: .word 0
re_ip:  .word 0
re_sp:  .word 0
real_events_code_end:

// --- 32-bit protected mode with paging; segments flat, no TSS yet ---
        .code32
        .globl  prot_events_code, prot_events_code_end
        .set    PE_BASE, PROT_BASE
        .macro  GATE n handler type
        movl    $(SEL_CODE << 16 | ((PROT_BASE + \handler - prot_events_code) & 0xffff)), IDT + 8 * \n
        movl    $(((PROT_BASE + \handler - prot_events_code) & 0xffff0000) | \type << 8), IDT + 8 * \n + 4
        .endm
#define VAR(name) (PROT_BASE + name - prot_events_code)
#define INTERRUPT_GATE 0x8e
#define TRAP_GATE 0x8f
#define USER_GATE 0xee
prot_events_code:
        mov     $STACK, %esp
        mov     $SEL_DATA, %ax
        mov     %ax, %ds
        mov     %ax, %es
        mov     %ax, %ss
        mov     $IDT, %edi              // no gates but these
        xor     %eax, %eax
        mov     $512, %ecx
        rep stosl
        GATE    0 pe_divide INTERRUPT_GATE
        GATE    1 pe_debug INTERRUPT_GATE
        GATE    8 pe_double INTERRUPT_GATE
        GATE    13 pe_protection INTERRUPT_GATE
        GATE    14 pe_page INTERRUPT_GATE
        GATE    VECTOR pe_interrupt INTERRUPT_GATE
        GATE    0x40 pe_flags TRAP_GATE
        GATE    0x41 pe_flags INTERRUPT_GATE
        GATE    0x42 pe_end_8086 USER_GATE
        lidtl   VAR(pe_idt)
        mov     $PAGE_DIRECTORY, %edi   // the first 16 MiB, for ring 3 as well
        mov     $1024, %ecx
        rep stosl
        movl    $0x87, PAGE_DIRECTORY
        mov     $PAGE_DIRECTORY, %eax
        mov     %eax, %cr3
        mov     %cr4, %eax
        or      $CR4_PSE, %eax
        mov     %eax, %cr4
        mov     %cr0, %eax
        or      $CR0_PG, %eax
        mov     %eax, %cr0
        jmp     1f
1:      mov     $1, %ebp                // page faults: error code and CR2
        mov     0x10000abc, %eax
        cmpl    $0, VAR(pe_error)
        jne     pe_fail
        mov     %cr2, %eax
        cmp     $0x10000abc, %eax
        jne     pe_fail
        mov     $2, %ebp
        mov     %eax, 0x10000def        // five bytes, as the load
        cmpl    $2, VAR(pe_error)
        jne     pe_fail
        mov     $3, %ebp
        cmpl    $2, VAR(pe_faults)
        jne     pe_fail
        mov     $4, %ebp                // a selector beyond the GDT
        mov     $0x1230, %ax
        mov     %ax, %fs
        cmpl    $0x1230, VAR(pe_error)
        jne     pe_fail
        mov     $5, %ebp                // a trap gate leaves IF, an interrupt gate clears it
        sti
        int     $0x40
        cmpl    $FLAG_IF, VAR(pe_seen)
        jne     pe_fail
        mov     $6, %ebp
        int     $0x41
        cmpl    $0, VAR(pe_seen)
        jne     pe_fail
        cli

        APIC_ON
        mov     $7, %ebp                // shadow of STI over an instruction that exits, then over one of the root's
        WRITE_MSR X2_SELF VECTOR
        nop
        cmpl    $0, VAR(pe_interrupts)
        jne     pe_fail
        mov     $8, %ebp
        xor     %eax, %eax
        sti
        cpuid
pe_behind_cpuid:
        nop
        cli
        cmpl    $VAR(pe_behind_cpuid), VAR(pe_eip)
        jne     pe_fail
        mov     $9, %ebp
        WRITE_MSR X2_SELF VECTOR
        sti
        out     %al, $PORT_ECHO
pe_behind_out:
        nop
        cli
        cmpl    $VAR(pe_behind_out), VAR(pe_eip)
        jne     pe_fail

        mov     $10, %ebp
        pushf
        orl     $FLAG_TF, (%esp)
        popf
        nop
        xor     %eax, %eax
        cpuid
        out     %al, $PORT_ECHO
        pushf
        andl    $~FLAG_TF, (%esp)
        popf
        cmpl    $7, VAR(pe_debugs)
        jne     pe_fail
        mov     $11, %ebp               // after MOV SS no trap, after the next instruction one
        movl    $0, VAR(pe_debugs)
        pushf
        orl     $FLAG_TF, (%esp)
        mov     %ss, %ebx
        xor     %eax, %eax
        popf
        mov     %ebx, %ss
        cpuid
pe_behind_mov_ss:
        pushf
        andl    $~FLAG_TF, (%esp)
        popf
        cmpl    $VAR(pe_behind_mov_ss), VAR(pe_first_debug)
        jne     pe_fail
        mov     $12, %ebp
        cmpl    $4, VAR(pe_debugs)
        jne     pe_fail

        // virtual-8086 mode: entered with an interrupt pending
        mov     $13, %ebp
        movl    $(STACK - 0x1000), TSS + 4
        movl    $SEL_DATA, TSS + 8
        movw    $0x68, TSS + 0x66
        mov     $(TSS + 0x68), %edi     // all ports but 0x60
        xor     %eax, %eax
        mov     $9, %ecx
        rep stosl
        movb    $1, TSS + 0x68 + 0x60 / 8
        movb    $0xff, TSS + 0x68 + 32
        movl    $(0x68 + 32 | (TSS & 0xffff) << 16), GDT + SEL_TSS
        movl    $(TSS >> 16 | 0x8900), GDT + SEL_TSS + 4
        mov     $SEL_TSS, %ax
        ltr     %ax
        movl    $0, VAR(pe_interrupts)
        WRITE_MSR X2_SELF VECTOR
        pushl   $0                      // GS, FS
        pushl   $0
        pushl   $(PROT_BASE >> 4)       // DS, ES, SS, SP
        pushl   $(PROT_BASE >> 4)
        pushl   $(PROT_BASE >> 4)
        pushl   $0xe000
        pushl   $0x23202                // VM, IOPL 3, IF
        pushl   $(PROT_BASE >> 4)
        pushl   $(pe_8086 - prot_events_code)
        iret
        .code16
pe_8086:
        cmpl    $1, pe_interrupts - prot_events_code
        jne     pe_8086_end
        mov     $14, %ebp
        cmpl    $(pe_8086 - prot_events_code), pe_eip - prot_events_code
        jne     pe_8086_end
        mov     $15, %ebp
        mov     $0x40000000, %eax
        cpuid
        cmp     $0x7263694d, %ebx
        jne     pe_8086_end
        mov     $16, %ebp               // a port that the TSS permits, one that it does not
        mov     $0x5a, %al
        out     %al, $PORT_ECHO
        xor     %al, %al
        in      $PORT_ECHO, %al
        cmp     $0x5a, %al
        jne     pe_8086_end
        mov     $17, %ebp
        in      $0x60, %al
        cmpl    $1, pe_refused - prot_events_code
        jne     pe_8086_end
        mov     $18, %ebp
        mov     $(PROT_BASE >> 4), %ax
        cmp     %ax, pe_frame_ds - prot_events_code // segments lie in the frame
        jne     pe_8086_end
        xor     %ebp, %ebp
pe_8086_end:
        int     $0x42
        .code32
pe_end_8086:                            // ring 0 again, with the flags of an interrupt gate
        mov     $SEL_DATA, %ax
        mov     %ax, %ds
        mov     %ax, %es
        mov     $STACK, %esp
        test    %ebp, %ebp
        jnz     pe_fail
        mov     $19, %ebp               // page fault whose gate is missing: double fault
        movl    $0, IDT + 8 * 14 + 4
        mov     0x10000abc, %eax
        jmp     pe_fail
pe_double:
        mov     $20, %ebp
        cmpl    $0, (%esp)
        jne     pe_fail
        xor     %eax, %eax
        mov     $PORT_DONE, %dx
        out     %eax, %dx
1:      hlt
        jmp     1b
pe_fail:
        mov     %ebp, %eax
        mov     $PORT_FAIL, %dx
        out     %eax, %dx
1:      hlt
        jmp     1b
pe_divide:
        mov     $99, %ebp
        jmp     pe_fail
pe_page:
        popl    VAR(pe_error)
        incl    VAR(pe_faults)
        addl    $5, (%esp)
        iret
pe_protection:
        testl   $0x20000, 12(%esp)      // from virtual-8086 mode?
        jnz     1f
        popl    VAR(pe_error)
        addl    $2, (%esp)
        iret
1:      push    %eax
        push    %ds
        mov     $SEL_DATA, %ax
        mov     %ax, %ds
        incl    VAR(pe_refused)
        mov     36(%esp), %eax          // DS of the interrupted code: above EAX, DS, error, EIP, CS, EFLAGS, ESP, SS, ES
        mov     %eax, VAR(pe_frame_ds)
        pop     %ds
        pop     %eax
        add     $4, %esp
        addl    $2, (%esp)
        iret
pe_debug:
        cmpl    $0, VAR(pe_debugs)
        jne     1f
        push    (%esp)
        popl    VAR(pe_first_debug)
1:      incl    VAR(pe_debugs)
        iret
pe_interrupt:
        pushal
        push    %ds
        mov     $SEL_DATA, %ax
        mov     %ax, %ds
        mov     36(%esp), %eax
        mov     %eax, VAR(pe_eip)
        incl    VAR(pe_interrupts)
        WRITE_MSR X2_EOI 0
        pop     %ds
        popal
        iret
pe_flags:
        pushf
        pop     %eax
        and     $FLAG_IF, %eax
        mov     %eax, VAR(pe_seen)
        iret
        .balign 4
pe_error: .long 0x55
pe_faults: .long 0
pe_seen: .long 0x55
pe_interrupts: .long 0
pe_eip: .long 0
pe_debugs: .long 0
pe_first_debug: .long 0
pe_refused: .long 0
pe_frame_ds: .long 0
pe_idt: .word 0x7ff
        .long   IDT
prot_events_code_end:
        .section .note.GNU-stack, "", @progbits
