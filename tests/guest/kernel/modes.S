// SPDX-License-Identifier: Apache-2.0
// Guests in modes other than 64-bit. The root copies the code below 1 MiB and sets the start registers.
#define PORT_FAIL 0xf4
#define PORT_DONE 0xf5
#define PORT_ECHO 0xf7
#define HYPERCALL 0x8000     // GUEST_ARGS_GPA: VMCALL or VMMCALL, RET
#define CALL_IN 0xa000       // GUEST_SCRATCH_GPA
#define CALL_OUT 0xb000
#define REAL_BASE 0x10000
#define PROT_BASE 0x20000
#define PAE_TABLES 0x40000
#define GET_VP_REGISTERS 0x50
#define REG_CR3 0x00040002
#define CR0_PE 1
#define CR0_PG 0x80000000
#define CR4_PSE 0x10
#define CR4_PAE 0x20

// Each check leaves its number in EBP; the failure handler reports it.
        .section .text.modes, "ax"

// --- real mode: CS = DS = ES = SS = REAL_BASE >> 4, IP = 0 ---
        .code16
        .globl  real_code, real_code_end
real_code:
        xor     %ax, %ax
        mov     %ax, %fs
        movw    $(real_int - real_code), %fs:(0x20 * 4)
        movw    %cs, %fs:(0x20 * 4 + 2)
        movw    $(real_ud - real_code), %fs:(6 * 4)
        movw    %cs, %fs:(6 * 4 + 2)
        mov     $1, %ebp
        int     $0x20
        cmpw    $1, real_ints - real_code
        jne     real_fail
        mov     $2, %ebp                // hypercalls need protected mode
        vmcall
        vmmcall
        cmpw    $2, real_uds - real_code
        jne     real_fail
        mov     $3, %ebp
        mov     $0x40000000, %eax
        cpuid
        cmp     $0x7263694d, %ebx       // "Micr"
        jne     real_fail
        mov     $4, %ebp
        smsw    %ax
        test    $CR0_PE, %ax
        jnz     real_fail
        mov     $5, %ebp
        mov     $0xbeef, %ax
        mov     $PORT_ECHO, %dx
        out     %ax, %dx
        xor     %ax, %ax
        in      %dx, %ax
        cmp     $0xbeef, %ax
        jne     real_fail
        mov     $(real_text - real_code), %si
        mov     $5, %cx
        rep     outsb
        mov     $6, %ebp
        cmp     $(real_text - real_code + 5), %si
        jne     real_fail
        lgdtl   real_gdt - real_code
        smsw    %ax
        or      $CR0_PE, %ax
        lmsw    %ax
        ljmpl   $24, $(REAL_BASE + real_prot - real_code)
real_fail:
        mov     %ebp, %eax
        mov     $PORT_FAIL, %dx
        out     %eax, %dx
1:      hlt
        jmp     1b
real_int:
        incw    real_ints - real_code
        iret
real_ud:
        push    %bp
        mov     %sp, %bp
        addw    $3, 2(%bp)
        pop     %bp
        incw    real_uds - real_code
        iret
real_ints: .word 0
real_uds: .word 0
real_text: .ascii "KEELS"
        .balign 4
real_gdt: .word 63
        .long   0x9000                  // GUEST_GDT_GPA
        .code32
real_prot:
        mov     $16, %ax
        mov     %ax, %ds
        xor     %eax, %eax
        mov     $PORT_DONE, %dx
        out     %eax, %dx
1:      hlt
        jmp     1b
real_code_end:

// --- 32-bit protected mode without paging; goes on to PSE paging and PAE by itself ---
        .code32
        .globl  prot_code, prot_code_end
prot_code:
        mov     $(PROT_BASE + 0xff00), %esp
        mov     $1, %ebp
        mov     $0x40000000, %eax
        cpuid
        cmp     $0x7263694d, %ebx
        jne     prot_fail
        mov     $2, %ebp                // a hypercall by the 32-bit convention
        movl    $-1, CALL_IN
        movl    $-1, CALL_IN + 4
        movl    $-2, CALL_IN + 8
        movl    $0, CALL_IN + 12
        movl    $REG_CR3, CALL_IN + 16
        movl    $-1, CALL_OUT
        mov     $GET_VP_REGISTERS, %eax
        mov     $1, %edx
        xor     %ebx, %ebx
        mov     $CALL_IN, %ecx
        xor     %edi, %edi
        mov     $CALL_OUT, %esi
        mov     $HYPERCALL, %ebp
        call    *%ebp
        mov     $3, %ebp // the number of the next check
        test    %eax, %eax
        jnz     prot_fail
        cmp     $1, %edx
        jne     prot_fail
        mov     $4, %ebp
        mov     %cr3, %eax
        cmp     %eax, CALL_OUT
        jne     prot_fail
        // 4 MiB pages, identity, and one alias that is moved under way
        mov     $PAE_TABLES, %edi
        mov     $0x83, %eax
        mov     $1024, %ecx
1:      mov     %eax, (%edi)
        add     $4, %edi
        add     $0x400000, %eax
        loop    1b
        mov     $PAE_TABLES, %eax
        mov     %eax, %cr3
        mov     %cr4, %eax
        or      $CR4_PSE, %eax
        mov     %eax, %cr4
        mov     %cr0, %eax
        or      $CR0_PG, %eax
        mov     %eax, %cr0
        jmp     2f
