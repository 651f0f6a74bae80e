// srcs: mgmt/drivers/pci.c tests/unit/fake_pci.c
// SPDX-License-Identifier: Apache-2.0
// PCI enumeration, BARs and capabilities, with devices that are well made and others that are not.
#include "tests/unit/fake_pci.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <string.h>

static struct fake_device devices[6];

static int setup(void **state)
{
    (void)state;
    memset(devices, 0, sizeof(devices));
    fake_pci_reset();
    return 0;
}

static struct fake_device *add(unsigned i, uint8_t bus, uint8_t device, uint8_t function, uint32_t class_code)
{
    struct fake_device *d = &devices[i];

    fake_pci_describe(d, (struct pci_address){bus, device, function}, 0x1234, (uint16_t)i, class_code, 0,
                      0xf0000000u + 0x100000u * i, 0x1000, false);
    fake_pci_add(d);
    return d;
}

static void make_bridge(struct fake_device *d, uint8_t secondary)
{
    d->bar_size[0] = 0;
    fake_pci_set(d, 0x0e, 1, 1);
    fake_pci_set(d, 0x19, 1, secondary);
}

static void finds_functions_and_what_is_behind_bridges(void **state)
{
    struct pci_device found[8];

    (void)state;
    add(0, 0, 2, 0, 0x010601);
    fake_pci_set(add(1, 0, 5, 0, 0x020000), 0x0e, 1, 0x80); // multifunction
    add(2, 0, 5, 3, 0x020000);
    make_bridge(add(3, 0, 9, 0, 0x060400), 7);
    add(4, 7, 0, 0, 0x020000);
    assert_int_equal(pci_enumerate(found, 8), 5);
    assert_int_equal(found[2].at.function, 3);
    assert_int_equal(found[4].at.bus, 7);
    assert_string_equal(pci_class_name(&found[0]), "storage");
    assert_string_equal(pci_class_name(&found[4]), "network");
    assert_null(pci_class_name(&found[3]));
    assert_int_equal(pci_enumerate(found, 2), 2); // no more than fit
}

static void bridges_that_form_a_loop(void **state)
{
    struct pci_device found[8];

    (void)state;
    make_bridge(add(0, 0, 1, 0, 0x060400), 1);
    make_bridge(add(1, 1, 1, 0, 0x060400), 0);
    assert_int_equal(pci_enumerate(found, 8), 2);
}

static void sizes_bars_and_puts_them_back(void **state)
{
    struct pci_device dev;
    struct fake_device *d = add(0, 0, 1, 0, 0x020000);
    uint64_t base, size;

    (void)state;
    fake_pci_describe(d, d->at, 0x1234, 0, 0x020000, 2, 0x1200000000ull, 1ull << 33, true);
    fake_pci_set(d, 0x20, 4, 0xc001); // BAR 4: I/O
    fake_pci_set(d, 4, 2, 0x0107);
    assert_int_equal(pci_enumerate(&dev, 1), 1);
    assert_true(pci_bar(&dev, 0, &base, &size));
    assert_int_equal(base, 0xf0000000);
    assert_int_equal(size, 0x1000);
    assert_true(pci_bar(&dev, 2, &base, &size));
    assert_int_equal(base, 0x1200000000ull);
    assert_int_equal(size, 1ull << 33);
    assert_false(pci_bar(&dev, 4, &base, &size)); // ports
    assert_false(pci_bar(&dev, 5, &base, &size)); // not there
    assert_int_equal(fake_pci_get(d, 0x10, 4), 0xf0000000);
    assert_int_equal(fake_pci_get(d, 0x1c, 4), 0x12);
    assert_int_equal(fake_pci_get(d, 4, 2), 0x0107);
}

static void capability_lists_without_end(void **state)
{
    struct pci_device dev;
    struct fake_device *d = add(0, 0, 1, 0, 0x020000);

    (void)state;
    fake_pci_set(d, 6, 2, 0x10);
    fake_pci_set(d, 0x34, 1, 0x40);
    fake_pci_set(d, 0x40, 2, 0x5005); // id 5, next 0x50
    fake_pci_set(d, 0x50, 2, 0x4009); // id 9, next 0x40: a loop
    assert_int_equal(pci_enumerate(&dev, 1), 1);
    assert_int_equal(pci_find_capability(&dev, 9, 0), 0x50);
    assert_int_equal(pci_find_capability(&dev, 0x11, 0), 0);
    fake_pci_set(d, 0x34, 1, 0x04); // points into the header
    assert_int_equal(pci_find_capability(&dev, 9, 0), 0);
    fake_pci_set(d, 6, 2, 0); // no list at all
    assert_int_equal(pci_find_capability(&dev, 5, 0), 0);
}

static void message_table_must_fit_its_bar(void **state)
{
    struct pci_device dev;
    struct fake_device *d = add(0, 0, 1, 0, 0x020000);

    (void)state;
    fake_pci_set(d, 6, 2, 0x10);
    fake_pci_set(d, 0x34, 1, 0x40);
    fake_pci_set(d, 0x40, 4, 0x11 | 1u << 16); // two entries
    fake_pci_set(d, 0x44, 4, 0xff0);           // only one of them inside BAR 0
    assert_int_equal(pci_enumerate(&dev, 1), 1);
    assert_false(pci_msix_set(&dev, 2, 0xfee00000, 0x30)); // beyond the table
    assert_false(pci_msix_set(&dev, 1, 0xfee00000, 0x30)); // beyond the BAR
}

#define TEST(fn) cmocka_unit_test_setup(fn, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(finds_functions_and_what_is_behind_bridges),
        TEST(bridges_that_form_a_loop),
        TEST(sizes_bars_and_puts_them_back),
        TEST(capability_lists_without_end),
        TEST(message_table_must_fit_its_bar),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
