// SPDX-License-Identifier: Apache-2.0
// The root's side of the micro-guests: the table, and checks after a guest has ended.
#include "tests/guest/root/root.h"

static bool after_level_interrupt(struct guest *g)
{
    return g->eois == 1;
}

#define TEST(name_, vps_, ends_, after_)                                                                     \
    {.name = #name_, .vps = (vps_), .ends_with = (ends_), .after = (after_)},
const struct root_test root_tests[] = {
#include "tests/guest/tests.def"
    {.name = NULL},
};
#undef TEST

unsigned guest_move_length(const uint8_t *insn)
{
    unsigned at = 0;

    while (insn[at] == 0x66 || (insn[at] & 0xf0) == 0x40) {
        at++;
    }
    switch (insn[at + 1] >> 6) {
    case 1:
        return at + 3;
    case 2:
        return at + 6;
    default:
        return at + 2;
    }
}
