// SPDX-License-Identifier: Apache-2.0
// Guests that the root starts in other modes than 64-bit (tests/guest/kernel/modes.S), and in none.
#include "tests/guest/root/tests.h"

#include <string.h>

static struct guest g;

static void copy_code(uint64_t from, uint64_t end, uint64_t to)
{
    memcpy(g.ram + to, g.ram + from, end - from);
}

static bool finish(bool ok, uint32_t wanted)
{
    ok = ok && guest_start(&g) && WANT(serve_guests(TEST_MS));
    if (ok && g.failed_line != 0) {
        ok = complain(__LINE__, "the guest's check failed", g.failed_line);
    }
    ok = ok && (wanted == ANY_END || WANT(g.last_message == wanted));
    return guest_tear_down(&g) && ok;
}

static bool start_real(void)
{
    static const uint32_t data[] = {HV_REG_SS, HV_REG_DS, HV_REG_ES};
    bool ok = set_register(&g, 0, HV_REG_CR0, 0x10) && set_register(&g, 0, HV_REG_EFER, 0) &&
              set_register(&g, 0, HV_REG_CR4, 0) && set_register(&g, 0, HV_REG_CR3, 0) &&
              set_register(&g, 0, HV_REG_RIP, 0) && set_register(&g, 0, HV_REG_RSP, 0xfff0);

    for (unsigned i = 0; i < ARRAY_LEN(data); i++) {
        ok = ok && set_segment(&g, data[i], GUEST_REAL_GPA >> 4, GUEST_REAL_GPA, 0xffff, 0x93);
    }
    return ok && set_segment(&g, HV_REG_CS, GUEST_REAL_GPA >> 4, GUEST_REAL_GPA, 0xffff, 0x9b);
}

static bool set_idt_at_zero(void)
{
    const struct hv_register_assoc reg = {.name = HV_REG_IDTR, .value.table = {.limit = 0x3ff, .base = 0}};

    return must(hvif_set_registers(g.partition, 0, &reg, 1), "IDTR");
}

bool root_real_mode(void)
{
    bool ok = guest_build(&g, 0, 0, 1, 1);

    if (ok) {
        copy_code(guest_modes(&g)->real, guest_modes(&g)->real_end, GUEST_REAL_GPA);
        ok = start_real() && set_idt_at_zero();
    }
    ok = finish(ok, HV_MSG_IO_PORT);
    return ok && WANT(g.text_len == 5) && WANT(memcmp(g.text, "KEELS", 5) == 0);
}

bool root_real_events(void)
{
    bool ok = guest_build(&g, 0, 0, 1, 1);

    if (ok) {
        copy_code(guest_modes(&g)->real_events, guest_modes(&g)->real_events_end, GUEST_REAL_GPA);
        ok = start_real() && set_idt_at_zero();
    }
    return finish(ok, HV_MSG_IO_PORT);
}

// Order matters: a state that the processor would refuse must not exist even for a moment.
static bool start_32(uint64_t cr0, uint64_t cr3, uint64_t cr4, uint64_t efer)
{
    return set_register(&g, 0, HV_REG_CR0, 0x11) && set_register(&g, 0, HV_REG_EFER, efer) &&
           set_register(&g, 0, HV_REG_CR4, cr4) && set_register(&g, 0, HV_REG_CR3, cr3) &&
           set_register(&g, 0, HV_REG_CR0, cr0) &&
           set_segment(&g, HV_REG_CS, SEL_CODE32, 0, 0xffffffff, 0xc09b) &&
           set_register(&g, 0, HV_REG_RIP, GUEST_PROT_GPA);
}

bool root_protected_mode(void)
{
    bool ok = guest_build(&g, 0, 0, 1, 1);

    if (ok) {
        copy_code(guest_modes(&g)->prot, guest_modes(&g)->prot_end, GUEST_PROT_GPA);
        ok = start_32(0x11, 0, 0, 0);
    }
    return finish(ok, HV_MSG_IO_PORT);
}

bool root_protected_events(void)
{
    bool ok = guest_build(&g, 0, 0, 1, 1);

    if (ok) {
        copy_code(guest_modes(&g)->prot_events, guest_modes(&g)->prot_events_end, GUEST_PROT_GPA);
        ok = start_32(0x11, 0, 0, 0);
    }
    return finish(ok, HV_MSG_IO_PORT);
}

