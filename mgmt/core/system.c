// SPDX-License-Identifier: Apache-2.0
// The table of systems: creation, look-up, deletion.
#include "mgmt/core/system.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mgmt/core/event.h"

#define BUCKETS 256u

static struct system *first, *last;
static struct system *buckets[BUCKETS];
static size_t count, stopped_count;

static struct system **bucket(const char *id)
{
    uint32_t h = 2166136261u; // FNV-1a

    for (const char *c = id; *c != '\0'; c++) {
        h = (h ^ (uint8_t)*c) * 16777619u;
    }
    return &buckets[h % BUCKETS];
}

struct system *system_find(const char *id)
{
    for (struct system *s = *bucket(id); s != NULL; s = s->hash_next) {
        if (strcmp(s->id, id) == 0) {
            return s;
        }
    }
    return NULL;
}

struct system *system_next(const struct system *previous)
{
    return previous == NULL ? first : previous->next;
}

size_t system_count(void)
{
    return count;
}

static void table_add(struct system *s)
{
    struct system **b = bucket(s->id);

    s->hash_next = *b;
    *b = s;
    s->next = NULL;
    if (last == NULL) {
        first = s;
    } else {
        last->next = s;
    }
    last = s;
    count++;
}

static void table_remove(struct system *s)
{
    struct system *previous = NULL;

    for (struct system **p = bucket(s->id); *p != NULL; p = &(*p)->hash_next) {
        if (*p == s) {
            *p = s->hash_next;
            break;
        }
    }
    for (struct system *i = first; i != s; i = i->next) {
        previous = i;
    }
    if (previous == NULL) {
        first = s->next;
    } else {
        previous->next = s->next;
    }
    if (last == s) {
        last = previous;
    }
    count--;
}

static void system_free(struct system *s)
{
    for (unsigned i = 0; i < DP_CONSOLES; i++) {
        console_free(&s->com[i]);
    }
    for (unsigned i = 0; i < DP_MAX_DISKS; i++) {
        free(s->disk_path[i]);
    }
    module_list_free(&s->modules);
    free(s->seed);
    free(s->initrd);
    free(s->cmdline);
    free(s);
}

static void forget(struct system *s)
{
    table_remove(s);
    s->deleted = true;
    event_post(EVENT_SYSTEM_DELETED, s->id, "deleted");
    s->refs++; // readers drop their references in the loop below
    for (unsigned i = 0; i < DP_CONSOLES; i++) {
        notify_raise(&s->com[i].readers);
    }
    system_unref(s);
}

void system_ref(struct system *s)
{
    s->refs++;
}

void system_unref(struct system *s)
{
    if (--s->refs == 0 && s->deleted) {
        system_free(s);
    }
}

void system_release(struct system *s)
{
    if (s->kernel != NULL) {
        image_unref(s->kernel);
    }
    for (unsigned i = 0; i < s->cfg.module_count; i++) {
        image_unref(s->module[i]);
        s->module[i] = NULL;
    }
    for (unsigned i = 0; i < s->cfg.disk_count; i++) {
        disk_release(&s->cfg.disk[i]);
    }
    s->cfg.disk_count = 0;
    for (unsigned i = 0; i < s->cfg.nic_count; i++) {
        network_release(&s->cfg.nic[i]);
    }
    s->cfg.module_count = 0;
    s->kernel = NULL;
    s->cfg.kernel = NULL;
}

// Keeps the number of ended systems bounded: the oldest goes.
static void push_out_stopped(void)
{
    struct system *oldest = NULL;

    stopped_count = 0;
    for (struct system *s = first; s != NULL; s = s->next) {
        if (s->state == SYSTEM_STOPPED) {
            stopped_count++;
            if (oldest == NULL || s->stopped_ms < oldest->stopped_ms) {
                oldest = s;
            }
        }
    }
    if (stopped_count > SYSTEM_STOPPED_KEPT) {
        forget(oldest);
    }
}

