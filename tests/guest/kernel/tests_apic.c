// SPDX-License-Identifier: Apache-2.0
// Micro-guests about interrupts: the local APIC in both modes, timers, IPIs, NMIs, INIT and SIPI.
#include "tests/guest/kernel/guests.h"

static void eoi(void)
{
    wrmsr(X2(APIC_EOI_REG), 0);
}

static void allow(void) // lets pending interrupts in
{
    __asm__ volatile("sti; nop; nop; cli" : : : "memory");
}

// A deadline that was taken back in time does not fire.
static void check_disarmed(void)
{
    uint32_t before;
    uint64_t deadline;

    do {
        allow(); // of an attempt that was too late
        before = ticks;
        deadline = rdtsc() + ARGS->tsc_hz / 1000;
        wrmsr(MSR_TSC_DEADLINE, deadline);
        wrmsr(MSR_TSC_DEADLINE, 0);
    } while (rdtsc() >= deadline);
    spin_us(2000);
    allow();
    CHECK(ticks == before);
}

void guest_apic_timer(void)
{
    apic_enable();
    on_interrupt(0x40, count_tick);
    wrmsr(X2(APIC_LVT_TIMER_REG), 0x40040); // TSC deadline
    wrmsr(MSR_TSC_DEADLINE, rdtsc() + ARGS->tsc_hz / 1000);
    wait_tick(1);
    CHECK(rdmsr(MSR_TSC_DEADLINE) == 0);
    wrmsr(MSR_TSC_DEADLINE, 1); // long ago
    wait_tick(2);
    check_disarmed();
    wrmsr(X2(APIC_LVT_TIMER_REG), 0x40); // one shot
    wrmsr(X2(APIC_TDCR), 0xb);           // divide by 1
    wrmsr(X2(APIC_TMICT), 100000);
    CHECK(rdmsr(X2(APIC_TMCCT)) <= 100000);
    wait_tick(ticks + 1);
    CHECK(rdmsr(X2(APIC_TMCCT)) == 0);
    wrmsr(X2(APIC_TDCR), 0x3); // by 16
    wrmsr(X2(APIC_TMICT), 5000);
    wait_tick(ticks + 1);
    wrmsr(X2(APIC_TDCR), 0xb);
    wrmsr(X2(APIC_LVT_TIMER_REG), 0x20040); // periodic
    wrmsr(X2(APIC_TMICT), 100000);
    wait_tick(ticks + 4);
    wrmsr(X2(APIC_LVT_TIMER_REG), 0x30040); // masked
    allow();
    allow();
    uint32_t now = ticks;
    spin_us(3000);
    allow();
    CHECK(ticks == now);
    wrmsr(X2(APIC_TMICT), 0);
}

void guest_assert_interrupt(void)
{
    apic_enable();
    on_interrupt(0x51, count_tick);
    outl(PORT_ASSERT, 0x51);
    wait_tick(1);
    outl(PORT_ASSERT, 0x51 | ASSERT_TYPE(1)); // lowest priority
    wait_tick(2);
}

void guest_level_interrupt(void)
{
    apic_enable();
    on_interrupt(0x52, count_tick);
    outl(PORT_ASSERT, 0x52 | ASSERT_LEVEL);
    wait_tick(1);
    CHECK(inb(0x1234) == 0xff); // the EOI message has been sent before this exit
}

// --- priorities ---

static volatile uint32_t order[8], order_count;

static void note(struct frame *f)
{
    order[order_count++ & 7] = (uint32_t)f->vector;
    eoi();
}

static void nest(struct frame *f)
{
    order[order_count++ & 7] = (uint32_t)f->vector;
    wrmsr(X2(0x3f0), 0x81); // SELF IPI of higher priority
    wrmsr(X2(0x3f0), 0x31); // and of lower priority
    __asm__ volatile("sti; nop; nop; cli" : : : "memory");
    eoi();
}

