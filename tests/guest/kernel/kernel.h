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
void apic_enable(void); // x2APIC mode, software enable
uint64_t hypercall(uint64_t input, uint64_t in_gpa, uint64_t out_gpa);
#define HC_IN ((uint8_t *)(uint64_t)GUEST_SCRATCH_GPA)
#define HC_OUT ((uint8_t *)(uint64_t)(GUEST_SCRATCH_GPA + 4096))

// Starts processor `apic_id` at fn on a stack of its own; returns when it runs.
void smp_start(uint32_t apic_id, void (*fn)(void));

struct guest_test {
    const char *name;
    void (*fn)(void);
};
extern const struct guest_test guest_tests[];

void report(const char *name, uint64_t value); // bench figure

#endif
