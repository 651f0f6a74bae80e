// SPDX-License-Identifier: Apache-2.0
// system ..., image ...: the node's systems and what they boot from.
#include <stdio.h>
#include <string.h>

#include "mgmt/core/keeper.h"
#include "mgmt/shell/command.h"

#define DEFAULT_CMDLINE "console=ttyS0"
#define DEFAULT_WEIGHT 100u // TLFS HvPartitionPropertyCpuWeight

static struct system *find_system(const char *id)
{
    struct system *s = system_find(id);

    if (s == NULL) {
        say_problem("there is no system '%.120s'", id);
    }
    return s;
}

// --- looking ---

static const char *exit_name(enum system_exit exit)
{
    static const char *const names[] = {"-", "GracefulExit", "ForcedExit", "UnexpectedExit"};

    return names[exit];
}

void cmd_system_list(const struct call *c)
{
    static const char *const headers[] = {"ID", "STATE", ">CPUS", ">MEMORY", "OWNER", "EXIT", NULL};
    struct table t;

    (void)c;
    table_begin(&t, headers);
    for (struct system *s = system_next(NULL); s != NULL; s = system_next(s)) {
        table_cell(&t, "%s", s->id);
        table_cell(&t, "%s", system_state_name(s->state));
        table_cell(&t, "%u", (unsigned)s->cfg.vp_count);
        table_cell(&t, "%s", bytes_text(s->cfg.memory_bytes));
        table_cell(&t, "%s", s->owner);
        table_cell(&t, "%s", exit_name(s->exit));
    }
    table_end(&t);
}

static void show_times(const struct system *s)
{
    uint64_t cpu_ms = system_cpu_100ns(s) / 10000;

    term_field("created", "%s", time_text(s->created_ms));
    if (s->started_ms != 0) {
        term_field("started", "%s", time_text(s->started_ms));
    }
    if (s->state == SYSTEM_STOPPED) {
        term_field("stopped", "%s, %s", time_text(s->stopped_ms), s->exit_text);
    } else if (s->started_ms != 0) {
        term_field("up", "%s, %s of processor time", duration_text((plat_now_ns() - s->started_ns) / 1000000),
                   duration_text(cpu_ms));
    }
}

static const char *image_name(const struct image *image)
{
    struct image_info info = {.name = "-"};

    if (image != NULL) {
        image_get_info(image, &info);
    }
    return info.name;
}

static void show_uuid(const uint8_t *u)
{
    term_field("runtime id", "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", u[0],
               u[1], u[2], u[3], u[4], u[5], u[6], u[7], u[8], u[9], u[10], u[11], u[12], u[13], u[14],
               u[15]);
}

void cmd_system_show(const struct call *c)
{
    const struct system *s = find_system(c->argument[0]);

    if (s == NULL) {
        return;
    }
    term_field("system", "%s", s->id);
    term_field("state", "%s%s", system_state_name(s->state), system_busy(s) ? ", being changed" : "");
    term_field("owner", "%s", s->owner);
    show_uuid(s->runtime_id);
    term_field("processors", "%u, weight %u", (unsigned)s->cfg.vp_count, (unsigned)s->cfg.weight);
    term_field("memory", "%s", bytes_text(s->cfg.memory_bytes));
    term_field("kernel", "%s", image_name(s->kernel));
    term_field("initrd", "%s", s->initrd[0] != '\0' ? s->initrd : "-");
    term_field("command line", "%s", s->cmdline);
    if (s->partition.id != HV_PARTITION_ID_INVALID) {
        term_field("partition", "%llu, %s deposited", (unsigned long long)s->partition.id,
                   bytes_text(s->partition.pages * PAGE_SIZE));
    }
    if (s->resets > 0) {
        term_field("resets", "%u", s->resets);
    }
    show_times(s);
}

// --- create ---

// "512", "512M" or "2G"; false and said if it is none.
static bool parse_memory(const char *text, uint64_t *bytes)
{
    char digits[16];
    size_t n = strspn(text, "0123456789");
    unsigned shift = strcmp(text + n, "G") == 0 ? 30 : 20;
    bool unit = text[n] == '\0' || strcmp(text + n, "M") == 0 || shift == 30;

    if (!unit || n == 0 || n >= sizeof digits) {
        say_problem("memory: '%s' is no size: write 512 or 512M for megabytes, 2G for gigabytes", text);
        return false;
    }
    memcpy(digits, text, n);
    digits[n] = '\0';
    if (!parse_number("memory", digits, 1, 1u << 24, bytes)) {
        return false;
    }
    *bytes <<= shift;
    return true;
}

static const char *option_or(const struct call *c, enum command_option option, const char *otherwise)
{
    return c->option[option] != NULL ? c->option[option] : otherwise;
}

void cmd_system_create(const struct call *c)
{
    struct core_error error;
    struct system *s;
    uint64_t memory, cpus;

    if (c->option[OPTION_KERNEL] == NULL || c->option[OPTION_MEMORY] == NULL) {
        say_problem("a system needs at least --kernel IMAGE and --memory MB");
        return;
    }
    if (!parse_memory(c->option[OPTION_MEMORY], &memory) ||
        !parse_number("cpus", option_or(c, OPTION_CPUS, "1"), 1, HV_MAX_VPS_PER_PARTITION, &cpus)) {
        return;
    }
    struct system_config cfg = {
        .owner = option_or(c, OPTION_OWNER, "console"),
        .memory_bytes = memory,
        .vp_count = (uint32_t)cpus,
        .weight = DEFAULT_WEIGHT,
        .cap = SYSTEM_CAP_NONE,
        .com = {true},
        .kernel = c->option[OPTION_KERNEL],
        .initrd = c->option[OPTION_INITRD],
        .cmdline = option_or(c, OPTION_CMDLINE, DEFAULT_CMDLINE),
    };
    if (strlen(cfg.owner) > SYSTEM_OWNER_MAX) {
        say_problem("an owner has at most %u bytes", SYSTEM_OWNER_MAX);
    } else if (system_create(c->argument[0], &cfg, &s, &error) != CORE_OK) {
        say_error(&error);
    } else {
        term_print("%s: created\n", s->id);
    }
}