void guest_priorities(void)
{
    uint64_t v;

    apic_enable();
    on_interrupt(0x31, note);
    on_interrupt(0x51, note);
    on_interrupt(0x61, nest);
    on_interrupt(0x81, note);
    __asm__ volatile("mov %0, %%cr8" : : "r"(6ull));
    wrmsr(X2(0x3f0), 0x51);
    allow();
    CHECK(order_count == 0 && (rdmsr(X2(APIC_IRR_REG + 0x20)) & BIT(0x11)) != 0);
    wrmsr(X2(0x3f0), 0x81);
    allow();
    CHECK(order_count == 1 && order[0] == 0x81);
    __asm__ volatile("mov %0, %%cr8" : : "r"(5ull));
    allow();
    CHECK(order_count == 1);
    __asm__ volatile("mov %0, %%cr8" : : "r"(4ull)); // class 5 may come
    allow();
    CHECK(order_count == 2 && order[1] == 0x51);
    __asm__ volatile("mov %0, %%cr8" : : "r"(0ull));
    wrmsr(X2(0x3f0), 0x61);
    allow();
    allow();
    CHECK(order_count == 5 && order[2] == 0x61 && order[3] == 0x81 && order[4] == 0x31);
    wrmsr(X2(APIC_TPR_REG), 0x70);
    __asm__ volatile("mov %%cr8, %0" : "=r"(v));
    CHECK(v == 7 && rdmsr(X2(APIC_PPR)) == 0x70);
    wrmsr(X2(0x3f0), 0x31);
    wrmsr(X2(0x3f0), 0x51);
    wrmsr(X2(APIC_TPR_REG), 0);
    allow();
    CHECK(order_count == 7 && order[5] == 0x51 && order[6] == 0x31);
}

// --- RFLAGS.IF ---

// Stays with interrupts off for a while, in which the machine's own interrupts come and go: the timer's at least. CLI
// changes nothing for the guest, but has some processors look again at what is masked.
static void stay_off(uint32_t us)
{
    uint64_t end = rdtsc() + us * ARGS->tsc_hz / 1000000;

    while (rdtsc() < end) {
        __asm__ volatile("cli; nop; nop" : : : "memory");
    }
}

static volatile uint32_t taken_while_off;

// Ends its interrupt early, as operating systems do: what waited behind it must wait on until IRET.
static void end_early(struct frame *f)
{
    (void)f;
    wrmsr(X2(0x3f0), 0x31);
    eoi();
    stay_off(2000);
    taken_while_off = ticks;
}

// Interrupts wait for as long as RFLAGS.IF is clear: those that arrive meanwhile, and those that an EOI lets through.
void guest_masked_interrupt(void)
{
    apic_enable();
    on_interrupt(0x31, count_tick);
    on_interrupt(0x40, count_tick);
    on_interrupt(0x61, end_early);
    wrmsr(X2(APIC_TDCR), 0xb);
    wrmsr(X2(APIC_LVT_TIMER_REG), 0x20040); // periodic
    wrmsr(X2(APIC_TMICT), (uint32_t)(ARGS->tsc_hz / 5000));
    stay_off(10000);
    while ((rdmsr(X2(APIC_IRR_REG + 0x20)) & 1) == 0) { // the emulator's timers may have been late
    }
    CHECK(ticks == 0);
    allow();
    CHECK(ticks != 0);
    ticks = 0;
    wrmsr(X2(0x3f0), 0x61);
    allow();
    CHECK(taken_while_off == 0);
    wrmsr(X2(APIC_TMICT), 0);
}

extern const char behind_sti[];
static volatile uint32_t too_early;

static void note_place(struct frame *f)
{
    too_early += f->rip == (uint64_t)behind_sti;
    count_tick(f);
}

// The instruction behind STI comes before any interrupt, also if the guest is left in between, as by the machine's own
// timer: a HLT there would sleep through what it waits for.
void guest_interrupt_behind_sti(void)
{
    apic_enable();
    on_interrupt(0x40, note_place);
    wrmsr(X2(APIC_TDCR), 0xb);
    wrmsr(X2(APIC_LVT_TIMER_REG), 0x20040); // periodic
    wrmsr(X2(APIC_TMICT), (uint32_t)(ARGS->tsc_hz / 5000));
    while (ticks < 500) {
        __asm__ volatile("sti\n\tbehind_sti: nop\n\tnop\n\tcli" : : : "memory");
    }
    wrmsr(X2(APIC_TMICT), 0);
    CHECK(too_early == 0);
}

