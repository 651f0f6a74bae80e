// SPDX-License-Identifier: Apache-2.0
// Weights, caps and reservations, measured by the work that guests get done.
#include "tests/guest/root/tests.h"

#include "mgmt/plat.h"

#include <string.h>

#define MEASURE_MS 1000
#define PERCENT(n) (0x10000u * (n) / 100)

static struct guest guests[SLOTS];
static uint64_t counted[SLOTS], ran[SLOTS], started;

static bool set_property(struct guest *g, uint32_t code, uint64_t value)
{
    return must(hvif_set_property(g->partition, code, value), "set property");
}

static bool build(unsigned slot, uint32_t weight, uint32_t cap, uint32_t reserve)
{
    struct guest *g = &guests[slot];

    return guest_build(g, slot, test_number("count"), 1, 1) && set_property(g, HV_PROP_CPU_WEIGHT, weight) &&
           set_property(g, HV_PROP_CPU_CAP, cap) && set_property(g, HV_PROP_CPU_RESERVE, reserve);
}

static uint64_t counter(unsigned slot)
{
    return __atomic_load_n(&guest_args(&guests[slot])->counter, __ATOMIC_RELAXED);
}

static uint64_t run_time(unsigned slot)
{
    struct hv_x_counters_out out;

    return must(hvif_counters(guests[slot].partition, 0, &out), "counters") ? out.value[HV_CTR_RUN_TSC] : 0;
}

static void measure(unsigned n)
{
    (void)serve_guests(100); // the start is not measured
    started = cpu_rdtsc();
    for (unsigned i = 0; i < n; i++) {
        counted[i] = counter(i);
        ran[i] = run_time(i);
    }
    (void)serve_guests(MEASURE_MS);
    for (unsigned i = 0; i < n; i++) {
        counted[i] = counter(i) - counted[i];
        ran[i] = run_time(i) - ran[i];
    }
    started = cpu_rdtsc() - started;
}

static bool start(unsigned n)
{
    bool ok = true;

    for (unsigned i = 0; i < n && ok; i++) {
        ok = guest_start(&guests[i]);
    }
    return ok;
}

static bool tear_down(unsigned n, bool ok)
{
    for (unsigned i = 0; i < n; i++) {
        ok = guest_tear_down(&guests[i]) && ok;
    }
    return ok;
}

// Bochs counts instructions: what a guest was charged for is what it did, and 2 percentage points can be demanded.
// The clock of the other machines is the host's. It goes on while an emulated processor stands still, for longer than
// a period if the host is busy, and whoever is current then is charged for it: nothing can be said of single guests.
static bool is_exact(void)
{
    return strcmp(boot->engine, "vmx") == 0;
}

static bool is_between(unsigned line, const char *what, uint64_t per_mille, uint64_t low, uint64_t high)
{
    return !is_exact() || (per_mille + 20 >= low && per_mille <= high + 20) ||
           complain(line, what, per_mille);
}

// Of all work that the guests did, guest `i` did between `low` and `high` per mille.
static bool did_share(unsigned line, unsigned n, unsigned i, uint64_t low, uint64_t high)
{
    uint64_t all = 0;

    for (unsigned k = 0; k < n; k++) {
        all += counted[k];
    }
    return WANT(all != 0) &&
           is_between(line, "its share of the work; per mille it was", counted[i] * 1000 / all, low, high);
}

#define DID(n, i, low, high) did_share(__LINE__, n, i, low, high)

// Of a processor's time, guest `i` had so much, by the hypervisor's account.
static bool had_share(unsigned line, unsigned i, uint64_t per_mille)
{
    return is_between(line, "its share of time; per mille it was", ran[i] * 1000 / started, per_mille,
                      per_mille);
}

#define HAD(i, per_mille) had_share(__LINE__, i, per_mille)

static uint32_t processors(void)
{
    return boot->cpu_count;
}

bool root_share_weights(void)
{
    bool ok = build(0, 100, PERCENT(100), 0) && build(1, 200, PERCENT(100), 0) &&
              build(2, 300, PERCENT(100), 0) && start(3);

    if (ok) {
        measure(3);
        ok = DID(3, 0, 167, 167) && DID(3, 1, 333, 333) && DID(3, 2, 500, 500);
    }
    return tear_down(3, ok);
}

// On two processors somebody has to move all the time.
bool root_share_equal(void)
{
    bool ok = build(0, 100, PERCENT(100), 0) && build(1, 100, PERCENT(100), 0) &&
              build(2, 100, PERCENT(100), 0) && start(3);

    if (ok) {
        measure(3);
        ok = DID(3, 0, 333, 333) && DID(3, 1, 333, 333) && DID(3, 2, 333, 333);
    }
    return tear_down(3, ok);
}