// --- life cycle ---

struct verb {
    enum operation_type type;
    enum core_status (*run)(struct system *s, struct operation *op, struct core_error *error);
    const char *doing, *done;
};

static void run_verb(const struct call *c, const struct verb *verb)
{
    struct system *s = find_system(c->argument[0]);
    struct core_error error;
    struct operation *op;

    if (s == NULL) {
        return;
    }
    op = operation_create(verb->type, s->id);
    if (op == NULL) {
        say_problem("too many operations are pending; close some");
    } else if (verb->run(s, op, &error) != CORE_OK) {
        operation_finish(op, &error);
        operation_close(op);
        say_error(&error);
    } else {
        shell_wait(op, s, verb->doing, verb->done);
    }
}

void cmd_system_start(const struct call *c)
{
    run_verb(c, &(struct verb){OPERATION_START, system_start, "starting", "started"});
}

void cmd_system_stop(const struct call *c)
{
    run_verb(c, &(struct verb){OPERATION_TERMINATE, system_terminate, "terminating", "terminated"});
}

void cmd_system_shutdown(const struct call *c)
{
    run_verb(c, &(struct verb){OPERATION_SHUTDOWN, system_shutdown, "shutting down", "shut down"});
}

void cmd_system_pause(const struct call *c)
{
    run_verb(c, &(struct verb){OPERATION_PAUSE, system_pause, "pausing", "paused"});
}

void cmd_system_resume(const struct call *c)
{
    run_verb(c, &(struct verb){OPERATION_RESUME, system_resume, "resuming", "resumed"});
}

void cmd_system_delete(const struct call *c)
{
    struct system *s = find_system(c->argument[0]);
    struct core_error error;

    if (s == NULL) {
        return;
    }
    if (system_delete(s, &error) != CORE_OK) {
        say_error(&error);
    } else {
        term_print("%s: deleted\n", c->argument[0]);
    }
}

void cmd_console(const struct call *c)
{
    struct system *s = find_system(c->argument[0]);
    uint64_t port;

    if (s == NULL || !parse_number("port", option_or(c, OPTION_PORT, "0"), 0, DP_CONSOLES - 1, &port)) {
        return;
    }
    if (!s->com[port].present) {
        say_problem("the system's document has no such ComPorts or VirtioSerial entry");
        return;
    }
    shell_attach(s, (unsigned)port);
}

// --- images ---

void cmd_image_list(const struct call *c)
{
    static const char *const headers[] = {"NAME", ">SIZE", "STATE", ">USERS", "CREATED", NULL};
    struct image_upload_info upload;
    struct image_info info;
    struct table t;

    (void)c;
    table_begin(&t, headers);
    for (struct image *i = image_next(NULL); i != NULL; i = image_next(i)) {
        image_get_info(i, &info);
        table_cell(&t, "%s", info.name);
        table_cell(&t, "%s", bytes_text(info.size));
        table_cell(&t, "Ready");
        table_cell(&t, "%u", info.refs);
        table_cell(&t, "%s", time_text(info.created_ms));
    }
    for (struct image_upload *u = image_upload_next(NULL); u != NULL; u = image_upload_next(u)) {
        image_upload_get_info(u, &upload);
        table_cell(&t, "%s", upload.name);
        table_cell(&t, "%s", bytes_text(upload.received));
        table_cell(&t, "Uploading%s%s", upload.expected != 0 ? " " : "",
                   upload.expected != 0 ? percent_text(upload.received, upload.expected) : "");
        table_cell(&t, "-");
        table_cell(&t, "-");
    }
    table_end(&t);
}

void cmd_image_show(const struct call *c)
{
    struct image *image = image_find(c->argument[0]);
    char digest[2 * IMAGE_SHA256_SIZE + 1];
    struct image_info info;

    if (image == NULL) {
        say_problem("there is no image '%.64s'", c->argument[0]);
        return;
    }
    image_get_info(image, &info);
    for (size_t i = 0; i < IMAGE_SHA256_SIZE; i++) {
        digest[2 * i] = "0123456789abcdef"[info.sha256[i] >> 4];
        digest[2 * i + 1] = "0123456789abcdef"[info.sha256[i] & 15];
    }
    digest[2 * IMAGE_SHA256_SIZE] = '\0';
    term_field("image", "%s", info.name);
    term_field("size", "%s (%s bytes)", bytes_text(info.size), count_text(info.size));
    term_field("SHA-256", "%s", digest);
    term_field("created", "%s", time_text(info.created_ms));
    term_field("users", "%u", info.refs);
}

static char deleting[IMAGE_NAME_MAX + 1];

static void image_deleted(void *arg, const struct core_error *error)
{
    (void)arg;
    if (error != NULL) {
        say_error(error);
    } else {
        image_forget(deleting);
        term_print("%s: deleted\n", deleting);
    }
    shell_release();
}

void cmd_image_delete(const struct call *c)
{
    struct core_error error;

    if (image_deletable(c->argument[0], &error) != CORE_OK) {
        say_error(&error);
        return;
    }
    if (keeper() == NULL) {
        image_forget(c->argument[0]);
        term_print("%s: deleted\n", c->argument[0]);
        return;
    }
    snprintf(deleting, sizeof deleting, "%s", c->argument[0]);
    shell_hold();
    keeper()->delete_image(deleting, image_deleted, NULL);
}