// With interrupts off nothing arrives; the moment they are allowed it does. The APIC is moved so that the hypervisor
// delivers by itself even where the processor could.
static void count_moved(struct frame *f)
{
    (void)f;
    ticks++;
    *(volatile uint32_t *)(0xd0000000ull + APIC_EOI_REG) = 0;
}

void guest_interrupt_window(void)
{
    ((uint64_t *)GUEST_TABLES_GPA)[1536 + 128] = 0xd0000000ull | 0x9f; // 2 MiB page in the fourth GiB
    write_cr3(read_cr3());
    wrmsr(MSR_APIC_BASE, 0xd0000000ull | (rdmsr(MSR_APIC_BASE) & 0xfff));
    CHECK(*(volatile uint32_t *)(0xd0000000ull + APIC_VERSION) != 0);
    *(volatile uint32_t *)(0xd0000000ull + APIC_SVR_REG) = 0x1ff;
    on_interrupt(0x41, count_moved);
    for (unsigned i = 0; i < 20; i++) {
        *(volatile uint32_t *)(0xd0000000ull + APIC_ICR_REG) = ICR_SELF | 0x41;
        __asm__ volatile("cpuid" : : "a"(0), "c"(0) : "rbx", "rdx");
        CHECK(ticks == i);
        allow();
        CHECK(ticks == i + 1);
    }
}

void guest_apic_errors(void)
{
    apic_enable();
    wrmsr(X2(APIC_ESR_REG), 0);
    CHECK(rdmsr(X2(APIC_ESR_REG)) == 0);
    CHECK(CATCH(wrmsr(X2(APIC_ESR_REG), 1)) == VECTOR_GP);
    x2_icr(0, 5); // vector below 16
    wrmsr(X2(APIC_ESR_REG), 0);
    CHECK((rdmsr(X2(APIC_ESR_REG)) & 0x20) != 0);
    CHECK(CATCH(wrmsr(X2(APIC_ID_REG), 1)) == VECTOR_GP);
    CHECK(CATCH(wrmsr(X2(APIC_VERSION), 1)) == VECTOR_GP);
    CHECK(CATCH(rdmsr(X2(APIC_EOI_REG))) == VECTOR_GP);
    CHECK(CATCH(rdmsr(X2(APIC_DFR_REG))) == VECTOR_GP);
    CHECK(CATCH(rdmsr(X2(APIC_ICR2_REG))) == VECTOR_GP);
    CHECK(CATCH(wrmsr(X2(APIC_TPR_REG), 0x100)) == VECTOR_GP);
    CHECK(CATCH(wrmsr(X2(APIC_EOI_REG), 1)) == VECTOR_GP);
    CHECK(CATCH(wrmsr(X2(APIC_LVT_TIMER_REG), 1ull << 32)) == VECTOR_GP);
    CHECK(CATCH(rdmsr(0x8ff)) == VECTOR_GP);
    CHECK(CATCH(rdmsr(0x840)) == VECTOR_GP);
}

// --- the memory-mapped registers ---

static void count_xapic(struct frame *f)
{
    (void)f;
    ticks++;
    xapic_write(APIC_EOI_REG, 0);
}

