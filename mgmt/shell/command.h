// SPDX-License-Identifier: Apache-2.0
// Commands of the shell: the table, a line taken apart, what a command may do. Private to mgmt/shell.
//
// Nouns, verbs and options are those of keelctl. A command runs to its end at once, or begins something
// that the shell waits for (shell_wait()) or attaches to (shell_attach()).
#ifndef MGMT_SHELL_COMMAND_H
#define MGMT_SHELL_COMMAND_H

#include "mgmt/core/operation.h"
#include "mgmt/core/system.h"
#include "mgmt/shell/line.h"
#include "mgmt/shell/term.h"

#define COMMAND_WORDS_MAX 32
#define COMMAND_ARGUMENTS_MAX 4

enum command_option {
    OPTION_MEMORY,
    OPTION_CPUS,
    OPTION_KERNEL,
    OPTION_INITRD,
    OPTION_CMDLINE,
    OPTION_OWNER,
    OPTION_PORT,
    OPTION_FORCE,
    OPTION_COUNT
};

struct option_info {
    const char *name;
    const char *value; // what it takes, such as "IMAGE", which completion understands; NULL: nothing
    const char *help;
};
extern const struct option_info option_infos[OPTION_COUNT];

struct call {
    const struct command *command;
    const char *argument[COMMAND_ARGUMENTS_MAX]; // NULL after the last
    const char *option[OPTION_COUNT];            // NULL: not given; "" for one that takes nothing
};

struct command {
    const char *noun, *verb;   // verb "": the noun is all
    const char *arguments;     // such as "SYSTEM" or "[PARTITION]": for help and completion
    unsigned minimum, maximum; // of arguments
    uint32_t options;          // bit n: enum command_option n
    bool changes;              // goes to the audit trail
    const char *help;
    void (*run)(const struct call *c);
};
extern const struct command commands[]; // ends with a NULL noun

// --- words of a line ---

struct words {
    char text[LINE_TEXT_MAX + 1]; // unquoted words, NUL-terminated one after the other
    char *word[COMMAND_WORDS_MAX];
    size_t count;
    bool open;           // the last word is not ended by a space: completion goes on with it
    size_t last;         // where the last word begins in the line, if open
    const char *problem; // NULL: none
};
// Blanks part words; '…' and "…" quote, a backslash quotes the next character.
void words_split(struct words *w, const char *line, size_t length);
// Copies a name so that words_split() gives it back; returns its length, 0 if it does not fit.
size_t words_quote(char *out, size_t cap, const char *name);

// Finds the command and checks its arguments and options; on failure says why. The call points into `w`.
MUST_CHECK bool command_parse(struct words *w, struct call *c);
// Tab: completes the word before the cursor or lists what it may become.
void complete(struct line *line);

// --- what commands use ---

void say_error(const struct core_error *error); // "error: " and the text that the API would answer
void say_problem(const char *fmt, ...) PRINTF_LIKE(1, 2);
void say_hv(hv_status_t status, const char *what); // of a failed hypercall
// A whole number in [low, high]; false and said otherwise.
MUST_CHECK bool parse_number(const char *what, const char *text, uint64_t low, uint64_t high, uint64_t *out);

// The prompt comes back when `op` is finished; then "SUBJECT: DONE" or its error is printed. Ctrl-C ends
// the waiting alone. `doing` is shown with the progress. Strings must be constants.
void shell_wait(struct operation *op, struct system *s, const char *doing, const char *done);
// The terminal belongs to the guest's serial port until Ctrl-] or the system's end.
void shell_attach(struct system *s, unsigned port);

// For commands that wait for something short which ends by itself: keys are kept until shell_release(), which brings
// the prompt back.
void shell_hold(void);
void shell_release(void);

// Partitions by name: "root", a system's id, or a number. False and said if there is none.
MUST_CHECK bool partition_parse(const char *text, uint64_t *id);
const char *partition_owner(uint64_t id); // its system's id; "management" for the root, "" if unknown
// The next child after *id (0 begins); false at the end.
bool partition_next(uint64_t *id);

// --- the commands ---

void cmd_help(const struct call *c);
void cmd_system_list(const struct call *c);
void cmd_system_show(const struct call *c);
void cmd_system_create(const struct call *c);
void cmd_system_start(const struct call *c);
void cmd_system_stop(const struct call *c);
void cmd_system_shutdown(const struct call *c);
void cmd_system_pause(const struct call *c);
void cmd_system_resume(const struct call *c);
void cmd_system_delete(const struct call *c);
void cmd_console(const struct call *c);
void cmd_image_list(const struct call *c);
void cmd_image_show(const struct call *c);
void cmd_image_delete(const struct call *c);
void cmd_store_show(const struct call *c);
void cmd_store_check(const struct call *c);
void cmd_store_scrub(const struct call *c);
void cmd_switch_list(const struct call *c);
void cmd_switch_show(const struct call *c);
void cmd_event_list(const struct call *c);
void cmd_operation_list(const struct call *c);
void cmd_node(const struct call *c);
void cmd_version(const struct call *c);
void cmd_network(const struct call *c);
void cmd_memory(const struct call *c);
void cmd_secret_new(const struct call *c);
void cmd_reboot(const struct call *c);
void cmd_poweroff(const struct call *c);
void cmd_disk_list(const struct call *c);
void cmd_disk_read(const struct call *c);
void cmd_disk_wipe(const struct call *c);
void cmd_hv_partitions(const struct call *c);
void cmd_hv_vps(const struct call *c);
void cmd_hv_exits(const struct call *c);
void cmd_hv_memory(const struct call *c);
void cmd_hv_log(const struct call *c);
void cmd_hv_loglevel(const struct call *c);
void cmd_hv_dump(const struct call *c);

#endif
