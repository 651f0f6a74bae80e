// SPDX-License-Identifier: Apache-2.0
// Micro-guests about instructions that exit, control registers, exceptions, debugging, FPU.
#include "tests/guest/kernel/guests.h"

void guest_empty(void)
{
}

void guest_cpuid(void)
{
    struct cpuid_regs r = cpuid(1, 0);

    CHECK((r.ecx & BIT(31)) != 0); // hypervisor present
    CHECK((r.ecx & BIT(21)) != 0); // x2APIC
    CHECK((r.ecx & BIT(24)) != 0); // TSC deadline
    CHECK((r.ecx & BIT(5)) == 0);  // VMX hidden
    CHECK((r.ebx >> 24) == 0);     // initial APIC id
    r = cpuid(0x40000000, 0);
    CHECK(r.eax >= 0x40000006);
    CHECK(r.ebx == 0x7263694d && r.ecx == 0x666f736f && r.edx == 0x76482074);
    CHECK(cpuid(0x40000001, 0).eax == 0x31237648);   // "Hv#1"
    CHECK((cpuid(0x80000001, 0).ecx & BIT(2)) == 0); // SVM hidden
    CHECK((cpuid(0x80000007, 0).edx & BIT(8)) != 0); // invariant TSC
    CHECK((cpuid(1, 0).ecx & BIT(27)) == 0);         // OSXSAVE follows CR4
    if ((r.ecx & BIT(26)) != 0) {
        write_cr4(read_cr4() | CR4_OSXSAVE);
        CHECK((cpuid(1, 0).ecx & BIT(27)) != 0);
    }
    (void)cpuid(0xdeadbeef, 0xffffffff); // beyond all ranges
}

static uint64_t load64(uint64_t at)
{
    uint64_t value;

    __asm__ volatile("mov (%1), %0" : "=a"(value) : "c"(at) : "memory");
    return value;
}

void guest_exceptions(void)
{
    CHECK(CATCH(__asm__ volatile("ud2")) == VECTOR_UD);
    CHECK(CATCH(__asm__ volatile("int3")) == 3);
    CHECK(CATCH(__asm__ volatile("xor %%edx, %%edx; mov $1, %%eax; divl %0" : : "r"(0) : "eax", "edx")) == 0);
    CHECK(CATCH(load64(1ull << 40)) == VECTOR_PF);
    CHECK(caught_cr2 == 1ull << 40);
    if (!on_svm()) { // QEMU's software processor does not check these, and AMD-V has no need to intercept them
        CHECK(CATCH(load64(0x8000000000000000ull)) == VECTOR_GP);
        CHECK(CATCH(write_cr0(read_cr0() & ~CR0_PE)) == VECTOR_GP);
        CHECK(CATCH(write_cr4(read_cr4() | BIT(63))) == VECTOR_GP);
        CHECK(CATCH(write_cr4(read_cr4() | CR4_VMXE)) == VECTOR_GP);
    }
    CHECK(CATCH(__asm__ volatile("xsetbv" : : "a"(0), "c"(0), "d"(0))) != -1);
}

