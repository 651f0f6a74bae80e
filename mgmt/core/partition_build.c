// SPDX-License-Identifier: Apache-2.0
// Steps that build a partition (TLFS "Virtualization Host": creation order of a partition's parts).
#include <emmintrin.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mgmt/core/deposit.h"
#include "mgmt/core/partition_steps.h"
#include "mgmt/devices/vm.h"
#include "mgmt/hvif/hvif.h"

#define CONSOLE_TX_BYTES 16384u
#define CONSOLE_RX_BYTES 4096u
#define ENTROPY_BYTES 1024u
#define ZERO_SLICE (256u << 10)
#define LOAD_SLICE (256u << 10)
#define MAP_SLICE 64u         // large pages a hypercall
#define DEPOSIT_FIRST 8u      // pages given when a call first finds the pool too small
#define DEPOSIT_MAX_TRIES 64u // a call that still fails then will never succeed

static enum step_result fail(struct partition *p, hv_status_t status, const char *what)
{
    core_fail_hv(&p->error, status, what);
    return STEP_FAIL;
}

// One step of feeding the pool of `owner` after a hypercall found it too small. Taking a page out of our own
// GPA space can need memory for our own tables, which come from our own pool: that is fed then.
static hv_status_t feed(struct partition *p, uint64_t owner)
{
    size_t done;
    hv_status_t status = deposit_pages(owner, DEPOSIT_FIRST * MIN(p->retries, 8u), &done);

    if (owner == p->id) {
        p->pages += done;
    }
    if (status == HV_STATUS_INSUFFICIENT_MEMORY || p->retries % 8 == 0) {
        hv_status_t own = deposit_pages(HV_PARTITION_ID_SELF, DEPOSIT_FIRST, &done);

        status = status == HV_STATUS_INSUFFICIENT_MEMORY ? own : status;
    }
    return status;
}

// What to do after a hypercall that may have found a memory pool too small: give that pool (of `owner`)
// more pages and try again. The amount grows, so that large needs take few turns.
static enum step_result after_call(struct partition *p, hv_status_t status, uint64_t owner, const char *what)
{
    if (status == HV_STATUS_SUCCESS) {
        p->retries = 0;
        return STEP_NEXT;
    }
    if (status != HV_STATUS_INSUFFICIENT_MEMORY || ++p->retries > DEPOSIT_MAX_TRIES) {
        return fail(p, status, what);
    }
    status = feed(p, owner);
    if (status == HV_STATUS_NO_RESOURCES) {
        core_fail(&p->error, CORE_NO_MEMORY, "%s: no guest memory is left for the hypervisor's tables", what);
        return STEP_FAIL;
    }
    return status == HV_STATUS_SUCCESS ? STEP_AGAIN : fail(p, status, "depositing memory");
}

// The pool aligns multiples of 1 GiB and may then find no place although memory would do: ask for one
// chunk more and give it back.
static bool ram_alloc(size_t chunks, gpa_t *gpa)
{
    if (plat_pool_alloc(chunks, gpa)) {
        return true;
    }
    if (chunks % (PAGE_SIZE_1G / PAGE_SIZE_2M) != 0 || !plat_pool_alloc(chunks + 1, gpa)) {
        return false;
    }
    plat_pool_free(GPA(gpa->v + chunks * PAGE_SIZE_2M), 1);
    return true;
}

static enum step_result step_ram(struct partition *p)
{
    size_t chunks = p->cfg.memory_bytes / PAGE_SIZE_2M;

    if (p->ram_chunks == chunks) {
        return STEP_NEXT; // kept over a reset
    }
    partition_drop_ram(p); // of another size: none of ours is kept
    if (partition_admit(p->cfg.memory_bytes, &p->error) != CORE_OK) {
        return STEP_FAIL;
    }
    if (!ram_alloc(chunks, &p->ram)) {
        core_fail(&p->error, CORE_NO_MEMORY, "guest memory is fragmented: no run of %llu MB is free",
                  (unsigned long long)(p->cfg.memory_bytes >> 20));
        return STEP_FAIL;
    }
    p->ram_chunks = chunks;
    return STEP_NEXT;
}

// Non-temporal stores: a guest's memory is far larger than the caches and is not read soon.
static void zero_uncached(void *at, size_t bytes)
{
    __m128i *to = at;
    const __m128i zero = _mm_setzero_si128();

    for (size_t i = 0; i < bytes / sizeof *to; i += 8) {
        _mm_stream_si128(&to[i], zero);
        _mm_stream_si128(&to[i + 1], zero);
        _mm_stream_si128(&to[i + 2], zero);
        _mm_stream_si128(&to[i + 3], zero);
        _mm_stream_si128(&to[i + 4], zero);
        _mm_stream_si128(&to[i + 5], zero);
        _mm_stream_si128(&to[i + 6], zero);
        _mm_stream_si128(&to[i + 7], zero);
    }
    _mm_sfence();
}

