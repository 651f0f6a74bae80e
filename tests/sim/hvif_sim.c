// SPDX-License-Identifier: Apache-2.0
// The simulated hypervisor.
#include "tests/sim/hvif_sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "mgmt/plat.h"

#define POOL_FIRST_PAGE ((4ull << 30) >> PAGE_SHIFT) // tests/sim/plat_host.c
#define POOL_PAGES (1u << 20)
#define PAGES_PER_2M 512u
#define REGS_MAX 64
#define GPA_LIMIT (1ull << 40)

enum state { UNINITIALIZED, ACTIVE, FINALIZED };

struct sim_vp {
    bool exists;
    struct hv_register_assoc regs[REGS_MAX];
    size_t reg_count;
    void *state_page[2];
};

struct pool {
    uint64_t *pages; // deposited; the first `in_use` of them serve the hypervisor
    size_t count, in_use, capacity;
};

struct mapping {
    uint64_t target, source, size; // bytes; size is 2 MiB or 1 GiB
};

struct sim_partition {
    struct sim_partition *next;
    uint64_t id;
    enum state state;
    struct pool pool;
    struct sim_vp vp[HV_MAX_VPS_PER_PARTITION];
    struct mapping *maps;
    size_t map_count;
    bool suspended, has_doorbells;
    uint64_t weight, cap, reserve;
};

static struct sim_partition *partitions;
static struct pool own_pool;
static size_t own_needed; // pages of own_pool that live partitions need
static uint64_t last_id = 16;
static uint8_t deposited[POOL_PAGES];                  // per pool page
static uint16_t map_counts[POOL_PAGES / PAGES_PER_2M]; // per 2 MiB chunk of the pool
static uint64_t calls, fail_first, fail_last;
static hv_status_t fail_status;
static const char *fail_name;
static size_t need_create = 2, need_initialize = 8, need_vp = 7, need_map = 1;
static bool no_huge;
static uint32_t last_action;

