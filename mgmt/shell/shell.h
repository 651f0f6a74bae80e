// SPDX-License-Identifier: Apache-2.0
// The operator's shell on the serial console.
//
// Whoever sits at the console owns the machine, so the shell asks for no secret; what changes something
// goes to the audit trail as "admin from serial console". It is event driven like everything in the control
// plane: keys arrive through plat_console_ready(), long work is an operation that it waits for, output is
// queued (term.h). Design: docs/console.md.
#ifndef MGMT_SHELL_SHELL_H
#define MGMT_SHELL_SHELL_H

// Shows the prompt and takes input from now on. Further calls do nothing. After core_init().
void shell_start(void);

#endif
