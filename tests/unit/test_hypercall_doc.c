// srcs:
// SPDX-License-Identifier: Apache-2.0
// Keeps docs/hypercalls.md in step with schema/hypercalls.json, schema/hv_status.json and <keelson/abi.h>: its tables
// are printed here and compared. KEELSON_UPDATE_DOCS=1 rewrites them.
#include <keelson/abi.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define DOC "docs/hypercalls.md"
#define DOC_MAX (256u << 10)

// --- calls ---

struct call {
    unsigned code;
    const char *name;
    unsigned in, rep_in, out, rep_out;
    bool is_rep;
    unsigned var;
    bool fast_only;
    const char *privilege, *caller;
};

static const struct call calls[] = {
#define CALL(code_, name_, in_, rep_in_, out_, rep_out_, is_rep_, var_, fast_only_, privilege_, caller_)     \
    {code_, #name_, in_, rep_in_, out_, rep_out_, is_rep_, var_, fast_only_, #privilege_, #caller_},
    HVCALL_TABLE(CALL)
#undef CALL
};

// get_vp_registers -> HvCallGetVpRegisters
static const char *tlfs_name(const char *name)
{
    static char out[80];
    size_t n = (size_t)snprintf(out, sizeof(out), "HvCall");
    bool upper = true;

    for (; *name != '\0' && n + 1 < sizeof(out); name++) {
        if (*name == '_') {
            upper = true;
            continue;
        }
        out[n++] = upper ? (char)(*name - 'a' + 'A') : *name;
        upper = false;
    }
    out[n] = '\0';
    return out;
}

static const char *caller_text(const char *caller)
{
    static const char *const texts[][2] = {
        {"ANY", "any"},
        {"PARENT", "parent"},
        {"PARENT_OR_SELF", "parent or self"},
        {"ROOT", "root"},
    };

    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        if (strcmp(caller, texts[i][0]) == 0) {
            return texts[i][1];
        }
    }
    return caller;
}

// As check_input() in hv/hypercall.c decides.
static const char *forms(const struct call *c)
{
    if (c->fast_only) {
        return "fast only";
    }
    return c->in <= 16 && c->out == 0 && !c->is_rep && c->var == 0 ? "memory, fast" : "memory";
}

static void print_sizes(FILE *f, unsigned fixed, bool is_rep, unsigned element, unsigned var)
{
    fprintf(f, " %u", fixed);
    if (is_rep && element != 0) {
        fprintf(f, " + %u × n", element);
    }
    if (var != 0) {
        fprintf(f, " + up to %u", var);
    }
    fprintf(f, " |");
}

static void print_calls(FILE *f)
{
    fprintf(f, "\n| code | call | input bytes | output bytes | form | caller | privilege |\n"
               "|---|---|---|---|---|---|---|\n");
    for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
        const struct call *c = &calls[i];
        bool rep_without_elements = c->is_rep && c->rep_in == 0 && c->rep_out == 0;

        fprintf(f, "| 0x%04x | %s |", c->code, tlfs_name(c->name));
        print_sizes(f, c->in, c->is_rep, c->rep_in, c->var);
        print_sizes(f, c->out, c->is_rep, c->rep_out, 0);
        fprintf(f, " %s%s | %s | %s |\n", forms(c), rep_without_elements ? ", rep" : "",
                caller_text(c->caller), strcmp(c->privilege, "NONE") == 0 ? "" : c->privilege);
    }
    fputc('\n', f);
}

// --- statuses ---

static void print_statuses(FILE *f)
{
    fprintf(f, "\n| status | value | meaning |\n|---|---|---|\n");
#define STATUS(name_, code_, text_) fprintf(f, "| HV_STATUS_%s | 0x%04x | %s |\n", #name_, code_, text_);
    HV_STATUS_TABLE(STATUS)
#undef STATUS
    fputc('\n', f);
}

// --- registers ---