// Every instruction of both extensions is undefined for a guest.
void guest_virtualization_insns(void)
{
    uint64_t area = GUEST_DATA_GPA;

    CHECK(CATCH(__asm__ volatile("vmxoff")) == VECTOR_UD);
    CHECK(CATCH(__asm__ volatile("vmxon %0" : : "m"(area))) == VECTOR_UD);
    CHECK(CATCH(__asm__ volatile("vmptrld %0" : : "m"(area))) == VECTOR_UD);
    CHECK(CATCH(__asm__ volatile("vmclear %0" : : "m"(area))) == VECTOR_UD);
    CHECK(CATCH(__asm__ volatile("vmlaunch")) == VECTOR_UD);
    CHECK(CATCH(__asm__ volatile("vmresume")) == VECTOR_UD);
    CHECK(CATCH(__asm__ volatile("vmread %%rax, %%rcx" : : "a"(0), "c"(0))) == VECTOR_UD);
    CHECK(CATCH(__asm__ volatile("vmwrite %%rax, %%rcx" : : "a"(0), "c"(0))) == VECTOR_UD);
    CHECK(CATCH(__asm__ volatile("vmrun %%rax" : : "a"(area))) == VECTOR_UD);
    CHECK(CATCH(__asm__ volatile("vmload %%rax" : : "a"(area))) == VECTOR_UD);
    CHECK(CATCH(__asm__ volatile("vmsave %%rax" : : "a"(area))) == VECTOR_UD);
    CHECK(CATCH(__asm__ volatile("stgi")) == VECTOR_UD);
    CHECK(CATCH(__asm__ volatile("clgi")) == VECTOR_UD);
    CHECK(CATCH(__asm__ volatile("skinit %%eax" : : "a"(0))) == VECTOR_UD);
    CHECK(CATCH(__asm__ volatile("invlpga %%rax, %%ecx" : : "a"(0), "c"(0))) == VECTOR_UD);
    if (on_svm()) { // the other vendor's hypercall
        CHECK(CATCH(__asm__ volatile("vmcall")) == VECTOR_UD);
    } else {
        CHECK(CATCH(__asm__ volatile("vmmcall")) == VECTOR_UD);
    }
    CHECK(CATCH(__asm__ volatile("monitor" : : "a"(area), "c"(0), "d"(0))) == VECTOR_UD);
    CHECK(CATCH(__asm__ volatile("mwait" : : "a"(0), "c"(0))) == VECTOR_UD);
}

void guest_other_exits(void)
{
    __asm__ volatile("wbinvd");
    __asm__ volatile(".byte 0x66, 0x0f, 0x09"); // a prefix that means nothing
    __asm__ volatile("invd");
    CHECK(CATCH(__asm__ volatile("rdpmc" : : "c"(0) : "eax", "edx")) == VECTOR_GP);
    for (unsigned i = 0; i < 50000; i++) { // long enough for PAUSE-loop exiting
        __asm__ volatile("pause");
    }
    __asm__ volatile("rep; .byte 0x40, 0x0f, 0xa2" : : "a"(0), "c"(0) : "rbx", "rdx"); // prefixed CPUID
    CHECK(CATCH(__asm__ volatile("lock; cpuid" : : "a"(0), "c"(0) : "rbx", "rdx")) == VECTOR_UD || on_svm());
}

void guest_control_registers(void)
{
    uint64_t cr0 = read_cr0(), cr4 = read_cr4(), v;

    write_cr0(cr0 | CR0_TS);
    CHECK((read_cr0() & CR0_TS) != 0);
    CHECK(CATCH(__asm__ volatile("fnop")) == 7);
    __asm__ volatile("clts");
    CHECK((read_cr0() & CR0_TS) == 0);
    __asm__ volatile("smsw %0" : "=r"(v));
    __asm__ volatile("lmsw %w0" : : "r"(v | 8));
    CHECK((read_cr0() & CR0_TS) != 0);
    __asm__ volatile("lmsw %w0" : : "r"(v & ~9ull)); // PE cannot be cleared
    CHECK((read_cr0() & (CR0_TS | CR0_PE)) == CR0_PE);
    write_cr0(cr0 | CR0_CD);
    CHECK((read_cr0() & CR0_CD) != 0);
    write_cr0(cr0 | CR0_CD | CR0_NW);
    CHECK((read_cr0() & (CR0_CD | CR0_NW)) == (CR0_CD | CR0_NW));
    write_cr0(cr0);
    CHECK(read_cr0() == cr0);
    if (!on_svm()) {
        CHECK(CATCH(write_cr0(cr0 | CR0_NW)) == VECTOR_GP);
        CHECK(CATCH(write_cr0(cr0 | BIT(40))) == VECTOR_GP);
        CHECK(CATCH(write_cr4(cr4 & ~CR4_PAE)) == VECTOR_GP);
        CHECK(read_cr0() == cr0 && read_cr4() == cr4);
    }
    write_cr4(cr4 | CR4_PGE | CR4_TSD | CR4_DE);
    CHECK(read_cr4() == (cr4 | CR4_PGE | CR4_TSD | CR4_DE));
    write_cr4(cr4);
    __asm__ volatile("mov %%cr3, %0; mov %0, %%cr3" : "=&r"(v) : : "memory");
    __asm__ volatile("mov %0, %%cr2; mov %%cr2, %1" : : "r"(0x1234567890ull), "r"(v));
    __asm__ volatile("cpuid; mov %%cr2, %0" : "=r"(v) : "a"(0), "c"(0) : "rbx", "rdx");
    CHECK(v == 0x1234567890ull); // survives an exit
    __asm__ volatile("mov %0, %%cr8" : : "r"(5ull));
    __asm__ volatile("mov %%cr8, %0" : "=r"(v));
    CHECK(v == 5);
    CHECK((xapic_read(APIC_TPR_REG) >> 4) == 5);
    CHECK(CATCH(__asm__ volatile("mov %0, %%cr8" : : "r"(16ull))) == VECTOR_GP || on_svm());
    __asm__ volatile("mov %0, %%cr8" : : "r"(0ull));
    CHECK(xapic_read(APIC_TPR_REG) == 0);
}

