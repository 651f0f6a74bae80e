// SPDX-License-Identifier: Apache-2.0
// The screen of a machine that has one: what the node is and where it answers, below that the log.
//
// Output only: the operator's shell is on the serial console. Drawn a row of text at a time from the event
// loop, because frame buffers are uncached memory and a whole screen takes longer than anybody should wait.
// Control plane only.
#ifndef MGMT_SHELL_SCREEN_H
#define MGMT_SHELL_SCREEN_H

#include <keelson/bootinfo.h>

// `pixels`: where fb->base is mapped; both stay as they are for good. Does nothing if there is no frame buffer
// or its shape is none that we draw. After core_init(); the network need not have started.
void screen_start(const struct boot_framebuffer *fb, void *pixels);

#endif
