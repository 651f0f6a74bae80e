// SPDX-License-Identifier: Apache-2.0
// hv ...: what the hypervisor counts, its log, dumps.
#include <gen/exit_reasons.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mgmt/hvif/hvif.h"
#include "mgmt/shell/command.h"

#define LOG_LINES 40u
#define ROOT "root"

// --- partitions by name ---

const char *partition_owner(uint64_t id)
{
    if (id == HV_PARTITION_ID_SELF) {
        return "management";
    }
    for (struct system *s = system_next(NULL); s != NULL; s = system_next(s)) {
        if (s->partition.id == id) {
            return s->id;
        }
    }
    return "";
}

bool partition_next(uint64_t *id)
{
    return hvif_next_child(*id, id) == HV_STATUS_SUCCESS && *id != HV_PARTITION_ID_INVALID;
}

bool partition_parse(const char *text, uint64_t *id)
{
    struct system *s = system_find(text);
    char *end;

    if (strcmp(text, ROOT) == 0) {
        *id = HV_PARTITION_ID_SELF;
        return true;
    }
    if (s != NULL && s->partition.id != HV_PARTITION_ID_INVALID) {
        *id = s->partition.id;
        return true;
    }
    if (s != NULL) {
        say_problem("system '%s' is %s and has no partition", s->id, system_state_name(s->state));
        return false;
    }
    *id = strtoull(text, &end, 0);
    for (uint64_t child = 0; *end == '\0' && partition_next(&child);) {
        if (child == *id) {
            return true;
        }
    }
    say_problem("there is no partition '%s'; hv partitions lists them", text);
    return false;
}

static void partition_cells(struct table *t, uint64_t id)
{
    if (id == HV_PARTITION_ID_SELF) {
        table_cell(t, ROOT);
    } else {
        table_cell(t, "%llu", (unsigned long long)id);
    }
    table_cell(t, "%s", partition_owner(id));
}

// --- partitions and virtual processors ---

static const char *seconds_text(uint64_t ticks, uint64_t tsc_hz)
{
    return tsc_hz == 0 ? "-" : duration_text((uint64_t)((unsigned __int128)ticks * 1000 / tsc_hz));
}

static void count_cells(struct table *t, const struct hv_x_counters_out *counters, uint64_t tsc_hz)
{
    table_cell(t, "%s", seconds_text(counters->value[HV_CTR_RUN_TSC], tsc_hz));
    table_cell(t, "%s", count_text(counters->value[HV_CTR_ENTRIES]));
    table_cell(t, "%s", count_text(counters->value[HV_CTR_INTERRUPTS]));
    table_cell(t, "%s", count_text(counters->value[HV_CTR_HYPERCALLS]));
    table_cell(t, "%s", count_text(counters->value[HV_CTR_SWITCHES]));
}

// A partition that vanishes meanwhile shows as zeros.
static void partition_row(struct table *t, uint64_t id, uint64_t tsc_hz)
{
    struct hv_x_counters_out counters = {0};
    struct hv_memory_balance_out balance = {0};

    (void)!hvif_counters(id, HV_VP_INDEX_ANY, &counters);
    (void)!hvif_memory_balance(id, &balance);
    partition_cells(t, id);
    table_cell(t, "%s", bytes_text(balance.in_use * PAGE_SIZE));
    count_cells(t, &counters, tsc_hz);
}

static bool ask(struct hv_x_info_out *info)
{
    hv_status_t status = hvif_info(info);

    if (status != HV_STATUS_SUCCESS) {
        say_hv(status, "asking the hypervisor");
    }
    return status == HV_STATUS_SUCCESS;
}

void cmd_hv_partitions(const struct call *c)
{
    static const char *const headers[] = {"PARTITION",   "SYSTEM",      ">MEMORY",   ">RUN TIME", ">ENTRIES",
                                          ">INTERRUPTS", ">HYPERCALLS", ">SWITCHES", NULL};
    struct hv_x_info_out info;
    struct table t;

    (void)c;
    if (!ask(&info)) {
        return;
    }
    table_begin(&t, headers);
    partition_row(&t, HV_PARTITION_ID_SELF, info.tsc_hz);
    for (uint64_t id = 0; partition_next(&id);) {
        partition_row(&t, id, info.tsc_hz);
    }
    table_end(&t);
}