static bool id_valid(const char *id)
{
    size_t n = strlen(id);

    if (n == 0 || n > SYSTEM_ID_MAX || strcmp(id, ".") == 0 || strcmp(id, "..") == 0) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if ((uint8_t)id[i] < 0x20 || id[i] == 0x7f || id[i] == '/') {
            return false;
        }
    }
    return true;
}

static size_t read_image(void *ctx, uint64_t offset, void *buf, size_t length)
{
    return image_read(ctx, offset, buf, length);
}

static enum core_status check_memory(const struct image *image, struct core_error *error)
{
    struct image_info info;

    image_get_info(image, &info);
    if (!info.in_memory) {
        return core_fail(
            error, CORE_BAD_IMAGE,
            "image '%s' is on the state partition alone: it is larger than %llu MB, or memory was short",
            info.name, IMAGE_MEMORY_MAX >> 20);
    }
    return CORE_OK;
}

static enum core_status check_modules(const struct system_config *cfg, struct core_error *error)
{
    struct module_list modules;
    enum core_status status = module_list_read(cfg->initrd, &modules, error);

    for (unsigned i = 0; status == CORE_OK && i < modules.count; i++) {
        const struct image *image = image_find(modules.module[i].name);

        if (image == NULL) {
            status = core_fail(error, CORE_NO_IMAGE,
                               "initrd image '%.80s' is not on this node; upload it first",
                               modules.module[i].name);
        } else {
            status = check_memory(image, error);
        }
    }
    module_list_free(&modules);
    return status;
}

static enum core_status check_images(const struct system_config *cfg, struct core_error *error)
{
    struct image *kernel = image_find(cfg->kernel);
    struct image_info info;
    char text[160];

    if (kernel == NULL) {
        return core_fail(error, CORE_NO_IMAGE, "kernel image '%s' is not on this node; upload it first",
                         cfg->kernel);
    }
    if (check_memory(kernel, error) != CORE_OK) {
        return CORE_BAD_IMAGE;
    }
    image_get_info(kernel, &info);
    if (!kernel_image_check(&(struct image_reader){.read = read_image, .ctx = kernel, .size = info.size},
                            text, sizeof text)) {
        return core_fail(error, CORE_BAD_IMAGE, "kernel image '%s': %s", cfg->kernel, text);
    }
    return check_modules(cfg, error);
}

// Two adapters of a system are no more alike than those of two.
static enum core_status check_nics(const struct system_config *cfg, struct core_error *error)
{
    static const uint8_t none[6];

    for (unsigned i = 0; i < cfg->nic_count; i++) {
        const struct system_nic *nic = &cfg->nic[i];

        if (network_check_adapter(nic->endpoint, nic->mac, error) != CORE_OK) {
            return error->status;
        }
        for (unsigned j = 0; j < i; j++) {
            if (nic->endpoint[0] != '\0' && strcasecmp(nic->endpoint, cfg->nic[j].endpoint) == 0) {
                return core_fail(error, CORE_INVALID, "two adapters name network endpoint %.40s",
                                 nic->endpoint);
            }
            if (memcmp(nic->mac, none, sizeof none) != 0 && memcmp(nic->mac, cfg->nic[j].mac, 6) == 0) {
                return core_fail(error, CORE_INVALID, "two adapters have the same MAC address");
            }
        }
    }
    return CORE_OK;
}

static enum core_status check_disks(const struct system_config *cfg, struct core_error *error)
{
    enum core_status status;

    if (cfg->disk_count + cfg->has_seed > DP_MAX_DISKS) {
        return core_fail(error, CORE_LIMIT, "a system has at most %u disks, a seed's among them",
                         DP_MAX_DISKS);
    }
    status = disk_check(cfg->disk, cfg->disk_count, error);
    return status == CORE_OK ? check_images(cfg, error) : status;
}