2:      mov     $5, %ebp
        movl    $0x12345678, CALL_OUT
        movl    $0x83, PAE_TABLES + 4 * 64      // 0x10000000 -> 0
        invlpg  0x10000000
        cmpl    $0x12345678, 0x10000000 + CALL_OUT
        jne     prot_fail
        mov     $6, %ebp
        mov     $1, %eax
        cpuid                                   // an exit with this kind of paging: the instruction is fetched
        test    $(1 << 31), %ecx
        jz      prot_fail
        // PAE: PDPT, page directory with 2 MiB pages
        mov     %cr0, %eax
        and     $~CR0_PG, %eax
        mov     %eax, %cr0
        call    build_pae
        mov     %cr4, %eax
        or      $CR4_PAE, %eax
        mov     %eax, %cr4
        mov     $PAE_TABLES, %eax
        mov     %eax, %cr3
        mov     %cr0, %eax
        or      $CR0_PG, %eax
        mov     %eax, %cr0
        jmp     3f
3:      jmp     pae_checks

// Two PDPTs: the second one also maps 0x40000000 to 0.
build_pae:
        mov     $PAE_TABLES, %edi
        xor     %eax, %eax
        mov     $0x1000 / 4, %ecx
        rep stosl
        movl    $(PAE_TABLES + 0x1001), PAE_TABLES
        movl    $(PAE_TABLES + 0x1001), PAE_TABLES + 0x20
        movl    $(PAE_TABLES + 0x1001), PAE_TABLES + 0x28
        mov     $(PAE_TABLES + 0x1000), %edi
        mov     $0x83, %eax
        mov     $512, %ecx
1:      mov     %eax, (%edi)
        movl    $0, 4(%edi)
        add     $8, %edi
        add     $0x200000, %eax
        loop    1b
        ret

pae_checks:
        mov     $7, %ebp
        mov     $1, %eax
        cpuid
        test    $(1 << 31), %ecx
        jz      prot_fail
        mov     $(PAE_TABLES + 0x20), %eax
        mov     %eax, %cr3                      // loads the other PDPTEs
        mov     $8, %ebp
        movl    $0x55aa1234, CALL_OUT
        cmpl    $0x55aa1234, 0x40000000 + CALL_OUT
        jne     prot_fail
        mov     $9, %ebp                        // an exit in between must not lose them
        mov     $0, %eax
        cpuid
        cmpl    $0x55aa1234, 0x40000000 + CALL_OUT
        jne     prot_fail
        xor     %eax, %eax
        mov     $PORT_DONE, %dx
        out     %eax, %dx
1:      hlt
        jmp     1b
prot_fail:
        mov     %ebp, %eax
        mov     $PORT_FAIL, %dx
        out     %eax, %dx
1:      hlt
        jmp     1b
prot_code_end:

// --- PAE from the start: CR3, CR4 and CR0 are the root's ---
        .globl  pae_code, pae_code_end
pae_code:
        mov     $(PROT_BASE + 0xff00), %esp
        mov     $1, %ebp
        mov     $0x40000000, %eax
        cpuid
        cmp     $0x7263694d, %ebx
        jne     1f
        mov     $2, %ebp
        movl    $0x1badcafe, CALL_OUT
        cmpl    $0x1badcafe, 0x40000000 + CALL_OUT
        jne     1f
        xor     %eax, %eax
        mov     $PORT_DONE, %dx
        out     %eax, %dx
        hlt
1:      mov     %ebp, %eax
        mov     $PORT_FAIL, %dx
        out     %eax, %dx
        hlt
pae_code_end:

// --- compatibility mode: 32-bit code segment in long mode ---
        .globl  compat_code, compat_code_end
compat_code:
        mov     $(PROT_BASE + 0xff00), %esp
        mov     $1, %ebp
        mov     $0x40000000, %eax
        cpuid
        cmp     $0x7263694d, %ebx
        jne     1f
        mov     $2, %ebp
        mov     $0x7777, %eax           // no such call; the result is EDX:EAX
        mov     $0, %edx
        mov     $HYPERCALL, %ecx
        call    *%ecx
        cmp     $2, %eax
        jne     1f
        mov     $3, %ebp
        movb    $0x3b, CALL_OUT
        mov     $CALL_OUT, %esi
        mov     $PORT_ECHO, %dx
        outsb
        cmp     $(CALL_OUT + 1), %esi
        jne     1f
        ljmp    $8, $(PROT_BASE + compat_long - compat_code)
1:      mov     %ebp, %eax
        mov     $PORT_FAIL, %dx
        out     %eax, %dx
        hlt
        .code64
compat_long:
        mov     $4, %ebp
        mov     $0x7777, %ecx
        mov     $HYPERCALL, %rax
        call    *%rax
        cmp     $2, %rax
        jne     2f
        xor     %eax, %eax
        mov     $PORT_DONE, %dx
        out     %eax, %dx
        hlt
2:      mov     %ebp, %eax
        mov     $PORT_FAIL, %dx
        out     %eax, %dx
        hlt
compat_code_end:

// --- a hardware task switch: GDT entries 48 (running task) and 56 (the other) are TSSs made by the root ---
        .code32
        .globl  task_code, task_code_end
task_code:
        mov     $(PROT_BASE + 0xff00), %esp
        mov     $48, %ax
        ltr     %ax
        ljmp    $56, $0
        hlt
task_code_end:
        .section .note.GNU-stack, "", @progbits
