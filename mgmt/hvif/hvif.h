// SPDX-License-Identifier: Apache-2.0
// The management partition's view of the hypervisor: one C function a hypercall.
//
// Two implementations: hvif_call.c issues real hypercalls, tests/sim/hvif_sim.c is a simulated hypervisor
// for the host build. Every function returns the TLFS status of the call and may be used from either
// plane; none blocks except hvif_intercept_wait(). Rep calls are continued internally until all elements
// are done or one fails; *done (where present) then says how many were.
#ifndef MGMT_HVIF_H
#define MGMT_HVIF_H

#include <keelson/abi.h>

MUST_CHECK hv_status_t hvif_create_partition(uint64_t *partition);
MUST_CHECK hv_status_t hvif_initialize_partition(uint64_t partition);
MUST_CHECK hv_status_t hvif_finalize_partition(uint64_t partition);
MUST_CHECK hv_status_t hvif_delete_partition(uint64_t partition);
MUST_CHECK hv_status_t hvif_get_property(uint64_t partition, uint32_t code, uint64_t *value);
MUST_CHECK hv_status_t hvif_set_property(uint64_t partition, uint32_t code, uint64_t value);
MUST_CHECK hv_status_t hvif_next_child(uint64_t previous, uint64_t *next);

// Gives `count` 4 KiB pages, listed by GPA page number, to the partition's pool. They leave the caller's
// GPA space until withdrawn.
MUST_CHECK hv_status_t hvif_deposit(uint64_t partition, const uint64_t *pages, size_t count, size_t *done);
// Takes back up to `count` unused pages; they arrive zeroed. NO_RESOURCES when the pool is empty.
MUST_CHECK hv_status_t hvif_withdraw(uint64_t partition, uint64_t *pages, size_t count, size_t *done);
MUST_CHECK hv_status_t hvif_memory_balance(uint64_t partition, struct hv_memory_balance_out *out);

// Maps `count` pages of the size that `flags` says (HV_MAP_LARGE_PAGE 2M, HV_MAP_X_HUGE_PAGE 1G) from
// consecutive source pages starting at root GPA `source` to target GPA `target` (bytes, aligned).
MUST_CHECK hv_status_t hvif_map(uint64_t partition, gpa_t target, gpa_t source, size_t count, uint32_t flags,
                                size_t *done);
MUST_CHECK hv_status_t hvif_unmap(uint64_t partition, gpa_t target, size_t count, uint32_t flags);

MUST_CHECK hv_status_t hvif_create_vp(uint64_t partition, uint32_t vp);
MUST_CHECK hv_status_t hvif_delete_vp(uint64_t partition, uint32_t vp);
MUST_CHECK hv_status_t hvif_get_registers(uint64_t partition, uint32_t vp, const uint32_t *names,
                                          union hv_register_value *values, size_t count);
MUST_CHECK hv_status_t hvif_set_registers(uint64_t partition, uint32_t vp,
                                          const struct hv_register_assoc *regs, size_t count);
MUST_CHECK hv_status_t hvif_translate_gva(uint64_t partition, uint32_t vp, uint64_t control, gva_t gva,
                                          struct hv_translate_gva_out *out);
MUST_CHECK hv_status_t hvif_install_intercept(uint64_t partition, uint32_t access,
                                              enum hv_intercept_type type, uint64_t parameter);
MUST_CHECK hv_status_t hvif_assert_interrupt(uint64_t partition, const struct hv_assert_interrupt_in *in);

// Maps a state page of a VP into this partition; *va is a pointer valid until unmapped.
MUST_CHECK hv_status_t hvif_map_state_page(uint64_t partition, uint32_t vp, enum hv_vp_state_page type,
                                           void **va);
MUST_CHECK hv_status_t hvif_unmap_state_page(uint64_t partition, uint32_t vp, enum hv_vp_state_page type);

// Completes one intercept (partition 0: none) and fetches the next; see HvCallXInterceptWait in abi.h.
// *cookie is 0 when there is none. Data plane only.
MUST_CHECK hv_status_t hvif_intercept_wait(uint64_t partition, uint32_t vp, uint32_t flags, uint64_t *cookie);

// Makes `gpa` (0: none) doorbell number `index` of a child; see HvCallXSetDoorbell in abi.h. The first call for a
// partition needs a page of its pool.
MUST_CHECK hv_status_t hvif_set_doorbell(const struct hv_x_doorbell_in *in);
// The next partition whose doorbells were rung. Data plane only.
MUST_CHECK hv_status_t hvif_take_doorbells(struct hv_x_doorbells_out *out);

MUST_CHECK hv_status_t hvif_map_interrupt(const struct hv_x_map_interrupt_in *in,
                                          struct hv_x_map_interrupt_out *out);
// Writes all of it, and waits for the wire: for last words and the first. Fails if the wire does not move.
MUST_CHECK hv_status_t hvif_console_write(const char *text, size_t length);
// Writes what the console's queue has room for now; *taken says how much.
MUST_CHECK hv_status_t hvif_console_put(const char *text, size_t length, size_t *taken);
MUST_CHECK hv_status_t hvif_console_read(char *buf, size_t cap, size_t *length); // never blocks
MUST_CHECK hv_status_t hvif_read_log(uint64_t sequence, struct hv_x_log_out *out);
MUST_CHECK hv_status_t hvif_trace(const struct hv_x_trace_in *in,
                                  struct hv_x_trace_out *out); // out: NULL unless read
MUST_CHECK hv_status_t hvif_system(enum hv_x_system_action action, uint32_t value);
MUST_CHECK hv_status_t hvif_counters(uint64_t partition, uint32_t vp, struct hv_x_counters_out *out);
MUST_CHECK hv_status_t hvif_info(struct hv_x_info_out *out);

// Text of a status, for logs and result documents. Never NULL.
const char *hvif_status_text(hv_status_t status);

#endif
