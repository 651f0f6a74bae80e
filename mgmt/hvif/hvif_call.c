// SPDX-License-Identifier: Apache-2.0
// The hypervisor interface by real hypercalls (TLFS "Hypercall Interface").
//
// Each VP has an input and an output page of its own, so the planes do not meet here. Nothing in this file
// may be called from an interrupt handler, which could find the pages in use; dying is the exception.
#include "mgmt/hvif/hvif.h"
#include "mgmt/hvif/hvif_call.h"

#include "mgmt/rt/cpu.h"

#include <string.h>

static uint64_t hypercall_page;

void hvif_call_init(uint64_t page)
{
    hypercall_page = page;
}

// --- the two calling forms ---

// Memory form: RCX input value, RDX and R8 addresses of the parameter pages; result in RAX.
static uint64_t call(uint64_t input)
{
    const struct rt_vp *vp = rt_vp();
    uint64_t rcx = input, rdx = vp->call_in_gpa, result;
    register uint64_t r8 __asm__("r8") = vp->call_out_gpa;

    __asm__ volatile("call *%4"
                     : "=a"(result), "+c"(rcx), "+d"(rdx), "+r"(r8)
                     : "r"(hypercall_page)
                     : "r9", "r10", "r11", "cc", "memory");
    return result;
}

// Fast form: RDX and R8 are the parameters themselves. *rdx is what the call returns there.
static hv_status_t call_fast(uint64_t code, uint64_t *rdx, uint64_t param2)
{
    uint64_t rcx = code | HVCALL_FAST, value = *rdx, result;
    register uint64_t r8 __asm__("r8") = param2;

    __asm__ volatile("call *%4"
                     : "=a"(result), "+c"(rcx), "+d"(value), "+r"(r8)
                     : "r"(hypercall_page)
                     : "r9", "r10", "r11", "cc", "memory");
    *rdx = value;
    return (hv_status_t)HVCALL_RESULT_STATUS(result);
}

static void *in_page(void)
{
    return rt_vp()->call_in;
}

static const void *out_page(void)
{
    return rt_vp()->call_out;
}

static hv_status_t call_simple(enum hvcall_code code)
{
    return (hv_status_t)HVCALL_RESULT_STATUS(call(code));
}

// A rep call over what is in the input page, until all is done or an element fails. Normally the hypervisor
// continues by itself; an early return with success or a time-out is taken up again.
static hv_status_t call_rep(enum hvcall_code code, size_t count, size_t *done)
{
    hv_status_t status;
    size_t before;

    *done = 0;
    do {
        uint64_t result = call(code | HVCALL_REP_COUNT(count) | HVCALL_REP_START(*done));

        before = *done;
        status = (hv_status_t)HVCALL_RESULT_STATUS(result);
        *done = HVCALL_RESULT_REPS(result);
    } while (*done<count && * done> before && (status == HV_STATUS_SUCCESS || status == HV_STATUS_TIME_OUT));
    return status == HV_STATUS_SUCCESS && *done < count ? HV_STATUS_OPERATION_FAILED : status;
}

// --- partitions ---

hv_status_t hvif_create_partition(uint64_t *partition)
{
    struct hv_create_partition_in *in = in_page();
    hv_status_t status;

    memset(in, 0, sizeof(*in));
    status = call_simple(HVCALL_CREATE_PARTITION);
    *partition = *(const uint64_t *)out_page();
    return status;
}

static hv_status_t call_partition(enum hvcall_code code, uint64_t partition)
{
    *(uint64_t *)in_page() = partition;
    return call_simple(code);
}

hv_status_t hvif_initialize_partition(uint64_t partition)
{
    return call_partition(HVCALL_INITIALIZE_PARTITION, partition);
}

hv_status_t hvif_finalize_partition(uint64_t partition)
{
    return call_partition(HVCALL_FINALIZE_PARTITION, partition);
}

hv_status_t hvif_delete_partition(uint64_t partition)
{
    return call_partition(HVCALL_DELETE_PARTITION, partition);
}

hv_status_t hvif_get_property(uint64_t partition, uint32_t code, uint64_t *value)
{
    struct hv_partition_property_in *in = in_page();
    hv_status_t status;

    *in = (struct hv_partition_property_in){.partition = partition, .code = code};
    status = call_simple(HVCALL_GET_PARTITION_PROPERTY);
    *value = *(const uint64_t *)out_page();
    return status;
}

hv_status_t hvif_set_property(uint64_t partition, uint32_t code, uint64_t value)
{
    struct hv_partition_property_in *in = in_page();

    *in = (struct hv_partition_property_in){.partition = partition, .code = code, .value = value};
    return call_simple(HVCALL_SET_PARTITION_PROPERTY);
}

