// SPDX-License-Identifier: Apache-2.0
// The node as it is measured: hypervisor, data plane, core and device models are the real ones; in the place of
// network and API stand stages one after the other, whose figures go to the console.
//
// First a built-in guest measures single operations, then shares.c and scale.c what several guests get and cost. Without
// a network nothing depends on the outside, so that an emulator that counts instructions gives the same figures in every
// run. Prints `BENCH name hundredths` lines and ends the machine.
#include "mgmt/core/core.h"
#include "mgmt/core/image.h"
#include "mgmt/dataplane/dataplane.h"
#include "mgmt/hvif/hvif.h"
#include "mgmt/plat.h"
#include "mgmt/rt/start.h"
#include "tests/bench/node/node.h"

#include <stdio.h>
#include <string.h>

#define GUEST_MEMORY (1ull << 30)

extern const uint8_t bench_guest[], bench_guest_end[];

static struct core_node node;
static struct system *guest;
static struct notify reader;
static struct plat_work next;
static uint64_t sequence;
static uint64_t start_tsc;
static char line[128];
static size_t line_len;

static void say(const char *text)
{
    if (hvif_console_write(text, strlen(text)) != HV_STATUS_SUCCESS) {
        plat_log(LOG_ERROR, "console");
    }
}

void bench_report(const char *name, uint64_t hundredths)
{
    char text[96];

    snprintf(text, sizeof text, "BENCH %s %llu\n", name, (unsigned long long)hundredths);
    say(text);
}

static void end_machine(void)
{
    __asm__ volatile("outb %%al, $0xf4" : : "a"(0)); // QEMU isa-debug-exit, where there is one
    (void)!hvif_system(HV_X_POWER_OFF, 0);
}

void bench_give_up(const char *what, const char *why)
{
    char text[400];

    snprintf(text, sizeof text, "BENCH error: %s: %s\n", what, why);
    say(text);
    end_machine();
}

// --- the stages behind the first ---

static void finish(void)
{
    say("BENCH done\n");
    end_machine();
}

static void scale(void)
{
    scale_run(finish);
}

// A second of each share takes a thousand million instructions in QEMU, whose clock counts them as nanoseconds: left to
// Bochs.
static void measuring_guest_gone(uint64_t end_tsc)
{
    (void)end_tsc;
    if (strcmp(node.engine, "vmx") == 0) {
        shares_run(scale);
    } else {
        scale();
    }
}

static void end_measuring_guest(struct plat_work *work)
{
    (void)work;
    bench_stop(guest, measuring_guest_gone);
}

// --- the measuring guest ---

// Everything the hypervisor holds for this partition: its VP, its tables for a GiB of memory, the unused rest of
// the pool not.
static void report_memory(void)
{
    struct hv_memory_balance_out balance = {0};

    if (hvif_memory_balance(guest->partition.id, &balance) == HV_STATUS_SUCCESS) {
        bench_report("mem.hv_per_partition", balance.in_use * PAGE_SIZE * 100);
    }
}

static void got_line(void)
{
    if (strcmp(line, "BENCH start") == 0) {
        bench_report("mem.create_per_gib", (__builtin_ia32_rdtsc() - start_tsc) * 100 / (GUEST_MEMORY >> 30));
        report_memory();
        return;
    }
    if (strcmp(line, "BENCH done") == 0) {
        notify_remove(&guest->com[0].readers, &reader);
        plat_post(&next, end_measuring_guest);
        return;
    }
    strcat(line, "\n");
    say(line);
}

static void got_output(struct notify *n)
{
    char c;

    (void)n;
    while (console_read(&guest->com[0], &sequence, &c, 1, NULL) == 1) {
        if (c == '\n') {
            line[line_len] = '\0';
            got_line();
            line_len = 0;
        } else if (line_len < sizeof(line) - 2) {
            line[line_len++] = c;
        }
    }
    if (guest->state == SYSTEM_STOPPED) {
        bench_give_up("guest", guest->exit_text);
    }
}

static bool put_image(struct core_error *error)
{
    struct image_upload *up;
    size_t size = (size_t)(bench_guest_end - bench_guest);

    return image_upload_begin("bench", size, &up, error) == CORE_OK &&
           image_upload_write(up, bench_guest, size, error) == CORE_OK &&
           image_upload_finish(up, NULL, NULL, error) == CORE_OK;
}

// Once somebody reads the console its output leaves by interrupt: nothing that is measured waits for the wire.
static void open_console(void)
{
    char none[1];
    size_t length;

    rt_console_init();
    (void)!hvif_console_read(none, sizeof none, &length);
}

void mgmt_main(const struct mgmt_boot_info *info)
{
    const struct system_config config = {.memory_bytes = GUEST_MEMORY, .com = {true}, .cmdline = "measure"};
    struct core_error error;

    node = (struct core_node){
        .version = info->version,
        .engine = info->engine,
        .cpu_brand = info->cpu_brand,
        .hostname = "bench",
        .cpu_count = info->cpu_count,
        .tsc_hz = info->tsc_hz,
    };
    open_console();
    dataplane_go();
    core_init(&node);
    if (!put_image(&error)) {
        bench_give_up("image", error.text);
        return;
    }
    guest = bench_create("bench", &config);
    if (guest == NULL) {
        return;
    }
    notify_add(&guest->com[0].readers, &reader, got_output);
    start_tsc = __builtin_ia32_rdtsc();
    if (system_start(guest, NULL, &error) != CORE_OK) {
        bench_give_up("start", error.text);
    }
}
