// srcs: mgmt/core/cloud_seed.c mgmt/core/status.c mgmt/hvif/hvif_status.c mgmt/block/fat_image.c mgmt/hcs/json_read.c tests/unit/fat_read.c
// libs: mbedtls cjson
// SPDX-License-Identifier: Apache-2.0
// NoCloud seeds: what fields may be, and the three files that come of them.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mgmt/core/cloud_seed.h"
#include "mgmt/hcs/json_read.h"
#include "tests/unit/fat_read.h"

#define KEY "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ2x me@here"

static const struct network_adapter nics[] = {
    {.settings = {.mac = {0x02, 0xab, 0x00, 0x10, 0x00, 0xff}}},
    {.settings = {.mac = {0x02, 0, 0, 0, 0, 0x01}}},
};

struct seed {
    char *user_data, *meta_data, *network_config; // NULL: no such file
};

static struct seed make(const struct seed_config *cfg, const char *id, unsigned nic_count)
{
    struct core_error error = {0};
    struct seed s;
    uint8_t *image;
    size_t bytes, length;
    char label[12];

    assert_int_equal(seed_make(cfg, id, nics, nic_count, &image, &bytes, &error), CORE_OK);
    assert_true(bytes <= 65536);
    fat_read_label(image, label);
    assert_string_equal(label, "cidata");
    s.user_data = fat_read(image, bytes, "user-data", &length);
    s.meta_data = fat_read(image, bytes, "meta-data", &length);
    s.network_config = fat_read(image, bytes, "network-config", &length);
    assert_non_null(s.user_data);
    assert_non_null(s.meta_data);
    free(image);
    return s;
}

static void release(struct seed *s)
{
    free(s->user_data);
    free(s->meta_data);
    free(s->network_config);
}

// The text must be JSON, and the value at its pointer (RFC 6901, without escapes) this.
static void expect(const char *text, const char *pointer, const char *value)
{
    struct json_document doc;
    struct json_error error;
    const cJSON *at;
    char part[64];

    assert_true(json_read(text, strlen(text), &doc, &error));
    at = doc.root;
    while (*pointer == '/') {
        size_t n = strcspn(++pointer, "/");

        assert_true(n < sizeof part);
        memcpy(part, pointer, n);
        part[n] = '\0';
        at = cJSON_IsArray(at) ? cJSON_GetArrayItem(at, atoi(part))
                               : cJSON_GetObjectItemCaseSensitive(at, part);
        pointer += n;
    }
    if (value == NULL) {
        assert_null(at);
    } else {
        assert_non_null(at);
        assert_string_equal(cJSON_IsString(at) ? at->valuestring : "no string", value);
    }
    json_document_free(&doc);
}

static const char *cloud_config(const struct seed *s)
{
    static const char first[] = "#cloud-config\n";

    assert_int_equal(strncmp(s->user_data, first, sizeof first - 1), 0);
    return s->user_data + sizeof first - 1;
}

static void test_host_names(void **state)
{
    static const char label63[] = "a23456789012345678901234567890123456789012345678901234567890123";
    char text[300];

    (void)state;
    assert_true(seed_host_name_valid("web"));
    assert_true(seed_host_name_valid("WEB-1.example.org"));
    assert_true(seed_host_name_valid("4"));
    assert_true(seed_host_name_valid(label63));
    assert_false(seed_host_name_valid(""));
    assert_false(seed_host_name_valid("."));
    assert_false(seed_host_name_valid(".a"));
    assert_false(seed_host_name_valid("a."));
    assert_false(seed_host_name_valid("a..b"));
    assert_false(seed_host_name_valid("-a"));
    assert_false(seed_host_name_valid("a-"));
    assert_false(seed_host_name_valid("a-.b"));
    assert_false(seed_host_name_valid("a_b"));
    assert_false(seed_host_name_valid("a\nb"));
    assert_false(seed_host_name_valid("\xc3\xa4"));
    (void)snprintf(text, sizeof text, "%s4", label63);
    assert_false(seed_host_name_valid(text));
    (void)snprintf(text, sizeof text, "%s.%s.%s.%.61s", label63, label63, label63, label63);
    assert_int_equal(strlen(text), 253);
    assert_true(seed_host_name_valid(text));
    (void)snprintf(text, sizeof text, "%s.%s.%s.%.62s", label63, label63, label63, label63);
    assert_false(seed_host_name_valid(text));
}

