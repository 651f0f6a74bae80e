// srcs: mgmt/core/network.c mgmt/core/keeper.c mgmt/core/status.c mgmt/hvif/hvif_status.c mgmt/vswitch/vswitch.c mgmt/vswitch/mac_table.c mgmt/vswitch/offload.c mgmt/vswitch/dhcp.c tests/sim/plat_host.c
// SPDX-License-Identifier: Apache-2.0
// Switches and endpoints: names, limits, and how they are kept.
#include "mgmt/core/network.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mgmt/core/system.h"
#include "tests/sim/plat_host.h"

#define ID "12345678-9abc-4def-8101-0203040506%02x"

struct system *system_next(const struct system *previous) // nobody has an adapter here
{
    (void)previous;
    return NULL;
}

// --- a keeper that answers when it is told to ---

static struct {
    char name[128];
    uint8_t body[2048];
    size_t length;
} settings[64];
static size_t setting_count;
static struct {
    char name[128];
    uint8_t body[2048];
    size_t length;
    bool delete;
    keeper_done done;
    void *arg;
} asked;

static size_t where(const char *name)
{
    size_t i = 0;

    while (i < setting_count && strcmp(settings[i].name, name) != 0) {
        i++;
    }
    return i;
}

static void ask(const char *name, const void *body, size_t length, bool delete, keeper_done done, void *arg)
{
    assert_null(asked.done);
    snprintf(asked.name, sizeof asked.name, "%s", name);
    if (length > 0) {
        memcpy(asked.body, body, length);
    }
    asked.length = length;
    asked.delete = delete;
    asked.done = done;
    asked.arg = arg;
}

static void save(const char *name, const void *body, size_t length, keeper_done done, void *arg)
{
    ask(name, body, length, false, done, arg);
}

static void delete (const char *name, keeper_done done, void *arg)
{
    ask(name, NULL, 0, true, done, arg);
}

static void answer(const struct core_error *error)
{
    keeper_done done = asked.done;
    size_t i = where(asked.name);

    assert_non_null(done);
    asked.done = NULL;
    if (error == NULL && asked.delete) {
        settings[i] = settings[--setting_count];
    } else if (error == NULL) {
        setting_count += i == setting_count;
        snprintf(settings[i].name, sizeof settings[i].name, "%s", asked.name);
        memcpy(settings[i].body, asked.body, asked.length);
        settings[i].length = asked.length;
    }
    done(asked.arg, error);
}

static size_t get(const char *name, void *body, size_t room)
{
    size_t i = where(name);

    if (i == setting_count || settings[i].length > room) {
        return 0;
    }
    memcpy(body, settings[i].body, settings[i].length);
    return settings[i].length;
}

static const char *next(const char *name)
{
    const char *best = NULL;

    for (size_t i = 0; i < setting_count; i++) {
        if (strcmp(settings[i].name, name) > 0 && (best == NULL || strcmp(settings[i].name, best) < 0)) {
            best = settings[i].name;
        }
    }
    return best;
}

static const struct keeper fake = {
    .save_setting = save, .delete_setting = delete, .get_setting = get, .next_setting = next};
static const struct core_error full = {.status = CORE_NO_STORAGE, .text = "full"};

static struct core_error error;
static unsigned done_count;
static bool failed;

static void done(void *arg, const struct core_error *e)
{
    (void)arg;
    done_count++;
    failed = e != NULL;
}

static void add_switch(const char *name)
{
    assert_int_equal(network_add_switch(name, done, NULL, &error), CORE_OK);
    if (keeper() != NULL) {
        assert_null(network_find_switch(name)); // not before it is kept
        assert_int_equal(network_add_switch(name, done, NULL, &error), CORE_EXISTS);
        answer(NULL);
    }
    assert_non_null(network_find_switch(name));
}

static struct switch_port_settings some_settings(void)
{
    struct switch_port_settings s = {
        .guarded = true, .trunk = true, .vlan = 9, .rate = 125000, .mac = {2, 0, 0, 0, 0, 5}};

    switch_vlan_allow(&s, 4094);
    switch_vlan_allow(&s, 1);
    return s;
}

static int setup(void **state)
{
    static const uint8_t mac[6] = {2, 0, 0, 0, 0, 0x99};

    (void)state;
    network_init(mac);
    network_init(mac); // once
    keeper_set(NULL);
    setting_count = 0;
    memset(&asked, 0, sizeof asked);
    return 0;
}

// What is left goes, as far as it can.
static int teardown(void **state)
{
    (void)state;
    keeper_set(NULL);
    for (struct network_endpoint *e; (e = network_next_endpoint(NULL)) != NULL;) {
        assert_int_equal(network_delete_endpoint(e->id, done, NULL, &error), CORE_OK);
    }
    for (struct network_switch *s; (s = network_next_switch(network_find_switch(NETWORK_DEFAULT))) != NULL;) {
        assert_int_equal(network_delete_switch(s->name, done, NULL, &error), CORE_OK);
    }
    return 0;
}