void guest_xapic(void)
{
    uint64_t wide;
    uint8_t narrow;

    CHECK((rdmsr(MSR_APIC_BASE) & (APIC_BASE_ENABLE | APIC_BASE_X2APIC | APIC_BASE_BSP)) ==
          (APIC_BASE_ENABLE | APIC_BASE_BSP));
    CHECK(xapic_read(APIC_ID_REG) == 0);
    CHECK((xapic_read(APIC_VERSION) & 0xff) >= 0x10);
    xapic_write(APIC_SVR_REG, 0x1ff);
    CHECK(xapic_read(APIC_SVR_REG) == 0x1ff);
    xapic_write(APIC_TPR_REG, 0x20);
    CHECK(xapic_read(APIC_TPR_REG) == 0x20);
    __asm__ volatile("mov %%cr8, %0" : "=r"(wide));
    CHECK(wide == 2);
    __asm__ volatile("movzbl (%1), %%eax; mov %%al, %0"
                     : "=q"(narrow)
                     : "r"(APIC_PAGE + APIC_TPR_REG)
                     : "rax", "memory");
    CHECK(narrow == 0x20);
    __asm__ volatile("movl $0x30, (%0)" : : "r"(APIC_PAGE + APIC_TPR_REG) : "memory");
    CHECK(xapic_read(APIC_TPR_REG) == 0x30);
    __asm__ volatile("movl %1, 0x80(%0, %2, 1)" : : "r"(APIC_PAGE), "r"(0u), "r"(0ull) : "memory");
    CHECK(xapic_read(APIC_TPR_REG) == 0);
    xapic_write(APIC_DFR_REG, 0x0fffffff);
    CHECK(xapic_read(APIC_DFR_REG) == 0x0fffffff);
    xapic_write(APIC_DFR_REG, 0xffffffff);
    xapic_write(APIC_LDR_REG, 0x01000000);
    CHECK(xapic_read(APIC_LDR_REG) == 0x01000000);
    on_interrupt(0x43, count_xapic);
    xapic_write(APIC_ICR_REG, ICR_SELF | 0x43);
    allow();
    CHECK(ticks == 1);
    xapic_write(APIC_ICR2_REG, 0x01000000);
    xapic_write(APIC_ICR_REG, ICR_LOGICAL | 0x43);
    allow();
    CHECK(ticks == 2);
    CHECK((xapic_read(APIC_ICR_REG) & 0xff) == 0x43);
    xapic_write(APIC_TDCR, 0xb);
    xapic_write(APIC_LVT_TIMER_REG, 0x43);
    xapic_write(APIC_TMICT, 50000);
    CHECK(xapic_read(APIC_TMCCT) <= 50000);
    wait_tick(3);
    outl(PORT_ASSERT, 0x43 | ASSERT_LEVEL); // a level interrupt's EOI goes to the root from here too
    wait_tick(4);
    CHECK(inb(0x1234) == 0xff);
    xapic_write(APIC_LVT_LINT0_REG, 0x10700);
    CHECK((xapic_read(APIC_LVT_LINT0_REG) & 0x10700) == 0x10700);
    xapic_write(APIC_SVR_REG, 0xff); // software disable masks the local vector table
    CHECK((xapic_read(APIC_LVT_TIMER_REG) & 0x10000) != 0);
    (void)xapic_read(0x40); // reserved
    (void)xapic_read(0xff0);
    xapic_write(0xff0, 1);
    (void)*(volatile uint32_t *)(APIC_PAGE + 0x84); // between registers
}

void guest_apic_modes(void)
{
    uint64_t base = rdmsr(MSR_APIC_BASE);

    CHECK(CATCH(rdmsr(X2(APIC_ID_REG))) == VECTOR_GP);
    wrmsr(MSR_APIC_BASE, base | APIC_BASE_X2APIC);
    CHECK(rdmsr(X2(APIC_ID_REG)) == 0);
    CHECK(rdmsr(X2(APIC_LDR_REG)) == 1);
    CHECK(CATCH(wrmsr(MSR_APIC_BASE, base)) == VECTOR_GP); // not back directly
    wrmsr(MSR_APIC_BASE, base & ~(APIC_BASE_ENABLE | APIC_BASE_X2APIC));
    CHECK((cpuid(1, 0).edx & BIT(9)) == 0);
    CHECK(CATCH(rdmsr(X2(APIC_ID_REG))) == VECTOR_GP);
    CHECK(CATCH(wrmsr(MSR_APIC_BASE, (base & ~APIC_BASE_ENABLE) | APIC_BASE_X2APIC)) == VECTOR_GP);
    CHECK(CATCH(wrmsr(MSR_APIC_BASE, base | APIC_BASE_X2APIC)) == VECTOR_GP); // off to x2APIC directly
    wrmsr(MSR_APIC_BASE, base);
    CHECK((cpuid(1, 0).edx & BIT(9)) != 0);
    CHECK((xapic_read(APIC_SVR_REG) & 0x100) == 0); // as after a reset
    CHECK(CATCH(wrmsr(MSR_APIC_BASE, base | 1)) == VECTOR_GP);
    CHECK(CATCH(wrmsr(MSR_APIC_BASE, base | 1ull << 60)) == VECTOR_GP);
    apic_enable();
    on_interrupt(0x44, count_tick);
    x2_icr(0, ICR_SELF | 0x44);
    wait_tick(1);
}

// --- NMI ---

