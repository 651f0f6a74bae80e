// SPDX-License-Identifier: Apache-2.0
// A machine with one processor in software: all of hv/ and the shared part of arch/x86 run on it, on the host.
//
// The sources are linked as they are; what they ask of the machine (arch/x86/host.h) and of the back end (fake_virt.h)
// is faked. Guest code, the root partition's included, is a C function that fills vp->exit, one call an entry.
#ifndef TESTS_FAKE_NODE_H
#define TESTS_FAKE_NODE_H

#include "hv/vp.h"
#include "tests/unit/fake_virt.h"

#define NODE_HV_PAGES 1024u // the hypervisor's region, from 2 MiB on
#define NODE_ROOT_PAGE 0x600u
#define NODE_ROOT_PAGES 0x1800u // memory of the root partition
#define NODE_END_PAGE (NODE_ROOT_PAGE + NODE_ROOT_PAGES)

extern uint64_t fake_tsc;
extern void (*fake_node_idle)(void); // instead of host_halt(): nobody can run
// Instead of cpu_kick(): a second processor, that a test has put online, has something to do. NULL: nothing.
extern void (*fake_node_kick)(uint32_t index);
void fake_node_as(uint32_t index); // what follows runs on this processor

// Memory, frame table, the root partition with its GPA space and VP 0 in 64-bit mode. Once.
void fake_node_start(void);
struct vp *fake_node_root(void);

// What must be the same when all that a test has built is gone.
struct fake_node_account {
    uint64_t pool, mapped, partitions, root_used, root_free, frames; // frames: a digest of the frame table
};
struct fake_node_account fake_node_account(void);

// One hypercall by the root's VP, which is the current one, with its parameter blocks in `in` and `out` (a page each
// or NULL): the result value.
uint64_t fake_node_call(uint64_t input, const void *in, size_t in_len, void *out, size_t out_len);

#endif