static void names_are_checked(void **state)
{
    static const char *const bad[] = {"",
                                      ".a",
                                      "a b",
                                      "a/b",
                                      "\xc3\xa4",
                                      "default",
                                      "0123456789012345678901234567890123456789012345678901234567890123"};
    static const char *const bad_ids[] = {"",
                                          "x",
                                          "12345678-9abc-4def-8101-02030405060",
                                          "12345678-9abc-4def-8101-02030405060ab",
                                          "12345678+9abc-4def-8101-02030405060a",
                                          "g2345678-9abc-4def-8101-02030405060a"};
    struct switch_port_settings s = some_settings();
    uint8_t mac[6];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_int_not_equal(network_add_switch(bad[i], done, NULL, &error), CORE_OK);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad_ids); i++) {
        assert_int_equal(network_add_endpoint(bad_ids[i], NETWORK_DEFAULT, &s, done, NULL, &error),
                         CORE_INVALID);
    }
    assert_int_equal(
        network_add_endpoint("12345678-9abc-4def-8101-02030405060a", "none", &s, done, NULL, &error),
        CORE_NOT_FOUND);
    s.mac[5] = 0x99; // the node's
    assert_int_equal(
        network_add_endpoint("12345678-9abc-4def-8101-02030405060a", NETWORK_DEFAULT, &s, done, NULL, &error),
        CORE_INVALID);
    assert_true(network_read_mac("02-aB:", mac) == false && network_read_mac("02:aB:00:10:00:fF", mac));
    assert_memory_equal(mac, "\x02\xab\x00\x10\x00\xff", 6);
    assert_int_equal(network_delete_switch(NETWORK_DEFAULT, done, NULL, &error), CORE_INVALID_STATE);
    assert_int_equal(network_delete_switch("none", done, NULL, &error), CORE_NOT_FOUND);
    assert_int_equal(network_delete_endpoint("none", done, NULL, &error), CORE_NOT_FOUND);
}

static void without_a_keeper(void **state)
{
    struct switch_port_settings s = some_settings();

    (void)state;
    add_switch("lab");
    assert_int_equal(
        network_add_endpoint("12345678-9ABC-4def-8101-02030405060a", "lab", &s, done, NULL, &error), CORE_OK);
    assert_int_equal(
        network_add_endpoint("12345678-9abc-4def-8101-02030405060A", "lab", &s, done, NULL, &error),
        CORE_EXISTS);
    assert_string_equal(network_next_endpoint(NULL)->id, "12345678-9abc-4def-8101-02030405060a");
    assert_int_equal(network_delete_switch("lab", done, NULL, &error), CORE_IN_USE);
}

static void what_is_not_kept_is_not_there(void **state)
{
    (void)state;
    keeper_set(&fake);
    assert_int_equal(network_add_switch("lab", done, NULL, &error), CORE_OK);
    answer(&full);
    assert_true(failed);
    assert_null(network_find_switch("lab"));
    add_switch("lab");
    assert_int_equal(network_delete_switch("lab", done, NULL, &error), CORE_OK);
    assert_null(network_find_switch("lab")); // on its way out
    answer(&full);
    assert_non_null(network_find_switch("lab")); // and back
    assert_int_equal(network_delete_switch("lab", done, NULL, &error), CORE_OK);
    answer(NULL);
    assert_int_equal(setting_count, 0);
}

static void lives_through_a_restart(void **state)
{
    struct switch_port_settings s = some_settings();
    const struct network_endpoint *e;
    char id[40];

    (void)state;
    keeper_set(&fake);
    add_switch("lab");
    add_switch("other");
    for (int i = 0; i < 3; i++) {
        snprintf(id, sizeof id, ID, i);
        assert_int_equal(network_add_endpoint(id, i == 2 ? "default" : "lab", &s, done, NULL, &error),
                         CORE_OK);
        answer(NULL);
    }
    teardown(NULL);
    assert_null(network_next_endpoint(NULL));
    keeper_set(&fake);
    network_load();
    assert_non_null(network_find_switch("other"));
    assert_int_equal(network_find_switch("lab")->endpoints, 2);
    e = network_find_endpoint("12345678-9abc-4def-8101-020304050601");
    assert_string_equal(e->home->name, "lab");
    assert_memory_equal(&e->settings, &s, sizeof s);
}

static void damaged_records_are_left_out(void **state)
{
    struct switch_port_settings s = some_settings();

    (void)state;
    keeper_set(&fake);
    add_switch("lab");
    assert_int_equal(
        network_add_endpoint("12345678-9abc-4def-8101-02030405060a", "lab", &s, done, NULL, &error), CORE_OK);
    answer(NULL);
    teardown(NULL);
    keeper_set(&fake);
    plat_host_log_level(LOG_ERROR);
    settings[1].body[0] = 77; // a version to come
    network_load();
    assert_non_null(network_find_switch("lab"));
    assert_null(network_next_endpoint(NULL));
    teardown(NULL);
    keeper_set(&fake);
    settings[1].body[0] = 1;
    settings[0].length = 1;
    network_load();
    assert_null(network_find_switch("lab"));
    assert_null(network_next_endpoint(NULL)); // its switch is not there
}

static void there_are_limits(void **state)
{
    struct switch_port_settings s = some_settings();
    char text[40];

    (void)state;
    for (unsigned i = 1; i < NETWORK_SWITCHES_MAX; i++) {
        snprintf(text, sizeof text, "s%u", i);
        add_switch(text);
    }
    assert_int_equal(network_add_switch("more", done, NULL, &error), CORE_LIMIT);
    for (unsigned i = 0; i < NETWORK_ENDPOINTS_MAX; i++) {
        snprintf(text, sizeof text, "12345678-9abc-4def-8101-%012x", i);
        assert_int_equal(network_add_endpoint(text, "s1", &s, done, NULL, &error), CORE_OK);
    }
    assert_int_equal(
        network_add_endpoint("02345678-9abc-4def-8101-02030405060a", "s1", &s, done, NULL, &error),
        CORE_LIMIT);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(names_are_checked),
        TEST(without_a_keeper),
        TEST(what_is_not_kept_is_not_there),
        TEST(lives_through_a_restart),
        TEST(damaged_records_are_left_out),
        TEST(there_are_limits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