static enum core_status check_config(const struct system_config *cfg, struct core_error *error)
{
    uint64_t total, free_bytes;

    if (cfg->memory_bytes == 0 || cfg->memory_bytes % PARTITION_MEMORY_UNIT != 0) {
        return core_fail(error, CORE_INVALID, "memory must be a positive multiple of %u MB",
                         (unsigned)(PARTITION_MEMORY_UNIT >> 20));
    }
    if (cfg->vp_count == 0 || cfg->vp_count > DP_MAX_VPS) {
        return core_fail(error, CORE_INVALID, "a system has 1 to %u virtual processors", DP_MAX_VPS);
    }
    if (cfg->cmdline != NULL && strlen(cfg->cmdline) > SYSTEM_CMDLINE_MAX) {
        return core_fail(error, CORE_INVALID, "the kernel command line is longer than %u bytes",
                         SYSTEM_CMDLINE_MAX);
    }
    plat_pool_usage(&total, &free_bytes);
    if (cfg->memory_bytes + PAGE_SIZE_2M > total) {
        return core_fail(error, CORE_NO_MEMORY,
                         "the system needs %llu MB and this node has %llu MB for guests",
                         (unsigned long long)(cfg->memory_bytes >> 20), (unsigned long long)(total >> 20));
    }
    return check_disks(cfg, error) == CORE_OK ? check_nics(cfg, error) : error->status;
}

static enum core_status check_id(const char *id, struct core_error *error)
{
    struct system *old = system_find(id);

    if (!id_valid(id)) {
        return core_fail(error, CORE_INVALID,
                         "a system id has 1 to %u bytes without '/' and control characters", SYSTEM_ID_MAX);
    }
    if (old != NULL && old->state != SYSTEM_STOPPED) {
        return core_fail(error, CORE_EXISTS, "there is already a system '%s', in state %s", id,
                         system_state_name(old->state));
    }
    if (old == NULL && count >= SYSTEM_COUNT_MAX) {
        return core_fail(error, CORE_LIMIT, "the node holds %u systems already", SYSTEM_COUNT_MAX);
    }
    return CORE_OK;
}

static void make_uuid(uint8_t id[16])
{
    plat_random(id, 16);
    id[6] = (uint8_t)((id[6] & 0x0f) | 0x40);
    id[8] = (uint8_t)((id[8] & 0x3f) | 0x80);
}

static bool fill_disks(struct system *s, const struct system_config *cfg)
{
    for (unsigned i = 0; i < cfg->disk_count; i++) {
        s->disk_path[i] = strdup(cfg->disk[i].path);
        if (s->disk_path[i] == NULL) {
            return false;
        }
    }
    return true;
}

// Fills a zeroed system; false when the heap is full (the caller frees).
static bool fill(struct system *s, const char *id, const struct system_config *cfg)
{
    snprintf(s->id, sizeof s->id, "%s", id);
    snprintf(s->owner, sizeof s->owner, "%s", cfg->owner != NULL ? cfg->owner : "");
    make_uuid(s->runtime_id);
    s->created_ms = plat_unix_ms();
    s->stop_on_reset = cfg->stop_on_reset;
    s->terminate_on_last_close = cfg->terminate_on_last_close;
    s->cmdline = strdup(cfg->cmdline != NULL ? cfg->cmdline : "");
    for (unsigned i = 0; i < DP_CONSOLES; i++) {
        if (cfg->com[i]) {
            console_init(&s->com[i], i);
        }
    }
    s->initrd = strdup(cfg->initrd != NULL ? cfg->initrd : "");
    return s->cmdline != NULL && s->initrd != NULL &&
           module_list_read(cfg->initrd, &s->modules, NULL) == CORE_OK && fill_disks(s, cfg);
}