void guest_xsetbv(void)
{
    uint32_t lo, hi;

    if ((cpuid(1, 0).ecx & BIT(26)) == 0) {
        CHECK(CATCH(__asm__ volatile("xsetbv" : : "a"(1), "c"(0), "d"(0))) == VECTOR_UD);
        return;
    }
    CHECK(CATCH(__asm__ volatile("xsetbv" : : "a"(1), "c"(0), "d"(0))) == VECTOR_UD); // without CR4.OSXSAVE
    write_cr4(read_cr4() | CR4_OSXSAVE);
    CHECK(CATCH(__asm__ volatile("xsetbv" : : "a"(0), "c"(0), "d"(0))) == VECTOR_GP);
    CHECK(CATCH(__asm__ volatile("xsetbv" : : "a"(5), "c"(0), "d"(0))) == VECTOR_GP); // AVX without SSE
    CHECK(CATCH(__asm__ volatile("xsetbv" : : "a"(3), "c"(1), "d"(0))) == VECTOR_GP);
    CHECK(CATCH(__asm__ volatile("xsetbv" : : "a"(3), "c"(0), "d"(0x80000000))) == VECTOR_GP);
    __asm__ volatile("xsetbv" : : "a"(3), "c"(0), "d"(0));
    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    CHECK(lo == 3 && hi == 0);
    CHECK(cpuid(0xd, 0).ebx >= 576);
}

// --- ring 3 ---

static void user_cpuid(void)
{
    __asm__ volatile("cpuid; xor %%ecx, %%ecx; div %%ecx"
                     :
                     : "a"(0), "c"(0)
                     : "rbx", "rdx"); // the #DE says: it ran
}
static void user_vmcall(void)
{
    __asm__ volatile("vmcall");
}
static void user_vmmcall(void)
{
    __asm__ volatile("vmmcall");
}
static void user_hlt(void)
{
    __asm__ volatile("hlt");
}
static void user_rdmsr(void)
{
    __asm__ volatile("rdmsr" : : "c"(0x40000002) : "eax", "edx");
}
static void user_wrmsr(void)
{
    __asm__ volatile("wrmsr" : : "c"(MSR_TSC_DEADLINE), "a"(0), "d"(0));
}
static void user_out(void)
{
    __asm__ volatile("out %%al, $0xe9" : : "a"('!'));
}
static void user_cr(void)
{
    __asm__ volatile("mov %%cr0, %%rax" : : : "rax");
}
static void user_wbinvd(void)
{
    __asm__ volatile("wbinvd");
}
static void user_monitor(void)
{
    __asm__ volatile("monitor" : : "a"(GUEST_DATA_GPA), "c"(0), "d"(0));
}
static void user_vm_insn(void)
{
    __asm__ volatile("vmxoff");
}
static void user_vmrun(void)
{
    __asm__ volatile("vmrun %%rax" : : "a"(0));
}
static void user_xsetbv(void)
{
    __asm__ volatile("xsetbv" : : "a"(1), "c"(0), "d"(0));
}
static void user_apic(void)
{
    __asm__ volatile("movl $0x42, (%0)" : : "r"(APIC_PAGE + APIC_TPR_REG) : "memory"); // page tables let it
    __asm__ volatile("xor %%ecx, %%ecx; div %%ecx" : : : "rcx", "rax", "rdx");
}