static void print_registers(FILE *f)
{
    static const struct {
        uint32_t first, last;
        const char *what, *access;
    } rows[] = {
        {HV_REG_EXPLICIT_SUSPEND, HV_REG_EXPLICIT_SUSPEND,
         "bit 0: suspended by the parent; set in a new VP 0", "RW"},
        {HV_REG_INTERCEPT_SUSPEND, HV_REG_INTERCEPT_SUSPEND,
         "bit 0: suspended by an intercept; may only be cleared", "RW"},
        {HV_REG_PENDING_INTERRUPTION, HV_REG_PENDING_INTERRUPTION, "event of the next entry", "RW"},
        {HV_REG_INTERRUPT_STATE, HV_REG_INTERRUPT_STATE, "bit 0 interrupt shadow, bit 1 NMIs masked", "RW"},
        {HV_REG_RAX, HV_REG_R15, "RAX RCX RDX RBX RSP RBP RSI RDI R8 to R15", "RW"},
        {HV_REG_RIP, HV_REG_RIP, "RIP", "RW"},
        {HV_REG_RFLAGS, HV_REG_RFLAGS, "RFLAGS", "RW"},
        {HV_REG_CR0, HV_REG_CR4, "CR0 CR2 CR3 CR4", "RW"},
        {HV_REG_CR8, HV_REG_CR8, "CR8, from the local APIC's task priority", "RW"},
        {HV_REG_XFEM, HV_REG_XFEM, "XCR0", "RW"},
        {HV_REG_DR0, HV_REG_DR7, "DR0 DR1 DR2 DR3 DR6 DR7", "RW"},
        {HV_REG_ES, HV_REG_TR, "ES CS SS DS FS GS LDTR TR, struct hv_segment", "RW"},
        {HV_REG_IDTR, HV_REG_GDTR, "IDTR GDTR, struct hv_table", "RW"},
        {HV_REG_TSC, HV_REG_TSC, "time-stamp counter as the VP reads it", "R"},
        {HV_REG_EFER, HV_REG_KERNEL_GS_BASE, "EFER, KERNEL_GS_BASE", "RW"},
        {HV_REG_APIC_BASE, HV_REG_APIC_BASE, "IA32_APIC_BASE", "RW"},
        {HV_REG_PAT, HV_REG_SFMASK, "PAT, SYSENTER CS EIP ESP, STAR, LSTAR, CSTAR, SFMASK", "RW"},
        {HV_REG_INITIAL_APIC_ID, HV_REG_INITIAL_APIC_ID, "APIC id: the VP's index", "R"},
        {HV_REG_TSC_AUX, HV_REG_TSC_AUX, "TSC_AUX", "RW"},
        {HV_REG_TSC_DEADLINE, HV_REG_TSC_DEADLINE, "IA32_TSC_DEADLINE", "R"},
        {HV_REG_TSC_ADJUST, HV_REG_TSC_ADJUST, "IA32_TSC_ADJUST", "R"},
        {HV_REG_VP_RUNTIME, HV_REG_VP_RUNTIME, "time the VP has run, 100 ns", "R"},
        {HV_REG_GUEST_OS_ID, HV_REG_GUEST_OS_ID, "HV_X64_MSR_GUEST_OS_ID", "R"},
        {HV_REG_VP_INDEX, HV_REG_VP_INDEX, "index", "R"},
        {HV_REG_TIME_REF_COUNT, HV_REG_TIME_REF_COUNT, "reference time of the partition, 100 ns", "R"},
        {HV_REG_X_INTERCEPT_COOKIE, HV_REG_X_INTERCEPT_COOKIE, "Keelson's: what HvCallXInterceptWait returns",
         "RW"},
    };

    fprintf(f, "\n| name | register | access |\n|---|---|---|\n");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        fprintf(f, "| 0x%08x", rows[i].first);
        if (rows[i].last != rows[i].first) {
            fprintf(f, "..0x%08x", rows[i].last);
        }
        fprintf(f, " | %s | %s |\n", rows[i].what, rows[i].access);
    }
    fputc('\n', f);
}

// --- structures: every byte must belong to a field that is listed ---

struct field {
    const char *name;
    size_t offset, size;
};

static void print_structure(FILE *f, const char *name, size_t size, const struct field *fields, size_t count)
{
    size_t at = 0;

    fprintf(f, "* `%s`, %zu bytes: ", name, size);
    for (size_t i = 0; i < count; i++) {
        if (fields[i].offset != at) {
            fail_msg("struct %s: bytes %zu to %zu are in no listed field", name, at, fields[i].offset);
        }
        at = fields[i].offset + fields[i].size;
        fprintf(f, "%s%zu `%s`", i == 0 ? "" : ", ", fields[i].offset, fields[i].name);
    }
    if (at != size) {
        fail_msg("struct %s: %zu bytes are in no listed field", name, size - at);
    }
    fputc('\n', f);
}

