// srcs: hv/doorbell.c arch/x86/decode.c
// SPDX-License-Identifier: Apache-2.0
// The hypervisor's doorbells: which stores ring, who is told and when, what is left to the parent, the end of a guest.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "arch/x86/guest_walk.h"
#include "hv/cpu.h"
#include "hv/doorbell.h"
#include "hv/hvcall.h"
#include "hv/root.h"

#define BELL 0xc0013000ull

struct partition *root_partition;
static struct partition root, guests[3];
static struct vp root_vp, vps[3];
static uint8_t code[16];
static unsigned interrupts, pages;
static bool no_memory;

size_t guest_fetch(struct vp *vp, uint8_t bytes[16], enum decode_mode *mode)
{
    (void)vp;
    memcpy(bytes, code, 15);
    *mode = DECODE_64;
    return 15;
}

void *partition_page_alloc(struct partition *p)
{
    (void)p;
    pages += !no_memory;
    return no_memory ? NULL : calloc(1, PAGE_SIZE);
}

void partition_page_free(struct partition *p, void *page)
{
    (void)p;
    pages--;
    free(page);
}

void vp_post_interrupt(struct vp *vp, uint8_t vector, bool level)
{
    assert_ptr_equal(vp, &root_vp);
    assert_int_equal(vector, 0xe3);
    assert_false(level);
    interrupts++;
}

void spin_wait(const spinlock_t *l, uint32_t ticket)
{
    (void)l;
    (void)ticket;
    abort(); // one processor
}

static hv_status_t set(unsigned guest, uint32_t index, uint64_t gpa)
{
    const struct hv_x_doorbell_in in = {.gpa = gpa, .cookie = 100 + guest, .index = index, .vector = 0xe3};
    struct hvcall c = {.target = &guests[guest], .in = &in};

    return hvcall_x_set_doorbell(&c);
}

static struct hv_x_doorbells_out take(void)
{
    struct hv_x_doorbells_out out;
    struct hvcall c = {.out = &out};

    assert_int_equal(hvcall_x_take_doorbells(&c), HV_STATUS_SUCCESS);
    return out;
}

static bool write_at(unsigned guest, uint64_t gpa, const char *bytes, size_t length)
{
    memset(code, 0x90, sizeof(code));
    memcpy(code, bytes, length);
    vps[guest].exit.gpa.gpa = GPA(gpa);
    vps[guest].exit.gpa.write = true;
    vps[guest].exit.insn_len = 0;
    return doorbell_ring(&vps[guest]);
}

// mov %ax, (%rbx)
static bool ring(unsigned guest, uint64_t gpa)
{
    return write_at(guest, gpa, "\x66\x89\x03", 3);
}

static int setup(void **state)
{
    (void)state;
    root = (struct partition){.is_root = true, .vps = {&root_vp}};
    root_partition = &root;
    interrupts = 0;
    no_memory = false;
    for (unsigned i = 0; i < ARRAY_LEN(guests); i++) {
        guests[i] = (struct partition){.state = PARTITION_ACTIVE};
        vps[i].partition = &guests[i];
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ARRAY_LEN(guests); i++) {
        doorbell_forget(&guests[i]);
    }
    assert_int_equal(pages, 0);
    assert_int_equal(take().cookie, 0);
    return 0;
}

static void test_ring_and_take(void **state)
{
    struct hv_x_doorbells_out out;

    (void)state;
    assert_false(ring(0, BELL)); // there are none
    assert_int_equal(set(0, 5, BELL), HV_STATUS_SUCCESS);
    assert_int_equal(set(0, 63, BELL + 4), HV_STATUS_SUCCESS);
    assert_false(ring(0, BELL + 2));
    assert_true(ring(0, BELL));
    assert_int_equal(vps[0].exit.insn_len, 3);
    assert_true(ring(0, BELL + 4));
    assert_true(ring(0, BELL));
    assert_int_equal(interrupts, 1); // until somebody has looked
    out = take();
    assert_int_equal(out.cookie, 100);
    assert_true(out.rung == (BIT(5) | BIT(63)));
    assert_int_equal(take().cookie, 0);
    assert_true(ring(0, BELL));
    assert_int_equal(interrupts, 2);
    assert_int_equal(take().rung, BIT(5));
}

static void test_only_plain_stores(void **state)
{
    (void)state;
    assert_int_equal(set(0, 0, BELL), HV_STATUS_SUCCESS);
    assert_true(write_at(0, BELL, "\xc7\x03\x01\x00\x00\x00", 6)); // movl $1, (%rbx)
    assert_int_equal(vps[0].exit.insn_len, 6);
    assert_true(write_at(0, BELL, "\x88\x03", 2));      // mov %al, (%rbx)
    assert_false(write_at(0, BELL, "\x48\x89\x03", 3)); // eight bytes
    assert_false(write_at(0, BELL, "\x01\x03", 2));     // add %eax, (%rbx)
    assert_false(write_at(0, BELL, "\x8b\x03", 2));     // a load
    vps[0].exit.gpa.write = false;
    memcpy(code, "\x66\x89\x03", 3);
    assert_false(doorbell_ring(&vps[0]));
    (void)take();
}

static void test_moved_and_removed(void **state)
{
    (void)state;
    assert_int_equal(set(0, 1, BELL), HV_STATUS_SUCCESS);
    assert_int_equal(set(0, 1, BELL + 0x10000), HV_STATUS_SUCCESS);
    assert_false(ring(0, BELL));
    assert_true(ring(0, BELL + 0x10000));
    assert_int_equal(set(0, 1, 0), HV_STATUS_SUCCESS);
    assert_false(ring(0, BELL + 0x10000));
    assert_false(ring(0, 0));
    assert_int_equal(take().rung, 2); // was rung before it went
}

static void test_refused(void **state)
{
    (void)state;
    assert_int_equal(set(0, 64, BELL), HV_STATUS_INVALID_PARAMETER);
    no_memory = true;
    assert_int_equal(set(0, 0, BELL), HV_STATUS_INSUFFICIENT_MEMORY);
    guests[0].state = PARTITION_FINALIZED;
    assert_int_equal(set(0, 0, BELL), HV_STATUS_INVALID_PARTITION_STATE);
    guests[0].is_root = true;
    assert_int_equal(set(0, 0, BELL), HV_STATUS_ACCESS_DENIED);
}

// Guests are served in the order in which they rang; one that ends in between leaves the others in the list.
static void test_several_guests(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(set(i, 0, BELL), HV_STATUS_SUCCESS);
        assert_true(ring(i, BELL));
    }
    assert_int_equal(interrupts, 3);
    doorbell_forget(&guests[2]);
    assert_int_equal(set(2, 0, BELL), HV_STATUS_SUCCESS);
    assert_true(ring(2, BELL));
    doorbell_forget(&guests[1]);
    assert_int_equal(take().cookie, 100);
    assert_int_equal(take().cookie, 102);
    assert_int_equal(take().cookie, 0);
    assert_true(ring(0, BELL));
    doorbell_forget(&guests[0]);
    assert_int_equal(take().cookie, 0);
    assert_true(ring(2, BELL));
    assert_int_equal(take().cookie, 102);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_ring_and_take, setup, teardown),
        cmocka_unit_test_setup_teardown(test_only_plain_stores, setup, teardown),
        cmocka_unit_test_setup_teardown(test_moved_and_removed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_several_guests, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
