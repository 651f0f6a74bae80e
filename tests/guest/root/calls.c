// SPDX-License-Identifier: Apache-2.0
// Hypercalls about partitions and memory, from the root: valid use and every documented error.
#include "tests/guest/root/tests.h"

#include "mgmt/plat.h"

#include <string.h>

static struct guest g;
#define NO_PARTITION 0x123456789abcull
#define ROOT_ID (1ull | 1 << 16)

struct id_in {
    uint64_t partition;
};

static uint64_t out64(void)
{
    return *(const uint64_t *)call_out();
}

static bool build(void)
{
    return guest_build(&g, 0, 0, 1, 1);
}

// --- input values and parameter blocks ---

static bool refused(unsigned line, hv_status_t status, uint64_t input, uint64_t in, uint64_t out)
{
    hv_status_t got = (hv_status_t)HVCALL_RESULT_STATUS(raw_call(input, in, out));

    return got == status || complain(line, hvif_status_text(status), got);
}
#define REFUSED(...) (refused(__LINE__, __VA_ARGS__))

static bool malformed(uint64_t good)
{
    uint64_t in = call_in_gpa(), out = call_out_gpa();

    return REFUSED(HV_STATUS_INVALID_HYPERCALL_INPUT, good | BIT(27), in, out) &&
           REFUSED(HV_STATUS_INVALID_HYPERCALL_INPUT, good | BIT(17), in, out) &&
           REFUSED(HV_STATUS_INVALID_HYPERCALL_INPUT, good | BIT(44), in, out) &&
           REFUSED(HV_STATUS_INVALID_HYPERCALL_INPUT, good | BIT(60), in, out) &&
           REFUSED(HV_STATUS_INVALID_ALIGNMENT, good, in + 4, out) &&
           REFUSED(HV_STATUS_INVALID_ALIGNMENT, good, in + PAGE_SIZE - 8, out) &&
           REFUSED(HV_STATUS_INVALID_PARAMETER, good, 1ull << 45, out) &&
           REFUSED(HV_STATUS_INVALID_PARAMETER, good, 1ull << 60, out);
}

#define REP_ROW 0x10000u
// Calls with a parameter block longer than eight bytes, so that each of the above applies.
bool root_calls_input(void)
{
    static const uint32_t rows[] = {
        HVCALL_CREATE_PARTITION,
        HVCALL_GET_PARTITION_PROPERTY,
        HVCALL_SET_PARTITION_PROPERTY,
        HVCALL_GET_NEXT_CHILD_PARTITION,
        HVCALL_DEPOSIT_MEMORY | REP_ROW,
        HVCALL_WITHDRAW_MEMORY | REP_ROW,
        HVCALL_GET_MEMORY_BALANCE,
        HVCALL_MAP_GPA_PAGES | REP_ROW,
        HVCALL_UNMAP_GPA_PAGES | REP_ROW,
        HVCALL_INSTALL_INTERCEPT,
        HVCALL_CREATE_VP,
        HVCALL_DELETE_VP,
        HVCALL_GET_VP_REGISTERS | REP_ROW,
        HVCALL_SET_VP_REGISTERS | REP_ROW,
        HVCALL_TRANSLATE_VIRTUAL_ADDRESS,
        HVCALL_READ_GPA,
        HVCALL_WRITE_GPA,
        HVCALL_ASSERT_VIRTUAL_INTERRUPT,
        HVCALL_MAP_VP_STATE_PAGE,
        HVCALL_UNMAP_VP_STATE_PAGE,
        HVCALL_X_MAP_INTERRUPT,
        HVCALL_X_GET_COUNTERS,
        HVCALL_X_TRACE,
    };
    uint64_t in = call_in_gpa(), out = call_out_gpa();
    bool ok = true;

    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        uint64_t code = rows[i] & 0xffff;
        bool rep = (rows[i] & REP_ROW) != 0;

        memset(call_in(), 0, 256);
        ok = (malformed(code | (rep ? REPS(1) : 0)) || complain(__LINE__, "call", code)) && ok;
        // Repetitions where there are none, none where there must be, a start beyond the end.
        ok = REFUSED(HV_STATUS_INVALID_HYPERCALL_INPUT, code | (rep ? 0 : REPS(1)), in, out) && ok;
        ok = REFUSED(HV_STATUS_INVALID_HYPERCALL_INPUT, code | (rep ? REPS(1) : 0) | HVCALL_REP_START(1), in,
                     out) &&
             ok;
        if (rep) {
            ok = REFUSED(HV_STATUS_INVALID_HYPERCALL_INPUT, code | REPS(1) | HVCALL_FAST, in, out) && ok;
        }
    }
    ok = REFUSED(HV_STATUS_INVALID_HYPERCALL_CODE, 0, in, out) && ok;
    ok = REFUSED(HV_STATUS_INVALID_HYPERCALL_CODE, 0xffff, in, out) && ok;
    ok = REFUSED(HV_STATUS_INVALID_HYPERCALL_CODE, 0xf0ff, in, out) && ok;
    ok = REFUSED(HV_STATUS_INVALID_HYPERCALL_INPUT, HVCALL_X_INTERCEPT_WAIT, in, out) &&
         ok; // has a fast form only
    ok = REFUSED(HV_STATUS_INVALID_HYPERCALL_INPUT, HVCALL_GET_PARTITION_ID | HVCALL_FAST, in, out) && ok;
    ok = REFUSED(HV_STATUS_INVALID_ALIGNMENT, HVCALL_GET_PARTITION_ID, in, out + 4) && ok;
    ok = REFUSED(HV_STATUS_INVALID_PARAMETER, HVCALL_GET_PARTITION_ID, in, 1ull << 45) && ok;
    ok = REFUSED(HV_STATUS_SUCCESS, HVCALL_GET_PARTITION_ID, in, out) && ok;
    ok = WANT(out64() == ROOT_ID) && ok;
    // The fast form takes its one parameter from RDX.
    ok = REFUSED(HV_STATUS_SUCCESS, HVCALL_NOTIFY_LONG_SPIN_WAIT | HVCALL_FAST, 1, 0) && ok;
    ok = REFUSED(HV_STATUS_INVALID_HYPERCALL_INPUT, HVCALL_NOTIFY_LONG_SPIN_WAIT | REPS(1), in, out) && ok;
    ok = REFUSED(HV_STATUS_INVALID_PARTITION_ID, HVCALL_INITIALIZE_PARTITION | HVCALL_FAST, NO_PARTITION,
                 0) &&
         ok;
    return ok;
}

