// SPDX-License-Identifier: Apache-2.0
// EFI/BOOT/BOOTX64.EFI: gathers what <keelson/bootinfo.h> describes, loads hypervisor and management
// partition, leaves the firmware and enters the hypervisor.
#include "boot/config.h"
#include "boot/console.h"
#include "boot/cpus.h"
#include "boot/elf.h"
#include "boot/entropy.h"
#include "boot/firmware.h"
#include "boot/mem.h"
#include "boot/memmap.h"
#include "boot/paging.h"
#include "boot/region.h"
#include "boot/virt_check.h"
#include "boot/x86.h"
#include <efi.h>
#include <efilib.h>
#include <keelson/bootinfo.h>

#ifndef KEELSON_VERSION
#define KEELSON_VERSION "0.1"
#endif

#define CR4_LA57 BIT(12)
#define DEFAULT_LOG_LEVEL 3 // info
#define EXIT_ATTEMPTS 8
#define MAP_SLACK_DESCRIPTORS 16 // room for what allocating the buffer itself adds to the map

extern const uint8_t payload_hv[], payload_hv_end[], payload_mgmt[], payload_mgmt_end[];

__attribute__((noreturn)) void jump_to_hypervisor(uint64_t boot_info, uint64_t entry, uint64_t cr3,
                                                  uint64_t stack);

// The name that gnu-efi's start-up code calls.
EFI_STATUS efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *system_table);

// The raw memory map. The buffer is allocated once: while boot services are being left, nothing can be.
struct raw_map {
    uint8_t *bytes;
    UINTN capacity;
    UINTN size;
    UINTN key;
    UINTN stride;
};

static EFI_STATUS raw_map_read(struct raw_map *raw)
{
    UINT32 version;
    raw->size = raw->capacity;
    return BS->GetMemoryMap(&raw->size, (EFI_MEMORY_DESCRIPTOR *)raw->bytes, &raw->key, &raw->stride,
                            &version);
}

static void raw_map_allocate(struct raw_map *raw)
{
    EFI_STATUS status = raw_map_read(raw); // with no buffer: tells the size
    if (status != EFI_BUFFER_TOO_SMALL) {
        console_refuse(L"the firmware gives no memory map (%r).", status);
    }
    raw->capacity = raw->size + MAP_SLACK_DESCRIPTORS * raw->stride;
    status = BS->AllocatePool(EfiLoaderData, raw->capacity, (void **)&raw->bytes);
    if (EFI_ERROR(status)) {
        console_refuse(L"no memory for the memory map (%r).", status);
    }
}

static struct elf_image parse_payload(const uint8_t *file, const uint8_t *end, const CHAR16 *name)
{
    struct elf_image image;
    const char *error = elf_parse(&image, file, (size_t)(end - file));
    if (error != NULL) {
        console_refuse(L"this boot file is damaged: %s: %a.", name, error);
    }
    return image;
}

static uint8_t read_log_level(const char *config)
{
    char value[CONFIG_VALUE_MAX];
    uint32_t line = config_value(config, "log_level", value);
    int level = line != 0 ? config_log_level(value) : DEFAULT_LOG_LEVEL;
    if (level < 0) {
        console_say(L"keelson.cfg line %d: log_level %a is not a level, using info", line, value);
        level = DEFAULT_LOG_LEVEL;
    }
    return (uint8_t)level;
}

static uint32_t read_apicv(const char *config)
{
    char value[CONFIG_VALUE_MAX];
    uint32_t line = config_value(config, "apic_virtualization", value);
    int apicv = line != 0 ? config_apicv(value) : BOOT_APICV_AUTO;
    if (apicv < 0) {
        console_say(L"keelson.cfg line %d: apic_virtualization %a is none of auto, on, off; using auto", line,
                    value);
        apicv = BOOT_APICV_AUTO;
    }
    return (uint32_t)apicv;
}

// The configuration decides where messages go, so it is read before the first of them.
static void read_config(struct boot_info *info)
{
    char value[CONFIG_VALUE_MAX];
    enum config_result result = config_read(info);
    uint32_t line = config_value(info->config, "console", value);
    bool understood = console_init(line != 0 ? value : NULL);

    console_say(L"Keelson %a booting", KEELSON_VERSION);
    if (result == CONFIG_CUT) {
        console_say(L"keelson.cfg is longer than %d bytes, the rest of it is ignored", BOOT_CONFIG_MAX - 1);
    }
    if (!understood) {
        console_say(L"keelson.cfg line %d: console %a is none of com1, com2, none; using com1", line, value);
    }
    info->log_level = read_log_level(info->config);
    info->apicv = read_apicv(info->config);
    info->com_port = console_port();
    info->com_irq = console_irq();
}

static void require_machine(void)
{
    const char *engine = NULL;
    const char *missing = virt_check(&engine);
    if (missing != NULL) {
        console_refuse(L"%a", missing);
    }
    if ((read_cr4() & CR4_LA57) != 0) {
        console_refuse(L"the firmware runs with 5-level paging: disable it in its setup.");
    }
    console_say(L"processor: %a", engine);
}

