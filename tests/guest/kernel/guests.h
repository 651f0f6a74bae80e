// SPDX-License-Identifier: Apache-2.0
// Prototypes of the micro-guests, for the files that define them.
#ifndef TESTS_GUEST_KERNEL_GUESTS_H
#define TESTS_GUEST_KERNEL_GUESTS_H

#include <keelson/abi.h>

#include "tests/guest/kernel/kernel.h"

#define TEST(name_, ...) void guest_##name_(void);
#define ROOT_TEST(name_)
#include "tests/guest/tests.def"
#undef TEST
#undef ROOT_TEST

#endif