static const char *vp_state_name(uint64_t state) // HV_CTR_STATE in <keelson/abi.h>
{
    static const char *const names[] = {"runs", "halted", "suspended", "intercepted", "waits for SIPI"};

    return state < ARRAY_LEN(names) ? names[state] : "?";
}

static void vp_rows(struct table *t, uint64_t id, uint64_t tsc_hz)
{
    struct hv_x_counters_out counters;

    for (uint32_t vp = 0; vp < HV_MAX_VPS_PER_PARTITION; vp++) {
        if (hvif_counters(id, vp, &counters) == HV_STATUS_SUCCESS) {
            partition_cells(t, id);
            table_cell(t, "%u", (unsigned)vp);
            table_cell(t, "%s", vp_state_name(counters.value[HV_CTR_STATE]));
            count_cells(t, &counters, tsc_hz);
        }
    }
}

void cmd_hv_vps(const struct call *c)
{
    static const char *const headers[] = {"PARTITION", "SYSTEM",      ">VP",         "STATE",     ">RUN TIME",
                                          ">ENTRIES",  ">INTERRUPTS", ">HYPERCALLS", ">SWITCHES", NULL};
    struct hv_x_info_out info;
    uint64_t id = HV_PARTITION_ID_SELF;
    struct table t;

    if (!ask(&info) || (c->argument[0] != NULL && !partition_parse(c->argument[0], &id))) {
        return;
    }
    table_begin(&t, headers);
    vp_rows(&t, id, info.tsc_hz);
    for (id = 0; c->argument[0] == NULL && partition_next(&id);) {
        vp_rows(&t, id, info.tsc_hz);
    }
    table_end(&t);
}

// --- exits ---

#define EXIT_NAME(reason, name) [reason] = name,
static const char *const exit_names[EXIT_REASON_COUNT] = {EXIT_REASON_TABLE(EXIT_NAME)};
#undef EXIT_NAME

static bool add_exits(uint64_t partition, uint64_t *sums)
{
    struct hv_x_counters_out counters;
    hv_status_t status = hvif_counters(partition, HV_VP_INDEX_ANY, &counters);

    if (status != HV_STATUS_SUCCESS) {
        say_hv(status, "reading the counters");
        return false;
    }
    for (unsigned i = 0; i < EXIT_REASON_COUNT; i++) {
        sums[i] += counters.value[HV_CTR_EXIT0 + i];
        sums[EXIT_REASON_COUNT] += counters.value[HV_CTR_EXIT0 + i];
    }
    return true;
}

static void print_exits(const uint64_t *sums)
{
    static const char *const headers[] = {"REASON", ">EXITS", ">SHARE", NULL};
    uint64_t all = sums[EXIT_REASON_COUNT];
    struct table t;

    table_begin(&t, headers);
    for (unsigned i = 0; i < EXIT_REASON_COUNT; i++) {
        if (sums[i] > 0) {
            table_cell(&t, "%s", exit_names[i]);
            table_cell(&t, "%s", count_text(sums[i]));
            table_cell(&t, "%s", percent_text(sums[i], all));
        }
    }
    table_cell(&t, "all");
    table_cell(&t, "%s", count_text(all));
    table_cell(&t, "%s", percent_text(all, all));
    table_end(&t);
}

void cmd_hv_exits(const struct call *c)
{
    uint64_t sums[EXIT_REASON_COUNT + 1] = {0}; // the last: all reasons
    uint64_t id = HV_PARTITION_ID_SELF;

    if ((c->argument[0] != NULL && !partition_parse(c->argument[0], &id)) || !add_exits(id, sums)) {
        return;
    }
    for (id = 0; c->argument[0] == NULL && partition_next(&id);) {
        if (!add_exits(id, sums)) {
            return;
        }
    }
    print_exits(sums);
}

// --- memory ---

static void frames_field(const char *name, uint64_t pages, uint64_t total)
{
    term_field(name, "%s pages, %s, %s", count_text(pages), bytes_text(pages * PAGE_SIZE),
               percent_text(pages, total));
}

