// SPDX-License-Identifier: Apache-2.0
// Physical processors: per-processor data, locks, calls to another processor, host time.
#ifndef HV_CPU_H
#define HV_CPU_H

#include <keelson/types.h>

#define HV_MAX_CPUS 64

struct vp;

struct cpu {
    struct cpu *self; // GS:0
    uint32_t index;
    uint32_t apic_id;
    struct vp *current; // VP loaded here, or NULL
    struct vp *context; // VP whose context is live here, or NULL (hv/context.h)
    bool online;
    uint8_t *stack_top;
    void *arch;      // arch/x86: GDT, TSS, VMXON region or host save area
    void *virt_save; // AMD-V: the hypervisor's own VMSAVE state

    struct hvcall *hvcall; // the call that its VP makes (hv/hypercall.c)
    // calls from other processors (cpu_call)
    struct cpu_call *calls; // (a) list
    // scheduler and timers (hv/sched.c)
    struct sched_cpu *sched;
    uint64_t idle_tsc;
    uint64_t armed_deadline; // what the local APIC timer is programmed to; ~0 none
};

extern struct cpu cpus[HV_MAX_CPUS];
extern uint32_t cpu_count;
extern uint32_t cpu_first; // those before it run no VPs: 0, or 1 where virt_caps.spare_boot_cpu says so

// How many processors run VPs.
static inline uint32_t cpu_working(void)
{
    return cpu_count - cpu_first;
}

static inline struct cpu *this_cpu(void)
{
    struct cpu *c;

    __asm__("mov %%gs:0, %0" : "=r"(c));
    return c;
}

// Runs fn(arg) on processor `index` with interrupts off and waits for it; runs it directly if that is this
// one. fn must be short and may not take the hypervisor lock. While waiting this processor serves calls
// itself, so two processors can call each other.
void cpu_call(uint32_t index, void (*fn)(void *), void *arg);
void cpu_call_all(void (*fn)(void *), void *arg); // every online processor, this one included
void cpu_serve_calls(void);

// Sends the kick IPI: the target leaves guest mode or its idle loop and looks at its work.
void cpu_kick(uint32_t index);

// --- provided by arch/x86 (see arch/x86/host.h for the rest) ---
#ifdef KEELSON_HV
static inline uint64_t host_tsc(void)
{
    return __builtin_ia32_rdtsc();
}
#else
uint64_t host_tsc(void); // a test's own clock
#endif
extern uint64_t host_tsc_hz;
void host_timer_arm(uint64_t deadline_tsc); // one shot on this processor; ~0 disarms
// Opens the interrupt window for a moment so that pending physical interrupts are taken through the IDT.
void host_interrupt_window(void);
// Waits with interrupts enabled until one arrives (STI;HLT); returns with interrupts off.
void host_halt(void);

typedef struct {
    uint32_t next, owner;
} spinlock_t;
SELDOM void spin_wait(const spinlock_t *l, uint32_t ticket); // slow half of spin_lock()

// Ticket locks for short sections; no calls to other processors inside.
static inline void spin_lock(spinlock_t *l)
{
    uint32_t ticket = __atomic_fetch_add(&l->next, 1, __ATOMIC_ACQ_REL);

    if (__builtin_expect(__atomic_load_n(&l->owner, __ATOMIC_ACQUIRE) != ticket, 0)) {
        spin_wait(l, ticket);
    }
}

static inline void spin_unlock(spinlock_t *l)
{
    // Nobody else writes it: no locked access is needed, and no store passes another one on this architecture.
    __asm__ volatile("incl %0" : "+m"(l->owner) : : "memory", "cc");
}

// --- the hypervisor lock: everything about partitions, GPA spaces and frames ---
extern spinlock_t hv_big_lock;
SELDOM void hv_lock_wait(uint32_t ticket); // slow half of hv_lock(); serves cpu_call()s

static inline void hv_lock(void)
{
    uint32_t ticket = __atomic_fetch_add(&hv_big_lock.next, 1, __ATOMIC_ACQ_REL);

    if (__builtin_expect(__atomic_load_n(&hv_big_lock.owner, __ATOMIC_ACQUIRE) != ticket, 0)) {
        hv_lock_wait(ticket);
    }
}

static inline void hv_unlock(void)
{
    spin_unlock(&hv_big_lock);
}

// --- log and failure (hv/log.c) ---
enum log_level { LOG_ERROR, LOG_NOTICE, LOG_WARN, LOG_INFO, LOG_DEBUG };
void log_msg(enum log_level level, const char *fmt, ...) PRINTF_LIKE(2, 3); // one line, no newline
#define LOGE(...) log_msg(LOG_ERROR, __VA_ARGS__)
#define LOGN(...) log_msg(LOG_NOTICE, __VA_ARGS__)
#define LOGW(...) log_msg(LOG_WARN, __VA_ARGS__)
#define LOGI(...) log_msg(LOG_INFO, __VA_ARGS__)
#define LOGD(...) log_msg(LOG_DEBUG, __VA_ARGS__)
void panic(const char *fmt, ...) PRINTF_LIKE(1, 2) __attribute__((noreturn));
#define ASSERT(cond)                                                                                         \
    do {                                                                                                     \
        if (!(cond)) {                                                                                       \
            panic("%s:%d: %s", __FILE__, __LINE__, #cond);                                                   \
        }                                                                                                    \
    } while (0)

#ifdef KEELSON_HOST
extern uint64_t fake_direct_base; // where a test has the memory of its machine (tests/unit/fake_node.c)
#define CPU_DIRECT_BASE fake_direct_base
#else
#define CPU_DIRECT_BASE 0xffff800000000000ull // HV_DIRECT_BASE
#endif

static inline void *spa_to_va(spa_t spa)
{
    return (void *)(CPU_DIRECT_BASE + spa.v);
}
extern uint64_t hv_image_spa; // where the image lies, set before anything else runs

// Addresses in the direct map or in the image.
static inline spa_t va_to_spa(const void *va)
{
    uint64_t v = (uint64_t)va;

    return SPA(v >= 0xffffffff80000000ull ? v - 0xffffffff80000000ull + hv_image_spa : v - CPU_DIRECT_BASE);
}

#endif