static enum step_result step_zero(struct partition *p)
{
    zero_uncached((uint8_t *)plat_pool_va(p->ram) + p->cursor, ZERO_SLICE);
    p->cursor += ZERO_SLICE;
    return p->cursor < p->cfg.memory_bytes ? STEP_AGAIN : STEP_NEXT;
}

// Disk by disk: open, then fill in slices. What is ready was kept over a reset.
static enum step_result step_disks(struct partition *p)
{
    uint8_t n = p->disks_ready;
    char serial[21];

    if (n == p->cfg.disk_count) {
        return STEP_NEXT;
    }
    if (p->disk[n] == NULL) {
        if (p->cfg.disk[n].contents != NULL) {
            snprintf(serial, sizeof serial, "keelson-seed");
        } else {
            snprintf(serial, sizeof serial, "keelson-disk%u", (unsigned)n);
        }
        if (disk_open(&p->cfg.disk[n], serial, &p->disk[n], &p->error) != CORE_OK) {
            return STEP_FAIL;
        }
    }
    if (disk_fill(p->disk[n], LOAD_SLICE)) {
        p->disks_ready++;
    }
    return STEP_AGAIN;
}

static struct machine_config machine_of(const struct partition_config *cfg)
{
    struct machine_config machine = {
        .vp_count = cfg->vp_count,
        .virtio_console = cfg->com[DP_CONSOLE_VIRTIO],
        .nics = cfg->nic_count,
        .disks = cfg->disk_count,
    };

    memcpy(machine.com, cfg->com, sizeof machine.com); // the serial ports come first
    return machine;
}

static void fill_nics(struct partition *p, struct switch_port *ports)
{
    for (uint8_t i = 0; i < p->cfg.nic_count; i++) {
        const struct network_adapter *a = &p->cfg.nic[i];

        switch_port_init(&ports[i], a->home->vswitch, &a->settings);
        p->vm->nic[i].port = &ports[i];
        memcpy(p->vm->nic[i].mac, a->settings.mac, sizeof p->vm->nic[i].mac);
    }
    p->vm->nic_count = p->cfg.nic_count;
}

// One heap block for everything the data plane needs: dp_vm, device models, ports of switches, console and entropy rings.
static enum step_result step_block(struct partition *p)
{
    struct machine_config machine = machine_of(&p->cfg);
    size_t vm_size = ALIGN_UP(sizeof(struct dp_vm), (size_t)64);
    size_t devices_size = ALIGN_UP(vm_devices_size(&machine), (size_t)64);
    size_t ports_size = ALIGN_UP(p->cfg.nic_count * sizeof(struct switch_port), (size_t)64);
    size_t size = vm_size + devices_size + ports_size + DP_CONSOLES * (CONSOLE_TX_BYTES + CONSOLE_RX_BYTES) +
                  ENTROPY_BYTES;
    uint8_t *at;

    p->vm_block = calloc(1, size + 63);
    if (p->vm_block == NULL) {
        core_fail(&p->error, CORE_NO_HEAP, "management heap is full");
        return STEP_FAIL;
    }
    at = (uint8_t *)ALIGN_UP((uintptr_t)p->vm_block, (uintptr_t)64);
    p->vm = (struct dp_vm *)at;
    p->vm->devices = (struct vm_devices *)(at + vm_size);
    at += vm_size + devices_size;
    fill_nics(p, (struct switch_port *)at);
    at += ports_size;
    for (unsigned i = 0; i < DP_CONSOLES; i++) {
        spsc_init(&p->vm->com[i].tx, at, CONSOLE_TX_BYTES, 1);
        spsc_init(&p->vm->com[i].rx, at + CONSOLE_TX_BYTES, CONSOLE_RX_BYTES, 1);
        p->vm->com[i].present = p->cfg.com[i];
        at += CONSOLE_TX_BYTES + CONSOLE_RX_BYTES;
    }
    spsc_init(&p->vm->entropy, at, ENTROPY_BYTES, 1);
    for (uint8_t i = 0; i < p->cfg.disk_count; i++) {
        p->vm->disk[i] = (struct dp_disk){.device = disk_device(p->disk[i]), .served = true};
    }
    p->vm->disk_count = p->cfg.disk_count;
    p->vm->owner = p;
    p->vm->vp_count = p->cfg.vp_count;
    p->vm->ram = plat_pool_va(p->ram);
    p->vm->ram_gpa = p->ram.v;
    p->vm->ram_low = MIN(p->cfg.memory_bytes, MACHINE_RAM_LOW_MAX);
    p->vm->ram_high = p->cfg.memory_bytes - p->vm->ram_low;
    return STEP_NEXT;
}

