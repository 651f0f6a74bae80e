// srcs: mgmt/core/auth.c mgmt/core/core.c mgmt/core/system.c mgmt/core/cloud_seed.c mgmt/block/fat_image.c mgmt/core/modules.c mgmt/core/system_run.c mgmt/core/partition.c mgmt/core/disk.c mgmt/block/ram_disk.c mgmt/block/block.c mgmt/core/partition_build.c mgmt/core/partition_stop.c mgmt/core/deposit.c mgmt/core/image.c mgmt/core/console.c mgmt/core/event.c mgmt/core/operation.c mgmt/core/notify.c mgmt/core/status.c mgmt/hvif/hvif_status.c tests/sim/hvif_sim.c tests/sim/dp_sim.c tests/sim/loader_sim.c tests/sim/plat_host.c mgmt/core/network.c mgmt/core/keeper.c mgmt/vswitch/vswitch.c mgmt/vswitch/mac_table.c mgmt/vswitch/offload.c mgmt/vswitch/dhcp.c
// libs: mbedtls
// SPDX-License-Identifier: Apache-2.0
// The core's smaller parts: images, operations, events, console history, credentials.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <mbedtls/base64.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mgmt/core/auth.h"
#include "mgmt/core/console.h"
#include "mgmt/core/core.h"
#include "mgmt/core/event.h"
#include "mgmt/core/image.h"
#include "mgmt/core/operation.h"
#include "tests/sim/hvif_sim.h"
#include "tests/sim/plat_host.h"

#define MB (1u << 20)

// --- images ---

static void test_image_content(void **state)
{
    static uint8_t content[5 * MB + 123], back[5 * MB + 123];
    struct image_upload *up;
    struct image *image;
    struct image_info info;
    struct core_error error;

    (void)state;
    for (size_t i = 0; i < sizeof content; i++) {
        content[i] = (uint8_t)(i * 7 + i / 4096);
    }
    assert_int_equal(image_upload_begin("a.bin", 0, &up, &error), CORE_OK);
    for (size_t i = 0; i < sizeof content; i += 70001) { // pieces that cross chunks
        assert_int_equal(image_upload_write(up, content + i, MIN(70001, sizeof content - i), &error),
                         CORE_OK);
    }
    assert_null(image_find("a.bin")); // not before it is whole
    assert_int_equal(image_upload_finish(up, NULL, &image, &error), CORE_OK);
    image_get_info(image, &info);
    assert_int_equal(info.size, sizeof content);
    assert_int_equal(image_read(image, 0, back, sizeof back), sizeof content);
    assert_memory_equal(back, content, sizeof content);
    assert_int_equal(image_read(image, 2 * MB - 10, back, 20), 20);
    assert_memory_equal(back, content + 2 * MB - 10, 20);
    assert_int_equal(image_read(image, sizeof content - 5, back, 20), 5);
    assert_int_equal(image_read(image, sizeof content, back, 1), 0);
    assert_int_equal(image_read(image, UINT64_MAX, back, 1), 0);
    assert_int_equal(image_pool_bytes(), 6 * MB);
    assert_int_equal(image_delete("a.bin", &error), CORE_OK);
    assert_int_equal(image_pool_bytes(), 0);
    assert_int_equal(image_delete("a.bin", &error), CORE_NOT_FOUND);
}

static void test_image_digest(void **state)
{
    // FIPS 180-2 example: SHA-256("abc")
    static const uint8_t abc[32] = {0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40,
                                    0xde, 0x5d, 0xae, 0x22, 0x23, 0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17,
                                    0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad};
    uint8_t wrong[32];
    struct image_upload *up;
    struct core_error error;

    (void)state;
    memcpy(wrong, abc, sizeof wrong);
    wrong[31] ^= 1;
    assert_int_equal(image_upload_begin("abc", 3, &up, &error), CORE_OK);
    assert_int_equal(image_upload_write(up, "abc", 3, &error), CORE_OK);
    assert_int_equal(image_upload_finish(up, wrong, NULL, &error), CORE_MISMATCH);
    assert_null(image_find("abc"));
    assert_int_equal(image_upload_begin("abc", 3, &up, &error), CORE_OK);
    assert_int_equal(image_upload_write(up, "abc", 3, &error), CORE_OK);
    assert_int_equal(image_upload_finish(up, abc, NULL, &error), CORE_OK);
    assert_int_equal(image_delete("abc", &error), CORE_OK);
    assert_int_equal(image_pool_bytes(), 0);
}