static volatile uint32_t nmis, nmi_depth, nmi_nested;

static void on_nmi(struct frame *f)
{
    (void)f;
    if (nmi_depth++ != 0) {
        nmi_nested++;
    }
    if (nmis++ == 0) { // the second one must wait for the IRET
        x2_icr(0, ICR_NMI | ICR_SELF);
        __asm__ volatile("cpuid" : : "a"(0), "c"(0) : "rbx", "rdx");
        outb(PORT_ECHO, 0);
    }
    nmi_depth--;
}

void guest_nmi(void)
{
    apic_enable();
    on_interrupt(2, on_nmi);
    x2_icr(0, ICR_NMI | ICR_SELF);
    for (unsigned i = 0; i < 100 && nmis < 2; i++) {
        outb(PORT_ECHO, 0);
    }
    CHECK(nmis == 2 && nmi_nested == 0);
    outl(PORT_ASSERT, ASSERT_TYPE(4));
    for (unsigned i = 0; i < 100 && nmis < 3; i++) {
        outb(PORT_ECHO, 0);
    }
    CHECK(nmis == 3);
}

// HLT with interrupts off ends by an NMI, and not by an interrupt.
static volatile uint32_t woken;

static void sleeper(void)
{
    apic_enable();
    woken = 1;
    __asm__ volatile("cli; hlt" : : : "memory");
    woken = 2;
}

void guest_halt_nmi(void)
{
    apic_enable();
    on_interrupt(2, on_nmi);
    on_interrupt(0x45, count_tick);
    nmis = 1;
    smp_start(1, sleeper);
    while (woken != 1) {
        cpu_pause();
    }
    spin_us(500);
    x2_icr(1, 0x45);
    spin_us(2000);
    CHECK(woken == 1 && ticks == 0);
    while (woken != 2) { // an NMI that comes just before the HLT does not end it
        x2_icr(1, ICR_NMI);
        spin_us(500);
    }
    CHECK(nmis > 1 && ticks == 0);
}

// --- several processors ---

static volatile uint32_t here;

static void ap_check(void)
{
    uint64_t index = rdmsr(0x40000002);

    CHECK(cpuid(1, 0).ebx >> 24 == index);
    __atomic_fetch_add(&here, 1, __ATOMIC_SEQ_CST);
}

void guest_smp(void)
{
    apic_enable();
    for (uint32_t i = 1; i < ARGS->vp_count; i++) {
        smp_start(i, ap_check);
    }
    while (here != ARGS->vp_count - 1) {
        cpu_pause();
    }
}

static volatile uint32_t got[8], ap_nmis;

static void count_ipi(struct frame *f)
{
    (void)f;
    __atomic_fetch_add(&got[rdmsr(X2(APIC_ID_REG)) & 7], 1, __ATOMIC_SEQ_CST);
    eoi();
}

static void count_nmi(struct frame *f)
{
    (void)f;
    __atomic_fetch_add(&ap_nmis, 1, __ATOMIC_SEQ_CST);
}

static void ap_sleep(void)
{
    apic_enable();
    __atomic_fetch_add(&here, 1, __ATOMIC_SEQ_CST);
    for (;;) {
        __asm__ volatile("sti; hlt; cli");
    }
}

static void ap_spin(void)
{
    apic_enable();
    __atomic_fetch_add(&here, 1, __ATOMIC_SEQ_CST);
    __asm__ volatile("sti");
    for (;;) {
        cpu_pause();
    }
}

static uint32_t total(void)
{
    return got[0] + got[1] + got[2] + got[3];
}

static void wait_total(uint32_t wanted)
{
    while (total() < wanted) {
        allow();
        cpu_pause();
    }
    spin_us(300);
    allow();
    CHECK(total() == wanted);
}