#define CHECK(x)                                                                                             \
    do {                                                                                                     \
        if (!(x)) {                                                                                          \
            fprintf(stderr, "hvif_sim: %s:%d: %s\n", __func__, __LINE__, #x);                                \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

// --- planted failures ---

static bool planted(const char *name, hv_status_t *status)
{
    if (fail_name != NULL && strcmp(fail_name, name) != 0) {
        return false;
    }
    calls++;
    if (calls < fail_first || calls > fail_last) {
        return false;
    }
    *status = fail_status;
    return true;
}

#define ENTER(name)                                                                                          \
    do {                                                                                                     \
        hv_status_t planted_status;                                                                          \
        if (planted(name, &planted_status)) {                                                                \
            return planted_status;                                                                           \
        }                                                                                                    \
    } while (0)

void sim_hv_fail(uint64_t n, hv_status_t status, uint64_t times)
{
    fail_first = n == 0 ? 0 : calls + n;
    fail_last = n == 0 ? 0 : fail_first + times - 1;
    fail_status = status;
}

void sim_hv_fail_only(const char *name)
{
    fail_name = name;
}

uint64_t sim_hv_calls(void)
{
    return calls;
}

void sim_hv_needs(size_t create, size_t initialize, size_t vp, size_t map)
{
    need_create = create;
    need_initialize = initialize;
    need_vp = vp;
    need_map = map;
}

void sim_hv_no_huge_pages(bool refuse)
{
    no_huge = refuse;
}

// --- pages and pools ---

static size_t page_index(uint64_t page)
{
    CHECK(page >= POOL_FIRST_PAGE && page - POOL_FIRST_PAGE < POOL_PAGES);
    return page - POOL_FIRST_PAGE;
}

static bool page_in_range(uint64_t page)
{
    return page >= POOL_FIRST_PAGE && page - POOL_FIRST_PAGE < POOL_PAGES;
}

static void pool_push(struct pool *pool, uint64_t page)
{
    if (pool->count == pool->capacity) {
        pool->capacity = pool->capacity ? 2 * pool->capacity : 16;
        pool->pages = realloc(pool->pages, pool->capacity * sizeof *pool->pages);
        CHECK(pool->pages != NULL);
    }
    pool->pages[pool->count++] = page;
    deposited[page_index(page)] = 1;
    CHECK(mprotect(plat_pool_va(GPA(page << PAGE_SHIFT)), PAGE_SIZE, PROT_NONE) == 0);
}

static uint64_t pool_pop(struct pool *pool)
{
    uint64_t page = pool->pages[--pool->count];
    void *va = plat_pool_va(GPA(page << PAGE_SHIFT));

    deposited[page_index(page)] = 0;
    CHECK(mprotect(va, PAGE_SIZE, PROT_READ | PROT_WRITE) == 0);
    memset(va, 0, PAGE_SIZE);
    return page;
}

static bool pool_use(struct pool *pool, size_t pages)
{
    if (pool->count - pool->in_use < pages) {
        return false;
    }
    pool->in_use += pages;
    return true;
}

// --- partitions ---

static struct sim_partition *find(uint64_t id)
{
    for (struct sim_partition *p = partitions; p != NULL; p = p->next) {
        if (p->id == id) {
            return p;
        }
    }
    return NULL;
}

#define FIND_ACTIVE(p, id)                                                                                   \
    struct sim_partition *p = find(id);                                                                      \
    if (p == NULL) {                                                                                         \
        return HV_STATUS_INVALID_PARTITION_ID;                                                               \
    }                                                                                                        \
    if (p->state != ACTIVE) {                                                                                \
        return HV_STATUS_INVALID_PARTITION_STATE;                                                            \
    }

#define FIND_VP(p, v, id, index)                                                                             \
    FIND_ACTIVE(p, id)                                                                                       \
    struct sim_vp *v;                                                                                        \
    if ((index) >= HV_MAX_VPS_PER_PARTITION || !p->vp[index].exists) {                                       \
        return HV_STATUS_INVALID_VP_INDEX;                                                                   \
    }                                                                                                        \
    v = &p->vp[index];

hv_status_t hvif_create_partition(uint64_t *partition)
{
    struct sim_partition *p;

    ENTER("create_partition");
    if (!pool_use(&own_pool, need_create)) {
        return HV_STATUS_INSUFFICIENT_MEMORY;
    }
    p = calloc(1, sizeof *p);
    CHECK(p != NULL);
    p->id = ++last_id;
    p->weight = 100;
    p->cap = 0x10000;
    p->next = partitions;
    partitions = p;
    own_needed += need_create;
    *partition = p->id;
    return HV_STATUS_SUCCESS;
}

hv_status_t hvif_initialize_partition(uint64_t partition)
{
    struct sim_partition *p = find(partition);

    ENTER("initialize_partition");
    if (p == NULL) {
        return HV_STATUS_INVALID_PARTITION_ID;
    }
    if (p->state != UNINITIALIZED) {
        return HV_STATUS_INVALID_PARTITION_STATE;
    }
    if (!pool_use(&p->pool, need_initialize)) {
        return HV_STATUS_INSUFFICIENT_MEMORY;
    }
    p->state = ACTIVE;
    return HV_STATUS_SUCCESS;
}

static void count_mapping(const struct mapping *m, int by)
{
    for (uint64_t at = 0; at < m->size; at += PAGE_SIZE_2M) {
        map_counts[page_index((m->source + at) >> PAGE_SHIFT) / PAGES_PER_2M] += (uint16_t)by;
    }
}

static void drop_mappings(struct sim_partition *p)
{
    for (size_t i = 0; i < p->map_count; i++) {
        count_mapping(&p->maps[i], -1);
    }
    free(p->maps);
    p->maps = NULL;
    p->map_count = 0;
}

hv_status_t hvif_finalize_partition(uint64_t partition)
{
    struct sim_partition *p = find(partition);

    ENTER("finalize_partition");
    if (p == NULL) {
        return HV_STATUS_INVALID_PARTITION_ID;
    }
    if (p->state != ACTIVE) {
        return HV_STATUS_INVALID_PARTITION_STATE;
    }
    for (size_t i = 0; i < HV_MAX_VPS_PER_PARTITION; i++) {
        CHECK(p->vp[i].state_page[0] == NULL &&
              p->vp[i].state_page[1] == NULL); // the parent still has pointers
        p->vp[i].exists = false;
    }
    drop_mappings(p);
    p->pool.in_use = 0;
    p->state = FINALIZED;
    return HV_STATUS_SUCCESS;
}

hv_status_t hvif_delete_partition(uint64_t partition)
{
    struct sim_partition *p = find(partition);

    ENTER("delete_partition");
    if (p == NULL) {
        return HV_STATUS_INVALID_PARTITION_ID;
    }
    if (p->state == ACTIVE) {
        return HV_STATUS_INVALID_PARTITION_STATE;
    }
    if (p->pool.count > 0) {
        return HV_STATUS_OPERATION_DENIED;
    }
    for (struct sim_partition **q = &partitions; *q != NULL; q = &(*q)->next) {
        if (*q == p) {
            *q = p->next;
            break;
        }
    }
    own_pool.in_use -= need_create;
    own_needed -= need_create;
    free(p->pool.pages);
    free(p);
    return HV_STATUS_SUCCESS;
}

hv_status_t hvif_next_child(uint64_t previous, uint64_t *next)
{
    uint64_t best = 0;

    ENTER("next_child");
    for (struct sim_partition *p = partitions; p != NULL; p = p->next) {
        if (p->id > previous && (best == 0 || p->id < best)) {
            best = p->id;
        }
    }
    *next = best;
    return HV_STATUS_SUCCESS;
}

static uint64_t *property(struct sim_partition *p, uint32_t code)
{
    switch (code) {
    case HV_PROP_CPU_WEIGHT:
        return &p->weight;
    case HV_PROP_CPU_CAP:
        return &p->cap;
    case HV_PROP_CPU_RESERVE:
        return &p->reserve;
    default:
        return NULL;
    }
}

hv_status_t hvif_get_property(uint64_t partition, uint32_t code, uint64_t *value)
{
    ENTER("get_partition_property");
    FIND_ACTIVE(p, partition);
    if (code == HV_PROP_SUSPEND) {
        *value = p->suspended;
        return HV_STATUS_SUCCESS;
    }
    if (property(p, code) == NULL) {
        return HV_STATUS_UNKNOWN_PROPERTY;
    }
    *value = *property(p, code);
    return HV_STATUS_SUCCESS;
}

hv_status_t hvif_set_property(uint64_t partition, uint32_t code, uint64_t value)
{
    ENTER("set_partition_property");
    FIND_ACTIVE(p, partition);
    if (code == HV_PROP_SUSPEND) {
        if (value > 1) {
            return HV_STATUS_PROPERTY_VALUE_OUT_OF_RANGE;
        }
        p->suspended = value;
        return HV_STATUS_SUCCESS;
    }
    if (property(p, code) == NULL) {
        return HV_STATUS_UNKNOWN_PROPERTY;
    }
    if ((code == HV_PROP_CPU_WEIGHT && (value < 1 || value > 10000)) || value > 0x10000 ||
        (code == HV_PROP_CPU_RESERVE && value > p->cap)) {
        return HV_STATUS_PROPERTY_VALUE_OUT_OF_RANGE;
    }
    *property(p, code) = value;
    return HV_STATUS_SUCCESS;
}

// --- memory ---

hv_status_t hvif_deposit(uint64_t partition, const uint64_t *pages, size_t count, size_t *done)
{
    struct sim_partition *p = find(partition);
    struct pool *pool = partition == HV_PARTITION_ID_SELF ? &own_pool : p != NULL ? &p->pool : NULL;

    *done = 0;
    ENTER("deposit_memory");
    if (pool == NULL) {
        return HV_STATUS_INVALID_PARTITION_ID;
    }
    if (p != NULL && p->state == FINALIZED) {
        return HV_STATUS_INVALID_PARTITION_STATE;
    }
    for (; *done < count; (*done)++) {
        uint64_t page = pages[*done];

        if (!page_in_range(page) || deposited[page_index(page)] ||
            map_counts[page_index(page) / PAGES_PER_2M]) {
            return HV_STATUS_OPERATION_DENIED;
        }
        pool_push(pool, page);
    }
    return HV_STATUS_SUCCESS;
}

hv_status_t hvif_withdraw(uint64_t partition, uint64_t *pages, size_t count, size_t *done)
{
    struct sim_partition *p = find(partition);
    struct pool *pool = partition == HV_PARTITION_ID_SELF ? &own_pool : p != NULL ? &p->pool : NULL;

    *done = 0;
    ENTER("withdraw_memory");
    if (pool == NULL) {
        return HV_STATUS_INVALID_PARTITION_ID;
    }
    while (*done < count && pool->count > pool->in_use) {
        pages[(*done)++] = pool_pop(pool);
    }
    if (pool->count == 0) {
        free(pool->pages);
        *pool = (struct pool){0};
    }
    return *done == count ? HV_STATUS_SUCCESS : HV_STATUS_NO_RESOURCES;
}

hv_status_t hvif_memory_balance(uint64_t partition, struct hv_memory_balance_out *out)
{
    struct sim_partition *p = find(partition);

    ENTER("get_memory_balance");
    if (p == NULL) {
        return HV_STATUS_INVALID_PARTITION_ID;
    }
    out->available = p->pool.count - p->pool.in_use;
    out->in_use = p->pool.in_use;
    return HV_STATUS_SUCCESS;
}

static hv_status_t map_one(struct sim_partition *p, struct mapping m)
{
    gpa_t source;
    uint64_t size;

    for (uint64_t at = 0; at < m.size; at += PAGE_SIZE) {
        uint64_t page = (m.source + at) >> PAGE_SHIFT;

        if (!page_in_range(page) || deposited[page_index(page)]) {
            return HV_STATUS_OPERATION_DENIED;
        }
    }
    if (sim_hv_lookup(p->id, GPA(m.target), &source, &size)) {
        return HV_STATUS_OBJECT_IN_USE;
    }
    // A page table for every GiB that is entered first, and always one for a 1 GiB page's level.
    if ((m.target % PAGE_SIZE_1G == 0 || p->map_count == 0) && !pool_use(&p->pool, need_map)) {
        return HV_STATUS_INSUFFICIENT_MEMORY;
    }
    p->maps = realloc(p->maps, (p->map_count + 1) * sizeof *p->maps);
    CHECK(p->maps != NULL);
    p->maps[p->map_count++] = m;
    count_mapping(&m, 1);
    return HV_STATUS_SUCCESS;
}

hv_status_t hvif_map(uint64_t partition, gpa_t target, gpa_t source, size_t count, uint32_t flags,
                     size_t *done)
{
    uint64_t size = flags & HV_MAP_X_HUGE_PAGE ? PAGE_SIZE_1G : PAGE_SIZE_2M;

    *done = 0;
    ENTER("map_gpa_pages");
    FIND_ACTIVE(p, partition);
    if (!(flags & (HV_MAP_X_HUGE_PAGE | HV_MAP_LARGE_PAGE)) || (no_huge && flags & HV_MAP_X_HUGE_PAGE) ||
        target.v % size != 0 || source.v % size != 0 || target.v + count * size > GPA_LIMIT) {
        return HV_STATUS_INVALID_PARAMETER;
    }
    for (; *done < count; (*done)++) {
        hv_status_t status = map_one(
            p, (struct mapping){target.v + *done * size, source.v + *done * size, size});

        if (status != HV_STATUS_SUCCESS) {
            return status;
        }
    }
    return HV_STATUS_SUCCESS;
}

hv_status_t hvif_unmap(uint64_t partition, gpa_t target, size_t count, uint32_t flags)
{
    (void)target;
    (void)count;
    (void)flags;
    ENTER("unmap_gpa_pages");
    FIND_ACTIVE(p, partition);
    drop_mappings(p);
    return HV_STATUS_SUCCESS;
}

bool sim_hv_lookup(uint64_t partition, gpa_t target, gpa_t *source, uint64_t *page_size)
{
    struct sim_partition *p = find(partition);

    for (size_t i = 0; p != NULL && i < p->map_count; i++) {
        const struct mapping *m = &p->maps[i];

        if (target.v - m->target < m->size) {
            *source = GPA(m->source + (target.v - m->target));
            *page_size = m->size;
            return true;
        }
    }
    return false;
}

// --- virtual processors ---

static union hv_register_value *reg_find(struct sim_vp *v, uint32_t name)
{
    for (size_t i = 0; i < v->reg_count; i++) {
        if (v->regs[i].name == name) {
            return &v->regs[i].value;
        }
    }
    return NULL;
}

static bool reg_set(struct sim_vp *v, uint32_t name, const union hv_register_value *value)
{
    union hv_register_value *old = reg_find(v, name);

    if (old != NULL) {
        *old = *value;
        return true;
    }
    if (v->reg_count == REGS_MAX) {
        return false;
    }
    v->regs[v->reg_count++] = (struct hv_register_assoc){.name = name, .value = *value};
    return true;
}

hv_status_t hvif_create_vp(uint64_t partition, uint32_t vp)
{
    const union hv_register_value suspended = {.u64 = 1};

    ENTER("create_vp");
    FIND_ACTIVE(p, partition);
    if (vp >= HV_MAX_VPS_PER_PARTITION || p->vp[vp].exists) {
        return HV_STATUS_INVALID_VP_INDEX;
    }
    if (!pool_use(&p->pool, need_vp)) {
        return HV_STATUS_INSUFFICIENT_MEMORY;
    }
    memset(&p->vp[vp], 0, sizeof p->vp[vp]);
    p->vp[vp].exists = true;
    reg_set(&p->vp[vp], HV_REG_EXPLICIT_SUSPEND, &suspended);
    return HV_STATUS_SUCCESS;
}

hv_status_t hvif_delete_vp(uint64_t partition, uint32_t vp)
{
    ENTER("delete_vp");
    FIND_VP(p, v, partition, vp);
    CHECK(v->state_page[0] == NULL && v->state_page[1] == NULL);
    v->exists = false;
    p->pool.in_use -= need_vp;
    return HV_STATUS_SUCCESS;
}

hv_status_t hvif_get_registers(uint64_t partition, uint32_t vp, const uint32_t *names,
                               union hv_register_value *values, size_t count)
{
    ENTER("get_vp_registers");
    FIND_VP(p, v, partition, vp);
    for (size_t i = 0; i < count; i++) {
        const union hv_register_value *value = reg_find(v, names[i]);

        memset(&values[i], 0, sizeof values[i]);
        if (value != NULL) {
            values[i] = *value;
        }
    }
    return HV_STATUS_SUCCESS;
}

hv_status_t hvif_set_registers(uint64_t partition, uint32_t vp, const struct hv_register_assoc *regs,
                               size_t count)
{
    ENTER("set_vp_registers");
    FIND_VP(p, v, partition, vp);
    for (size_t i = 0; i < count; i++) {
        if (!reg_set(v, regs[i].name, &regs[i].value)) {
            return HV_STATUS_INVALID_PARAMETER;
        }
    }
    return HV_STATUS_SUCCESS;
}

hv_status_t hvif_map_state_page(uint64_t partition, uint32_t vp, enum hv_vp_state_page type, void **va)
{
    ENTER("map_vp_state_page");
    FIND_VP(p, v, partition, vp);
    if ((unsigned)type > 1 || v->state_page[type] != NULL) {
        return HV_STATUS_INVALID_PARAMETER;
    }
    v->state_page[type] = calloc(1, PAGE_SIZE);
    CHECK(v->state_page[type] != NULL);
    *va = v->state_page[type];
    return HV_STATUS_SUCCESS;
}

hv_status_t hvif_unmap_state_page(uint64_t partition, uint32_t vp, enum hv_vp_state_page type)
{
    ENTER("unmap_vp_state_page");
    FIND_VP(p, v, partition, vp);
    if ((unsigned)type > 1 || v->state_page[type] == NULL) {
        return HV_STATUS_INVALID_PARAMETER;
    }
    free(v->state_page[type]); // the sanitizer finds whoever still uses it
    v->state_page[type] = NULL;
    return HV_STATUS_SUCCESS;
}

bool sim_hv_register(uint64_t partition, uint32_t vp, uint32_t name, uint64_t *value)
{
    struct sim_partition *p = find(partition);
    const union hv_register_value *v;

    if (p == NULL || vp >= HV_MAX_VPS_PER_PARTITION || !p->vp[vp].exists ||
        (v = reg_find(&p->vp[vp], name)) == NULL) {
        return false;
    }
    *value = v->u64;
    return true;
}

bool sim_hv_vp_runs(uint64_t partition, uint32_t vp)
{
    struct sim_partition *p = find(partition);
    uint64_t suspended = 1, intercepted = 0;

    if (p == NULL || p->state != ACTIVE || p->suspended) {
        return false;
    }
    (void)sim_hv_register(partition, vp, HV_REG_EXPLICIT_SUSPEND, &suspended);
    (void)sim_hv_register(partition, vp, HV_REG_INTERCEPT_SUSPEND, &intercepted);
    return !suspended && !intercepted;
}

hv_status_t hvif_translate_gva(uint64_t partition, uint32_t vp, uint64_t control, gva_t gva,
                               struct hv_translate_gva_out *out)
{
    (void)control;
    ENTER("translate_virtual_address");
    FIND_VP(p, v, partition, vp);
    (void)v;
    *out = (struct hv_translate_gva_out){.gpa_page = gva.v >> PAGE_SHIFT};
    return HV_STATUS_SUCCESS;
}

hv_status_t hvif_install_intercept(uint64_t partition, uint32_t access, enum hv_intercept_type type,
                                   uint64_t parameter)
{
    (void)access;
    (void)type;
    (void)parameter;
    ENTER("install_intercept");
    FIND_ACTIVE(p, partition);
    return HV_STATUS_SUCCESS;
}

hv_status_t hvif_assert_interrupt(uint64_t partition, const struct hv_assert_interrupt_in *in)
{
    (void)in;
    ENTER("assert_virtual_interrupt");
    FIND_ACTIVE(p, partition);
    return HV_STATUS_SUCCESS;
}

// --- the node ---

hv_status_t hvif_intercept_wait(uint64_t partition, uint32_t vp, uint32_t flags, uint64_t *cookie)
{
    (void)partition;
    (void)vp;
    (void)flags;
    *cookie = 0;
    return HV_STATUS_SUCCESS;
}

hv_status_t hvif_set_doorbell(const struct hv_x_doorbell_in *in)
{
    ENTER("x_set_doorbell");
    FIND_ACTIVE(p, in->partition);
    if (in->index >= 64 || in->cookie == 0 || in->vector < 0x20 || in->vector > 0xff) {
        return HV_STATUS_INVALID_PARAMETER;
    }
    if (!p->has_doorbells && !pool_use(&p->pool, 1)) {
        return HV_STATUS_INSUFFICIENT_MEMORY;
    }
    p->has_doorbells = true;
    return HV_STATUS_SUCCESS;
}

hv_status_t hvif_map_interrupt(const struct hv_x_map_interrupt_in *in, struct hv_x_map_interrupt_out *out)
{
    (void)in;
    *out = (struct hv_x_map_interrupt_out){0};
    return HV_STATUS_SUCCESS;
}

hv_status_t hvif_console_write(const char *text, size_t length)
{
    return fwrite(text, 1, length, stdout) == length ? HV_STATUS_SUCCESS : HV_STATUS_OPERATION_FAILED;
}

// --- the console: what a test types, and what it sees ---

static char typed[8192];
static size_t typed_length, console_room = SIZE_MAX;
static bool typed_news; // since plat_console_ready() was asked
static void (*console_reader)(const char *text, size_t length);

void sim_hv_console_type(const char *text, size_t length)
{
    CHECK(typed_length + length <= sizeof typed);
    memcpy(typed + typed_length, text, length);
    typed_length += length;
    typed_news = true;
}

void sim_hv_console_reader(void (*fn)(const char *text, size_t length))
{
    console_reader = fn;
}

void sim_hv_console_room(size_t bytes)
{
    console_room = bytes;
}

bool plat_console_ready(void)
{
    bool news = typed_news;

    typed_news = false;
    return news;
}

hv_status_t hvif_console_put(const char *text, size_t length, size_t *taken)
{
    *taken = MIN(length, console_room);
    console_room -= console_room == SIZE_MAX ? 0 : *taken;
    if (console_reader != NULL) {
        console_reader(text, *taken);
        return HV_STATUS_SUCCESS;
    }
    return hvif_console_write(text, *taken);
}

hv_status_t hvif_console_read(char *buf, size_t cap, size_t *length)
{
    *length = MIN(cap, typed_length);
    memcpy(buf, typed, *length);
    typed_length -= *length;
    memmove(typed, typed + *length, typed_length);
    return HV_STATUS_SUCCESS;
}

static const char log_text[] = "simulated hypervisor\n";

hv_status_t hvif_read_log(uint64_t sequence, struct hv_x_log_out *out)
{
    memset(out, 0, sizeof *out);
    if (sequence < sizeof log_text - 1) {
        out->sequence = sequence;
        out->length = (uint32_t)(sizeof log_text - 1 - sequence);
        memcpy(out->text, log_text + sequence, out->length);
    }
    return HV_STATUS_SUCCESS;
}

// Two processors; the first has one record.
hv_status_t hvif_trace(const struct hv_x_trace_in *in, struct hv_x_trace_out *out)
{
    if (in->action != HV_X_TRACE_READ) {
        return HV_STATUS_SUCCESS;
    }
    if (in->cpu > 1) {
        return HV_STATUS_INVALID_PARAMETER;
    }
    memset(out, 0, sizeof *out);
    out->sequence = in->cpu == 0 ? MIN(in->sequence, 1u) : 0;
    out->count = in->cpu == 0 && in->sequence == 0;
    out->record[0] = (struct hv_x_trace_record){
        .tsc = 1000, .type = HV_X_TRACE_EXIT, .partition = 2, .reason = 4, .a = 0x1234, .b = 7};
    return HV_STATUS_SUCCESS;
}

hv_status_t hvif_system(enum hv_x_system_action action, uint32_t value)
{
    (void)value;
    last_action = action;
    return HV_STATUS_SUCCESS;
}

uint32_t sim_hv_last_system_action(void)
{
    return last_action;
}

hv_status_t hvif_counters(uint64_t partition, uint32_t vp, struct hv_x_counters_out *out)
{
    (void)vp;
    memset(out, 0, sizeof *out);
    if (partition != HV_PARTITION_ID_INVALID && partition != HV_PARTITION_ID_SELF &&
        find(partition) == NULL) {
        return HV_STATUS_INVALID_PARTITION_ID;
    }
    out->value[HV_CTR_RUN_TSC] = 1000;
    return HV_STATUS_SUCCESS;
}

hv_status_t hvif_info(struct hv_x_info_out *out)
{
    struct sim_hv_usage usage;

    sim_hv_usage(&usage);
    memset(out, 0, sizeof *out);
    out->cpu_count = 2;
    out->partition_count = (uint32_t)usage.partitions + 1;
    out->tsc_hz = 1000000000;
    out->total_pages = POOL_PAGES;
    out->deposited_pages = usage.deposited;
    out->log_next = sizeof log_text - 1;
    out->mapped_pages = usage.mapped * PAGES_PER_2M;
    return HV_STATUS_SUCCESS;
}

void sim_hv_usage(struct sim_hv_usage *out)
{
    memset(out, 0, sizeof *out);
    out->deposited = own_pool.count;
    for (struct sim_partition *p = partitions; p != NULL; p = p->next) {
        out->partitions++;
        out->deposited += p->pool.count;
        for (size_t i = 0; i < p->map_count; i++) {
            out->mapped += p->maps[i].size / PAGE_SIZE_2M;
        }
        for (size_t i = 0; i < HV_MAX_VPS_PER_PARTITION; i++) {
            out->vps += p->vp[i].exists;
            out->state_pages += (p->vp[i].state_page[0] != NULL) + (p->vp[i].state_page[1] != NULL);
        }
    }
}
