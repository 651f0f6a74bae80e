// SPDX-License-Identifier: Apache-2.0
// The time-stamp counter's frequency, measured against the PIT or the ACPI power management timer.
//
// CPUID leaves 15h and 16h are only believed when a measurement agrees: under emulators and some firmware
// they describe another processor. Every wait is bounded by the TSC itself, so that a missing device
// costs time and not the boot.
#include "arch/x86/host_internal.h"

#define PIT_HZ 1193182ull
#define PIT_CHANNEL2 0x42
#define PIT_COMMAND 0x43
#define PIT_GATE 0x61
#define PIT_GATE_ENABLE 0x01
#define PIT_GATE_SPEAKER 0x02
#define PIT_MODE0_CHANNEL2 0xb0 // low then high byte, interrupt on terminal count
#define PIT_LATCH_CHANNEL2 0x80

#define PM_TIMER_HZ 3579545ull
#define PM_TIMER_MASK 0xffffffu

#define MEASURE_US 10000
#define ROUNDS 3
#define SILENT_TICKS (1ull << 28) // a reference that stands still so long does not count

uint64_t host_tsc_hz;

static uint16_t pm_port;

void tsc_delay_us(uint32_t us)
{
    uint64_t end = rdtsc() + us * (host_tsc_hz / 1000) / 1000;

    while (rdtsc() < end) {
        cpu_pause();
    }
}

static uint32_t pit_read(void)
{
    outb(PIT_COMMAND, PIT_LATCH_CHANNEL2);
    uint32_t low = inb(PIT_CHANNEL2);
    uint32_t count = low | (uint32_t)inb(PIT_CHANNEL2) << 8;
    return (0xffff - count) & 0xffff; // upwards
}

static void pit_start(void)
{
    outb(PIT_GATE, (inb(PIT_GATE) & ~PIT_GATE_SPEAKER) | PIT_GATE_ENABLE);
    outb(PIT_COMMAND, PIT_MODE0_CHANNEL2);
    outb(PIT_CHANNEL2, 0xff);
    outb(PIT_CHANNEL2, 0xff);
}

static uint32_t pm_read(void)
{
    return inl(pm_port) & PM_TIMER_MASK;
}

struct reference {
    const char *name;
    uint64_t hz;
    uint32_t mask;
    uint32_t (*read)(void);
};

// TSC ticks while `ref` counts for MEASURE_US, scaled to a second; 0 if it stands still.
static uint64_t measure(const struct reference *ref)
{
    uint64_t wanted = ref->hz * MEASURE_US / 1000000;
    uint32_t first = ref->read();
    uint64_t limit = rdtsc() + SILENT_TICKS;
    uint32_t start = first;

    while (start == first) { // begin at an edge
        start = ref->read();
        if (rdtsc() > limit) {
            return 0;
        }
    }
    uint64_t tsc_start = rdtsc();
    uint64_t passed, now;
    limit = tsc_start + 64 * SILENT_TICKS;
    do {
        passed = (ref->read() - start) & ref->mask;
        now = rdtsc();
    } while (passed < wanted && now < limit);
    return passed < wanted ? 0 : (now - tsc_start) * ref->hz / passed;
}

// The median of some rounds: one interrupted by SMM or a busy host does not matter.
static uint64_t measure_median(const struct reference *ref, bool pit)
{
    uint64_t hz[ROUNDS];

    for (unsigned i = 0; i < ROUNDS; i++) {
        if (pit) {
            pit_start();
        }
        hz[i] = measure(ref);
        for (unsigned j = i; j > 0 && hz[j - 1] > hz[j]; j--) {
            uint64_t t = hz[j];
            hz[j] = hz[j - 1];
            hz[j - 1] = t;
        }
    }
    return hz[ROUNDS / 2];
}

static uint16_t find_pm_timer(void)
{
    if (acpi_power()->pm_timer != 0) {
        return acpi_power()->pm_timer;
    }
    if (!piix4_is_there() || (piix4_read(PIIX4_PMREGMISC) & PIIX4_PMIOSE) == 0) {
        return 0;
    }
    uint16_t base = piix4_read(PIIX4_PMBA) & 0xffc0;
    return base != 0 ? base + 8 : 0;
}

static uint64_t cpuid_hz(void)
{
    struct cpuid_regs r = cpuid_checked(0x15, 0);

    if (r.eax == 0 || r.ebx == 0 || r.ecx == 0) {
        return 0;
    }
    return (uint64_t)r.ecx * r.ebx / r.eax;
}

static bool agree(uint64_t a, uint64_t b) // within 0.5 %
{
    uint64_t difference = a > b ? a - b : b - a;

    return b != 0 && difference < b / 200;
}

void tsc_calibrate(const struct boot_info *info)
{
    static const struct reference pit = {"PIT", PIT_HZ, 0xffff, pit_read};
    static const struct reference pm = {"PM timer", PM_TIMER_HZ, PM_TIMER_MASK, pm_read};
    const struct reference *used = &pit;
    uint64_t hz = measure_median(&pit, true);

    if (hz == 0 && (pm_port = find_pm_timer()) != 0) {
        used = &pm;
        hz = measure_median(&pm, false);
    }
    uint64_t claimed = cpuid_hz();
    const char *source = hz == 0 ? "firmware" : used->name;
    if (hz == 0) {
        hz = claimed != 0 ? claimed : info->tsc_hz_hint;
    } else if (agree(claimed, hz)) {
        hz = claimed;
        source = "CPUID";
    }
    if (hz < 1000000) {
        panic("no usable clock: PIT and PM timer stand still, and firmware names no TSC frequency");
    }
    host_tsc_hz = hz;
    LOGI("TSC runs at %lu.%03lu MHz by %s", hz / 1000000, hz / 1000 % 1000, source);
}
