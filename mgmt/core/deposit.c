// SPDX-License-Identifier: Apache-2.0
// Deposit arena: chunks with a bitmap of pages; a chunk goes back to the pool with its last page.
#include "mgmt/core/deposit.h"

#include <stdlib.h>

#include "mgmt/hvif/hvif.h"
#include "mgmt/plat.h"

#define PAGES_PER_CHUNK (PAGE_SIZE_2M / PAGE_SIZE)
#define BATCH 64u // pages a hypercall; bounds the stack and the time of one call

struct chunk {
    struct chunk *next;
    uint64_t first_page; // GPA page number
    uint32_t free_count;
    uint64_t free[PAGES_PER_CHUNK / 64]; // bit set: page is in the arena
};

static struct chunk *chunks;
static uint64_t chunk_count;
static uint64_t pages_out;
static uint64_t own_pages; // of them, in this partition's own pool

static struct chunk *chunk_add(void)
{
    struct chunk *c = calloc(1, sizeof *c);
    gpa_t gpa;

    if (c == NULL) {
        return NULL;
    }
    if (!plat_pool_alloc(1, &gpa)) {
        free(c);
        return NULL;
    }
    c->first_page = gpa.v >> PAGE_SHIFT;
    c->free_count = PAGES_PER_CHUNK;
    for (size_t i = 0; i < ARRAY_LEN(c->free); i++) {
        c->free[i] = ~0ull;
    }
    c->next = chunks;
    chunks = c;
    chunk_count++;
    return c;
}

// The chunk with the fewest free pages that has one: keeps the others empty enough to be returned.
static struct chunk *chunk_fullest(void)
{
    struct chunk *best = NULL;

    for (struct chunk *c = chunks; c != NULL; c = c->next) {
        if (c->free_count > 0 && (best == NULL || c->free_count < best->free_count)) {
            best = c;
        }
    }
    return best;
}

static bool page_take(uint64_t *page)
{
    struct chunk *c = chunk_fullest();

    if (c == NULL) {
        c = chunk_add();
    }
    if (c == NULL) {
        return false;
    }
    for (size_t i = 0; i < ARRAY_LEN(c->free); i++) {
        if (c->free[i] != 0) {
            unsigned bit = (unsigned)__builtin_ctzll(c->free[i]);

            c->free[i] &= ~BIT(bit);
            c->free_count--;
            *page = c->first_page + i * 64 + bit;
            return true;
        }
    }
    return false; // unreachable: free_count was positive
}

static void chunk_release(struct chunk *c)
{
    for (struct chunk **p = &chunks; *p != NULL; p = &(*p)->next) {
        if (*p == c) {
            *p = c->next;
            break;
        }
    }
    plat_pool_free(GPA(c->first_page << PAGE_SHIFT), 1);
    free(c);
    chunk_count--;
}

// Returns false if the page is none of the arena's or is already there.
static bool page_give(uint64_t page)
{
    for (struct chunk *c = chunks; c != NULL; c = c->next) {
        uint64_t index = page - c->first_page;

        if (index >= PAGES_PER_CHUNK) {
            continue;
        }
        if (c->free[index / 64] & BIT(index % 64)) {
            return false;
        }
        c->free[index / 64] |= BIT(index % 64);
        if (++c->free_count == PAGES_PER_CHUNK) {
            chunk_release(c);
        }
        return true;
    }
    return false;
}

hv_status_t deposit_pages(uint64_t partition, size_t count, size_t *done)
{
    uint64_t pages[BATCH];
    size_t n = 0;
    hv_status_t status;

    *done = 0;
    while (n < MIN(count, BATCH) && page_take(&pages[n])) {
        n++;
    }
    if (n == 0) {
        return HV_STATUS_NO_RESOURCES;
    }
    status = hvif_deposit(partition, pages, n, done);
    pages_out += *done;
    own_pages += partition == HV_PARTITION_ID_SELF ? *done : 0;
    for (size_t i = *done; i < n; i++) {
        (void)page_give(pages[i]);
    }
    return status;
}

hv_status_t deposit_withdraw(uint64_t partition, size_t count, size_t *done)
{
    uint64_t pages[BATCH];
    hv_status_t status = hvif_withdraw(partition, pages, MIN(count, BATCH), done);

    for (size_t i = 0; i < *done; i++) {
        if (page_give(pages[i])) {
            pages_out--;
        } else {
            plat_log(LOG_ERROR, "hypervisor returned page 0x%llx, which was never deposited",
                     (unsigned long long)pages[i]);
        }
    }
    return status;
}

void deposit_reclaim_own(void)
{
    hv_status_t status = HV_STATUS_SUCCESS;
    size_t done = 1;

    while (own_pages > 0 && status == HV_STATUS_SUCCESS && done > 0) {
        status = deposit_withdraw(HV_PARTITION_ID_SELF, MIN(own_pages, BATCH), &done);
        own_pages -= MIN(done, own_pages);
    }
}

void deposit_usage(uint64_t *out, uint64_t *chunks_held)
{
    *out = pages_out;
    *chunks_held = chunk_count;
}
