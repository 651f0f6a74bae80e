// SPDX-License-Identifier: Apache-2.0
// Interrupt dispatch, and how the management partition dies.
#include "mgmt/rt/interrupt.h"

#include "mgmt/hvif/hvif.h"
#include "mgmt/rt/cpu.h"
#include "mgmt/rt/entropy.h"

#define PANIC_DELAY_S 5 // time to read the screen before the machine restarts

static struct {
    rt_handler_fn *fn;
    void *arg;
} handlers[256];
static uint8_t next_vector = RT_VECTOR_DEVICE;

uint8_t rt_vector_alloc(void)
{
    return next_vector < RT_VECTOR_DEVICE_END ? next_vector++ : 0;
}

void rt_vector_set(uint8_t vector, rt_handler_fn *fn, void *arg)
{
    handlers[vector].arg = arg;
    __atomic_store_n(&handlers[vector].fn, fn, __ATOMIC_RELEASE);
}

// --- the end ---

struct text { // one console write, built without libc
    char buf[1600];
    size_t len;
};

static void put_string(struct text *t, const char *s)
{
    while (*s != 0 && t->len < sizeof(t->buf)) {
        t->buf[t->len++] = *s++;
    }
}

static void put_hex(struct text *t, const char *name, uint64_t v)
{
    char digits[18];

    for (unsigned i = 0; i < 16; i++) {
        digits[i] = "0123456789abcdef"[v >> (60 - 4 * i) & 15];
    }
    digits[16] = ' ';
    digits[17] = 0;
    put_string(t, name);
    put_string(t, digits);
}

// Return addresses: whatever lies on the stack and points into the text.
static void put_trace(struct text *t, const uint64_t *rsp)
{
    extern const char rt_image_start[], rt_text_end[];
    unsigned found = 0;

    put_string(t, "\n  trace ");
    for (unsigned i = 0; i < 512 && found < 16 && ((uint64_t)(rsp + i) & 0xfff) != 0xff8; i++) {
        if (rsp[i] >= (uint64_t)rt_image_start && rsp[i] < (uint64_t)rt_text_end) {
            put_hex(t, "", rsp[i]);
            found++;
        }
    }
}

static void die(struct text *t) __attribute__((noreturn));
static void die(struct text *t)
{
    uint64_t end;
    struct hv_x_info_out info = {0};

    put_string(t, "\n");
    (void)!hvif_console_write(t->buf, t->len); // nobody is left to tell
    if (hvif_info(&info) != HV_STATUS_SUCCESS || info.tsc_hz == 0) {
        info.tsc_hz = 1000000000;
    }
    end = cpu_rdtsc() + PANIC_DELAY_S * info.tsc_hz;
    while (cpu_rdtsc() < end) {
        cpu_pause();
    }
    (void)!hvif_system(HV_X_REBOOT, 0);
    for (;;) {
        __asm__ volatile("cli\n\thlt");
    }
}

static void put_title(struct text *t)
{
    t->len = 0;
    put_string(t, "\nMGMT PANIC");
    put_string(t, rt_vp()->index == RT_VP_DATA ? " (data plane): " : " (control plane): ");
}

void rt_panic(const char *what)
{
    static struct text t;
    uint64_t here = 0;

    cpu_cli();
    put_title(&t);
    put_string(&t, what);
    put_trace(&t, &here);
    die(&t);
}

static void exception(const struct rt_frame *f) __attribute__((noreturn));
static void exception(const struct rt_frame *f)
{
    static const char *const names[] = {"\n  r15 ", "r14 ", "r13 ",     "r12 ",     "\n  r11 ",
                                        "r10 ",     "r9  ", "r8  ",     "\n  rdi ", "rsi ",
                                        "rbp ",     "rbx ", "\n  rdx ", "rcx ",     "rax "};
    static struct text t;
    static bool nested;
    uint64_t cr2;

    __asm__ volatile("mov %%cr2, %0" : "=r"(cr2));
    put_title(&t);
    put_hex(&t, "exception ", f->vector);
    put_hex(&t, "error ", f->error);
    put_hex(&t, "\n  rip ", f->rip);
    put_hex(&t, "rsp ", f->rsp);
    put_hex(&t, "flg ", f->rflags);
    put_hex(&t, "cr2 ", cr2);
    for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
        put_hex(&t, names[i], (&f->r15)[i]);
    }
    if (!nested && (f->rsp & 7) == 0) { // the stack may be what is wrong: look at it only once
        nested = true;
        put_trace(&t, (const uint64_t *)f->rsp);
    }
    die(&t);
}

void rt_interrupt(struct rt_frame *frame)
{
    rt_handler_fn *fn;

    if (frame->vector < 32) {
        exception(frame);
    }
    if (frame->vector == RT_VECTOR_SPURIOUS) {
        return; // needs no end of interrupt (SDM 3A "Spurious Interrupt")
    }
    entropy_sample(frame->vector);
    fn = __atomic_load_n(&handlers[frame->vector].fn, __ATOMIC_ACQUIRE);
    if (fn != NULL) {
        fn(handlers[frame->vector].arg);
    }
    cpu_wrmsr(MSR_X2APIC_EOI, 0);
}
