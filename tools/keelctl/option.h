// SPDX-License-Identifier: Apache-2.0
// The options of the command line, and looking up commands.
#ifndef KEELCTL_OPTION_H
#define KEELCTL_OPTION_H

#include "tools/keelctl/keelctl.h"

enum option_type { OPTION_TEXT, OPTION_FLAG, OPTION_OUTPUT, OPTION_HELP, OPTION_VERSION };

struct option_row {
    const char *name;
    char letter;          // 0: none
    const char *argument; // what its argument is called, NULL without one
    enum option_type type;
    size_t offset; // in struct options
    bool common;   // every command takes it
    const char *help;
};
extern const struct option_row option_rows[]; // ends with name NULL
extern const size_t option_count;

#define OPTIONS_MAX 64

struct parsed {
    bool help, version;
    bool given[OPTIONS_MAX]; // by row
};

// Reads the command line; optind is then the first word that is no option. False: wrong, and said.
bool option_parse(int argc, char **argv, struct options *o, struct parsed *p);
// Does the command take this option?
bool option_accepted(const struct command *cmd, const char *name);
// False and said if an option was given that the command does not take.
bool option_check(const struct parsed *p, const struct command *cmd);

const struct command *command_find(const char *noun, const char *verb);
bool noun_known(const char *noun);

#endif
