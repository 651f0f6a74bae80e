// SPDX-License-Identifier: Apache-2.0
// PCI configuration mechanism #1 (PCI Local Bus 3.0, "Configuration Mechanism").
#include "mgmt/drivers/pci.h"

#define CONFIG_ADDRESS 0xcf8
#define CONFIG_DATA 0xcfc

static void out32(uint16_t port, uint32_t value)
{
    __asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static uint32_t in32(uint16_t port)
{
    uint32_t value;

    __asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port) : "memory");
    return value;
}

static void select_register(struct pci_address at, uint8_t offset)
{
    out32(CONFIG_ADDRESS, 0x80000000u | (uint32_t)at.bus << 16 | (uint32_t)(at.device & 31) << 11 |
                              (uint32_t)(at.function & 7) << 8 | (offset & 0xfcu));
}

uint32_t pci_config_read(struct pci_address at, uint8_t offset)
{
    select_register(at, offset);
    return in32(CONFIG_DATA);
}

void pci_config_write(struct pci_address at, uint8_t offset, uint32_t value)
{
    select_register(at, offset);
    out32(CONFIG_DATA, value);
}
