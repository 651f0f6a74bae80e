// SPDX-License-Identifier: Apache-2.0
// The command table, a line into a call, help.
#include "mgmt/shell/command.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OPT(name) (1u << OPTION_##name)
#define CREATE_OPTIONS (OPT(MEMORY) | OPT(CPUS) | OPT(KERNEL) | OPT(INITRD) | OPT(CMDLINE) | OPT(OWNER))

const struct option_info option_infos[OPTION_COUNT] = {
    [OPTION_MEMORY] = {"memory", "MB", "memory in MB"},
    [OPTION_CPUS] = {"cpus", "N", "virtual processors, 1 unless given"},
    [OPTION_KERNEL] = {"kernel", "IMAGE", "Linux kernel to boot"},
    [OPTION_INITRD] = {"initrd", "IMAGE", "initial RAM disk"},
    [OPTION_CMDLINE] = {"cmdline", "TEXT", "kernel command line, \"console=ttyS0\" unless given"},
    [OPTION_OWNER] = {"owner", "NAME", "who it belongs to, \"console\" unless given"},
    [OPTION_PORT] = {"port", "N", "serial port, 0 unless given"},
    [OPTION_FORCE] = {"force", NULL, "although systems run or data is lost"},
};

const struct command commands[] = {
    {"system", "list", "", 0, 0, 0, false, "all systems", cmd_system_list},
    {"system", "show", "SYSTEM", 1, 1, 0, false, "one system", cmd_system_show},
    {"system", "create", "ID", 1, 1, CREATE_OPTIONS, true, "define a system", cmd_system_create},
    {"system", "start", "SYSTEM", 1, 1, 0, true, "start it and wait until it runs", cmd_system_start},
    {"system", "stop", "SYSTEM", 1, 1, 0, true, "terminate it at once", cmd_system_stop},
    {"system", "shutdown", "SYSTEM", 1, 1, 0, true, "press its power button and wait", cmd_system_shutdown},
    {"system", "pause", "SYSTEM", 1, 1, 0, true, "suspend its processors", cmd_system_pause},
    {"system", "resume", "SYSTEM", 1, 1, 0, true, "let it go on", cmd_system_resume},
    {"system", "console", "SYSTEM", 1, 1, OPT(PORT), true, "attach to its serial port; Ctrl-] leaves",
     cmd_console},
    {"system", "delete", "SYSTEM", 1, 1, 0, true, "forget a system that has stopped", cmd_system_delete},
    {"console", "", "SYSTEM", 1, 1, OPT(PORT), true, "the same as system console", cmd_console},

    {"image", "list", "", 0, 0, 0, false, "images and uploads in progress", cmd_image_list},
    {"image", "show", "IMAGE", 1, 1, 0, false, "one image", cmd_image_show},
    {"image", "delete", "IMAGE", 1, 1, 0, true, "delete an image that no system uses", cmd_image_delete},

    {"store", "show", "", 0, 0, 0, false, "the state partition: space and commits", cmd_store_show},
    {"store", "check", "", 0, 0, 0, false, "look for inconsistencies", cmd_store_check},
    {"store", "scrub", "", 0, 0, 0, false, "read everything and compare digests", cmd_store_scrub},

    {"switch", "list", "", 0, 0, 0, false, "virtual switches", cmd_switch_list},
    {"switch", "show", "SWITCH", 1, 1, 0, false, "a switch's ports and what they count", cmd_switch_show},

    {"event", "list", "[COUNT]", 0, 1, 0, false, "what has happened; the last 20 unless given",
     cmd_event_list},
    {"events", "", "[COUNT]", 0, 1, 0, false, "the same as event list", cmd_event_list},
    {"operation", "list", "", 0, 0, 0, false, "operations, newest first", cmd_operation_list},

    {"node", "", "", 0, 0, 0, false, "version, processors, addresses, fingerprint, uptime", cmd_node},
    {"network", "", "", 0, 0, 0, false, "addresses, link, counters, connections", cmd_network},
    {"memory", "", "", 0, 0, 0, false, "who has the machine's memory", cmd_memory},

    {"disk", "list", "", 0, 0, 0, false, "disks, their partitions and what they did", cmd_disk_list},
    {"disk", "read", "DISK SECTOR", 2, 2, 0, false, "one sector of 512 bytes", cmd_disk_read},
    {"disk", "wipe", "DISK", 1, 1, OPT(FORCE), true, "overwrite its first and last MiB with zeros",
     cmd_disk_wipe},
    {"disks", "", "", 0, 0, 0, false, "the same as disk list", cmd_disk_list},

    {"hv", "partitions", "", 0, 0, 0, false, "partitions and what they cost", cmd_hv_partitions},
    {"hv", "vps", "[PARTITION]", 0, 1, 0, false, "virtual processors", cmd_hv_vps},
    {"hv", "exits", "[PARTITION]", 0, 1, 0, false, "exits by reason; of all unless given", cmd_hv_exits},
    {"hv", "memory", "", 0, 0, 0, false, "page frames by use", cmd_hv_memory},
    {"hv", "log", "[LINES]", 0, 1, 0, false, "end of the log; 40 lines unless given", cmd_hv_log},
    {"hv", "loglevel", "[LEVEL]", 0, 1, 0, true, "what of the log is shown here", cmd_hv_loglevel},
    {"hv", "dump", "PARTITION VP", 2, 2, 0, true, "log the state of a virtual processor", cmd_hv_dump},

    {"secret", "new", "", 0, 0, 0, true, "replace the administrator secret and show it", cmd_secret_new},
    {"reboot", "", "", 0, 0, OPT(FORCE), true, "restart the node", cmd_reboot},
    {"poweroff", "", "", 0, 0, OPT(FORCE), true, "power the node off", cmd_poweroff},
    {"version", "", "", 0, 0, 0, false, "version of this node", cmd_version},
    {"help", "", "[COMMAND]", 0, 2, 0, false, "this list, or one command", cmd_help},
    {0},
};