// --- life cycle and properties ---

static bool wrong_ids(void)
{
    static const uint64_t calls[] = {
        HVCALL_INITIALIZE_PARTITION,
        HVCALL_FINALIZE_PARTITION,
        HVCALL_DELETE_PARTITION,
        HVCALL_GET_PARTITION_PROPERTY,
        HVCALL_SET_PARTITION_PROPERTY,
        HVCALL_GET_NEXT_CHILD_PARTITION,
        HVCALL_DEPOSIT_MEMORY | REPS(1),
        HVCALL_WITHDRAW_MEMORY | REPS(1),
        HVCALL_GET_MEMORY_BALANCE,
        HVCALL_MAP_GPA_PAGES | REPS(1),
        HVCALL_UNMAP_GPA_PAGES | REPS(1),
        HVCALL_INSTALL_INTERCEPT,
        HVCALL_CREATE_VP,
        HVCALL_DELETE_VP,
        HVCALL_GET_VP_REGISTERS | REPS(1),
        HVCALL_SET_VP_REGISTERS | REPS(1),
        HVCALL_TRANSLATE_VIRTUAL_ADDRESS,
        HVCALL_READ_GPA,
        HVCALL_WRITE_GPA,
        HVCALL_ASSERT_VIRTUAL_INTERRUPT,
        HVCALL_MAP_VP_STATE_PAGE,
        HVCALL_UNMAP_VP_STATE_PAGE,
        HVCALL_X_GET_COUNTERS,
    };
    static const uint64_t ids[] = {NO_PARTITION, 2, 0xffff, 1ull << 63};
    bool ok = true;

    for (unsigned i = 0; i < ARRAY_LEN(calls); i++) {
        for (unsigned n = 0; n < ARRAY_LEN(ids); n++) {
            uint64_t in[8] = {ids[n]};

            ok = (expect(__LINE__, HV_STATUS_INVALID_PARTITION_ID, calls[i], in, sizeof(in)) ||
                  complain(__LINE__, "call", calls[i] & 0xffff)) &&
                 ok;
        }
    }
    return ok;
}