static void find_machine(struct boot_info *info)
{
    uint32_t dropped;
    firmware_find_tables(info);
    firmware_find_framebuffer(info);
    const CHAR16 *source = cpus_find(info, &dropped);
    console_say(L"processors: %d (%s)", info->cpu_count, source);
    if (dropped != 0) {
        console_say(L"processors: %d more are not used, the limit is %d", dropped, BOOT_MAX_CPUS);
    }
    firmware_read_clock(info);
    firmware_measure_tsc(info);
    entropy_gather(info);
}

// Fills info->ranges from the raw map and carves out what the loader has taken.
static void build_ranges(struct boot_info *info, const struct raw_map *raw, struct memmap *map)
{
    memmap_init(map, info->ranges, BOOT_MAX_RANGES);
    memmap_add_firmware(map, raw->bytes, raw->size, raw->stride);
    if (info->hv_size != 0) {
        memmap_paint(map, info->hv_base, info->hv_size, BOOT_RANGE_HV, EFI_MEMORY_WB);
        memmap_paint(map, info->mgmt_base, info->mgmt_size, BOOT_RANGE_MGMT, EFI_MEMORY_WB);
        memmap_paint(map, info->trampoline, PAGE_SIZE, BOOT_RANGE_RESERVED, EFI_MEMORY_WB);
    }
    info->range_count = map->count;
}

// A first look at the map, while the firmware can still show what is wrong with it.
static uint64_t survey_memory(struct boot_info *info, struct raw_map *raw)
{
    struct memmap map;
    EFI_STATUS status = raw_map_read(raw);
    if (EFI_ERROR(status)) {
        console_refuse(L"the firmware gives no memory map (%r).", status);
    }
    build_ranges(info, raw, &map);
    if (map.overflow) {
        console_refuse(L"the firmware's memory map has more than %d ranges.", BOOT_MAX_RANGES);
    }
    console_say(L"memory: %ld MiB free, %ld MiB the highest address", memmap_ram_bytes(&map) >> 20,
                memmap_memory_end(&map) >> 20);
    return memmap_memory_end(&map);
}

// UEFI ExitBootServices(): the key goes stale whenever an event handler allocates between the two calls; the
// map must then be read again, and no other boot service may be called.
static void exit_boot_services(struct raw_map *raw)
{
    EFI_STATUS status = EFI_SUCCESS;
    for (unsigned i = 0; i < EXIT_ATTEMPTS; i++) {
        status = raw_map_read(raw);
        if (EFI_ERROR(status)) {
            break;
        }
        status = BS->ExitBootServices(firmware_image, raw->key);
        if (!EFI_ERROR(status)) {
            __asm__ volatile("cli");
            console_firmware_gone();
            return;
        }
    }
    console_refuse(L"the firmware does not let go: ExitBootServices: %r.", status);
}

static void enter_hypervisor(const struct elf_image *hv, const struct region *region)
{
    const struct boot_info *info = region->info;
    struct paging_arena tables = region->tables;
    struct paging_plan plan = {
        .map_end = region->map_end,
        .image_base = info->hv_base,
        .image_size = info->hv_image_size,
    };
    struct paging_roots roots = paging_build(&tables, &plan);
    region->info->efi_runtime_pt = roots.runtime;
    jump_to_hypervisor(HV_DIRECT_BASE + (uint64_t)info, hv->entry, roots.boot,
                       HV_DIRECT_BASE + region->stack_top);
}

EFI_STATUS efi_main(EFI_HANDLE image, EFI_SYSTEM_TABLE *system_table)
{
    static struct boot_info found; // collected here until its place in the region is known
    found.tsc_entry = rdtsc();
    firmware_image = image;
    InitializeLib(image, system_table);
    BS->SetWatchdogTimer(0, 0, 0, NULL);

    found.magic = BOOT_INFO_MAGIC;
    found.version = BOOT_INFO_VERSION;
    found.size = sizeof(found);
    found.efi_system_table = (uint64_t)system_table;
    read_config(&found);
    require_machine();
    struct elf_image hv = parse_payload(payload_hv, payload_hv_end, L"hypervisor");
    struct elf_image mgmt = parse_payload(payload_mgmt, payload_mgmt_end, L"management partition");
    if (hv.vbase != HV_IMAGE_BASE) {
        console_refuse(L"this boot file is damaged: the hypervisor is linked at %lx.", hv.vbase);
    }
    find_machine(&found);

    struct raw_map raw = {0};
    raw_map_allocate(&raw);
    struct region region = region_prepare(&found, &hv, &mgmt, survey_memory(&found, &raw));
    exit_boot_services(&raw);

    struct memmap map;
    build_ranges(region.info, &raw, &map);
    if (map.overflow) {
        console_refuse(L"the firmware's memory map has more than %d ranges.", BOOT_MAX_RANGES);
    }
    enter_hypervisor(&hv, &region);
    return EFI_LOAD_ERROR; // not reached
}
