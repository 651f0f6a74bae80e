// SPDX-License-Identifier: Apache-2.0
// The root's own page tables, as the hypervisor built them: W^X.
#include "tests/guest/root/tests.h"

#include "mgmt/rt/start.h"

#define PRESENT BIT(0)
#define WRITE BIT(1)
#define LARGE BIT(7)
#define NX BIT(63)
#define ADDR 0x000ffffffffff000ull

static uint64_t entry_of(uint64_t va)
{
    uint64_t at;

    __asm__("mov %%cr3, %0" : "=r"(at));
    for (unsigned shift = 39;; shift -= 9) {
        uint64_t entry = ((const uint64_t *)rt_gpa_to_virt(GPA(at & ADDR)))[va >> shift & 511];

        if ((entry & PRESENT) == 0 || shift == 12 || (entry & LARGE) != 0) {
            return entry;
        }
        at = entry;
    }
}

static bool is(uint64_t va, uint64_t rights)
{
    uint64_t entry = entry_of(va);

    return ((entry & PRESENT) != 0 && (entry & (WRITE | NX)) == rights) ||
           complain((unsigned)(rights != 0), "rights as they should be; the address is", va);
}

// No page that is both, in the whole of a table and of those below it. Large pages count as one.
static bool is_w_xor_x(uint64_t table, unsigned level)
{
    const uint64_t *t = rt_gpa_to_virt(GPA(table & ADDR));

    for (unsigned i = 0; i < 512; i++) {
        if ((t[i] & PRESENT) == 0) {
            continue;
        }
        if (level > 1 && (t[i] & LARGE) == 0) {
            if (!is_w_xor_x(t[i], level - 1)) {
                return false;
            }
        } else if ((t[i] & WRITE) != 0 && (t[i] & NX) == 0) {
            return complain(level, "written or executed; the entry is", t[i]);
        }
    }
    return true;
}

bool root_own_tables(void)
{
    static const uint64_t constant = 1;
    static uint64_t data;
    uint64_t cr3, text = (uint64_t)root_own_tables;
    uint64_t alias = (uint64_t)rt_gpa_to_virt(rt_virt_to_gpa((const void *)text));

    __asm__("mov %%cr3, %0" : "=r"(cr3));
    data++;
    return is(text, 0) && is(alias, NX) && is((uint64_t)&constant, NX) && is((uint64_t)&data, WRITE | NX) &&
           is((uint64_t)&cr3, WRITE | NX) && is(boot->hypercall_page, 0) && WANT(entry_of(0) == 0) &&
           is_w_xor_x(cr3, 4);
}