static void reference_modules(struct system *s)
{
    for (unsigned i = 0; i < s->modules.count; i++) {
        s->module[i] = image_find(s->modules.module[i].name);
        image_ref(s->module[i]);
        s->cfg.module[i] = (struct partition_module){
            .image = s->module[i],
            .name = s->modules.module[i].name,
            .arguments = s->modules.module[i].arguments,
        };
    }
    s->cfg.module_count = s->modules.count;
}

static void reference_images(struct system *s, const struct system_config *cfg)
{
    s->kernel = image_find(cfg->kernel);
    image_ref(s->kernel);
    s->cfg = (struct partition_config){
        .memory_bytes = cfg->memory_bytes,
        .vp_count = cfg->vp_count,
        .weight = cfg->weight,
        .cap = cfg->cap,
        .reserve = cfg->reserve,
        .kernel = s->kernel,
        .cmdline = s->cmdline,
    };
    reference_modules(s);
    memcpy(s->cfg.com, cfg->com, sizeof s->cfg.com);
    s->cfg.nic_count = cfg->nic_count;
    for (unsigned i = 0; i < cfg->nic_count; i++) {
        network_take(&s->cfg.nic[i], cfg->nic[i].endpoint, cfg->nic[i].mac);
    }
    s->cfg.disk_count = cfg->disk_count;
    for (unsigned i = 0; i < cfg->disk_count; i++) {
        s->cfg.disk[i] = (struct disk_source){.path = s->disk_path[i], .read_only = cfg->disk[i].read_only};
        disk_hold(&s->cfg.disk[i]);
    }
}

// The addresses of the adapters are known by now.
static enum core_status add_seed(struct system *s, const struct system_config *cfg, struct core_error *error)
{
    enum core_status status;
    size_t bytes;

    if (!cfg->has_seed) {
        return CORE_OK;
    }
    status = seed_make(&cfg->seed, s->id, s->cfg.nic, s->cfg.nic_count, &s->seed, &bytes, error);
    if (status == CORE_OK) {
        s->cfg.disk[s->cfg.disk_count++] = (struct disk_source){
            .path = SEED_DISK_NAME, .read_only = true, .contents = s->seed, .content_bytes = bytes};
    }
    return status;
}

enum core_status system_create(const char *id, const struct system_config *cfg, struct system **out,
                               struct core_error *error)
{
    enum core_status status = check_id(id, error);
    struct system *s, *old;

    if (status == CORE_OK) {
        status = check_config(cfg, error);
    }
    if (status != CORE_OK) {
        return status;
    }
    s = calloc(1, sizeof *s);
    if (s == NULL || !fill(s, id, cfg)) {
        if (s != NULL) {
            system_free(s);
        }
        return core_fail(error, CORE_NO_HEAP, "management heap is full");
    }
    reference_images(s, cfg);
    status = add_seed(s, cfg, error);
    if (status != CORE_OK) {
        system_release(s);
        system_free(s);
        return status;
    }
    old = system_find(id);
    if (old != NULL) {
        forget(old);
    }
    table_add(s);
    push_out_stopped();
    event_post(EVENT_SYSTEM_CREATED, s->id, "%llu MB, %u processor(s), owner '%s'",
               (unsigned long long)(cfg->memory_bytes >> 20), (unsigned)cfg->vp_count, s->owner);
    *out = s;
    return CORE_OK;
}

enum core_status system_delete(struct system *s, struct core_error *error)
{
    if (s->state != SYSTEM_STOPPED) {
        return core_fail(error, CORE_INVALID_STATE, "system '%s' is %s; terminate it first", s->id,
                         system_state_name(s->state));
    }
    if (s->partition.phase == PARTITION_STUCK) {
        return core_fail(error, CORE_IN_USE, "the hypervisor still holds resources of system '%s'", s->id);
    }
    forget(s);
    return CORE_OK;
}

const char *system_state_name(enum system_state state)
{
    static const char *const names[] = {"Created", "Running", "Paused", "Stopped"};

    return names[state];
}