static bool states(uint64_t id)
{
    struct hv_partition_property_in prop = {.partition = id, .code = HV_PROP_CPU_WEIGHT, .value = 100};
    struct hv_create_vp_in vp = {.partition = id};
    bool ok = true;

    // Created, not yet initialized: no VPs, no memory, no run-time properties.
    ok = EXPECT(HV_STATUS_INVALID_PARTITION_STATE, HVCALL_FINALIZE_PARTITION, (struct id_in){id}) && ok;
    ok = EXPECT(HV_STATUS_INVALID_PARTITION_STATE, HVCALL_CREATE_VP, vp) && ok;
    ok = EXPECT(HV_STATUS_INVALID_PARTITION_STATE, HVCALL_SET_PARTITION_PROPERTY, prop) && ok;
    ok = EXPECT(HV_STATUS_INVALID_PARTITION_STATE, HVCALL_GET_PARTITION_PROPERTY, prop) && ok;
    ok = EXPECT(HV_STATUS_INVALID_PARTITION_STATE, HVCALL_INSTALL_INTERCEPT,
                (struct hv_install_intercept_in){.partition = id, .access = 1}) &&
         ok;
    ok = EXPECT(HV_STATUS_INVALID_PARTITION_STATE, HVCALL_ASSERT_VIRTUAL_INTERRUPT,
                (struct hv_assert_interrupt_in){.partition = id, .vector = 32}) &&
         ok;
    ok = EXPECT(HV_STATUS_INSUFFICIENT_MEMORY, HVCALL_INITIALIZE_PARTITION, (struct id_in){id}) && ok;
    ok = EXPECT(HV_STATUS_SUCCESS, HVCALL_DELETE_PARTITION, (struct id_in){id}) && ok;
    return EXPECT(HV_STATUS_INVALID_PARTITION_ID, HVCALL_DELETE_PARTITION, (struct id_in){id}) && ok;
}

static bool properties(uint64_t id)
{
    static const struct {
        uint32_t code;
        uint64_t value;
        hv_status_t status;
    } rows[] = {
        {HV_PROP_CPU_WEIGHT, 1, HV_STATUS_SUCCESS},
        {HV_PROP_CPU_WEIGHT, 10000, HV_STATUS_SUCCESS},
        {HV_PROP_CPU_WEIGHT, 0, HV_STATUS_PROPERTY_VALUE_OUT_OF_RANGE},
        {HV_PROP_CPU_WEIGHT, 10001, HV_STATUS_PROPERTY_VALUE_OUT_OF_RANGE},
        {HV_PROP_CPU_CAP, 0x10000, HV_STATUS_SUCCESS},
        {HV_PROP_CPU_CAP, 0x10001, HV_STATUS_PROPERTY_VALUE_OUT_OF_RANGE},
        {HV_PROP_CPU_RESERVE, 0x8000, HV_STATUS_SUCCESS},
        {HV_PROP_CPU_RESERVE, 0x10001, HV_STATUS_PROPERTY_VALUE_OUT_OF_RANGE},
        {HV_PROP_CPU_CAP, 0x4000, HV_STATUS_PROPERTY_VALUE_OUT_OF_RANGE}, // below the reserve
        {HV_PROP_SUSPEND, 2, HV_STATUS_PROPERTY_VALUE_OUT_OF_RANGE},
        {HV_PROP_SUSPEND, 0, HV_STATUS_SUCCESS},
        {HV_PROP_PRIVILEGE_FLAGS, ~0ull, HV_STATUS_PROPERTY_VALUE_OUT_OF_RANGE},
        {HV_PROP_PRIVILEGE_FLAGS, BIT(5), HV_STATUS_SUCCESS},
        {0x12345, 0, HV_STATUS_UNKNOWN_PROPERTY},
        {HV_PROP_REFERENCE_TIME, 1, HV_STATUS_UNKNOWN_PROPERTY},
    };
    static const uint32_t readable[] = {HV_PROP_PRIVILEGE_FLAGS, HV_PROP_SUSPEND,
                                        HV_PROP_CPU_RESERVE,     HV_PROP_CPU_CAP,
                                        HV_PROP_CPU_WEIGHT,      HV_PROP_REFERENCE_TIME,
                                        HV_PROP_PHYS_ADDR_WIDTH, HV_PROP_PROCESSOR_CLOCK_FREQUENCY,
                                        HV_PROP_GUEST_OS_ID};
    bool ok = true;

    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        struct hv_partition_property_in in = {.partition = id, .code = rows[i].code, .value = rows[i].value};

        ok = (EXPECT(rows[i].status, HVCALL_SET_PARTITION_PROPERTY, in) || complain(__LINE__, "row", i)) &&
             ok;
    }
    for (unsigned i = 0; i < ARRAY_LEN(readable); i++) {
        struct hv_partition_property_in in = {.partition = id, .code = readable[i]};

        ok = (EXPECT(HV_STATUS_SUCCESS, HVCALL_GET_PARTITION_PROPERTY, in) ||
              complain(__LINE__, "property", i)) &&
             ok;
    }
    ok = EXPECT(HV_STATUS_UNKNOWN_PROPERTY, HVCALL_GET_PARTITION_PROPERTY,
                (struct hv_partition_property_in){.partition = id, .code = 0x777}) &&
         ok;
    return EXPECT(HV_STATUS_ACCESS_DENIED, HVCALL_SET_PARTITION_PROPERTY,
                  (struct hv_partition_property_in){
                      .partition = ROOT_ID, .code = HV_PROP_CPU_WEIGHT, .value = 1}) &&
           ok;
}