static void test_users_and_keys(void **state)
{
    (void)state;
    assert_true(seed_user_valid("debian"));
    assert_true(seed_user_valid("_x-1"));
    assert_true(seed_user_valid("a2345678901234567890123456789012"));
    assert_false(seed_user_valid("a23456789012345678901234567890123"));
    assert_false(seed_user_valid(""));
    assert_false(seed_user_valid("1a"));
    assert_false(seed_user_valid("Root"));
    assert_false(seed_user_valid("a:b"));
    assert_false(seed_user_valid("a\""));
    assert_true(seed_key_valid(KEY));
    assert_true(seed_key_valid("from=\"192.0.2.1\" ssh-rsa AAAA"));
    assert_false(seed_key_valid(""));
    assert_false(seed_key_valid("ssh-rsa"));
    assert_false(seed_key_valid("ssh-rsa  "));
    assert_false(seed_key_valid(" ssh-rsa AAAA"));
    assert_false(seed_key_valid(KEY "\n" KEY));
    assert_false(seed_key_valid(KEY "\n"));
    assert_false(seed_key_valid(KEY "\t"));
    assert_false(seed_key_valid(KEY "\x7f"));
    assert_false(seed_key_valid(KEY "\xc3\xa4"));
}

static void test_addresses(void **state)
{
    static const char *const bad[] = {"",
                                      "10.0.0.2",
                                      "10.0.0/24",
                                      "10.0.0.2/",
                                      "10.0.0.2/33",
                                      "10.0.0.2/0",
                                      "10.0.0.2/024",
                                      "256.0.0.1/8",
                                      "10.0.0.02/24",
                                      "10.0.0.2/24 ",
                                      " 10.0.0.2/8",
                                      "10.0.0.2.3/8",
                                      "0.1.2.3/8",
                                      "127.0.0.1/8",
                                      "224.0.0.1/4",
                                      "10.0.0.0/24",
                                      "10.0.0.255/24",
                                      "10.0.0.2/-1",
                                      "10.0.0.1000/24",
                                      "fe80::1/64"};
    uint32_t address;
    unsigned prefix;

    (void)state;
    assert_true(seed_address_read("192.0.2.7/24", &address, &prefix));
    assert_int_equal(address, 0xc0000207);
    assert_int_equal(prefix, 24);
    assert_true(seed_address_read("192.0.2.0/31", &address, &prefix));
    assert_true(seed_address_read("192.0.2.255/32", &address, &prefix));
    assert_true(seed_address_read("10.0.0.255/8", &address, &prefix));
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_false(seed_address_read(bad[i], &address, &prefix));
    }
    assert_true(seed_ipv4_read("1.1.1.1", &address));
    assert_false(seed_ipv4_read("1.1.1.1/8", &address));
    assert_false(seed_ipv4_read("1.1.1", &address));
    assert_false(seed_ipv4_read("0.0.0.0", &address));
    assert_true(seed_gateway_fits("192.0.2.7/24", "192.0.2.1"));
    assert_false(seed_gateway_fits("192.0.2.7/24", "192.0.2.7"));
    assert_false(seed_gateway_fits("192.0.2.7/24", "192.0.3.1"));
    assert_false(seed_gateway_fits("192.0.2.7/24", "x"));
    assert_false(seed_gateway_fits("192.0.2.7/32", "192.0.2.1"));
}