void guest_ipis(void)
{
    apic_enable();
    on_interrupt(0x46, count_ipi);
    on_interrupt(2, count_nmi);
    smp_start(1, ap_sleep);
    smp_start(2, ap_spin);
    smp_start(3, ap_sleep);
    while (here != 3) {
        cpu_pause();
    }
    for (uint32_t i = 0; i < 4; i++) {
        x2_icr(i, 0x46);
        wait_total(i + 1);
        CHECK(got[i] == 1);
    }
    x2_icr(0, ICR_ALL | 0x46);
    wait_total(8);
    x2_icr(0, ICR_OTHERS | 0x46);
    wait_total(11);
    CHECK(got[0] == 2);
    x2_icr(0, ICR_SELF | 0x46);
    wait_total(12);
    x2_icr(0xffffffff, 0x46);
    wait_total(16);
    x2_icr(0x6, ICR_LOGICAL | 0x46); // cluster 0, processors 1 and 2
    wait_total(18);
    CHECK(got[1] == 5 && got[2] == 5);
    x2_icr(0xe, ICR_LOGICAL | ICR_LOWEST | 0x46);
    wait_total(19);
    x2_icr(77, 0x46); // nobody
    x2_icr(0, ICR_OTHERS | ICR_NMI);
    while (ap_nmis != 3) {
        cpu_pause();
    }
    wrmsr(0x40000071, (uint64_t)2 << 32 | 0x46); // HV_X64_MSR_ICR
    wait_total(20);
    outl(PORT_ASSERT, 0x46 | ASSERT_DEST(3)); // from the root
    wait_total(21);
    outl(PORT_ASSERT, 0x46 | ASSERT_DEST(0xf) | ASSERT_LOGICAL);
    wait_total(25);
    for (unsigned n = 0; n < 200; n++) { // back and forth
        x2_icr(1 + n % 3, 0x46);
        wait_total(26 + n);
    }
}

// INIT stops a processor wherever it is; SIPI starts it again, and only then.
static void restart(uint32_t id, void (*fn)(void))
{
    uint32_t before = here;

    smp_start(id, fn);
    while (here == before) {
        cpu_pause();
    }
}

void guest_restart(void)
{
    uint32_t runs;

    apic_enable();
    restart(1, ap_spin);
    x2_icr(1, ICR_SIPI | 7); // running: ignored
    spin_us(1000);
    runs = ap_running;
    for (unsigned i = 0; i < 5; i++) {
        restart(1, i & 1 ? ap_sleep : ap_spin); // INIT, SIPI
        CHECK(ap_running == runs + i + 1);
    }
    x2_icr(1, ICR_INIT);
    spin_us(1000);
    x2_icr(1, 0x46); // a processor that waits for SIPI takes nothing
    x2_icr(1, ICR_NMI);
    spin_us(1000);
    CHECK(ap_running == runs + 5);
    restart(2, ap_spin);
    x2_icr(0, ICR_OTHERS | ICR_INIT);
    spin_us(1000);
    runs = ap_running;
    restart(2, ap_check);
    CHECK(ap_running == runs + 1);
}

static void ap_triple_fault(void)
{
    struct __attribute__((packed)) {
        uint16_t limit;
        uint64_t base;
    } none = {0, 0};

    __asm__ volatile("lidt %0; ud2" : : "m"(none));
}

void guest_triple_fault(void)
{
    ap_triple_fault();
}

void guest_triple_fault_ap(void)
{
    apic_enable();
    smp_start(1, ap_triple_fault);
    for (;;) {
        cpu_pause();
    }
}

// Counts for the root to see, on every processor, with interrupts off. See root/life.c.
static void count_for_ever(void)
{
    for (;;) {
        __atomic_fetch_add(&ARGS->counter, 1, __ATOMIC_RELAXED);
    }
}

void guest_spin(void)
{
    apic_enable();
    for (uint32_t i = 1; i < ARGS->vp_count; i++) {
        smp_start(i, count_for_ever);
    }
    count_for_ever();
}

// Everything that one processor can send to others, without end; they may vanish meanwhile (root/life.c).
void guest_ipi_storm(void)
{
    apic_enable();
    on_interrupt(0x46, count_ipi);
    on_interrupt(2, count_nmi);
    for (uint32_t i = 1; i < ARGS->vp_count; i++) {
        smp_start(i, ap_spin);
    }
    for (uint32_t n = 0;; n++) {
        x2_icr(0, ICR_OTHERS | 0x46);
        x2_icr(1 + n % 3, n % 2 ? ICR_NMI : 0x46);
        x2_icr(0xe, ICR_LOGICAL | ICR_LOWEST | 0x46);
        __atomic_fetch_add(&ARGS->counter, 1, __ATOMIC_RELAXED);
    }
}