void guest_user_mode(void)
{
    user_init();
    CHECK(CATCH(enter_user(user_cpuid)) == 0);
    CHECK(CATCH(enter_user(user_vmcall)) == VECTOR_UD);
    CHECK(CATCH(enter_user(user_vmmcall)) == VECTOR_UD);
    CHECK(CATCH(enter_user(user_hlt)) == VECTOR_GP);
    CHECK(CATCH(enter_user(user_rdmsr)) == VECTOR_GP);
    CHECK(CATCH(enter_user(user_wrmsr)) == VECTOR_GP);
    CHECK(CATCH(enter_user(user_out)) == VECTOR_GP);
    CHECK(CATCH(enter_user(user_cr)) == VECTOR_GP);
    CHECK(CATCH(enter_user(user_wbinvd)) == VECTOR_GP);
    CHECK(CATCH(enter_user(user_monitor)) == VECTOR_UD);
    CHECK(CATCH(enter_user(user_vm_insn)) == VECTOR_UD);
    CHECK(CATCH(enter_user(user_vmrun)) != -1);
    CHECK(CATCH(enter_user(user_xsetbv)) != -1); // #UD comes first, but QEMU looks at the privilege first
    write_cr4(read_cr4() | (cpuid(1, 0).ecx & BIT(26) ? CR4_OSXSAVE : 0));
    CHECK(CATCH(enter_user(user_xsetbv)) != -1);
    CHECK(CATCH(enter_user(user_apic)) == 0);
    CHECK(xapic_read(APIC_TPR_REG) == 0x42);
}

// --- debugging ---

#define DR6_BD BIT(13)

static volatile uint32_t debug_count;
static volatile uint64_t debug_dr6, debug_rip[64];

static void on_debug(struct frame *f)
{
    __asm__ volatile("mov %%dr6, %0" : "=r"(debug_dr6));
    __asm__ volatile("mov %0, %%dr6" : : "r"(DR6_INIT));
    debug_rip[debug_count++ & 63] = f->rip;
    f->rflags |= RFLAGS_RF;
    if (debug_count > 60) {
        f->rflags &= ~RFLAGS_TF;
    }
}

// Seven instructions follow the one that sets TF, the last one clears it; two of them are emulated, one by the
// hypervisor and one by the root.
void guest_single_step(void)
{
    on_interrupt(1, on_debug);
    __asm__ volatile("pushfq; orq $0x100, (%%rsp); popfq\n\t"
                     "nop\n\t"
                     "cpuid\n\t"
                     "nop\n\t"
                     "out %%al, $0xf7\n\t"
                     "pushfq\n\t"
                     "andq $~0x100, (%%rsp)\n\t"
                     "popfq\n\t"
                     :
                     : "a"(0), "c"(0)
                     : "rbx", "rdx", "memory", "cc");
    CHECK((debug_dr6 & DR6_BS) != 0);
    CHECK(debug_count == 7);
    CHECK(debug_rip[1] - debug_rip[0] == 2); // CPUID
}

static volatile uint64_t watched;
static void __attribute__((noinline)) breakpoint_here(void)
{
    __asm__ volatile("nop");
}

void guest_debug_registers(void)
{
    uint64_t v;

    on_interrupt(1, on_debug);
    __asm__ volatile("mov %0, %%dr0" : : "r"(&watched));
    __asm__ volatile("mov %0, %%dr1" : : "r"(breakpoint_here));
    __asm__ volatile("mov %0, %%dr2" : : "r"(0x1111ull));
    __asm__ volatile("mov %0, %%dr3" : : "r"(0xffff800000002222ull));
    __asm__ volatile("cpuid" : : "a"(0), "c"(0) : "rbx", "rdx");
    outb(PORT_ECHO, 0); // through the root
    __asm__ volatile("mov %%dr2, %0" : "=r"(v));
    CHECK(v == 0x1111);
    __asm__ volatile("mov %%dr3, %0" : "=r"(v));
    CHECK(v == 0xffff800000002222ull);
    __asm__ volatile("mov %0, %%dr7"
                     :
                     : "r"(DR7_INIT | 1 | 1ull << 16 | 2ull << 18)); // writes of 8 bytes at DR0
    watched = 1;
    __asm__ volatile("nop");
    CHECK(debug_count == 1 && (debug_dr6 & 1) != 0);
    __asm__ volatile("mov %0, %%dr7" : : "r"(DR7_INIT | 4)); // execution at DR1
    breakpoint_here();
    CHECK(debug_count == 2 && (debug_dr6 & 2) != 0 && debug_rip[1] == (uint64_t)breakpoint_here);
    __asm__ volatile("mov %0, %%dr7" : : "r"(DR7_INIT));
    breakpoint_here();
    if (!on_svm()) {                    // QEMU has neither INT1 nor general detect
        __asm__ volatile(".byte 0xf1"); // INT1
        CHECK(debug_count == 3);
        __asm__ volatile("mov %0, %%dr7" : : "r"(DR7_INIT | DR7_GD));
        CHECK(CATCH(__asm__ volatile("mov %%dr0, %0" : "=r"(v))) == 1);
        __asm__ volatile("mov %0, %%dr7" : : "r"(DR7_INIT));
    }
}