static void test_files(void **state)
{
    const struct seed_config cfg = {
        .host_name = "web.example.org",
        .user = "admin",
        .key = {KEY, "command=\"a \\\\ b\" ssh-rsa AAAA"},
        .key_count = 2,
        .network = true,
        .adapter = {{.address = "192.0.2.7/24",
                     .gateway = "192.0.2.1",
                     .name_server = {"192.0.2.1", "192.0.2.2"},
                     .name_server_count = 2}},
    };
    struct seed s = make(&cfg, "web", 2);

    (void)state;
    expect(cloud_config(&s), "/user", "admin");
    expect(cloud_config(&s), "/users/0", "default");
    expect(cloud_config(&s), "/ssh_authorized_keys/0", KEY);
    expect(cloud_config(&s), "/ssh_authorized_keys/1", cfg.key[1]);
    expect(cloud_config(&s), "/ssh_authorized_keys/2", NULL);
    expect(s.meta_data, "/local-hostname", "web.example.org");
    assert_int_equal(strncmp(strstr(s.meta_data, "keelson-"), "keelson-", 8), 0);
    assert_non_null(strstr(s.network_config, "\"version\": 1"));
    expect(s.network_config, "/config/0/name", "eth0");
    expect(s.network_config, "/config/0/mac_address", "02:ab:00:10:00:ff");
    expect(s.network_config, "/config/0/subnets/0/type", "static");
    expect(s.network_config, "/config/0/subnets/0/address", "192.0.2.7/24");
    expect(s.network_config, "/config/0/subnets/0/gateway", "192.0.2.1");
    expect(s.network_config, "/config/0/subnets/0/dns_nameservers/1", "192.0.2.2");
    expect(s.network_config, "/config/1/name", "eth1");
    expect(s.network_config, "/config/1/mac_address", "02:00:00:00:00:01");
    expect(s.network_config, "/config/1/subnets/0/type", "dhcp4");
    expect(s.network_config, "/config/1/subnets/0/gateway", NULL);
    expect(s.network_config, "/config/2", NULL);
    release(&s);
}

static void test_little_is_given(void **state)
{
    const struct seed_config cfg = {.host_name = NULL};
    struct seed s = make(&cfg, "web", 1);

    (void)state;
    expect(cloud_config(&s), "/user", NULL);
    expect(cloud_config(&s), "/ssh_authorized_keys", NULL);
    expect(s.meta_data, "/local-hostname", NULL);
    assert_null(s.network_config);
    release(&s);
}

static void test_files_as_they_are(void **state)
{
    const struct seed_config cfg = {.user_data = "#!/bin/sh\necho \"\xc3\xa4\"\n",
                                    .meta_data = "instance-id: x\n",
                                    .network_config = "version: 2\n"};
    struct seed s = make(&cfg, "web", 1);

    (void)state;
    assert_string_equal(s.user_data, cfg.user_data);
    assert_string_equal(s.meta_data, cfg.meta_data);
    assert_string_equal(s.network_config, cfg.network_config);
    release(&s);
}

// The instance is another one when, and only when, something that the guest is told is another.
static void test_instances(void **state)
{
    struct seed_config cfg = {.host_name = "a", .user = "b", .network = true};
    struct seed first = make(&cfg, "web", 1), s = make(&cfg, "web", 1);

    (void)state;
    assert_string_equal(first.meta_data, s.meta_data);
    release(&s);
    s = make(&cfg, "db", 1);
    assert_string_not_equal(first.meta_data, s.meta_data);
    release(&s);
    s = make(&cfg, "web", 2); // another adapter
    assert_string_not_equal(first.meta_data, s.meta_data);
    release(&s);
    cfg.user = "c";
    s = make(&cfg, "web", 1);
    assert_string_not_equal(first.meta_data, s.meta_data);
    release(&s);
    release(&first);
}

static void test_too_long(void **state)
{
    static char key[8192], file[SEED_FILE_MAX + 2];
    struct seed_config cfg = {.key = {key, key}, .key_count = 1};
    struct core_error error = {0};
    struct seed s;
    uint8_t *image;
    size_t bytes;

    (void)state;
    memset(key, 'k', sizeof key - 1);
    s = make(&cfg, "web", 1);
    release(&s);
    cfg.key_count = 2;
    assert_int_equal(seed_make(&cfg, "web", nics, 1, &image, &bytes, &error), CORE_INVALID);
    assert_non_null(strstr(error.text, "user-data"));
    memset(file, 'f', SEED_FILE_MAX);
    cfg = (struct seed_config){.user_data = file, .meta_data = file, .network_config = file};
    s = make(&cfg, "web", 1);
    assert_string_equal(s.network_config, file);
    release(&s);
    file[SEED_FILE_MAX] = 'f';
    cfg = (struct seed_config){.network_config = file};
    assert_int_equal(seed_make(&cfg, "web", nics, 1, &image, &bytes, &error), CORE_INVALID);
    assert_non_null(strstr(error.text, "network-config"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_host_names),      cmocka_unit_test(test_users_and_keys),
        cmocka_unit_test(test_addresses),       cmocka_unit_test(test_files),
        cmocka_unit_test(test_little_is_given), cmocka_unit_test(test_files_as_they_are),
        cmocka_unit_test(test_instances),       cmocka_unit_test(test_too_long),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
