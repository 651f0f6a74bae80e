// srcs: mgmt/config.c
// SPDX-License-Identifier: Apache-2.0
// Parsing keelson.cfg.
#include "mgmt/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <string.h>

static const uint8_t mac[6] = {0x52, 0x54, 0, 0x12, 0x34, 0x56};
static struct net_config net;
static unsigned complaints, last_line;

static void complain(unsigned line, const char *what)
{
    assert_non_null(what);
    complaints++;
    last_line = line;
}

static void parse(const char *text)
{
    complaints = last_line = 0;
    config_parse(text, mac, &net, complain);
}

static void defaults(void **state)
{
    (void)state;
    parse("");
    assert_true(net.dhcp && net.ipv6);
    assert_string_equal(net.hostname, "keelson-123456");
    assert_string_equal(net.ntp, "");
    assert_int_equal(complaints, 0);
}

static void everything(void **state)
{
    (void)state;
    parse(
        "# a node\n\n  hostname =  node-7 \r\nnetwork=static\naddress = 192.168.1.20\nnetmask = 255.255.255.0\n"
        "gateway = 192.168.1.1\ndns = 9.9.9.9\nntp = pool.example.org\nipv6 = off\nconsole = com2\nlog_level = debug");
    assert_int_equal(complaints, 0);
    assert_string_equal(net.hostname, "node-7");
    assert_false(net.dhcp);
    assert_false(net.ipv6);
    assert_string_equal(net.address, "192.168.1.20");
    assert_string_equal(net.netmask, "255.255.255.0");
    assert_string_equal(net.gateway, "192.168.1.1");
    assert_string_equal(net.dns, "9.9.9.9");
    assert_string_equal(net.ntp, "pool.example.org");
}

static void bad_lines_are_named_and_ignored(void **state)
{
    static const char *const bad[] = {
        "hostname = -x",
        "hostname = a_b",
        "hostname =",
        "network = wifi",
        "address = 1.2.3",
        "address = 1.2.3.256",
        "address = 1.2.3.4.5",
        "address = 1.2.3.4 x",
        "ipv6 = yes",
        "color = blue",
        "just words",
        "ntp = 0123456789012345678901234567890123456789012345678901234567890123456789",
        "a-key-that-is-much-longer-than-any-that-there-is = 1",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        char text[200];

        strcpy(text, "# first\n");
        strcat(text, bad[i]);
        strcat(text, "\nhostname = good\n");
        parse(text);
        assert_int_equal(complaints, 1);
        assert_int_equal(last_line, 2);
        assert_string_equal(net.hostname, "good");
        assert_true(net.dhcp && net.ipv6);
    }
}

static void last_line_wins(void **state)
{
    (void)state;
    parse("hostname = one\nhostname = two\n");
    assert_string_equal(net.hostname, "two");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),
        cmocka_unit_test(everything),
        cmocka_unit_test(bad_lines_are_named_and_ignored),
        cmocka_unit_test(last_line_wins),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