static bool children(uint64_t id)
{
    bool ok = EXPECT(HV_STATUS_SUCCESS, HVCALL_GET_NEXT_CHILD_PARTITION,
                     (struct hv_get_next_child_in){.parent = ROOT_ID});

    ok = WANT(out64() == id) && ok;
    ok = EXPECT(HV_STATUS_SUCCESS, HVCALL_GET_NEXT_CHILD_PARTITION,
                (struct hv_get_next_child_in){.parent = HV_PARTITION_ID_SELF, .previous = id}) &&
         ok;
    ok = WANT(out64() == 0) && ok;
    ok = EXPECT(HV_STATUS_INVALID_PARTITION_ID, HVCALL_GET_NEXT_CHILD_PARTITION,
                (struct hv_get_next_child_in){.parent = HV_PARTITION_ID_SELF, .previous = NO_PARTITION}) &&
         ok;
    return EXPECT(HV_STATUS_INVALID_PARTITION_ID, HVCALL_GET_NEXT_CHILD_PARTITION,
                  (struct hv_get_next_child_in){.parent = id}) &&
           ok;
}

// From creation to deletion, one call after the other.
static bool whole_life(void)
{
    struct {
        uint64_t partition, page[8];
    } deposit;
    uint64_t id;
    bool ok = EXPECT(HV_STATUS_SUCCESS, HVCALL_CREATE_PARTITION, (struct hv_create_partition_in){.flags = 0});

    id = out64();
    deposit.partition = id;
    for (unsigned i = 0; i < ARRAY_LEN(deposit.page); i++) {
        deposit.page[i] = (spare_memory().v >> PAGE_SHIFT) + i;
    }
    ok = EXPECT(HV_STATUS_SUCCESS, HVCALL_DEPOSIT_MEMORY | REPS(8), deposit) && ok;
    ok = EXPECT(HV_STATUS_SUCCESS, HVCALL_INITIALIZE_PARTITION, (struct id_in){id}) && ok;
    ok = EXPECT(HV_STATUS_SUCCESS, HVCALL_FINALIZE_PARTITION, (struct id_in){id}) && ok;
    ok = EXPECT(HV_STATUS_INVALID_PARTITION_STATE, HVCALL_FINALIZE_PARTITION, (struct id_in){id}) && ok;
    ok = EXPECT(HV_STATUS_INVALID_PARTITION_STATE, HVCALL_DEPOSIT_MEMORY | REPS(8), deposit) && ok;
    ok = EXPECT(HV_STATUS_SUCCESS, HVCALL_WITHDRAW_MEMORY | REPS(8),
                (struct hv_withdraw_in){.partition = id}) &&
         ok;
    return EXPECT(HV_STATUS_SUCCESS, HVCALL_DELETE_PARTITION, (struct id_in){id}) && ok;
}

static bool many(void)
{
    uint64_t ids[40];
    unsigned n = 0;
    bool ok = true;

    while (n < ARRAY_LEN(ids) && hvif_create_partition(&ids[n]) == HV_STATUS_SUCCESS) {
        n++;
    }
    ok = WANT(n > 2);
    for (unsigned i = 0; i < n; i++) {
        ok = must(hvif_delete_partition(ids[(i * 7) % n]), "delete") && ok; // 7 and 40 have no common divisor
    }
    return ok;
}