static void test_image_refusals(void **state)
{
    static const char *const names[] = {
        "",    "-a",       ".hidden", "a/b",
        "a b", "\xc3\xa4", "..",      "x1234567890123456789012345678901234567890123456789012345678901234"};
    struct image_upload *up, *second;
    struct core_error error;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        assert_int_equal(image_upload_begin(names[i], 1, &up, &error), CORE_INVALID);
    }
    assert_int_equal(image_upload_begin("big", 1ull << 40, &up, &error), CORE_NO_MEMORY);
    assert_int_equal(image_upload_begin("x", 4, &up, &error), CORE_OK);
    assert_int_equal(image_upload_begin("x", 4, &second, &error), CORE_IN_USE);
    assert_int_equal(image_upload_write(up, "12345", 5, &error), CORE_INVALID); // longer than announced
    assert_int_equal(image_upload_write(up, "12", 2, &error), CORE_OK);
    assert_int_equal(image_upload_finish(up, NULL, NULL, &error), CORE_MISMATCH); // shorter
    assert_int_equal(image_upload_begin("empty", 0, &up, &error), CORE_OK);
    assert_int_equal(image_upload_finish(up, NULL, NULL, &error), CORE_INVALID);
    assert_int_equal(image_pool_bytes(), 0);
    assert_null(image_upload_next(NULL));
}

static void test_image_count_is_bounded(void **state)
{
    struct image_upload *up;
    struct core_error error;
    char name[16];

    (void)state;
    for (int i = 0; i < IMAGE_COUNT_MAX; i++) {
        snprintf(name, sizeof name, "i%d", i);
        assert_int_equal(image_upload_begin(name, 1, &up, &error), CORE_OK);
        assert_int_equal(image_upload_write(up, "x", 1, &error), CORE_OK);
        assert_int_equal(image_upload_finish(up, NULL, NULL, &error), CORE_OK);
    }
    assert_int_equal(image_upload_begin("more", 1, &up, &error), CORE_LIMIT);
    while (image_next(NULL) != NULL) {
        struct image_info info;

        image_get_info(image_next(NULL), &info);
        snprintf(name, sizeof name, "%s", info.name);
        assert_int_equal(image_delete(name, &error), CORE_OK);
    }
}

// --- operations ---

static unsigned raised;

static void count_raise(struct notify *n)
{
    (void)n;
    raised++;
}

static void test_operation_life(void **state)
{
    struct operation *op = operation_create(OPERATION_START, "vm");
    struct core_error error;
    struct notify n = {0};
    uint64_t id = op->id;

    (void)state;
    raised = 0;
    notify_add(&op->waiters, &n, count_raise);
    operation_progress(op, 40);
    assert_int_equal(op->percent, 40);
    core_fail(&error, CORE_NO_MEMORY, "none left");
    operation_finish(op, &error);
    operation_finish(op, NULL); // the first result stays
    assert_int_equal(raised, 1);
    assert_int_equal(op->error.status, CORE_NO_MEMORY);
    assert_int_equal(op->percent, 100);
    notify_remove(&op->waiters, &n);
    assert_ptr_equal(operation_find(id), op);
    operation_close(op);
    assert_null(operation_find(id));

    op = operation_create(OPERATION_START, "vm"); // closed while pending: goes when done
    assert_int_not_equal(op->id, id);
    id = op->id;
    operation_close(op);
    assert_null(operation_find(id));
    operation_finish(op, NULL);
    assert_null(operation_first());
}

static void test_operations_are_bounded(void **state)
{
    struct operation *pending = operation_create(OPERATION_START, "vm");
    unsigned made = 0;

    (void)state;
    for (int i = 0; i < 2000; i++) { // finished ones make room
        operation_finish(operation_create(OPERATION_PAUSE, "vm"), NULL);
    }
    assert_ptr_equal(operation_find(pending->id), pending);
    while (operation_create(OPERATION_START, "vm") != NULL) { // pending ones do not
        made++;
    }
    assert_true(made > 100 && made < 2000);
    while (operation_first() != NULL) {
        struct operation *op = operation_first();

        operation_finish(op, NULL);
        operation_close(op);
    }
}

