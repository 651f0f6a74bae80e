// SPDX-License-Identifier: Apache-2.0
// The loader's messages. Many firmwares mirror their console to the serial port; then we do not write there
// ourselves until they are gone, or each line would appear twice.
#include "boot/console.h"

#include "boot/firmware.h"
#include "boot/x86.h"

// 16550 registers, relative to the port's base.
enum {
    UART_DATA = 0,
    UART_IER = 1,
    UART_FCR = 2,
    UART_LCR = 3,
    UART_MCR = 4,
    UART_LSR = 5,
    UART_SCRATCH = 7
};

#define LSR_TX_EMPTY 0x20
#define TX_SPINS 100000u // a dead port must not stop the boot
#define LINE_CHARS 256
#define REFUSAL_SECONDS 15

static uint16_t port;
static uint8_t irq;
static bool firmware_console = true;
static bool firmware_mirrors;

static bool uart_exists(uint16_t base)
{
    static const uint8_t patterns[2] = {0x5a, 0xa5};
    for (unsigned i = 0; i < sizeof(patterns); i++) {
        outb(base + UART_SCRATCH, patterns[i]);
        if (inb(base + UART_SCRATCH) != patterns[i]) {
            return false;
        }
    }
    return true;
}

// 115200 8N1 with FIFOs, no interrupts: the hypervisor turns those on.
static void uart_setup(void)
{
    outb(port + UART_IER, 0);
    outb(port + UART_LCR, 0x80);
    outb(port + UART_DATA, 1);
    outb(port + UART_IER, 0);
    outb(port + UART_LCR, 0x03);
    outb(port + UART_FCR, 0x07);
    outb(port + UART_MCR, 0x0b); // DTR, RTS and OUT2, which gates the interrupt line on a PC
}

static void uart_put(char c)
{
    for (unsigned i = 0; i < TX_SPINS && (inb(port + UART_LSR) & LSR_TX_EMPTY) == 0; i++) {
        __builtin_ia32_pause();
    }
    outb(port + UART_DATA, (uint8_t)c);
}

// Whether the firmware's console output includes a UART (UEFI "Globally Defined Variables", ConOut).
static bool conout_has_uart(void)
{
    EFI_GUID global = EFI_GLOBAL_VARIABLE;
    static uint8_t value[1024];
    UINTN size = sizeof(value);
    if (EFI_ERROR(RT->GetVariable(L"ConOut", &global, NULL, &size, value))) {
        return false;
    }
    for (UINTN at = 0; at + 4 <= size;) {
        UINTN length = value[at + 2] | value[at + 3] << 8;
        if (value[at] == MESSAGING_DEVICE_PATH && value[at + 1] == MSG_UART_DP) {
            return true;
        }
        if (length < 4) {
            break;
        }
        at += length;
    }
    return false;
}

static bool equals(const char *a, const char *b)
{
    while (*a != '\0' && *a == *b) {
        a++;
        b++;
    }
    return *a == *b;
}

bool console_init(const char *choice)
{
    bool com2 = choice != NULL && equals(choice, "com2");
    bool none = choice != NULL && equals(choice, "none");
    bool understood = choice == NULL || com2 || none || equals(choice, "com1");

    port = com2 ? 0x2f8 : 0x3f8;
    irq = com2 ? 3 : 4;
    if (none || !uart_exists(port)) {
        port = 0;
        irq = 0;
        return understood;
    }
    firmware_mirrors = conout_has_uart();
    if (!firmware_mirrors) {
        uart_setup();
    }
    return understood;
}

uint16_t console_port(void)
{
    return port;
}

uint8_t console_irq(void)
{
    return irq;
}

static void say_args(const CHAR16 *format, va_list args)
{
    static CHAR16 line[LINE_CHARS + 3];
    VSPrint(line, LINE_CHARS * sizeof(CHAR16), format, args);
    StrCat(line, L"\r\n");
    if (firmware_console) {
        ST->ConOut->OutputString(ST->ConOut, line);
    }
    if (port != 0 && !(firmware_console && firmware_mirrors)) {
        for (const CHAR16 *c = line; *c != 0; c++) {
            uart_put(*c < 0x80 ? (char)*c : '?');
        }
    }
}

void console_say(const CHAR16 *format, ...)
{
    va_list args;
    va_start(args, format);
    say_args(format, args);
    va_end(args);
}

void console_firmware_gone(void)
{
    firmware_console = false;
    if (port != 0) {
        uart_setup();
    }
}

// Waits for a key, or for as long as it takes to read a line: the firmware's menu will cover it.
static void wait_for_reader(void)
{
    EFI_EVENT events[2] = {ST->ConIn->WaitForKey, NULL};
    UINTN which;
    if (EFI_ERROR(BS->CreateEvent(EVT_TIMER, 0, NULL, NULL, &events[1]))) {
        return;
    }
    ST->ConIn->Reset(ST->ConIn, FALSE);
    BS->SetTimer(events[1], TimerRelative, REFUSAL_SECONDS * 10000000ull);
    BS->WaitForEvent(2, events, &which);
    BS->CloseEvent(events[1]);
}

void console_refuse(const CHAR16 *format, ...)
{
    va_list args;
    console_say(L"Keelson cannot run on this machine:");
    va_start(args, format);
    say_args(format, args);
    va_end(args);
    if (firmware_console) {
        wait_for_reader();
        BS->Exit(firmware_image, EFI_UNSUPPORTED, 0, NULL);
    }
    for (;;) {
        __asm__ volatile("cli; hlt");
    }
}