bool root_calls_partition(void)
{
    uint64_t id;
    bool ok = wrong_ids();

    ok = EXPECT(HV_STATUS_INVALID_PARAMETER, HVCALL_CREATE_PARTITION,
                (struct hv_create_partition_in){.flags = 1}) &&
         ok;
    ok = EXPECT(HV_STATUS_INVALID_PARAMETER, HVCALL_CREATE_PARTITION,
                (struct hv_create_partition_in){.reserved = 1}) &&
         ok;
    ok = EXPECT(HV_STATUS_SUCCESS, HVCALL_CREATE_PARTITION, (struct hv_create_partition_in){.flags = 0}) &&
         ok;
    id = out64();
    ok = states(id) && ok;
    ok = EXPECT(HV_STATUS_ACCESS_DENIED, HVCALL_INITIALIZE_PARTITION, (struct id_in){ROOT_ID}) && ok;
    ok = EXPECT(HV_STATUS_ACCESS_DENIED, HVCALL_FINALIZE_PARTITION, (struct id_in){ROOT_ID}) && ok;
    ok = EXPECT(HV_STATUS_INVALID_PARTITION_STATE, HVCALL_DELETE_PARTITION, (struct id_in){ROOT_ID}) && ok;
    ok = many() && ok;
    ok = whole_life() && ok;
    ok = build() && ok;
    ok = properties(g.partition) && ok;
    ok = children(g.partition) && ok;
    ok = EXPECT(HV_STATUS_INVALID_PARTITION_STATE, HVCALL_INITIALIZE_PARTITION,
                (struct id_in){g.partition}) &&
         ok;
    ok = EXPECT(HV_STATUS_INVALID_PARTITION_STATE, HVCALL_DELETE_PARTITION, (struct id_in){g.partition}) &&
         ok;
    return guest_tear_down(&g) && ok;
}

// --- pools ---

struct pages_in {
    uint64_t partition;
    uint64_t page[3];
};

// Pages that may not be deposited: mapped into a guest, the hypervisor's, none at all, deposited already.
static bool bad_deposits(uint64_t id, uint64_t good)
{
    const struct boot_range *ranges = boot->boot.ranges;
    uint64_t state_page = (uint64_t)g.vp[0].regs - MGMT_DIRECT_BASE;
    bool ok = true;

    ok = EXPECT(HV_STATUS_OPERATION_DENIED, HVCALL_DEPOSIT_MEMORY | REPS(1),
                (struct pages_in){id, {g.ram_gpa.v >> PAGE_SHIFT}}) &&
         ok;
    ok = EXPECT(HV_STATUS_OPERATION_DENIED, HVCALL_DEPOSIT_MEMORY | REPS(1),
                (struct pages_in){id, {(state_page >> PAGE_SHIFT) + 1}}) &&
         ok;
    ok = EXPECT(HV_STATUS_OPERATION_DENIED, HVCALL_DEPOSIT_MEMORY | REPS(1),
                (struct pages_in){id, {state_page >> PAGE_SHIFT}}) &&
         ok;
    ok = EXPECT(HV_STATUS_OPERATION_DENIED, HVCALL_DEPOSIT_MEMORY | REPS(1),
                (struct pages_in){id, {0xfee00}}) &&
         ok;
    ok = EXPECT(HV_STATUS_OPERATION_DENIED, HVCALL_DEPOSIT_MEMORY | REPS(1),
                (struct pages_in){id, {1ull << 30}}) &&
         ok;
    ok = EXPECT(HV_STATUS_OPERATION_DENIED, HVCALL_DEPOSIT_MEMORY | REPS(1),
                (struct pages_in){id, {~0ull}}) &&
         ok;
    ok = EXPECT(HV_STATUS_OPERATION_DENIED, HVCALL_DEPOSIT_MEMORY | REPS(2),
                (struct pages_in){id, {good, good}}) &&
         ok;
    for (uint32_t i = 0; i < boot->boot.range_count; i++) {
        if (ranges[i].type == BOOT_RANGE_RUNTIME) {
            return EXPECT(HV_STATUS_OPERATION_DENIED, HVCALL_DEPOSIT_MEMORY | REPS(1),
                          (struct pages_in){id, {ranges[i].base >> PAGE_SHIFT}}) &&
                   ok;
        }
    }
    return ok;
}