hv_status_t hvif_next_child(uint64_t previous, uint64_t *next)
{
    struct hv_get_next_child_in *in = in_page();
    hv_status_t status;

    *in = (struct hv_get_next_child_in){.parent = HV_PARTITION_ID_SELF, .previous = previous};
    status = call_simple(HVCALL_GET_NEXT_CHILD_PARTITION);
    *next = *(const uint64_t *)out_page();
    return status;
}

// --- memory ---

hv_status_t hvif_deposit(uint64_t partition, const uint64_t *pages, size_t count, size_t *done)
{
    struct hv_deposit_in *in = in_page();
    const size_t max = (PAGE_SIZE - sizeof(*in)) / sizeof(uint64_t);
    hv_status_t status = HV_STATUS_SUCCESS;

    *done = 0;
    while (*done < count && status == HV_STATUS_SUCCESS) {
        size_t n = MIN(count - *done, max), n_done;

        in->partition = partition;
        memcpy(in + 1, pages + *done, n * sizeof(uint64_t));
        status = call_rep(HVCALL_DEPOSIT_MEMORY, n, &n_done);
        *done += n_done;
    }
    return status;
}

hv_status_t hvif_withdraw(uint64_t partition, uint64_t *pages, size_t count, size_t *done)
{
    struct hv_withdraw_in *in = in_page();
    const size_t max = PAGE_SIZE / sizeof(uint64_t);
    hv_status_t status = HV_STATUS_SUCCESS;

    *done = 0;
    while (*done < count && status == HV_STATUS_SUCCESS) {
        size_t n = MIN(count - *done, max), n_done;

        *in = (struct hv_withdraw_in){.partition = partition};
        status = call_rep(HVCALL_WITHDRAW_MEMORY, n, &n_done);
        memcpy(pages + *done, out_page(), n_done * sizeof(uint64_t));
        *done += n_done;
    }
    return status;
}

hv_status_t hvif_memory_balance(uint64_t partition, struct hv_memory_balance_out *out)
{
    struct hv_withdraw_in *in = in_page(); // HvCallGetMemoryBalance: partition and proximity as well
    hv_status_t status;

    *in = (struct hv_withdraw_in){.partition = partition};
    status = call_simple(HVCALL_GET_MEMORY_BALANCE);
    *out = *(const struct hv_memory_balance_out *)out_page();
    return status;
}

static uint64_t pages_per_element(uint32_t flags)
{
    if ((flags & HV_MAP_X_HUGE_PAGE) != 0) {
        return PAGE_SIZE_1G / PAGE_SIZE;
    }
    return (flags & HV_MAP_LARGE_PAGE) != 0 ? PAGE_SIZE_2M / PAGE_SIZE : 1;
}

hv_status_t hvif_map(uint64_t partition, gpa_t target, gpa_t source, size_t count, uint32_t flags,
                     size_t *done)
{
    struct hv_map_gpa_in *in = in_page();
    uint64_t *list = (uint64_t *)(in + 1);
    const size_t max = (PAGE_SIZE - sizeof(*in)) / sizeof(uint64_t);
    uint64_t step = pages_per_element(flags);
    hv_status_t status = HV_STATUS_SUCCESS;

    *done = 0;
    while (*done < count && status == HV_STATUS_SUCCESS) {
        size_t n = MIN(count - *done, max), n_done;

        *in = (struct hv_map_gpa_in){
            .partition = partition,
            .gpa_page = (target.v >> PAGE_SHIFT) + *done * step,
            .flags = flags,
        };
        for (size_t i = 0; i < n; i++) {
            list[i] = (source.v >> PAGE_SHIFT) + (*done + i) * step;
        }
        status = call_rep(HVCALL_MAP_GPA_PAGES, n, &n_done);
        *done += n_done;
    }
    return status;
}

hv_status_t hvif_unmap(uint64_t partition, gpa_t target, size_t count, uint32_t flags)
{
    struct hv_unmap_gpa_in *in = in_page();
    uint64_t step = pages_per_element(flags);
    hv_status_t status = HV_STATUS_SUCCESS;
    size_t done = 0;

    while (done < count && status == HV_STATUS_SUCCESS) {
        size_t n = MIN(count - done, (size_t)0xfff), n_done; // the repetition count has 12 bits

        *in = (struct hv_unmap_gpa_in){
            .partition = partition,
            .gpa_page = (target.v >> PAGE_SHIFT) + done * step,
            .flags = flags,
        };
        status = call_rep(HVCALL_UNMAP_GPA_PAGES, n, &n_done);
        done += n_done;
    }
    return status;
}

// --- virtual processors ---

