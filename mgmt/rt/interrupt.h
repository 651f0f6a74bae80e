// SPDX-License-Identifier: Apache-2.0
// Interrupt vectors and their handlers; the end of the partition when an exception arrives.
//
// Handlers run with interrupts off, on an interrupt stack, on the VP that the vector was directed to, and
// must not touch vector registers: they live in folders compiled with -mgeneral-regs-only or in *_isr.c.
#ifndef MGMT_RT_INTERRUPT_H
#define MGMT_RT_INTERRUPT_H

#include <keelson/types.h>

enum rt_vector {
    RT_VECTOR_DEVICE = 0x30, // first of those given out by rt_vector_alloc()
    RT_VECTOR_DEVICE_END = 0xe0,
    RT_VECTOR_CONSOLE = 0xe0,
    RT_VECTOR_DOORBELL = 0xe1, // from the other plane
    RT_VECTOR_TIMER = 0xe2,
    RT_VECTOR_GUESTS = 0xe3, // doorbells of guests' devices, data plane
    RT_VECTOR_SPURIOUS = 0xff,
};

struct rt_frame { // what the stubs in entry.S leave on the stack
    uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
    uint64_t vector, error;
    uint64_t rip, cs, rflags, rsp, ss;
};

// Called with `arg` for each interrupt; the end of interrupt is signalled after it returns, so a handler
// of a level input takes the cause away first.
typedef void rt_handler_fn(void *arg);

// A free device vector, or 0 when none is left. Control plane, at start.
uint8_t rt_vector_alloc(void);
void rt_vector_set(uint8_t vector, rt_handler_fn *fn, void *arg);

void rt_interrupt(struct rt_frame *frame); // entry.S

// Prints what happened and ends the node. Any plane, any context.
void rt_panic(const char *what) __attribute__((noreturn));

#endif
