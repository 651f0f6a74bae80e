// SPDX-License-Identifier: Apache-2.0
// Stacks and switches. Sanitizers are told about each switch, since they keep track of the stack in use.
#include "mgmt/store/fiber.h"

#include <stdlib.h>
#include <string.h>

#include "mgmt/plat.h"

#if defined(__SANITIZE_ADDRESS__)
#define FIBER_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FIBER_ASAN 1
#endif
#endif

#ifdef FIBER_ASAN
#include <sanitizer/common_interface_defs.h>
#define FIBER_STACK_BYTES (4 * FIBER_STACK) // sanitized frames are larger
#else
#define FIBER_STACK_BYTES FIBER_STACK
#endif

#define STACK_FILL 0xa5
#define STACK_GUARD 64         // bytes at the bottom that must keep STACK_FILL
#define DEFAULT_MXCSR 0x1f80u  // SDM 1 section 10.2.3
#define DEFAULT_X87_CW 0x037fu // SDM 1 section 8.1.5

struct fiber {
    void *sp;      // while it does not run
    void *resumer; // stack pointer of whoever resumed it
    void (*fn)(void *arg);
    void *arg;
    bool ended;
#ifdef FIBER_ASAN
    void *fake_stack;
    const void *resumer_bottom;
    size_t resumer_size;
#endif
    _Alignas(16) uint8_t stack[FIBER_STACK_BYTES];
};

struct first_frame { // what fiber_switch() takes from a stack
    uint32_t mxcsr;
    uint16_t x87_cw, pad;
    uint64_t saved[6];
    void (*entry)(void);
    uint64_t no_return;
};
_Static_assert(sizeof(struct first_frame) == 72, "fiber_switch.S");

void fiber_switch(void **save, void *load);

static struct fiber *running;

// Leaves the fiber; comes back at the next fiber_resume().
static void leave(struct fiber *f)
{
#ifdef FIBER_ASAN
    __sanitizer_start_switch_fiber(f->ended ? NULL : &f->fake_stack, f->resumer_bottom, f->resumer_size);
#endif
    fiber_switch(&f->sp, f->resumer);
#ifdef FIBER_ASAN
    __sanitizer_finish_switch_fiber(f->fake_stack, &f->resumer_bottom, &f->resumer_size);
#endif
}

static void fiber_entry(void)
{
    struct fiber *f = running;

#ifdef FIBER_ASAN
    __sanitizer_finish_switch_fiber(NULL, &f->resumer_bottom, &f->resumer_size);
#endif
    f->fn(f->arg);
    f->ended = true;
    leave(f);
    abort(); // nothing resumes a fiber that has ended
}

struct fiber *fiber_new(void (*fn)(void *arg), void *arg)
{
    struct fiber *f = malloc(sizeof *f);
    struct first_frame *frame;

    if (f == NULL) {
        return NULL;
    }
    memset(f, 0, offsetof(struct fiber, stack));
    memset(f->stack, STACK_FILL, sizeof f->stack);
    f->fn = fn;
    f->arg = arg;
    // Its return address then lies 8 bytes off a multiple of 16 (psABI section 3.2.2).
    frame = (struct first_frame *)(f->stack + sizeof f->stack - sizeof *frame);
    *frame = (struct first_frame){.mxcsr = DEFAULT_MXCSR, .x87_cw = DEFAULT_X87_CW, .entry = fiber_entry};
    f->sp = frame;
    return f;
}

static void check_guard(const struct fiber *f)
{
    for (size_t i = 0; i < STACK_GUARD; i++) {
        if (f->stack[i] != STACK_FILL) {
            plat_log(LOG_ERROR, "store: a fiber's stack has run over");
            abort();
        }
    }
}

void fiber_resume(struct fiber *f)
{
#ifdef FIBER_ASAN
    void *fake_stack;
#endif

    running = f;
#ifdef FIBER_ASAN
    __sanitizer_start_switch_fiber(&fake_stack, f->stack, sizeof f->stack);
#endif
    fiber_switch(&f->resumer, f->sp);
#ifdef FIBER_ASAN
    __sanitizer_finish_switch_fiber(fake_stack, NULL, NULL);
#endif
    running = NULL;
    check_guard(f);
}

void fiber_yield(void)
{
    struct fiber *f = running;

    leave(f);
}

bool fiber_ended(const struct fiber *f)
{
    return f->ended;
}

size_t fiber_stack_used(const struct fiber *f)
{
    size_t untouched = 0;

    while (untouched < sizeof f->stack && f->stack[untouched] == STACK_FILL) {
        untouched++;
    }
    return sizeof f->stack - untouched;
}

void fiber_free(struct fiber *f)
{
    free(f);
}