hv_status_t hvif_create_vp(uint64_t partition, uint32_t vp)
{
    struct hv_create_vp_in *in = in_page();

    *in = (struct hv_create_vp_in){.partition = partition, .vp_index = vp};
    return call_simple(HVCALL_CREATE_VP);
}

hv_status_t hvif_delete_vp(uint64_t partition, uint32_t vp)
{
    struct hv_vp_in *in = in_page();

    *in = (struct hv_vp_in){.partition = partition, .vp_index = vp};
    return call_simple(HVCALL_DELETE_VP);
}

hv_status_t hvif_get_registers(uint64_t partition, uint32_t vp, const uint32_t *names,
                               union hv_register_value *values, size_t count)
{
    struct hv_vp_registers_in *in = in_page();
    size_t done;
    hv_status_t status;

    if (count > PAGE_SIZE / sizeof(*values)) {
        return HV_STATUS_INVALID_PARAMETER;
    }
    *in = (struct hv_vp_registers_in){.partition = partition, .vp_index = vp};
    memcpy(in + 1, names, count * sizeof(*names));
    status = call_rep(HVCALL_GET_VP_REGISTERS, count, &done);
    memcpy(values, out_page(), done * sizeof(*values));
    return status;
}

hv_status_t hvif_set_registers(uint64_t partition, uint32_t vp, const struct hv_register_assoc *regs,
                               size_t count)
{
    struct hv_vp_registers_in *in = in_page();
    size_t done;

    if (count > (PAGE_SIZE - sizeof(*in)) / sizeof(*regs)) {
        return HV_STATUS_INVALID_PARAMETER;
    }
    *in = (struct hv_vp_registers_in){.partition = partition, .vp_index = vp};
    memcpy(in + 1, regs, count * sizeof(*regs));
    return call_rep(HVCALL_SET_VP_REGISTERS, count, &done);
}

hv_status_t hvif_translate_gva(uint64_t partition, uint32_t vp, uint64_t control, gva_t gva,
                               struct hv_translate_gva_out *out)
{
    struct hv_translate_gva_in *in = in_page();
    hv_status_t status;

    *in = (struct hv_translate_gva_in){
        .partition = partition,
        .vp_index = vp,
        .control = control,
        .gva_page = gva.v >> PAGE_SHIFT,
    };
    status = call_simple(HVCALL_TRANSLATE_VIRTUAL_ADDRESS);
    *out = *(const struct hv_translate_gva_out *)out_page();
    return status;
}

hv_status_t hvif_install_intercept(uint64_t partition, uint32_t access, enum hv_intercept_type type,
                                   uint64_t parameter)
{
    struct hv_install_intercept_in *in = in_page();

    *in = (struct hv_install_intercept_in){
        .partition = partition,
        .access = access,
        .type = type,
        .parameter = parameter,
    };
    return call_simple(HVCALL_INSTALL_INTERCEPT);
}

hv_status_t hvif_assert_interrupt(uint64_t partition, const struct hv_assert_interrupt_in *in)
{
    struct hv_assert_interrupt_in *page = in_page();

    *page = *in;
    page->partition = partition;
    return call_simple(HVCALL_ASSERT_VIRTUAL_INTERRUPT);
}

static hv_status_t call_state_page(enum hvcall_code code, uint64_t partition, uint32_t vp,
                                   enum hv_vp_state_page type)
{
    struct hv_vp_state_page_in *in = in_page();

    *in = (struct hv_vp_state_page_in){.partition = partition, .vp_index = vp, .type = (uint16_t)type};
    return call_simple(code);
}

hv_status_t hvif_map_state_page(uint64_t partition, uint32_t vp, enum hv_vp_state_page type, void **va)
{
    hv_status_t status = call_state_page(HVCALL_MAP_VP_STATE_PAGE, partition, vp, type);

    *va = NULL;
    if (status == HV_STATUS_SUCCESS) {
        *va = rt_gpa_to_virt(GPA(*(const uint64_t *)out_page() << PAGE_SHIFT));
    }
    return status;
}

hv_status_t hvif_unmap_state_page(uint64_t partition, uint32_t vp, enum hv_vp_state_page type)
{
    return call_state_page(HVCALL_UNMAP_VP_STATE_PAGE, partition, vp, type);
}

hv_status_t hvif_intercept_wait(uint64_t partition, uint32_t vp, uint32_t flags, uint64_t *cookie)
{
    *cookie = partition;
    return call_fast(HVCALL_X_INTERCEPT_WAIT, cookie, vp | (uint64_t)flags << 32);
}

