// SPDX-License-Identifier: Apache-2.0
// The test root partition: runs every test on the real hypervisor and says PASS or FAIL.
//
// It stands where the management partition's data plane normally is, on the same run-time (mgmt/rt). For each
// test it builds a partition from scratch, serves the intercepts of the micro-guest until that is done, tears
// it down, and checks that every page came back. Lines in keelson.cfg: guest-tests=WORD,WORD selects tests whose
// names begin so, guest-seed=N is where the seeds of random guests start, guest-end=silence ends with a plane that
// hangs.
#include "tests/guest/root/root.h"

#include "mgmt/dataplane/dataplane.h"
#include "mgmt/plat.h"
#include "mgmt/rt/start.h"
#include "mgmt/rt/wake.h"
#include "tests/guest/root/tests.h"

#include <stdlib.h>
#include <string.h>

#define TEST(name_, vps_, ends_, ...) {.name = #name_, .vps = (vps_), .ends_with = (ends_), ##__VA_ARGS__},
#define ROOT_TEST(name_) {.name = #name_, .run = root_##name_},
const struct root_test root_tests[] = {
#include "tests/guest/tests.def"
    {.name = NULL},
};
#undef TEST
#undef ROOT_TEST

const struct mgmt_boot_info *boot;
static bool go;
static gpa_t slots[SLOTS], spare; // allocated by the control plane before the start
static char line[160];
static unsigned line_len;

// --- text on the console ---

// However slow the wire is: a line lost is a result lost.
static void put_line(void)
{
    for (size_t at = 0, taken; at < line_len; at += taken) {
        if (hvif_console_put(line + at, line_len - at, &taken) != HV_STATUS_SUCCESS) {
            break;
        }
    }
    line_len = 0;
}

static void put_char(char c)
{
    if (c == '\n') {
        line[line_len++] = '\n';
        put_line();
    } else if (line_len < sizeof(line) - 2) {
        line[line_len++] = c;
    }
}

void put(const char *text)
{
    for (; *text != '\0'; text++) {
        put_char(*text);
    }
}

void put_number(uint64_t n)
{
    char digits[21];
    unsigned i = sizeof(digits) - 1;

    digits[i] = '\0';
    do {
        digits[--i] = (char)('0' + n % 10);
        n /= 10;
    } while (n != 0);
    put(digits + i);
}

bool complain(unsigned at, const char *what, uint64_t value)
{
    put("root: line ");
    put_number(at);
    put(": not so: ");
    put(what);
    if (value != 0) {
        put(" ");
        put_number(value);
    }
    put("\n");
    return false;
}

// --- running tests ---

unsigned test_number(const char *name)
{
    for (unsigned i = 0; root_tests[i].name != NULL; i++) {
        if (strcmp(root_tests[i].name, name) == 0) {
            return i;
        }
    }
    return 0;
}

static bool ended_well(struct guest *g, const struct root_test *t, bool in_time)
{
    if (!in_time && !t->may_time_out && t->ends_with != ANY_END) {
        put("root: time-out\n");
        for (uint32_t vp = 0; vp < g->vps; vp++) {
            (void)!hvif_system(HV_X_DUMP, (uint32_t)(g->partition & 0xffff) << 8 | vp);
        }
        return false;
    }
    if (t->ends_with != ANY_END && g->failed_line == 0 && g->last_message != t->ends_with) {
        return complain(__LINE__, "it ended with message", g->last_message);
    }
    if (t->ends_with == ANY_END) {
        return true;
    }
    if (g->failed_line != 0) {
        put("root: the guest's check in line ");
        put_number(g->failed_line);
        put(" failed\n");
    }
    return g->failed_line == 0 && (t->after == NULL || t->after(g));
}

static bool run_guest(unsigned number, uint32_t seed)
{
    static struct guest g;
    const struct root_test *t = &root_tests[number];
    bool ok = guest_build(&g, 0, number, t->vps == 0 ? 1 : t->vps, seed);

    ok = ok && (t->setup == NULL || t->setup(&g)) && guest_start(&g);
    if (ok) {
        uint64_t ms = t->may_time_out ? 20 : t->ends_with == ANY_END ? CHAOS_MS : TEST_MS;
        bool in_time = serve_guests(ms);

        ok = ended_well(&g, t, in_time);
    }
    return guest_tear_down(&g) && ok;
}