#define F(type, field_)                                                                                      \
    {                                                                                                        \
#field_, offsetof(struct type, field_), sizeof(((struct type *)NULL)->field_)                        \
    }
#define STRUCTURE(type, ...)                                                                                 \
    do {                                                                                                     \
        const struct field fields[] = {__VA_ARGS__};                                                         \
        print_structure(f, #type, sizeof(struct type), fields, ARRAY_LEN(fields));                           \
    } while (0)

static void print_inputs(FILE *f)
{
    fputc('\n', f);
    STRUCTURE(hv_create_partition_in, F(hv_create_partition_in, flags), F(hv_create_partition_in, proximity),
              F(hv_create_partition_in, compatibility_version), F(hv_create_partition_in, pad),
              F(hv_create_partition_in, disabled_features), F(hv_create_partition_in, disabled_xsave),
              F(hv_create_partition_in, reserved));
    STRUCTURE(hv_partition_property_in, F(hv_partition_property_in, partition),
              F(hv_partition_property_in, code), F(hv_partition_property_in, pad),
              F(hv_partition_property_in, value));
    STRUCTURE(hv_get_next_child_in, F(hv_get_next_child_in, parent), F(hv_get_next_child_in, previous));
    STRUCTURE(hv_deposit_in, F(hv_deposit_in, partition));
    STRUCTURE(hv_withdraw_in, F(hv_withdraw_in, partition), F(hv_withdraw_in, proximity));
    STRUCTURE(hv_memory_balance_out, F(hv_memory_balance_out, available), F(hv_memory_balance_out, in_use));
    STRUCTURE(hv_map_gpa_in, F(hv_map_gpa_in, partition), F(hv_map_gpa_in, gpa_page), F(hv_map_gpa_in, flags),
              F(hv_map_gpa_in, pad));
    STRUCTURE(hv_unmap_gpa_in, F(hv_unmap_gpa_in, partition), F(hv_unmap_gpa_in, gpa_page),
              F(hv_unmap_gpa_in, flags), F(hv_unmap_gpa_in, pad));
    STRUCTURE(hv_install_intercept_in, F(hv_install_intercept_in, partition),
              F(hv_install_intercept_in, access), F(hv_install_intercept_in, type),
              F(hv_install_intercept_in, parameter));
    STRUCTURE(hv_create_vp_in, F(hv_create_vp_in, partition), F(hv_create_vp_in, vp_index),
              F(hv_create_vp_in, pad), F(hv_create_vp_in, subnode_type), F(hv_create_vp_in, subnode_id),
              F(hv_create_vp_in, proximity), F(hv_create_vp_in, flags));
    STRUCTURE(hv_vp_in, F(hv_vp_in, partition), F(hv_vp_in, vp_index), F(hv_vp_in, pad));
    STRUCTURE(hv_vp_registers_in, F(hv_vp_registers_in, partition), F(hv_vp_registers_in, vp_index),
              F(hv_vp_registers_in, vtl), F(hv_vp_registers_in, pad));
    STRUCTURE(hv_register_assoc, F(hv_register_assoc, name), F(hv_register_assoc, pad),
              F(hv_register_assoc, value));
    STRUCTURE(hv_segment, F(hv_segment, base), F(hv_segment, limit), F(hv_segment, selector),
              F(hv_segment, attributes));
    STRUCTURE(hv_table, F(hv_table, pad), F(hv_table, limit), F(hv_table, base));
    STRUCTURE(hv_translate_gva_in, F(hv_translate_gva_in, partition), F(hv_translate_gva_in, vp_index),
              F(hv_translate_gva_in, pad), F(hv_translate_gva_in, control), F(hv_translate_gva_in, gva_page));
    STRUCTURE(hv_translate_gva_out, F(hv_translate_gva_out, result), F(hv_translate_gva_out, flags),
              F(hv_translate_gva_out, gpa_page));
    STRUCTURE(hv_rw_gpa_in, F(hv_rw_gpa_in, partition), F(hv_rw_gpa_in, vp_index),
              F(hv_rw_gpa_in, byte_count), F(hv_rw_gpa_in, gpa), F(hv_rw_gpa_in, control),
              F(hv_rw_gpa_in, data));
    STRUCTURE(hv_rw_gpa_out, F(hv_rw_gpa_out, access_result), F(hv_rw_gpa_out, data));
    STRUCTURE(hv_assert_interrupt_in, F(hv_assert_interrupt_in, partition),
              F(hv_assert_interrupt_in, control), F(hv_assert_interrupt_in, control_flags),
              F(hv_assert_interrupt_in, destination), F(hv_assert_interrupt_in, vector),
              F(hv_assert_interrupt_in, vtl), F(hv_assert_interrupt_in, pad));
    STRUCTURE(hv_vp_state_page_in, F(hv_vp_state_page_in, partition), F(hv_vp_state_page_in, vp_index),
              F(hv_vp_state_page_in, type), F(hv_vp_state_page_in, vtl), F(hv_vp_state_page_in, flags),
              F(hv_vp_state_page_in, requested));
    STRUCTURE(hv_x_map_interrupt_in, F(hv_x_map_interrupt_in, source), F(hv_x_map_interrupt_in, gsi),
              F(hv_x_map_interrupt_in, vp_index), F(hv_x_map_interrupt_in, vector));
    STRUCTURE(hv_x_map_interrupt_out, F(hv_x_map_interrupt_out, msi_address),
              F(hv_x_map_interrupt_out, msi_data), F(hv_x_map_interrupt_out, pad));
    STRUCTURE(hv_x_console_in, F(hv_x_console_in, length), F(hv_x_console_in, flags));
    STRUCTURE(hv_x_log_in, F(hv_x_log_in, sequence));
    STRUCTURE(hv_x_log_out, F(hv_x_log_out, sequence), F(hv_x_log_out, length), F(hv_x_log_out, pad),
              F(hv_x_log_out, text));
    STRUCTURE(hv_x_system_in, F(hv_x_system_in, action), F(hv_x_system_in, value));
    STRUCTURE(hv_x_counters_in, F(hv_x_counters_in, partition), F(hv_x_counters_in, vp_index),
              F(hv_x_counters_in, pad));
    STRUCTURE(hv_x_counters_out, F(hv_x_counters_out, value));
    STRUCTURE(hv_x_trace_in, F(hv_x_trace_in, action), F(hv_x_trace_in, cpu), F(hv_x_trace_in, sequence));
    STRUCTURE(hv_x_trace_record, F(hv_x_trace_record, tsc), F(hv_x_trace_record, type),
              F(hv_x_trace_record, cpu), F(hv_x_trace_record, partition), F(hv_x_trace_record, vp),
              F(hv_x_trace_record, reason), F(hv_x_trace_record, a), F(hv_x_trace_record, b));
    STRUCTURE(hv_x_trace_out, F(hv_x_trace_out, sequence), F(hv_x_trace_out, count), F(hv_x_trace_out, pad),
              F(hv_x_trace_out, record));
    STRUCTURE(hv_x_info_out, F(hv_x_info_out, cpu_count), F(hv_x_info_out, partition_count),
              F(hv_x_info_out, tsc_hz), F(hv_x_info_out, total_pages), F(hv_x_info_out, hv_pages),
              F(hv_x_info_out, deposited_pages), F(hv_x_info_out, mapped_pages), F(hv_x_info_out, idle_tsc),
              F(hv_x_info_out, log_next), F(hv_x_info_out, log_level), F(hv_x_info_out, flags));
    fputc('\n', f);
}

static void print_messages(FILE *f)
{
    fputc('\n', f);
    STRUCTURE(hv_message_header, F(hv_message_header, type), F(hv_message_header, payload_size),
              F(hv_message_header, flags), F(hv_message_header, reserved), F(hv_message_header, sender));
    STRUCTURE(hv_intercept_header, F(hv_intercept_header, vp_index), F(hv_intercept_header, insn_length),
              F(hv_intercept_header, access), F(hv_intercept_header, execution_state),
              F(hv_intercept_header, cs), F(hv_intercept_header, rip), F(hv_intercept_header, rflags));
    STRUCTURE(hv_memory_intercept, F(hv_memory_intercept, hdr), F(hv_memory_intercept, cache_type),
              F(hv_memory_intercept, insn_byte_count), F(hv_memory_intercept, info),
              F(hv_memory_intercept, tpr), F(hv_memory_intercept, reserved), F(hv_memory_intercept, gva),
              F(hv_memory_intercept, gpa), F(hv_memory_intercept, insn_bytes));
    STRUCTURE(hv_io_intercept, F(hv_io_intercept, hdr), F(hv_io_intercept, port), F(hv_io_intercept, info),
              F(hv_io_intercept, insn_byte_count), F(hv_io_intercept, reserved), F(hv_io_intercept, rax),
              F(hv_io_intercept, insn_bytes), F(hv_io_intercept, ds), F(hv_io_intercept, es),
              F(hv_io_intercept, rcx), F(hv_io_intercept, rsi), F(hv_io_intercept, rdi));
    STRUCTURE(hv_exception_intercept, F(hv_exception_intercept, hdr), F(hv_exception_intercept, vector),
              F(hv_exception_intercept, info), F(hv_exception_intercept, insn_byte_count),
              F(hv_exception_intercept, error_code), F(hv_exception_intercept, parameter),
              F(hv_exception_intercept, reserved), F(hv_exception_intercept, insn_bytes));
    STRUCTURE(hv_unsupported_intercept, F(hv_unsupported_intercept, vp_index),
              F(hv_unsupported_intercept, feature), F(hv_unsupported_intercept, parameter));
    STRUCTURE(hv_apic_eoi, F(hv_apic_eoi, vp_index), F(hv_apic_eoi, vector));
    STRUCTURE(hv_register_page, F(hv_register_page, version), F(hv_register_page, is_valid),
              F(hv_register_page, pad), F(hv_register_page, dirty), F(hv_register_page, gpr),
              F(hv_register_page, rip), F(hv_register_page, rflags));
    fputc('\n', f);
}

// --- comparison ---

static const struct table {
    const char *name;
    void (*print)(FILE *f);
} tables[] = {
    {"calls", print_calls},       {"statuses", print_statuses}, {"registers", print_registers},
    {"structures", print_inputs}, {"messages", print_messages},
};

static char *read_doc(void)
{
    FILE *f = fopen(DOC, "r");
    char *text = calloc(1, DOC_MAX);
    size_t n;

    assert_non_null(f);
    assert_non_null(text);
    n = fread(text, 1, DOC_MAX - 1, f);
    fclose(f);
    assert_true(n < DOC_MAX - 1);
    return text;
}

static void write_doc(const char *begin, size_t before, const char *table, const char *after)
{
    FILE *f = fopen(DOC, "w");

    assert_non_null(f);
    fprintf(f, "%.*s%s%s", (int)before, begin, table, after);
    fclose(f);
}

// The place between "<!-- NAME: generated ... -->" and "<!-- end of NAME -->".
static bool find_table(char *doc, const char *name, char **begin, char **end)
{
    char mark[80];

    snprintf(mark, sizeof(mark), "<!-- %s: generated by tests/unit/test_hypercall_doc.c -->\n", name);
    *begin = strstr(doc, mark);
    snprintf(mark, sizeof(mark), "<!-- end of %s -->\n", name);
    *end = strstr(doc, mark);
    if (*begin == NULL || *end == NULL) {
        return false;
    }
    *begin = strchr(*begin, '\n') + 1;
    return true;
}

static bool table_in_step(const struct table *t)
{
    char *doc = read_doc(), *begin, *end, *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    bool same;

    t->print(f);
    fclose(f);
    if (!find_table(doc, t->name, &begin, &end)) {
        fail_msg(DOC " has no place for the table of %s", t->name);
    }
    same = (size_t)(end - begin) == size && memcmp(begin, text, size) == 0;
    if (!same && getenv("KEELSON_UPDATE_DOCS") != NULL) {
        write_doc(doc, (size_t)(begin - doc), text, end);
        same = true;
    }
    free(doc);
    free(text);
    return same;
}

static void test_tables(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(tables); i++) {
        if (!table_in_step(&tables[i])) {
            fail_msg(DOC ": the table of %s is out of step: run this test from the root of the tree with "
                         "KEELSON_UPDATE_DOCS=1",
                     tables[i].name);
        }
    }
}

// Each call is also described in words; its name is set in bold there and nowhere else.
static void test_descriptions(void **state)
{
    char *doc = read_doc();

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
        char entry[96];

        snprintf(entry, sizeof(entry), "**%s**", tlfs_name(calls[i].name));
        if (strstr(doc, entry) == NULL) {
            fail_msg(DOC " does not describe %s", tlfs_name(calls[i].name));
        }
    }
    free(doc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tables),
        cmocka_unit_test(test_descriptions),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
