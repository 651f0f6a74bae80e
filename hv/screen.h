// SPDX-License-Identifier: Apache-2.0
// The hypervisor's last words on the screen. While all is well the frame buffer belongs to the management
// partition (mgmt/shell/screen.c); after a panic nobody else is left to say why.
#ifndef HV_SCREEN_H
#define HV_SCREEN_H

#include <keelson/bootinfo.h>

void screen_init(const struct boot_info *info); // after host_init(); nothing happens without a frame buffer
void screen_panic_line(const char *line, size_t len); // one line of the log, from the top, white on red

#endif