// An instruction breakpoint is a fault: RF lets the instruction run, and is clear behind it, also when the instruction
// was done by somebody else.
static void __attribute__((noinline)) two_breakpoints(bool by_root, uint64_t at[2])
{
    uint64_t first, second;

    debug_count = 0;
    if (by_root) {
        __asm__ volatile("lea 1f(%%rip), %0; mov %0, %%dr0\n\t"
                         "lea 2f(%%rip), %1; mov %1, %%dr1\n\t"
                         "mov %2, %%dr7\n"
                         "1: out %%al, $0xf7\n"
                         "2: nop\n\t"
                         : "=&r"(first), "=&r"(second)
                         : "r"(DR7_INIT | 5));
    } else {
        __asm__ volatile("lea 1f(%%rip), %0; mov %0, %%dr0\n\t"
                         "lea 2f(%%rip), %1; mov %1, %%dr1\n\t"
                         "mov %2, %%dr7\n"
                         "1: cpuid\n"
                         "2: nop\n\t"
                         : "=&r"(first), "=&r"(second)
                         : "r"(DR7_INIT | 5), "a"(0), "c"(0)
                         : "rbx", "rdx");
    }
    __asm__ volatile("mov %0, %%dr7" : : "r"(DR7_INIT));
    at[0] = first;
    at[1] = second;
}

void guest_resume_flag(void)
{
    uint64_t at[2];

    on_interrupt(1, on_debug);
    for (unsigned i = 0; i < 2; i++) {
        two_breakpoints(i != 0, at);
        CHECK(debug_rip[0] == at[0]);
        CHECK(debug_count == 2);
        CHECK(debug_rip[1] == at[1]);
    }
}

static volatile uint64_t interrupted_rip;

static void on_shadowed(struct frame *f)
{
    interrupted_rip = f->rip;
    count_tick(f);
}

// What is pending waits for the end of the instruction behind STI, whoever does that one.
void guest_interrupt_shadow(void)
{
    uint64_t behind;

    on_interrupt(0x31, on_shadowed);
    apic_enable();
    x2_icr(0, ICR_SELF | 0x31);
    __asm__ volatile("lea 1f(%%rip), %0; sti; cpuid; 1: nop; cli"
                     : "=&D"(behind)
                     : "a"(0), "c"(0)
                     : "rbx", "rdx", "memory");
    CHECK(ticks == 1 && interrupted_rip == behind);
    x2_icr(0, ICR_SELF | 0x31);
    __asm__ volatile("lea 1f(%%rip), %0; sti; out %%al, $0xf7; 1: nop; cli" : "=&D"(behind) : : "memory");
    CHECK(ticks == 2 && interrupted_rip == behind);
    x2_icr(0, ICR_SELF | 0x31);
    __asm__ volatile("lea 1f(%%rip), %0; sti; rdmsr; 1: nop; cli"
                     : "=&D"(behind)
                     : "c"(MSR_APIC_BASE)
                     : "rax", "rdx", "memory");
    CHECK(ticks == 3 && interrupted_rip == behind);
    x2_icr(0, ICR_SELF | 0x31);
    __asm__ volatile("lea 1f(%%rip), %0; sti; hlt; 1: nop; cli" : "=&D"(behind) : : "memory");
    CHECK(ticks == 4 && interrupted_rip == behind);
}