bool root_calls_memory(void)
{
    uint64_t page = spare_memory().v >> PAGE_SHIFT, id, result;
    struct hv_memory_balance_out before, after;
    bool ok = build() && must(hvif_memory_balance(g.partition, &before), "balance");

    ok = bad_deposits(g.partition, page) && ok; // one of them gave one page before it failed
    ok = must(hvif_memory_balance(g.partition, &after), "balance") &&
         WANT(after.available == before.available + 1) && ok;
    ok = EXPECT(HV_STATUS_SUCCESS, HVCALL_WITHDRAW_MEMORY | REPS(1),
                (struct hv_withdraw_in){.partition = g.partition}) &&
         ok;
    ok = EXPECT(HV_STATUS_ACCESS_DENIED, HVCALL_WITHDRAW_MEMORY | REPS(1),
                (struct hv_withdraw_in){.partition = ROOT_ID}) &&
         ok;
    ok = EXPECT(HV_STATUS_SUCCESS, HVCALL_GET_MEMORY_BALANCE,
                (struct hv_withdraw_in){.partition = g.partition}) &&
         ok;
    ok = guest_tear_down(&g) && ok;

    // A partition that has pages cannot be deleted; an empty pool gives nothing.
    ok = must(hvif_create_partition(&id), "create") && ok;
    ok = EXPECT(HV_STATUS_NO_RESOURCES, HVCALL_WITHDRAW_MEMORY | REPS(1),
                (struct hv_withdraw_in){.partition = id}) &&
         ok;
    ok = EXPECT(HV_STATUS_SUCCESS, HVCALL_DEPOSIT_MEMORY | REPS(3),
                (struct pages_in){id, {page, page + 1, page + 2}}) &&
         ok;
    ok = EXPECT(HV_STATUS_OPERATION_DENIED, HVCALL_DELETE_PARTITION, (struct id_in){id}) && ok;
    memcpy(call_in(), &(struct hv_withdraw_in){.partition = id}, sizeof(struct hv_withdraw_in));
    result = raw_call(HVCALL_WITHDRAW_MEMORY | REPS(5), call_in_gpa(), call_out_gpa()); // more than there are
    ok = WANT(HVCALL_RESULT_STATUS(result) == HV_STATUS_NO_RESOURCES && HVCALL_RESULT_REPS(result) == 3) &&
         ok;
    for (unsigned i = 0; i < 3; i++) {
        const uint64_t *words = rt_gpa_to_virt(GPA(((const uint64_t *)call_out())[i] << PAGE_SHIFT));

        for (unsigned w = 0; w < 512; w++) {
            ok = ok && WANT(words[w] == 0); // pages come back without a trace of what was in them
        }
    }
    return EXPECT(HV_STATUS_SUCCESS, HVCALL_DELETE_PARTITION, (struct id_in){id}) && ok;
}

// --- GPA spaces ---

struct map_in {
    struct hv_map_gpa_in fixed;
    uint64_t page[2];
};

static struct map_in map_one(uint64_t target, uint64_t source, uint32_t flags)
{
    return (struct map_in){{.partition = g.partition, .gpa_page = target, .flags = flags},
                           {source, source + 1}};
}

static bool map(unsigned line, hv_status_t status, struct map_in in)
{
    return expect(line, status, HVCALL_MAP_GPA_PAGES | REPS(1), &in, sizeof(in));
}
#define MAP(status, ...) map(__LINE__, status, __VA_ARGS__)

static bool unmap(unsigned line, hv_status_t status, uint64_t page, uint32_t flags)
{
    struct hv_unmap_gpa_in in = {.partition = g.partition, .gpa_page = page, .flags = flags};

    return expect(line, status, HVCALL_UNMAP_GPA_PAGES | REPS(1), &in, sizeof(in));
}
#define UNMAP(...) unmap(__LINE__, __VA_ARGS__)

