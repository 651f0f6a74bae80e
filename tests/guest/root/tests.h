// SPDX-License-Identifier: Apache-2.0
// The root's halves of tests, and the tests that are the root's alone.
#ifndef TESTS_GUEST_ROOT_TESTS_H
#define TESTS_GUEST_ROOT_TESTS_H

#include "tests/guest/root/root.h"

// hooks.c
bool after_string_io(struct guest *g);
bool after_fetch(struct guest *g);
bool setup_rights(struct guest *g);
bool serve_rights(struct guest *g, uint32_t vp, uint32_t *flags);
bool after_rights(struct guest *g);
bool after_level_interrupt(struct guest *g);
bool after_ap_fault(struct guest *g);
bool after_refused(struct guest *g);
bool serve_chaos(struct guest *g, uint32_t vp, uint32_t *flags);

// doorbell.c
bool setup_doorbell(struct guest *g);
bool after_doorbell(struct guest *g);

#define TEST(...)
#define ROOT_TEST(name_) bool root_##name_(void);
#include "tests/guest/tests.def"
#undef TEST
#undef ROOT_TEST

#endif