static void test_operation_retention(void **state)
{
    struct operation *old = operation_create(OPERATION_PAUSE, "vm");
    uint64_t id = old->id;

    (void)state;
    operation_finish(old, NULL);
    plat_host_advance_ms(9 * 60 * 1000);
    operation_close(operation_create(OPERATION_PAUSE, "vm"));
    assert_non_null(operation_find(id));
    plat_host_advance_ms(2 * 60 * 1000);
    operation_finish(operation_first(), NULL);
    old = operation_create(OPERATION_PAUSE, "vm");
    assert_null(operation_find(id));
    operation_finish(old, NULL);
    operation_close(old);
}

// --- notify ---

static struct notify_list list;
static struct notify first, second, third;

static void remove_second(struct notify *n)
{
    (void)n;
    notify_remove(&list, &second);
    notify_remove(&list, &first);
}

static void test_notify_changes_while_walked(void **state)
{
    (void)state;
    raised = 0;
    notify_add(&list, &first, remove_second);
    notify_add(&list, &second, count_raise);
    notify_add(&list, &third, count_raise);
    notify_raise(&list);
    assert_int_equal(raised, 1); // the third
    notify_raise(&list);
    assert_int_equal(raised, 2);
    notify_remove(&list, &third);
    notify_remove(&list, &third);
    assert_null(list.head);
}

// --- events ---

static void test_events(void **state)
{
    uint64_t oldest, next;

    (void)state;
    for (int i = 0; i < 2000; i++) {
        event_post(EVENT_IMAGE_ADDED, "subject", "number %d", i);
    }
    event_range(&oldest, &next);
    assert_true(oldest > 1 && next - oldest < 2000);
    assert_null(event_get(oldest - 1));
    assert_null(event_get(next));
    assert_string_equal(event_get(next - 1)->text, "number 1999");
    assert_int_equal(event_get(oldest)->sequence, oldest);
}

// --- console ---

static void test_console_history(void **state)
{
    static uint8_t slots[2][16384], buf[CONSOLE_HISTORY + 100];
    static struct dp_vm vm;
    struct console c;
    uint64_t sequence = 0, lost, n;

    (void)state;
    console_init(&c, 0);
    assert_int_equal(console_write(&c, "x", 1), 0); // nobody there
    spsc_init(&vm.com[0].tx, slots[0], 16384, 1);
    spsc_init(&vm.com[0].rx, slots[1], 16384, 1);
    // Not attached through console_attach(): that would talk to the data plane about an unknown guest.
    for (unsigned i = 0; i < 100000; i++) {
        uint8_t byte = (uint8_t)(i % 251);

        assert_true(spsc_push(&vm.com[0].tx, &byte));
        if (i % 10000 == 9999) {
            c.vm = &vm;
            c.closing = true;
            console_pull(&c);
        }
    }
    n = console_read(&c, &sequence, buf, sizeof buf, &lost);
    assert_int_equal(n, CONSOLE_HISTORY);
    assert_int_equal(lost, 100000 - CONSOLE_HISTORY);
    assert_int_equal(sequence, 100000);
    assert_int_equal(buf[0], (100000 - CONSOLE_HISTORY) % 251);
    assert_int_equal(buf[n - 1], 99999 % 251);
    assert_int_equal(console_read(&c, &sequence, buf, sizeof buf, &lost), 0);
    sequence = UINT64_MAX; // from the future
    assert_int_equal(console_read(&c, &sequence, buf, sizeof buf, &lost), 0);
    assert_int_equal(sequence, 100000);
    console_free(&c);
}

// --- credentials ---

static char secret[AUTH_SECRET_TEXT];
static const uint8_t here[4] = {10, 0, 0, 1}, there[4] = {10, 0, 0, 2};

static void basic(char *out, size_t cap, const char *user_and_secret)
{
    size_t n;

    strcpy(out, "Basic ");
    assert_int_equal(mbedtls_base64_encode((uint8_t *)out + 6, cap - 6, &n, (const uint8_t *)user_and_secret,
                                           strlen(user_and_secret)),
                     0);
}

