// SPDX-License-Identifier: Apache-2.0
// The guests that the data plane serves: a dense list, and a hash of pointers with linear probing.
//
// An intercept's cookie is a pointer that has been in the hypervisor's hands; it is looked up here before it
// is followed, because the guest may have been detached while its message was on the way.
#include "mgmt/dataplane/dataplane.h"

#define BUCKETS (2 * DATAPLANE_MAX_VMS) // power of two; at most half full

struct dp_vm *vmset_list[DATAPLANE_MAX_VMS];
uint32_t vmset_count;
static struct dp_vm *buckets[BUCKETS];
const struct dp_vm *vmset_recent;

static uint32_t home(const struct dp_vm *vm)
{
    return (uint32_t)(((uint64_t)(uintptr_t)vm >> 6) * 0x9e3779b97f4a7c15ull >> 32) % BUCKETS;
}

// The bucket that holds vm, or the free one where it would go.
static uint32_t find(const struct dp_vm *vm)
{
    uint32_t i = home(vm);

    while (buckets[i] != NULL && buckets[i] != vm) {
        i = (i + 1) % BUCKETS;
    }
    return i;
}

bool vmset_find(const struct dp_vm *vm)
{
    if (buckets[find(vm)] != vm) {
        return false;
    }
    vmset_recent = vm;
    return true;
}

bool vmset_add(struct dp_vm *vm)
{
    uint32_t i = find(vm);

    if (buckets[i] == vm) {
        return true;
    }
    if (vmset_count == DATAPLANE_MAX_VMS) {
        return false;
    }
    buckets[i] = vm;
    vmset_list[vmset_count++] = vm;
    return true;
}

// Moves up what a probe could no longer reach once bucket `hole` is free.
static void close_hole(uint32_t hole)
{
    for (uint32_t i = (hole + 1) % BUCKETS; buckets[i] != NULL; i = (i + 1) % BUCKETS) {
        uint32_t h = home(buckets[i]);

        // Is the home of this entry outside (hole, i]? Then its probe passes the hole.
        if ((i - h) % BUCKETS >= (i - hole) % BUCKETS) {
            buckets[hole] = buckets[i];
            hole = i;
        }
    }
    buckets[hole] = NULL;
}

void vmset_remove(struct dp_vm *vm)
{
    uint32_t i = find(vm);

    if (buckets[i] != vm) {
        return;
    }
    close_hole(i);
    vmset_recent = NULL;
    for (uint32_t n = 0; n < vmset_count; n++) {
        if (vmset_list[n] == vm) {
            vmset_list[n] = vmset_list[--vmset_count];
            break;
        }
    }
}
