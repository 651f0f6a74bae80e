// SPDX-License-Identifier: Apache-2.0
// What a micro-guest has at hand: ports, MSRs, caught exceptions, interrupts, hypercalls, further processors.
#ifndef TESTS_GUEST_KERNEL_H
#define TESTS_GUEST_KERNEL_H

#include "arch/x86/x86.h"
#include "tests/guest/abi.h"

#define ARGS ((volatile struct guest_args *)GUEST_ARGS_GPA)

// A failed check reports its line and ends the test.
#define CHECK(cond)                                                                                          \
    do {                                                                                                     \
        if (!(cond)) {                                                                                       \
            fail(__LINE__);                                                                                  \
        }                                                                                                    \
    } while (0)
void fail(unsigned line) __attribute__((noreturn));
void say(const char *text);
void *memcpy(void *to, const void *from, size_t n);
void *memset(void *to, int c, size_t n);

struct frame { // as pushed by start.S
    uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
    uint64_t vector, error, rip, cs, rflags, rsp, ss;
};

// Runs the statements and yields the vector of the exception they raise, or -1. The exception's error code and
// CR2 are in caught_error and caught_cr2.
#define CATCH(...)                                                                                           \
    ({                                                                                                       \
        int caught_ = -1;                                                                                    \
        if (__builtin_setjmp(catch_buf) == 0) {                                                              \
            catch_armed = true;                                                                              \
            __VA_ARGS__;                                                                                     \
        } else {                                                                                             \
            caught_ = caught_vector;                                                                         \
        }                                                                                                    \
        catch_armed = false;                                                                                 \
        caught_;                                                                                             \
    })
extern void *catch_buf[5];
extern volatile bool catch_armed;
extern volatile int caught_vector;
extern uint64_t caught_error, caught_cr2;

void on_interrupt(uint8_t vector, void (*fn)(struct frame *));

// x2APIC register access and hypercalls.
void apic_enable(void);                 // x2APIC mode, software enable
#define X2(reg) (0x800u + ((reg) >> 4)) // MSR of an APIC register given by its offset in the page
#define APIC_ID_REG 0x20u
#define APIC_VERSION 0x30u
#define APIC_TPR_REG 0x80u
#define APIC_PPR 0xa0u
#define APIC_EOI_REG 0xb0u
#define APIC_LDR_REG 0xd0u
#define APIC_DFR_REG 0xe0u
#define APIC_SVR_REG 0xf0u
#define APIC_ISR_REG 0x100u
#define APIC_IRR_REG 0x200u
#define APIC_ESR_REG 0x280u
#define APIC_ICR_REG 0x300u
#define APIC_ICR2_REG 0x310u
#define APIC_LVT_TIMER_REG 0x320u
#define APIC_LVT_LINT0_REG 0x350u
#define APIC_TMICT 0x380u
#define APIC_TMCCT 0x390u
#define APIC_TDCR 0x3e0u
#define APIC_PAGE 0xfee00000ull
#define ICR_NMI 0x400u
#define ICR_INIT 0x4500u
#define ICR_SIPI 0x4600u
#define ICR_LOWEST 0x100u
#define ICR_LOGICAL 0x800u
#define ICR_SELF (1u << 18)
#define ICR_ALL (2u << 18)
#define ICR_OTHERS (3u << 18)

static inline uint32_t xapic_read(uint32_t reg)
{
    return *(volatile uint32_t *)(APIC_PAGE + reg);
}

static inline void xapic_write(uint32_t reg, uint32_t value)
{
    *(volatile uint32_t *)(APIC_PAGE + reg) = value;
}

static inline void x2_icr(uint32_t destination, uint32_t low)
{
    wrmsr(X2(APIC_ICR_REG), (uint64_t)destination << 32 | low);
}

uint64_t hypercall(uint64_t input, uint64_t in_gpa, uint64_t out_gpa);
#define HC_IN ((uint8_t *)(uint64_t)GUEST_SCRATCH_GPA)
#define HC_OUT ((uint8_t *)(uint64_t)(GUEST_SCRATCH_GPA + 4096))

// Ring 3; comes back by an exception only, see tests_cpu.c. Needs user_init() once.
void enter_user(void (*fn)(void));
void user_init(void);

bool on_svm(void);
void spin_us(uint64_t us);
uint64_t random64(void); // from guest_args.seed and the VP's index, so that a run can be repeated
void random_seed(uint64_t seed);

// An interrupt handler that counts, and the count.
extern volatile uint32_t ticks;
void count_tick(struct frame *f); // ends with an x2APIC EOI
void wait_tick(uint32_t wanted);  // interrupts are off before and after

// Starts processor `apic_id` at fn on a stack of its own; returns when it runs.
void smp_start(uint32_t apic_id, void (*fn)(void));

extern volatile uint32_t ap_running; // processors that have reached their function, ever

struct guest_test {
    const char *name;
    void (*fn)(void); // NULL: the root's alone
};
extern const struct guest_test guest_tests[];

#endif