// The cap holds although its processor idles otherwise, and can be changed.
bool root_share_cap_alone(void)
{
    bool ok = build(0, 100, PERCENT(25), 0) && start(1);

    if (ok) {
        measure(1);
        ok = HAD(0, 250) && set_property(&guests[0], HV_PROP_CPU_CAP, PERCENT(60));
    }
    if (ok) {
        measure(1);
        ok = HAD(0, 600);
    }
    return tear_down(1, ok);
}

// ... and against others, whatever the weight; what it leaves is theirs.
bool root_share_cap(void)
{
    uint32_t n = processors();
    bool ok = build(0, 10000, PERCENT(30), 0) && build(1, 100, PERCENT(100), 0) &&
              build(2, 100, PERCENT(100), 0) && start(3);

    if (ok) {
        measure(3);
        ok = HAD(0, 300) && DID(3, 0, 300 / n, 300 / n) &&
             DID(3, 1, (1000 - 300 / n) / 2, (1000 - 300 / n) / 2);
    }
    return tear_down(3, ok);
}

bool root_share_reservation(void)
{
    uint32_t n = processors();
    bool ok = build(0, 1, PERCENT(100), PERCENT(50)) && build(1, 10000, PERCENT(100), 0) &&
              build(2, 10000, PERCENT(100), 0) && start(3);

    if (ok) {
        measure(3);
        // With two processors it runs on, at times, until one of the others has come over.
        ok = DID(3, 0, 500 / n, 560 / n) && DID(3, 1, (1000 - 560 / n) / 2, (1000 - 500 / n) / 2);
    }
    return tear_down(3, ok);
}

// Two reservations that only fit on different processors, or one processor's whole.
bool root_share_reservations(void)
{
    uint32_t n = processors(), each = n == 1 ? 35 : 70;
    bool ok = build(0, 1, PERCENT(100), PERCENT(each)) && build(1, 1, PERCENT(100), PERCENT(each)) &&
              build(2, 10000, PERCENT(100), 0) && start(3);

    if (ok) {
        measure(3);
        // On two processors the gaps may fall together, and the third guest can use only one at a time.
        ok = DID(3, 0, 10 * each / n, 500) && DID(3, 1, 10 * each / n, 500) && DID(3, 2, 150, 300);
    }
    return tear_down(3, ok);
}

static bool refuses(struct guest *g, uint32_t code, uint64_t value, hv_status_t status)
{
    return hvif_set_property(g->partition, code, value) == status ||
           complain(code & 0xff, "refused; the value was", value);
}

// What cannot be kept is not promised: the management partition's planes keep a tenth of a processor each.
bool root_share_admission(void)
{
    uint32_t most = processors() == 1 ? 80 : 90;
    struct guest *g = &guests[0], *h = &guests[1];
    bool ok = build(0, 100, PERCENT(100), PERCENT(most)) && build(1, 100, PERCENT(100), 0);

    ok = ok && refuses(g, HV_PROP_CPU_RESERVE, PERCENT(most + 1), HV_STATUS_NO_RESOURCES) &&
         refuses(g, HV_PROP_CPU_RESERVE, 0x10001, HV_STATUS_PROPERTY_VALUE_OUT_OF_RANGE) &&
         refuses(g, HV_PROP_CPU_CAP, PERCENT(most - 1), HV_STATUS_PROPERTY_VALUE_OUT_OF_RANGE) &&
         refuses(g, HV_PROP_CPU_CAP, 0x10001, HV_STATUS_PROPERTY_VALUE_OUT_OF_RANGE) &&
         refuses(g, HV_PROP_CPU_WEIGHT, 0, HV_STATUS_PROPERTY_VALUE_OUT_OF_RANGE) &&
         refuses(g, HV_PROP_CPU_WEIGHT, 10001, HV_STATUS_PROPERTY_VALUE_OUT_OF_RANGE);
    if (ok && processors() == 2) {
        ok = set_property(h, HV_PROP_CPU_RESERVE, PERCENT(60)) &&
             WANT(hvif_create_vp(h->partition, 1) == HV_STATUS_NO_RESOURCES); // a second one of 60 percent
    } else if (ok && processors() == 1) {
        ok = refuses(h, HV_PROP_CPU_RESERVE, PERCENT(1), HV_STATUS_NO_RESOURCES);
    }
    ok = ok && set_property(g, HV_PROP_CPU_RESERVE, 0) && set_property(h, HV_PROP_CPU_RESERVE, PERCENT(most));
    return tear_down(2, ok);
}
