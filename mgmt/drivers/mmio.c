// SPDX-License-Identifier: Apache-2.0
// Device registers through the direct map, which the hypervisor maps uncached on first touch.
#include "mgmt/drivers/mmio.h"

#include "mgmt/plat.h"

#include <keelson/bootinfo.h>

#define ACCESS(type, m, offset) (*(volatile type *)((m).base + (offset)))

mmio_t mmio_map(uint64_t address)
{
    return (mmio_t){MGMT_DIRECT_BASE + address};
}

uint8_t mmio_read8(mmio_t m, uint32_t offset)
{
    return ACCESS(uint8_t, m, offset);
}

uint16_t mmio_read16(mmio_t m, uint32_t offset)
{
    return ACCESS(uint16_t, m, offset);
}

uint32_t mmio_read32(mmio_t m, uint32_t offset)
{
    return ACCESS(uint32_t, m, offset);
}

void mmio_write8(mmio_t m, uint32_t offset, uint8_t value)
{
    ACCESS(uint8_t, m, offset) = value;
}

void mmio_write16(mmio_t m, uint32_t offset, uint16_t value)
{
    ACCESS(uint16_t, m, offset) = value;
}

void mmio_write32(mmio_t m, uint32_t offset, uint32_t value)
{
    ACCESS(uint32_t, m, offset) = value;
}

void mmio_delay_us(uint32_t us)
{
    uint64_t end = plat_now_ns() + us * 1000ull;

    while (plat_now_ns() < end) {
        __builtin_ia32_pause();
    }
}