static void test_credentials(void **state)
{
    char plain[64], header[128], other[AUTH_SECRET_TEXT];
    struct auth_identity id;

    (void)state;
    assert_int_equal(auth_check("Bearer ", here, 4, &id), AUTH_REFUSED); // before there is a secret
    auth_new_secret(other);
    auth_new_secret(secret);
    assert_int_equal(strlen(secret), 32);
    assert_string_not_equal(secret, other);
    snprintf(header, sizeof header, "Bearer %s", secret);
    assert_int_equal(auth_check(header, here, 4, &id), AUTH_OK);
    assert_string_equal(id.name, "admin");
    assert_true(id.roles & AUTH_ADMINISTRATOR && id.roles & AUTH_READER);
    snprintf(header, sizeof header, "Bearer %s", other); // replaced
    assert_int_equal(auth_check(header, here, 4, &id), AUTH_REFUSED);
    snprintf(plain, sizeof plain, "admin:%s", secret);
    basic(header, sizeof header, plain);
    assert_int_equal(auth_check(header, here, 4, &id), AUTH_OK);
    memcpy(header, "bAsIc", 5);
    assert_int_equal(auth_check(header, here, 4, &id), AUTH_OK);
    assert_int_equal(auth_check(NULL, here, 4, &id), AUTH_REFUSED);
}

static void test_wrong_credentials(void **state)
{
    char header[128], plain[64];
    struct auth_identity id;

    (void)state;
    snprintf(plain, sizeof plain, "root:%s", secret);
    basic(header, sizeof header, plain);
    assert_int_equal(auth_check(header, there, 4, &id), AUTH_REFUSED);
    assert_int_equal(auth_check("Basic", there, 4, &id), AUTH_REFUSED);
    assert_int_equal(auth_check("Basic !!!", there, 4, &id), AUTH_REFUSED);
    assert_int_equal(auth_check("Digest x", there, 4, &id), AUTH_REFUSED);
    assert_int_equal(auth_check("", there, 4, &id), AUTH_REFUSED);
}

static void test_guessing_is_slowed_down(void **state)
{
    static const uint8_t guesser[4] = {10, 9, 9, 9};
    char header[128];
    struct auth_identity id;
    int refused = 0;

    (void)state;
    while (auth_check("Bearer guess", guesser, 4, &id) == AUTH_REFUSED) {
        assert_true(++refused < 100);
    }
    snprintf(header, sizeof header, "Bearer %s", secret);
    assert_int_equal(auth_check(header, guesser, 4, &id), AUTH_LIMITED); // even the right one waits
    assert_int_equal(auth_check(header, here, 4, &id), AUTH_OK);         // others do not
    plat_host_advance_ms(2100);
    assert_int_equal(auth_check(header, guesser, 4, &id), AUTH_OK);
    plat_host_advance_ms(60000);
    assert_int_equal(auth_check("Bearer guess", guesser, 4, &id), AUTH_REFUSED);
    for (int i = 0; i < 1000; i++) { // more peers than are tracked
        uint8_t peer[4] = {10, 1, (uint8_t)(i >> 8), (uint8_t)i};

        assert_int_equal(auth_check("Bearer guess", peer, 4, &id), AUTH_REFUSED);
    }
}

// --- the end ---

static void test_node_ends(void **state)
{
    static const struct core_node node = {.version = "v", .engine = "sim", .hostname = "h", .cpu_brand = "c"};

    (void)state;
    core_init(&node);
    core_end(CORE_END_REBOOT, "test");
    assert_int_equal(sim_hv_last_system_action(), 0); // not before the answer can leave
    plat_host_advance_ms(1000);
    assert_int_equal(sim_hv_last_system_action(), HV_X_REBOOT);
}

static int setup(void **state)
{
    (void)state;
    plat_host_log_level(LOG_ERROR);
    plat_host_manual_clock();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_image_content),
        cmocka_unit_test(test_image_digest),
        cmocka_unit_test(test_image_refusals),
        cmocka_unit_test(test_image_count_is_bounded),
        cmocka_unit_test(test_operation_life),
        cmocka_unit_test(test_operations_are_bounded),
        cmocka_unit_test(test_operation_retention),
        cmocka_unit_test(test_notify_changes_while_walked),
        cmocka_unit_test(test_events),
        cmocka_unit_test(test_console_history),
        cmocka_unit_test(test_credentials),
        cmocka_unit_test(test_wrong_credentials),
        cmocka_unit_test(test_guessing_is_slowed_down),
        cmocka_unit_test(test_node_ends),
    };

    return cmocka_run_group_tests(tests, setup, NULL);
}