void cmd_hv_memory(const struct call *c)
{
    struct hv_x_info_out info;

    (void)c;
    if (!ask(&info)) {
        return;
    }
    frames_field("all", info.total_pages, info.total_pages);
    frames_field("hypervisor", info.hv_pages, info.total_pages);
    frames_field("deposited", info.deposited_pages, info.total_pages);
    frames_field("guests", info.mapped_pages, info.total_pages);
}

// --- log ---

static const char *const level_names[] = {"error", "notice", "warn", "info", "debug"};

// Where the last `lines` lines of text begin.
static size_t last_lines(const char *text, size_t length, uint64_t lines)
{
    size_t at = length > 0 ? length - 1 : 0; // the newline at the end ends the last line

    while (at > 0) {
        if (text[at - 1] == '\n' && --lines == 0) {
            break;
        }
        at--;
    }
    return at;
}

// The whole ring, malloc()ed; NULL and said on failure. The log may grow while it is read.
static char *read_log(uint64_t end, uint64_t from, size_t *length)
{
    static struct hv_x_log_out piece; // too large for the stack; one at a time
    size_t capacity = (size_t)(end - from);
    char *text = malloc(capacity + 1);
    hv_status_t status = HV_STATUS_SUCCESS;

    *length = 0;
    if (text == NULL) {
        say_problem("the management heap is full");
        return NULL;
    }
    while (from < end) {
        size_t n;

        status = hvif_read_log(from, &piece);
        n = MIN(MIN((size_t)piece.length, sizeof piece.text), capacity - *length);
        if (status != HV_STATUS_SUCCESS || n == 0) {
            break;
        }
        memcpy(text + *length, piece.text, n);
        *length += n;
        from = piece.sequence + n;
    }
    if (status != HV_STATUS_SUCCESS) {
        say_hv(status, "reading the log");
        free(text);
        return NULL;
    }
    text[*length] = '\0';
    return text;
}

static void print_lines(char *text)
{
    char *line = text, *end;

    for (; (end = strchr(line, '\n')) != NULL; line = end + 1) {
        *end = '\0';
        term_print("%s\n", line);
    }
}

void cmd_hv_log(const struct call *c)
{
    uint64_t lines = LOG_LINES, wanted;
    struct hv_x_info_out info;
    size_t length;
    char *text;

    if ((c->argument[0] != NULL && !parse_number("lines", c->argument[0], 1, 100000, &lines)) ||
        !ask(&info)) {
        return;
    }
    wanted = MIN(lines * 272, info.log_next); // lines have at most that many bytes: hv/log.c
    text = read_log(info.log_next, info.log_next - wanted, &length);
    if (text != NULL) {
        print_lines(text + last_lines(text, length, lines));
        free(text);
    }
}

void cmd_hv_loglevel(const struct call *c)
{
    struct hv_x_info_out info;
    hv_status_t status;
    uint64_t level = 0;

    if (c->argument[0] == NULL) {
        if (ask(&info)) {
            term_print("%u (%s)\n", (unsigned)info.log_level,
                       info.log_level < ARRAY_LEN(level_names) ? level_names[info.log_level] : "?");
        }
        return;
    }
    while (level < ARRAY_LEN(level_names) && strcmp(level_names[level], c->argument[0]) != 0) {
        level++;
    }
    if (level == ARRAY_LEN(level_names) &&
        !parse_number("level", c->argument[0], 0, ARRAY_LEN(level_names) - 1, &level)) {
        return;
    }
    status = hvif_system(HV_X_SET_LOG_LEVEL, (uint32_t)level);
    if (status != HV_STATUS_SUCCESS) {
        say_hv(status, "setting the log level");
    }
}

// The dump goes to the log; the low bits of a partition's id are its index (HV_X_DUMP).
void cmd_hv_dump(const struct call *c)
{
    hv_status_t status;
    uint64_t id, vp;

    if (!partition_parse(c->argument[0], &id) ||
        !parse_number("VP", c->argument[1], 0, HV_MAX_VPS_PER_PARTITION - 1, &vp)) {
        return;
    }
    if (id == HV_PARTITION_ID_SELF) {
        say_problem("the management partition cannot stop itself for a dump; use the monitor, Ctrl-^ d");
        return;
    }
    status = hvif_system(HV_X_DUMP, (uint32_t)(id & 0xffff) << 8 | (uint32_t)vp);
    if (status != HV_STATUS_SUCCESS) {
        say_hv(status, "dumping");
    }
}