bool root_calls_map(void)
{
    uint64_t page = spare_memory().v >> PAGE_SHIFT, target = 0x20000;
    struct map_in in;
    bool ok = build();

    ok = MAP(HV_STATUS_SUCCESS, map_one(target, page, HV_MAP_RWX)) && ok;
    ok = MAP(HV_STATUS_OBJECT_IN_USE, map_one(target, page + 1, HV_MAP_RWX)) && ok;
    ok = MAP(HV_STATUS_SUCCESS, map_one(target + 1, page, HV_MAP_READ)) && ok; // the same source twice
    ok = MAP(HV_STATUS_OBJECT_IN_USE, map_one(0, page, HV_MAP_RWX)) && ok;     // inside a large page
    ok = MAP(HV_STATUS_INVALID_PARAMETER, map_one(target + 2, page, HV_MAP_WRITE)) && ok;
    ok = MAP(HV_STATUS_INVALID_PARAMETER, map_one(target + 2, page, HV_MAP_RWX | 0x10)) && ok;
    ok = MAP(HV_STATUS_INVALID_PARAMETER, map_one(target + 2, page, HV_MAP_RWX | HV_MAP_NOT_CACHED)) && ok;
    ok = MAP(HV_STATUS_INVALID_PARAMETER, map_one(target + 2, page, HV_MAP_RWX | HV_MAP_LARGE_PAGE)) && ok;
    ok = MAP(HV_STATUS_INVALID_PARAMETER, map_one(0x20200, page + 1, HV_MAP_RWX | HV_MAP_LARGE_PAGE)) && ok;
    ok = MAP(HV_STATUS_INVALID_PARAMETER, map_one(1ull << 36, page, HV_MAP_RWX)) && ok;
    ok = MAP(HV_STATUS_INVALID_PARAMETER, map_one(~0ull, page, HV_MAP_RWX)) && ok;
    ok = MAP(HV_STATUS_INVALID_PARAMETER, map_one(target + 2, ~0ull, HV_MAP_RWX)) && ok;
    ok = MAP(HV_STATUS_OPERATION_DENIED,
             map_one(target + 2, ((uint64_t)g.vp[0].regs - MGMT_DIRECT_BASE) >> PAGE_SHIFT, HV_MAP_RWX)) &&
         ok;
    ok = MAP(HV_STATUS_OPERATION_DENIED, map_one(target + 2, 0xfee00, HV_MAP_RWX)) && ok;
    ok = MAP(HV_STATUS_OPERATION_DENIED, map_one(target + 2, 1ull << 30, HV_MAP_RWX)) && ok;
    ok = MAP(HV_STATUS_OPERATION_DENIED,
             map_one(target + 2, (g.ram_gpa.v + GUEST_MEMORY) >> PAGE_SHIFT, HV_MAP_RWX)) &&
         ok; // deposited
    in = map_one(target + 2, page, HV_MAP_RWX);
    in.fixed.pad = 1;
    ok = MAP(HV_STATUS_INVALID_PARAMETER, in) && ok;
    in = map_one(target + 2, page, HV_MAP_RWX);
    in.fixed.partition = ROOT_ID;
    ok = MAP(HV_STATUS_ACCESS_DENIED, in) && ok;
    ok = MAP(HV_STATUS_SUCCESS, map_one(0x20200, page, HV_MAP_RWX | HV_MAP_LARGE_PAGE)) && ok;
    ok = MAP(HV_STATUS_OBJECT_IN_USE, map_one(0x20205, page, HV_MAP_RWX)) && ok;

    ok = UNMAP(HV_STATUS_SUCCESS, target, 0) && UNMAP(HV_STATUS_SUCCESS, target + 1, 0) && ok;
    ok = UNMAP(HV_STATUS_SUCCESS, target, 0) && ok; // nothing there
    ok = UNMAP(HV_STATUS_INVALID_PARAMETER, 0x20201, HV_MAP_LARGE_PAGE) && ok;
    ok = UNMAP(HV_STATUS_INVALID_PARAMETER, target, HV_MAP_READ) && ok;
    ok = UNMAP(HV_STATUS_INVALID_PARAMETER, 1ull << 36, 0) && ok;
    ok = UNMAP(HV_STATUS_SUCCESS, 0x20203, 0) && ok; // splits the large page
    ok = UNMAP(HV_STATUS_INVALID_PARAMETER, 0x20200, HV_MAP_LARGE_PAGE) && ok;
    ok = EXPECT(HV_STATUS_ACCESS_DENIED, HVCALL_UNMAP_GPA_PAGES | REPS(1),
                (struct hv_unmap_gpa_in){.partition = ROOT_ID, .gpa_page = page}) &&
         ok;
    return guest_tear_down(&g) && ok;
}
