// SPDX-License-Identifier: Apache-2.0
// Micro-guests about ports, device memory, page tables and rights of guest memory.
#include "tests/guest/kernel/guests.h"

static void store64(uint64_t at, uint64_t value)
{
    __asm__ volatile("mov %0, (%1)" : : "a"(value), "c"(at) : "memory");
}

static uint64_t load64(uint64_t at)
{
    uint64_t value;

    __asm__ volatile("mov (%1), %0" : "=a"(value) : "c"(at) : "memory");
    return value;
}

void guest_io(void)
{
    outl(PORT_ECHO, 0x12345678);
    CHECK(inl(PORT_ECHO) == 0x12345678);
    CHECK(inw(PORT_ECHO) == 0x5678);
    CHECK(inb(PORT_ECHO) == 0x78);
    CHECK(inb(0x1234) == 0xff);
    CHECK(inb(0x3f8) == 0xff); // the hypervisor's own console is not there for guests
    CHECK(inl(0xcf8) == 0xffffffff);
}

// The root collects what is written and checks it afterwards (after_string_io()).
void guest_string_io(void)
{
    const char *text = "string of bytes";
    uint64_t count = 15, at = (uint64_t)text;
    uint8_t *in = (uint8_t *)GUEST_DATA_GPA;
    uint64_t to = GUEST_DATA_GPA;

    __asm__ volatile("rep outsb" : "+S"(at), "+c"(count) : "d"(PORT_ECHO) : "memory");
    CHECK(count == 0 && at == (uint64_t)text + 15);
    __asm__ volatile("outsw" : "+S"(at) : "d"(PORT_ECHO) : "memory");
    CHECK(at == (uint64_t)text + 17);
    outl(PORT_ECHO, 0x64636261);
    count = 3;
    __asm__ volatile("rep insl" : "+D"(to), "+c"(count) : "d"(PORT_ECHO) : "memory");
    CHECK(count == 0 && to == GUEST_DATA_GPA + 12);
    CHECK(in[0] == 'a' && in[11] == 'd' && in[12] == 0);
}

void guest_mmio(void)
{
    store64(GUEST_UNMAPPED_GPA, 0x1122334455667788);
    store64(GUEST_UNMAPPED_GPA + 8, 42);
    CHECK(load64(GUEST_UNMAPPED_GPA) == 0x1122334455667788);
    CHECK(load64(GUEST_UNMAPPED_GPA + 8) == 42);
}

// A doorbell takes plain stores of up to four bytes; the device sees all else.
void guest_doorbell(void)
{
    uint64_t bell = GUEST_DOORBELL_GPA;

    store64(bell, 0x1122334455667788);
    CHECK(load64(bell) == 0x1122334455667788);
    __asm__ volatile("movl %0, (%1)" : : "r"(5), "r"(bell) : "memory");
    __asm__ volatile("movw %w0, (%1)" : : "r"(6), "r"(bell) : "memory");
    __asm__ volatile("movb %b0, (%1)" : : "q"(7), "r"(bell) : "memory");
    CHECK(load64(bell) == 0x1122334455667788);
    store64(bell, 42);
    CHECK(load64(bell) == 42);
}

void guest_unmapped(void)
{
    load64(GUEST_CHECKED_GPA);
    fail(__LINE__);
}

void guest_unmapped_fetch(void)
{
    ((void (*)(void))(uint64_t)GUEST_CHECKED_GPA)();
    fail(__LINE__);
}

// --- page tables ---

#define VA 0x40000000ull
#define PAGE_A (GUEST_DATA_GPA + 0x10000ull)
#define PAGE_B (GUEST_DATA_GPA + 0x11000ull)
#define PD (GUEST_DATA_GPA + 0ull)
#define PT (GUEST_DATA_GPA + 0x1000ull)
#define PTE ((volatile uint64_t *)PT)

static void make_tables(void)
{
    ((uint64_t *)GUEST_TABLES_GPA)[512 + 1] = PD | 7;
    *(uint64_t *)PD = PT | 7;
    store64(PAGE_A, 0xaaaa);
    store64(PAGE_B, 0xbbbb);
    PTE[0] = PAGE_A | 7;
    write_cr3(read_cr3());
}

void guest_page_tables(void)
{
    make_tables();
    CHECK(load64(VA) == 0xaaaa);
    CHECK((PTE[0] & 0x20) != 0); // accessed
    store64(VA, 0xaaab);
    CHECK((PTE[0] & 0x40) != 0 && load64(PAGE_A) == 0xaaab);
    PTE[0] = PAGE_B | 7;
    invlpg((const void *)VA);
    CHECK(load64(VA) == 0xbbbb);
    PTE[0] = PAGE_A | 7;
    write_cr3(read_cr3());
    CHECK(load64(VA) == 0xaaab);
    PTE[0] = PAGE_A | 0x107; // global: outlives a CR3 load, not a change of CR4.PGE
    write_cr4(read_cr4() | CR4_PGE);
    CHECK(load64(VA) == 0xaaab);
    PTE[0] = PAGE_B | 0x107;
    write_cr4(read_cr4() & ~CR4_PGE);
    CHECK(load64(VA) == 0xbbbb);
    PTE[0] = 0;
    invlpg((const void *)VA);
    CHECK(CATCH(load64(VA + 8)) == VECTOR_PF && caught_cr2 == VA + 8 && caught_error == 0);
    CHECK(CATCH(store64(VA, 0)) == VECTOR_PF && caught_error == 2);
    write_cr0(read_cr0() | CR0_WP);
    PTE[0] = PAGE_A | 5;
    invlpg((const void *)VA);
    CHECK(CATCH(store64(VA, 0)) == VECTOR_PF && caught_error == 3);
    write_cr0(read_cr0() & ~CR0_WP);
    CHECK(CATCH(store64(VA, 0xaaac)) == -1);
    PTE[0] = PAGE_A | 7 | 1ull << 63;
    invlpg((const void *)VA);
    CHECK(CATCH(((void (*)(void))VA)()) == VECTOR_PF && caught_error == 0x11);
    PTE[0] = 0x20000007 | 0; // device memory by way of a table: the root sees the physical address
    invlpg((const void *)VA);
    store64(VA, 0x77);
    CHECK(load64(GUEST_UNMAPPED_GPA) == 0x77);
    PTE[0] = 1ull << 38 | 7; // beyond everything, still an address
    invlpg((const void *)VA);
    CHECK(CATCH(store64(VA, 0)) == -1);
}

// The root has made GPA RIGHTS_GPA read-only and the next page not executable; see root/hooks.c.
void guest_rights(void)
{
    uint64_t ro = 0x10000000;

    CHECK(load64(ro) == 0x600d);
    store64(ro, 0x7777); // the root notes it and grants the right
    CHECK(load64(ro) == 0x7777);
    CHECK(load64(ro + 4096) == 0xc3);
    ((void (*)(void))(ro + 4096))(); // RET; the same
    outl(PORT_STEP, 1);              // the root unmaps the page
    outl(PORT_STEP, 2);              // and has seen nothing so far
    load64(ro);
    fail(__LINE__);
}