// A new partition's descriptor comes from the creator's own pool.
static enum step_result step_create(struct partition *p)
{
    enum step_result result = after_call(p, hvif_create_partition(&p->id), HV_PARTITION_ID_SELF,
                                         "creating the partition");

    if (result == STEP_NEXT) {
        p->vm->partition = p->id;
    } else {
        p->id = HV_PARTITION_ID_INVALID;
    }
    return result;
}

static enum step_result step_initialize(struct partition *p)
{
    enum step_result result = after_call(p, hvif_initialize_partition(p->id), p->id,
                                         "initializing the partition");

    p->initialized = result == STEP_NEXT;
    return result;
}

static bool huge_fits(const struct partition *p, uint64_t source, uint64_t target, uint64_t left)
{
    return !p->no_huge_pages && left >= PAGE_SIZE_1G && source % PAGE_SIZE_1G == 0 &&
           target % PAGE_SIZE_1G == 0;
}

// Maps from byte p->cursor of the guest's memory with the largest pages that fit there.
static enum step_result step_map(struct partition *p)
{
    bool in_low = p->cursor < p->vm->ram_low;
    uint64_t source = p->ram.v + p->cursor;
    uint64_t target = in_low ? p->cursor : MACHINE_RAM_HIGH_BASE + (p->cursor - p->vm->ram_low);
    uint64_t left = (in_low ? p->vm->ram_low : p->cfg.memory_bytes) - p->cursor;
    bool huge = huge_fits(p, source, target, left);
    uint64_t page = huge ? PAGE_SIZE_1G : PAGE_SIZE_2M;
    size_t count = huge ? 1 : MIN(left / PAGE_SIZE_2M, MAP_SLICE), done = 0;
    hv_status_t status = hvif_map(p->id, GPA(target), GPA(source), count,
                                  HV_MAP_RWX | (huge ? HV_MAP_X_HUGE_PAGE : HV_MAP_LARGE_PAGE), &done);
    enum step_result result;

    p->cursor += done * page;
    if (huge && (status == HV_STATUS_INVALID_PARAMETER || status == HV_STATUS_FEATURE_UNAVAILABLE)) {
        p->no_huge_pages = true; // the processor has no 1 GiB pages
        return STEP_AGAIN;
    }
    result = after_call(p, status, p->id, "mapping guest memory");
    return result == STEP_NEXT && p->cursor < p->cfg.memory_bytes ? STEP_AGAIN : result;
}

static enum step_result step_vps(struct partition *p)
{
    enum step_result result = after_call(p, hvif_create_vp(p->id, p->vps), p->id,
                                         "creating a virtual processor");

    if (result == STEP_NEXT && ++p->vps < p->cfg.vp_count) {
        return STEP_AGAIN;
    }
    return result;
}

// 1/65536 of a processor in per mille, rounded.
static unsigned per_mille(uint32_t fraction)
{
    return (unsigned)(((uint64_t)fraction * 1000 + 0x8000) >> 16);
}

static enum step_result refuse_reservation(struct partition *p)
{
    unsigned n = per_mille(p->cfg.reserve);

    core_fail(
        &p->error, CORE_LIMIT,
        "the node cannot reserve %u.%u%% of a processor for each of %u virtual processor(s) beside what other "
        "systems have reserved; lower Reservation or end some",
        n / 10, n % 10, p->cfg.vp_count);
    return STEP_FAIL;
}

// Scheduling properties. The cap goes before the reserve, which may not exceed it; both after the VPs, so that the
// hypervisor sees for how many it is to promise.
static enum step_result step_properties(struct partition *p)
{
    const struct {
        uint32_t code, value, standard;
    } props[] = {
        {HV_PROP_CPU_WEIGHT, p->cfg.weight, 100},
        {HV_PROP_CPU_CAP, p->cfg.cap, 0x10000},
        {HV_PROP_CPU_RESERVE, p->cfg.reserve, 0},
    };
    hv_status_t status = HV_STATUS_SUCCESS;
    enum step_result result;

    if (props[p->cursor].value != props[p->cursor].standard) {
        status = hvif_set_property(p->id, props[p->cursor].code, props[p->cursor].value);
    }
    if (status == HV_STATUS_NO_RESOURCES && props[p->cursor].code == HV_PROP_CPU_RESERVE) {
        return refuse_reservation(p);
    }
    result = after_call(p, status, p->id, "setting a scheduling property");
    if (result == STEP_NEXT && ++p->cursor < ARRAY_LEN(props)) {
        return STEP_AGAIN;
    }
    return result;
}

static enum step_result step_cookies(struct partition *p)
{
    struct hv_register_assoc reg = {.name = HV_REG_X_INTERCEPT_COOKIE};
    uint32_t vp = (uint32_t)p->cursor;
    enum step_result result;

