// SPDX-License-Identifier: Apache-2.0
// Reads keelson.cfg from the ESP; the loader itself understands only `console`, `log_level` and `apic_virtualization` in it.
#ifndef KEELSON_BOOT_CONFIG_H
#define KEELSON_BOOT_CONFIG_H

#include <keelson/bootinfo.h>

#define CONFIG_VALUE_MAX 32

enum config_result {
    CONFIG_FOUND,
    CONFIG_ABSENT,
    CONFIG_CUT, // longer than BOOT_CONFIG_MAX: only whole lines of the first part are used
};

// Reads \keelson.cfg of the volume that the loader came from into info->config. Any trouble reading it
// counts as absence: a node with a bad configuration file still comes up with defaults.
enum config_result config_read(struct boot_info *info);

// Makes `length` bytes at config a text of clean lines: cuts at the last whole line when `cut` is set, drops
// a UTF-8 mark, turns control characters (the carriage returns of other systems) into spaces, and terminates
// it. Returns the new length. config holds BOOT_CONFIG_MAX bytes.
uint32_t config_tidy(char *config, uint32_t length, bool cut);

// Finds `key = value` in config, the last such line winning, and copies the value without surrounding
// blanks; what does not fit is cut off. Returns the number of the line, from 1, or 0 when there is none.
uint32_t config_value(const char *config, const char *key, char value[CONFIG_VALUE_MAX]);

// Log level of a value: a number 0..4 or a name (error, notice, warn, info, debug); -1 for anything else.
int config_log_level(const char *value);

// enum boot_apicv of a value (auto, on, off); -1 for anything else.
int config_apicv(const char *value);

#endif