// PDPT at GUEST_PAE_GPA; entries 0 and 1 show the same first GiB.
static void make_pae_tables(void)
{
    uint64_t *pdpt = (uint64_t *)(g.ram + GUEST_PAE_GPA), *pd = pdpt + 512;

    pdpt[0] = pdpt[1] = (GUEST_PAE_GPA + PAGE_SIZE) | 1;
    for (uint64_t i = 0; i < 512; i++) {
        pd[i] = i << 21 | 0x83;
    }
}

bool root_pae_mode(void)
{
    bool ok = guest_build(&g, 0, 0, 1, 1);

    if (ok) {
        copy_code(guest_modes(&g)->pae, guest_modes(&g)->pae_end, GUEST_PROT_GPA);
        make_pae_tables();
        ok = start_32(0x80000011, GUEST_PAE_GPA, 0x20, 0);
    }
    return finish(ok, HV_MSG_IO_PORT);
}

bool root_compatibility_mode(void)
{
    bool ok = guest_build(&g, 0, 0, 1, 1);

    if (ok) {
        copy_code(guest_modes(&g)->compat, guest_modes(&g)->compat_end, GUEST_PROT_GPA);
        ok = set_segment(&g, HV_REG_CS, SEL_CODE32, 0, 0xffffffff, 0xc09b) &&
             set_register(&g, 0, HV_REG_RIP, GUEST_PROT_GPA);
    }
    return finish(ok && WANT((get_register(&g, 0, HV_REG_EFER) & 0x400) != 0), HV_MSG_IO_PORT) &&
           WANT(g.text_len == 1) && WANT(g.text[0] == 0x3b);
}

// Two 32-bit TSSs behind the other descriptors; the second one starts code that says it is done.
static void make_tasks(void)
{
    static const uint8_t done[] = {0x31,      0xc0, 0x66, 0xba,
                                   PORT_DONE, 0x00, 0xef, 0xf4}; // xor eax; mov dx; out; hlt
    uint64_t *gdt = (uint64_t *)(g.ram + GUEST_GDT_GPA);
    uint32_t *tss = (uint32_t *)(g.ram + 0xd000);

    gdt[6] = 0x67 | 0xc000ull << 16 | 0x89ull << 40;
    gdt[7] = 0x67 | 0xd000ull << 16 | 0x89ull << 40;
    tss[8] = 0x21000; // EIP
    tss[9] = 2;       // EFLAGS
    tss[14] = 0x2ff00;
    tss[18] = SEL_DATA; // ES
    tss[19] = SEL_CODE32;
    tss[20] = tss[21] = SEL_DATA;
    memcpy(g.ram + 0x21000, done, sizeof(done));
}

// VT-x always exits, and the hypervisor stops a guest that switches tasks; AMD-V just does it.
bool root_task_switch(void)
{
    bool ok = guest_build(&g, 0, 0, 1, 1);

    if (ok) {
        copy_code(guest_modes(&g)->task, guest_modes(&g)->task_end, GUEST_PROT_GPA);
        make_tasks();
        ok = start_32(0x11, 0, 0, 0);
    }
    return finish(ok, boot->engine[0] == 'v' ? HV_MSG_UNSUPPORTED_FEATURE : HV_MSG_IO_PORT);
}

// --- states that no processor accepts: refused at once, or the entry fails and stops this partition alone ---

struct bad_state {
    uint32_t name;
    union hv_register_value value;
};

static bool try_bad_state(const struct bad_state *bad, unsigned *stopped)
{
    const struct hv_register_assoc reg = {.name = bad->name, .value = bad->value};
    bool ok = guest_build(&g, 0, 0, 1, 1);
    hv_status_t status = HV_STATUS_SUCCESS;

    if (ok) {
        status = hvif_set_registers(g.partition, 0, &reg, 1);
    }
    if (ok && status == HV_STATUS_SUCCESS) {
        ok = guest_start(&g);
        (void)serve_guests(500); // a state may also be good enough to run nonsense
        *stopped += g.last_message == HV_MSG_INVALID_VP_REGISTER_VALUE;
    } else if (ok) {
        ok = WANT(status == HV_STATUS_INVALID_PARAMETER || status == HV_STATUS_INVALID_REGISTER_VALUE);
    }
    return guest_tear_down(&g) && ok;
}