// What follows KEY in keelson.cfg, or NULL.
static const char *setting(const char *key)
{
    const char *at = strstr(boot->boot.config, key);

    return at == NULL ? NULL : at + strlen(key);
}

uint32_t first_seed(void)
{
    const char *text = setting("guest-seed=");

    return text == NULL ? 1 : (uint32_t)strtoul(text, NULL, 10);
}

void say_seed(const char *name, uint32_t seed)
{
    put("root: ");
    put(name);
    put(" with seed ");
    put_number(seed);
    put("\n");
}

static bool counts_equal(const struct hv_x_info_out *a, const struct hv_x_info_out *b)
{
    return a->deposited_pages == b->deposited_pages && a->mapped_pages == b->mapped_pages &&
           a->partition_count == b->partition_count && a->hv_pages == b->hv_pages;
}

static bool run_test(unsigned number)
{
    const struct root_test *t = &root_tests[number];
    struct hv_x_info_out before, after;
    bool ok = true;

    (void)!hvif_info(&before);
    if (t->run != NULL) {
        ok = t->run();
    }
    for (uint32_t i = 0; t->run == NULL && i < MAX(t->seeds, 1u); i++) {
        if (t->seeds != 0) {
            say_seed(t->name, first_seed() + i);
        }
        ok = run_guest(number, first_seed() + i) && ok;
    }
    (void)!hvif_info(&after);
    if (!counts_equal(&before, &after)) {
        ok = complain(__LINE__, "frame counts as before; pages in pools differ by",
                      after.deposited_pages - before.deposited_pages);
    }
    put(ok ? "PASS: " : "FAIL: ");
    put(t->name);
    put("\n");
    return ok;
}

static bool selected(const char *name)
{
    const char *word = setting("guest-tests=");

    if (word == NULL) {
        return true;
    }
    for (;;) {
        size_t len = strcspn(word, ", \r\n");

        if (strncmp(name, word, len) == 0) {
            return true;
        }
        if (word[len] != ',') {
            return false;
        }
        word += len + 1;
    }
}

static gpa_t slot_memory(unsigned slot)
{
    return slots[slot];
}

gpa_t spare_memory(void)
{
    return spare;
}

// --- in the place of the data plane and of mgmt/main.c ---

void dataplane_init(void)
{
}

void dataplane_heartbeat(uint32_t watchdog_s)
{
    (void)watchdog_s;
}

// Asks for a watchdog and does not show any more that it lives.
static void fall_silent(void)
{
    (void)!hvif_system(HV_X_WATCHDOG, 1);
    for (;;) {
        cpu_pause();
    }
}

// Sleeps until the control plane has prepared memory (as mgmt/dataplane/loop.c does).
static void wait_for_go(void)
{
    wake_init(&wake_data);
    while (!__atomic_load_n(&go, __ATOMIC_ACQUIRE)) {
        uint32_t seen = wake_seen(&wake_data);

        if (!__atomic_load_n(&go, __ATOMIC_ACQUIRE) && wake_prepare(&wake_data, seen)) {
            cpu_sleep();
        }
        wake_done(&wake_data);
    }
}

void dataplane_run(void)
{
    unsigned passed = 0, failed = 0;

    wait_for_go();
    (void)guest_init(slot_memory);
    for (unsigned i = 0; root_tests[i].name != NULL; i++) {
        if (!selected(root_tests[i].name)) {
            continue;
        }
        if (run_test(i)) {
            passed++;
        } else {
            failed++;
        }
    }
    cover_exits(HV_PARTITION_ID_SELF);
    cover_print();
    put("guest tests: ");
    put_number(passed);
    put(" passed, ");
    put_number(failed);
    put(" failed\n");
    if (setting("guest-end=silence") != NULL) {
        fall_silent();
    }
    (void)!hvif_system(HV_X_POWER_OFF, 0);
    for (;;) {
        __asm__ volatile("hlt");
    }
}

void mgmt_main(const struct mgmt_boot_info *info)
{
    bool ok = plat_pool_alloc(1, &spare);

    boot = info;
    for (unsigned i = 0; i < SLOTS; i++) {
        ok = ok && plat_pool_alloc((GUEST_MEMORY + PAGE_SIZE_2M) / PAGE_SIZE_2M, &slots[i]);
    }
    if (!ok) {
        plat_log(LOG_ERROR, "no memory for guests");
        return;
    }
    __atomic_store_n(&go, true, __ATOMIC_RELEASE);
    wake(&wake_data);
}
