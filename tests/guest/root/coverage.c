// SPDX-License-Identifier: Apache-2.0
// What the tests have reached: exits by reason, hypercalls by row. tests/guest/test_guest.py demands that nothing is
// missing without a reason (coverage.json).
#include "arch/x86/virt.h"
#include "tests/guest/root/root.h"

static uint64_t exits[EXIT_REASON_COUNT];
static bool refused;

static const struct {
    uint16_t code;
    const char *name;
} calls[] = {
#define ROW(code_, name_, ...) {code_, #name_},
    HVCALL_TABLE(ROW)};
static uint64_t valid[ARRAY_LEN(calls)], invalid[ARRAY_LEN(calls)];

static const char *const names[] = {
    [EXIT_INTERRUPT] = "interrupt",
    [EXIT_NMI] = "nmi",
    [EXIT_INTR_WINDOW] = "interrupt_window",
    [EXIT_NMI_WINDOW] = "nmi_window",
    [EXIT_CPUID] = "cpuid",
    [EXIT_HYPERCALL] = "hypercall",
    [EXIT_RDMSR] = "rdmsr",
    [EXIT_WRMSR] = "wrmsr",
    [EXIT_IO] = "io",
    [EXIT_HLT] = "hlt",
    [EXIT_GPA_FAULT] = "gpa_fault",
    [EXIT_CR_ACCESS] = "cr_access",
    [EXIT_EXCEPTION] = "exception",
    [EXIT_APIC_ACCESS] = "apic_access",
    [EXIT_APIC_WRITE] = "apic_write",
    [EXIT_APIC_EOI] = "apic_eoi",
    [EXIT_XSETBV] = "xsetbv",
    [EXIT_PAUSE] = "pause",
    [EXIT_WBINVD] = "wbinvd",
    [EXIT_MONITOR] = "monitor",
    [EXIT_VIRT_INSN] = "virt_insn",
    [EXIT_TASK_SWITCH] = "task_switch",
    [EXIT_TRIPLE_FAULT] = "triple_fault",
    [EXIT_INIT] = "init",
    [EXIT_RDPMC] = "rdpmc",
    [EXIT_INVALID_STATE] = "invalid_state",
    [EXIT_UNKNOWN] = "unknown",
};
_Static_assert(ARRAY_LEN(names) == EXIT_REASON_COUNT, "every exit reason has a name");

void cover_exits(uint64_t partition)
{
    struct hv_x_counters_out out;

    if (hvif_counters(partition, HV_VP_INDEX_ANY, &out) == HV_STATUS_SUCCESS) {
        for (unsigned i = 0; i < EXIT_REASON_COUNT; i++) {
            exits[i] += out.value[HV_CTR_EXIT0 + i];
        }
    }
}

void cover_call(uint16_t code, hv_status_t status)
{
    for (unsigned i = 0; i < ARRAY_LEN(calls); i++) {
        if (calls[i].code == code) {
            valid[i] += status == HV_STATUS_SUCCESS;
            invalid[i] += status != HV_STATUS_SUCCESS;
        }
    }
}

void cover_refused(void)
{
    refused = true;
}

static void put_row(const char *kind, const char *name, uint64_t a, uint64_t b)
{
    put("COVER ");
    put(kind);
    put(" ");
    put(name);
    put(" ");
    put_number(a);
    put(" ");
    put_number(b);
    put("\n");
}

void cover_print(void)
{
    for (unsigned i = 0; i < EXIT_REASON_COUNT; i++) {
        put_row("exit", names[i], exits[i], 0);
    }
    for (unsigned i = 0; i < ARRAY_LEN(calls); i++) {
        put_row("call", calls[i].name, valid[i], invalid[i]);
    }
    put_row("refused", "guests", refused, 0);
}