// --- errors ---

void say_problem(const char *fmt, ...)
{
    char text[CORE_TEXT_MAX + 64];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    term_print("error: %s\n", text);
}

void say_error(const struct core_error *error)
{
    say_problem("%s", error->text[0] != '\0' ? error->text : core_status_name(error->status));
}

void say_hv(hv_status_t status, const char *what)
{
    struct core_error error;

    core_fail_hv(&error, status, what);
    say_error(&error);
}

bool parse_number(const char *what, const char *text, uint64_t low, uint64_t high, uint64_t *out)
{
    char *end;
    unsigned long long n = strtoull(text, &end, 0);

    if (text[0] < '0' || text[0] > '9' || *end != '\0' || n < low || n > high) {
        say_problem("%s: '%s' is no number from %llu to %llu", what, text, (unsigned long long)low,
                    (unsigned long long)high);
        return false;
    }
    *out = n;
    return true;
}

// --- parsing ---

static bool noun_exists(const char *noun)
{
    for (const struct command *c = commands; c->noun != NULL; c++) {
        if (strcmp(c->noun, noun) == 0) {
            return true;
        }
    }
    return false;
}

static const struct command *find_command(const struct words *w)
{
    for (const struct command *c = commands; c->noun != NULL; c++) {
        if (strcmp(c->noun, w->word[0]) == 0 &&
            (c->verb[0] == '\0' || (w->count > 1 && strcmp(c->verb, w->word[1]) == 0))) {
            return c;
        }
    }
    if (!noun_exists(w->word[0])) {
        say_problem("there is no command '%s'; try help", w->word[0]);
    } else if (w->count == 1) {
        say_problem("%s what? try help %s", w->word[0], w->word[0]);
    } else {
        say_problem("there is no command '%s %s'; try help %s", w->word[0], w->word[1], w->word[0]);
    }
    return NULL;
}

static int find_option(const struct command *command, const char *name, size_t length)
{
    for (int i = 0; i < OPTION_COUNT; i++) {
        if ((command->options & 1u << i) && strlen(option_infos[i].name) == length &&
            strncmp(option_infos[i].name, name, length) == 0) {
            return i;
        }
    }
    return -1;
}

