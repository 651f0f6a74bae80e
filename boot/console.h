// SPDX-License-Identifier: Apache-2.0
// What the loader says: on the firmware's console while there is one, and on the serial port.
#ifndef KEELSON_BOOT_CONSOLE_H
#define KEELSON_BOOT_CONSOLE_H

#include <efi.h>
#include <efilib.h>
#include <stdbool.h>
#include <stdint.h>

// Chooses the serial port by the `console` value of keelson.cfg ("com1", "com2", "none" or NULL for the
// default) and finds out whether it exists and whether the firmware's console already writes to it. Returns
// false when the choice is none of these and com1 has been taken.
bool console_init(const char *choice);

// I/O base of the serial console, 0 when there is none, and its ISA interrupt.
uint16_t console_port(void);
uint8_t console_irq(void);

// Prints one line, formatted as gnu-efi's Print() does (%d, %ld, %lx, %a for char strings).
void console_say(const CHAR16 *format, ...);

// From now on only the serial port is used: boot services are gone.
void console_firmware_gone(void);

// Prints why this machine cannot run Keelson, leaves time to read it and returns to the firmware.
__attribute__((noreturn)) void console_refuse(const CHAR16 *format, ...);

#endif