    reg.value.u64 = DP_COOKIE(p->vm, vp);
    result = after_call(p, hvif_set_registers(p->id, vp, &reg, 1), p->id, "naming a virtual processor");
    if (result == STEP_NEXT && ++p->cursor < p->vps) {
        return STEP_AGAIN;
    }
    return result;
}

static enum step_result step_state_pages(struct partition *p)
{
    uint32_t vp = p->state_pages / 2;
    bool message = p->state_pages % 2 == 1;
    void *va = NULL;
    enum step_result result = after_call(
        p,
        hvif_map_state_page(p->id, vp, message ? HV_STATE_PAGE_INTERCEPT_MESSAGE : HV_STATE_PAGE_REGISTERS,
                            &va),
        p->id, "mapping a state page");

    if (result != STEP_NEXT) {
        return result;
    }
    if (message) {
        p->vm->vp[vp].msg = va;
    } else {
        p->vm->vp[vp].regs = va;
    }
    return ++p->state_pages < 2 * p->vps ? STEP_AGAIN : STEP_NEXT;
}

static size_t read_image(void *ctx, uint64_t offset, void *buf, size_t length)
{
    return image_read(ctx, offset, buf, length);
}

static const char *image_name(const struct image *image)
{
    struct image_info info;

    image_get_info(image, &info);
    return info.name;
}

static struct image_reader reader(const struct image *image)
{
    struct image_info info;

    image_get_info(image, &info);
    return (struct image_reader){.read = read_image, .ctx = (void *)(uintptr_t)image, .size = info.size};
}

static enum step_result load_failed(struct partition *p)
{
    core_fail(&p->error, CORE_BAD_IMAGE, "%s", p->load.error);
    return STEP_FAIL;
}

static enum step_result step_load_begin(struct partition *p)
{
    p->boot = (struct kernel_boot){
        .mem = {.ram = p->vm->ram, .low = p->vm->ram_low, .high = p->vm->ram_high},
        .machine = machine_of(&p->cfg),
        .kernel = reader(p->cfg.kernel),
        .kernel_name = image_name(p->cfg.kernel),
        .cmdline = p->cfg.cmdline,
        .module_count = p->cfg.module_count,
    };
    for (uint32_t i = 0; i < p->cfg.module_count; i++) {
        p->boot.module[i] = (struct kernel_module){
            .file = reader(p->cfg.module[i].image),
            .name = p->cfg.module[i].name,
            .text = p->cfg.module[i].arguments,
        };
    }
    memset(&p->load, 0, sizeof p->load);
    return kernel_load_begin(&p->load, &p->boot) ? STEP_NEXT : load_failed(p);
}

static enum step_result step_load(struct partition *p)
{
    switch (kernel_load_step(&p->load, LOAD_SLICE)) {
    case LOAD_MORE:
        return STEP_AGAIN;
    case LOAD_DONE:
        return STEP_NEXT;
    case LOAD_FAILED:
        break;
    }
    return load_failed(p);
}

static enum step_result step_entry(struct partition *p)
{
    return after_call(p, hvif_set_registers(p->id, 0, p->load.entry.regs, p->load.entry.reg_count), p->id,
                      "setting the entry state");
}

// The first doorbell makes the hypervisor take its page for them, so that the data plane's calls need no memory.
static enum step_result step_doorbells(struct partition *p)
{
    const struct hv_x_doorbell_in in = {
        .partition = p->id,
        .cookie = DP_DOORBELL_COOKIE(p->vm),
        .vp_index = DP_DOORBELL_VP,
        .vector = DP_DOORBELL_VECTOR,
    };
    struct machine_config machine = machine_of(&p->cfg);

    if (!machine_has_pci(&machine)) {
        return STEP_NEXT;
    }
    return after_call(p, hvif_set_doorbell(&in), p->id, "preparing doorbells");
}

static enum step_result step_attach(struct partition *p)
{
    struct dp_command cmd = {.type = DP_CMD_ATTACH, .vm = p->vm};

    if (p->cursor == 0) {
        vm_devices_init(p->vm);
        p->cursor = 1;
    }
    if (!dp_send(&cmd)) {
        return STEP_RETRY;
    }
    p->attached = true;
    return STEP_NEXT;
}

const struct partition_step partition_build_steps[] = {
    {step_ram, 2},
    {step_zero, 55},
    {step_disks, 60},
    {step_block, 61},
    {step_create, 62},
    {step_initialize, 63},
    {step_map, 75},
    {step_vps, 77},
    {step_properties, 78},
    {step_cookies, 79},
    {step_state_pages, 80},
    {step_load_begin, 81},
    {step_load, 97},
    {step_entry, 98},
    {step_doorbells, 99},
    {step_attach, 100},
    {NULL, 0},
};