bool root_invalid_state(void)
{
    static const struct bad_state states[] = {
        {HV_REG_CR0, {.u64 = 0xa0010033}},         // NW without CD
        {HV_REG_CR0, {.u64 = 0x80010032}},         // PG without PE
        {HV_REG_CR0, {.u64 = 0x180010033}},        // beyond 32 bits
        {HV_REG_CR4, {.u64 = 0x620 | 1ull << 60}}, // reserved
        {HV_REG_CR4, {.u64 = 0x600}},              // long mode without PAE
        {HV_REG_CR4, {.u64 = 0x2620}},             // VMXE
        {HV_REG_CR3, {.u64 = ~0ull}},
        {HV_REG_EFER, {.u64 = ~0ull}},
        {HV_REG_EFER, {.u64 = 0x100}}, // paging in long mode without LMA
        {HV_REG_RFLAGS, {.u64 = 0}},   // bit 1 clear
        {HV_REG_RFLAGS, {.u64 = ~0ull}},
        {HV_REG_RIP, {.u64 = 1ull << 60}},
        {HV_REG_DR7, {.u64 = ~0ull}},
        {HV_REG_DR6, {.u64 = ~0ull}},
        {HV_REG_DR0, {.u64 = 1ull << 62}},
        {HV_REG_PAT, {.u64 = 0x0202020202020202}},
        {HV_REG_XFEM, {.u64 = 0}},
        {HV_REG_XFEM, {.u64 = ~0ull}},
        {HV_REG_KERNEL_GS_BASE, {.u64 = 1ull << 62}},
        {HV_REG_LSTAR, {.u64 = 1ull << 62}},
        {HV_REG_SYSENTER_EIP, {.u64 = 1ull << 62}},
        {HV_REG_TR, {.segment = {.limit = 0x67, .attributes = 0x82}}}, // no TSS
        {HV_REG_TR, {.segment = {.attributes = 0}}},
        {HV_REG_TR, {.segment = {.base = 1ull << 62, .limit = 0x67, .attributes = 0x8b}}},
        {HV_REG_CS, {.segment = {.selector = 8, .limit = 0xffffffff, .attributes = 0xe09b}}}, // L and D
        {HV_REG_CS, {.segment = {.selector = 8, .limit = 0xffffffff, .attributes = 0xa090}}}, // data
        {HV_REG_SS, {.segment = {.selector = 16, .limit = 1, .attributes = 0xc0f3}}},
        {HV_REG_FS, {.segment = {.base = 1ull << 62, .limit = 1, .attributes = 0x93}}},
        {HV_REG_GDTR, {.table = {.base = 1ull << 62, .limit = 0}}},
        {HV_REG_IDTR, {.table = {.base = 1ull << 62, .limit = 0xffff}}},
        {HV_REG_PENDING_INTERRUPTION,
         {.u64 = HV_PENDING_VALID | HV_PENDING_TYPE(7) | HV_PENDING_VECTOR(255)}},
        {HV_REG_PENDING_INTERRUPTION, {.u64 = HV_PENDING_VALID | HV_PENDING_TYPE(2) | HV_PENDING_VECTOR(77)}},
        {HV_REG_PENDING_INTERRUPTION,
         {.u64 = HV_PENDING_VALID | HV_PENDING_TYPE(3) | HV_PENDING_VECTOR(200)}},
        {HV_REG_INTERRUPT_STATE, {.u64 = ~0ull}},
        {HV_REG_CR8, {.u64 = 16}},
        {HV_REG_APIC_BASE, {.u64 = ~0ull}},
        {HV_REG_TSC_AUX, {.u64 = ~0ull}},
    };
    unsigned stopped = 0;
    bool ok = true;

    for (unsigned i = 0; i < ARRAY_LEN(states); i++) {
        ok = (try_bad_state(&states[i], &stopped) || complain(__LINE__, "state", i)) && ok;
    }
    return ok && WANT(stopped > 0);
}
