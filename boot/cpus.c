// SPDX-License-Identifier: Apache-2.0
// Processors from the ACPI MADT (ACPI "Multiple APIC Description Table"), else from the UEFI PI "MP Services
// Protocol", which is the only list on machines without ACPI.
#include "boot/cpus.h"

#include "boot/acpi.h"
#include "boot/mem.h"
#include "boot/x86.h"
#include <efilib.h>

#define CPU_FLAG_BOOT 1u

struct cpu_list {
    struct boot_info *info;
    uint32_t boot_apic_id;
    uint32_t dropped;
};

static uint32_t own_apic_id(void)
{
    if (cpuid(0, 0).eax >= 0xb) {
        struct cpuid topology = cpuid(0xb, 0);
        if (topology.ebx != 0) {
            return topology.edx; // the 32-bit x2APIC ID
        }
    }
    return cpuid(1, 0).ebx >> 24;
}

static void add_cpu(struct cpu_list *list, uint32_t apic_id)
{
    struct boot_info *info = list->info;
    for (uint32_t i = 0; i < info->cpu_count; i++) {
        if (info->cpus[i].apic_id == apic_id) {
            return; // a MADT may list a processor both as local APIC and as x2APIC
        }
    }
    if (info->cpu_count == BOOT_MAX_CPUS) {
        list->dropped++;
        return;
    }
    info->cpus[info->cpu_count++].apic_id = apic_id;
}

// MADT structures, by type: the fields we read. ACPI "Interrupt Controller Structure Types".
#define MADT_LOCAL_APIC 0
#define MADT_X2APIC 9
#define MADT_ENTRIES_AT 44
#define MADT_FLAG_ENABLED 1u

static void add_madt_entry(struct cpu_list *list, const uint8_t *entry, uint32_t length)
{
    uint32_t id, flags;
    if (entry[0] == MADT_LOCAL_APIC && length >= 8) {
        id = entry[3];
        mem_copy(&flags, entry + 4, sizeof(flags));
        if (id == 0xff) {
            return; // broadcast: an unused slot
        }
    } else if (entry[0] == MADT_X2APIC && length >= 16) {
        mem_copy(&id, entry + 4, sizeof(id));
        mem_copy(&flags, entry + 8, sizeof(flags));
        if (id == UINT32_MAX) {
            return;
        }
    } else {
        return;
    }
    if ((flags & MADT_FLAG_ENABLED) != 0) {
        add_cpu(list, id);
    }
}

static void add_from_madt(struct cpu_list *list)
{
    uint32_t length;
    const uint8_t *madt = acpi_find_table(list->info->rsdp, "APIC", &length);
    if (madt == NULL) {
        return;
    }
    for (uint32_t at = MADT_ENTRIES_AT; at + 2 <= length;) {
        uint32_t size = madt[at + 1];
        if (size < 2 || size > length - at) {
            return;
        }
        add_madt_entry(list, madt + at, size);
        at += size;
    }
}

// UEFI PI, volume 2, "MP Services Protocol"; gnu-efi has no declaration of it.
struct mp_processor_info {
    UINT64 processor_id; // APIC ID
    UINT32 status;
    UINT32 location[3];
    UINT32 room[16]; // newer revisions append an extended location
};
struct mp_services {
    EFI_STATUS(EFIAPI *get_number_of_processors)(struct mp_services *, UINTN *total, UINTN *enabled);
    EFI_STATUS(EFIAPI *get_processor_info)(struct mp_services *, UINTN index, struct mp_processor_info *);
};
#define MP_STATUS_ENABLED 2u

static void add_from_mp_services(struct cpu_list *list)
{
    EFI_GUID guid = {0x3fdda605, 0xa76e, 0x4f46, {0xad, 0x29, 0x12, 0xf4, 0x53, 0x1b, 0x3d, 0x08}};
    struct mp_services *mp;
    UINTN total, enabled;
    if (EFI_ERROR(BS->LocateProtocol(&guid, NULL, (void **)&mp)) ||
        EFI_ERROR(mp->get_number_of_processors(mp, &total, &enabled))) {
        return;
    }
    for (UINTN i = 0; i < total; i++) {
        struct mp_processor_info processor;
        if (!EFI_ERROR(mp->get_processor_info(mp, i, &processor)) &&
            (processor.status & MP_STATUS_ENABLED) != 0) {
            add_cpu(list, (uint32_t)processor.processor_id);
        }
    }
}

// Puts the boot processor first, adding it when a list lacks it.
static void put_boot_cpu_first(struct cpu_list *list)
{
    struct boot_info *info = list->info;
    uint32_t at = 0;
    while (at < info->cpu_count && info->cpus[at].apic_id != list->boot_apic_id) {
        at++;
    }
    if (at == info->cpu_count) {
        if (info->cpu_count < BOOT_MAX_CPUS) {
            info->cpu_count++;
        } else {
            at--;
            list->dropped++;
        }
    }
    for (; at > 0; at--) {
        info->cpus[at] = info->cpus[at - 1];
    }
    info->cpus[0] = (struct boot_cpu){.apic_id = list->boot_apic_id, .flags = CPU_FLAG_BOOT};
}

const CHAR16 *cpus_find(struct boot_info *info, uint32_t *dropped)
{
    struct cpu_list list = {.info = info, .boot_apic_id = own_apic_id()};
    const CHAR16 *source = L"ACPI MADT";
    add_from_madt(&list);
    if (info->cpu_count == 0) {
        source = L"EFI MP Services";
        add_from_mp_services(&list);
    }
    if (info->cpu_count == 0) {
        source = L"no list, boot processor only";
    }
    put_boot_cpu_first(&list);
    *dropped = list.dropped;
    return source;
}
