// SPDX-License-Identifier: Apache-2.0
// Log lines (mgmt/plat.h): the hypervisor stamps them, keeps them in its ring, and shows them by level.
#include "mgmt/hvif/hvif_call.h"
#include "mgmt/plat.h"

#include <stdarg.h>
#include <stdio.h>

#define LOG_LINE 240 // what the hypervisor keeps of a line

// Characters that would move the operator's cursor do not belong into a line, whoever supplied them.
static void make_printable(char *line, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f) {
            line[i] = '?';
        }
    }
}

void plat_log(enum plat_log_level level, const char *fmt, ...)
{
    char line[LOG_LINE + 1];
    va_list args;
    int len;

    va_start(args, fmt);
    len = vsnprintf(line, sizeof(line), fmt, args);
    va_end(args);
    len = MIN(MAX(len, 0), LOG_LINE);
    make_printable(line, (size_t)len);
    hvif_call_log(level, line, (size_t)len);
}
