// SPDX-License-Identifier: Apache-2.0
// The text side of keelson.cfg: lines of `key = value`, `#` starts a comment line.
#include "boot/config.h"

#include "boot/mem.h"

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static uint32_t last_line_end(const char *config, uint32_t length)
{
    while (length > 0 && config[length - 1] != '\n') {
        length--;
    }
    return length;
}

uint32_t config_tidy(char *config, uint32_t length, bool cut)
{
    static const char utf8_mark[3] = {'\xef', '\xbb', '\xbf'};
    if (cut) {
        length = last_line_end(config, length);
    }
    length = MIN(length, BOOT_CONFIG_MAX - 1);
    if (length >= sizeof(utf8_mark) && mem_compare(config, utf8_mark, sizeof(utf8_mark)) == 0) {
        mem_set(config, ' ', sizeof(utf8_mark));
    }
    for (uint32_t i = 0; i < length; i++) {
        if ((unsigned char)config[i] < ' ' && config[i] != '\n') {
            config[i] = ' ';
        }
    }
    config[length] = '\0';
    return length;
}

// Returns the start of the value when the line at `line` sets `key`, else NULL.
static const char *match_key(const char *line, const char *key)
{
    while (is_blank(*line)) {
        line++;
    }
    while (*key != '\0' && *line == *key) {
        line++;
        key++;
    }
    while (is_blank(*line)) {
        line++;
    }
    return *key == '\0' && *line == '=' ? line + 1 : NULL;
}

static void copy_value(const char *from, char value[CONFIG_VALUE_MAX])
{
    uint32_t length = 0;
    while (is_blank(*from)) {
        from++;
    }
    while (from[length] != '\0' && from[length] != '\n') {
        length++;
    }
    while (length > 0 && is_blank(from[length - 1])) {
        length--;
    }
    length = MIN(length, CONFIG_VALUE_MAX - 1);
    mem_copy(value, from, length);
    value[length] = '\0';
}

uint32_t config_value(const char *config, const char *key, char value[CONFIG_VALUE_MAX])
{
    uint32_t number = 0, found = 0;
    for (const char *line = config; *line != '\0';) {
        const char *at = match_key(line, key);
        number++;
        if (at != NULL) {
            found = number;
            copy_value(at, value);
        }
        while (*line != '\0' && *line != '\n') {
            line++;
        }
        line += *line == '\n';
    }
    return found;
}

static bool same_text(const char *a, const char *b)
{
    while (*a != '\0' && *a == *b) {
        a++;
        b++;
    }
    return *a == *b;
}

int config_log_level(const char *value)
{
    static const char *const names[] = {"error", "notice", "warn", "info", "debug"};
    for (int i = 0; i < (int)ARRAY_LEN(names); i++) {
        char digit[2] = {(char)('0' + i), '\0'};
        if (same_text(value, names[i]) || same_text(value, digit)) {
            return i;
        }
    }
    return -1;
}

int config_apicv(const char *value)
{
    static const char *const names[] = {
        [BOOT_APICV_AUTO] = "auto", [BOOT_APICV_ON] = "on", [BOOT_APICV_OFF] = "off"};
    for (int i = 0; i < (int)ARRAY_LEN(names); i++) {
        if (same_text(value, names[i])) {
            return i;
        }
    }
    return -1;
}