hv_status_t hvif_set_doorbell(const struct hv_x_doorbell_in *in)
{
    *(struct hv_x_doorbell_in *)in_page() = *in;
    return call_simple(HVCALL_X_SET_DOORBELL);
}

hv_status_t hvif_take_doorbells(struct hv_x_doorbells_out *out)
{
    hv_status_t status = call_simple(HVCALL_X_TAKE_DOORBELLS);

    *out = *(const struct hv_x_doorbells_out *)out_page();
    return status;
}

// --- the node ---

hv_status_t hvif_map_interrupt(const struct hv_x_map_interrupt_in *in, struct hv_x_map_interrupt_out *out)
{
    hv_status_t status;

    *(struct hv_x_map_interrupt_in *)in_page() = *in;
    status = call_simple(HVCALL_X_MAP_INTERRUPT);
    *out = *(const struct hv_x_map_interrupt_out *)out_page();
    return status;
}

static hv_status_t write_console(const char *text, size_t length, uint32_t flags)
{
    struct hv_x_console_in *in = in_page();

    *in = (struct hv_x_console_in){.length = (uint32_t)length, .flags = flags};
    memcpy(in + 1, text, length);
    return call_simple(HVCALL_X_CONSOLE_WRITE);
}

hv_status_t hvif_console_put(const char *text, size_t length, size_t *taken)
{
    size_t n = MIN(length, (size_t)HV_X_CONSOLE_MAX);
    hv_status_t status = write_console(text, n, 0);

    *taken = status == HV_STATUS_SUCCESS ? MIN((size_t)((struct hv_x_console_in *)out_page())->length, n) : 0;
    return status;
}

// The UART sends 16 bytes in less than 2 ms and interrupts; this many calls take longer.
#define CONSOLE_PATIENCE 100000u

hv_status_t hvif_console_write(const char *text, size_t length)
{
    unsigned refused = 0;

    for (size_t at = 0, taken; at < length && refused < CONSOLE_PATIENCE; at += taken) {
        hv_status_t status = hvif_console_put(text + at, length - at, &taken);

        if (status != HV_STATUS_SUCCESS) {
            return status;
        }
        refused = taken == 0 ? refused + 1 : 0;
    }
    return refused == 0 ? HV_STATUS_SUCCESS : HV_STATUS_NO_RESOURCES;
}

void hvif_call_log(uint32_t level, const char *line, size_t length)
{
    (void)write_console(line, MIN(length, (size_t)HV_X_CONSOLE_MAX), HV_X_CONSOLE_LOG | level << 8);
}

hv_status_t hvif_console_read(char *buf, size_t cap, size_t *length)
{
    struct hv_x_console_in *in = in_page();
    const struct hv_x_console_in *out = out_page();
    hv_status_t status;

    *in = (struct hv_x_console_in){.length = (uint32_t)MIN(cap, (size_t)HV_X_CONSOLE_MAX)};
    status = call_simple(HVCALL_X_CONSOLE_READ);
    *length = status == HV_STATUS_SUCCESS ? MIN((size_t)out->length, cap) : 0;
    memcpy(buf, out + 1, *length);
    return status;
}

hv_status_t hvif_read_log(uint64_t sequence, struct hv_x_log_out *out)
{
    hv_status_t status;

    ((struct hv_x_log_in *)in_page())->sequence = sequence;
    status = call_simple(HVCALL_X_READ_LOG);
    *out = *(const struct hv_x_log_out *)out_page();
    return status;
}

hv_status_t hvif_trace(const struct hv_x_trace_in *in, struct hv_x_trace_out *out)
{
    hv_status_t status;

    *(struct hv_x_trace_in *)in_page() = *in;
    status = call_simple(HVCALL_X_TRACE);
    if (out != NULL) {
        *out = *(const struct hv_x_trace_out *)out_page();
    }
    return status;
}

hv_status_t hvif_system(enum hv_x_system_action action, uint32_t value)
{
    struct hv_x_system_in *in = in_page();

    *in = (struct hv_x_system_in){.action = action, .value = value};
    return call_simple(HVCALL_X_SYSTEM_CONTROL);
}

hv_status_t hvif_counters(uint64_t partition, uint32_t vp, struct hv_x_counters_out *out)
{
    struct hv_x_counters_in *in = in_page();
    hv_status_t status;

    *in = (struct hv_x_counters_in){.partition = partition, .vp_index = vp};
    status = call_simple(HVCALL_X_GET_COUNTERS);
    *out = *(const struct hv_x_counters_out *)out_page();
    return status;
}

hv_status_t hvif_info(struct hv_x_info_out *out)
{
    hv_status_t status = call_simple(HVCALL_X_GET_INFO);

    *out = *(const struct hv_x_info_out *)out_page();
    return status;
}