// Takes word *i, which begins with "--", and its value, which may be the next word.
static bool take_option(const struct words *w, size_t *i, struct call *c)
{
    const char *name = w->word[*i] + 2, *equals = strchr(name, '=');
    size_t length = equals != NULL ? (size_t)(equals - name) : strlen(name);
    int option = find_option(c->command, name, length);

    if (option < 0) {
        say_problem("%s%s%s has no option --%.*s", c->command->noun, c->command->verb[0] ? " " : "",
                    c->command->verb, (int)length, name);
        return false;
    }
    if (option_infos[option].value == NULL) {
        c->option[option] = "";
    } else if (equals != NULL) {
        c->option[option] = equals + 1;
    } else if (*i + 1 < w->count) {
        c->option[option] = w->word[++*i];
    } else {
        say_problem("--%s needs a value: %s", option_infos[option].name, option_infos[option].value);
        return false;
    }
    return true;
}

static void usage(const struct command *c)
{
    term_print("usage: %s%s%s%s%s%s\n", c->noun, c->verb[0] ? " " : "", c->verb, c->arguments[0] ? " " : "",
               c->arguments, c->options != 0 ? " [options]" : "");
}

bool command_parse(struct words *w, struct call *c)
{
    size_t count = 0;
    bool plain = false; // after "--"

    memset(c, 0, sizeof *c);
    if (w->problem != NULL) {
        say_problem("%s", w->problem);
        return false;
    }
    c->command = find_command(w);
    if (c->command == NULL) {
        return false;
    }
    for (size_t i = c->command->verb[0] != '\0' ? 2 : 1; i < w->count; i++) {
        if (!plain && strncmp(w->word[i], "--", 2) == 0) {
            if (w->word[i][2] == '\0') {
                plain = true;
            } else if (!take_option(w, &i, c)) {
                return false;
            }
        } else if (count < c->command->maximum) {
            c->argument[count++] = w->word[i];
        } else {
            say_problem("'%s' is too much", w->word[i]);
            usage(c->command);
            return false;
        }
    }
    if (count < c->command->minimum) {
        say_problem("something is missing");
        usage(c->command);
        return false;
    }
    return true;
}

// --- help ---

static void help_line(const struct command *c)
{
    char left[64];

    snprintf(left, sizeof left, "%s%s%s%s%s", c->noun, c->verb[0] ? " " : "", c->verb,
             c->arguments[0] ? " " : "", c->arguments);
    term_print("  %-24s %s\n", left, c->help);
}

static void help_options(const struct command *c)
{
    for (int i = 0; i < OPTION_COUNT; i++) {
        if (c->options & 1u << i) {
            char left[32];

            snprintf(left, sizeof left, "--%s %s", option_infos[i].name,
                     option_infos[i].value != NULL ? option_infos[i].value : "");
            term_print("      %-20s %s\n", left, option_infos[i].help);
        }
    }
}

static void help_all(void)
{
    for (const struct command *c = commands; c->noun != NULL; c++) {
        help_line(c);
    }
    term_print(
        "help COMMAND shows options. Tab completes, up and down recall, Ctrl-C gives up a line or a wait.\n"
        "Ctrl-] leaves a guest's console. Ctrl-^ h reaches the hypervisor's monitor.\n");
}

void cmd_help(const struct call *c)
{
    bool found = false;

    if (c->argument[0] == NULL) {
        help_all();
        return;
    }
    for (const struct command *i = commands; i->noun != NULL; i++) {
        if (strcmp(i->noun, c->argument[0]) == 0 &&
            (c->argument[1] == NULL || strcmp(i->verb, c->argument[1]) == 0)) {
            help_line(i);
            help_options(i);
            found = true;
        }
    }
    if (!found) {
        say_problem("there is no command '%s%s%s'", c->argument[0], c->argument[1] != NULL ? " " : "",
                    c->argument[1] != NULL ? c->argument[1] : "");
    }
}
