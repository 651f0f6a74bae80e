// srcs: boot/config_text.c boot/mem.c mgmt/config.c
// SPDX-License-Identifier: Apache-2.0
// Fuzz target: any bytes as keelson.cfg, tidied by the loader, read by it and by the management partition.
#include "boot/config.h"
#include "mgmt/config.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned lines, last_line;

static void must(bool condition)
{
    if (!condition) {
        abort();
    }
}

static void complain(unsigned line, const char *what)
{
    must(line > last_line && line <= lines && what != NULL && what[0] != '\0');
    last_line = line;
}

static bool is_address(const char *text)
{
    return text[0] == '\0' || (strlen(text) >= 7 && strspn(text, "0123456789.") == strlen(text));
}

static void check_loader(const char *config)
{
    static const char *const keys[] = {"console", "log_level", "", "="};
    char value[CONFIG_VALUE_MAX];

    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        if (config_value(config, keys[i], value)) {
            must(strlen(value) < sizeof value && strchr(value, '\n') == NULL);
            must(config_log_level(value) >= -1 && config_log_level(value) <= 4);
        }
    }
}

static void check_management(const char *config)
{
    static const uint8_t mac[6] = {2, 0, 0, 1, 2, 3};
    struct net_config net;

    lines = 1;
    last_line = 0;
    for (const char *c = config; *c != '\0'; c++) {
        lines += *c == '\n';
    }
    config_parse(config, mac, &net, complain);
    must(net.hostname[0] != '\0' && strlen(net.hostname) <= NET_HOSTNAME_MAX);
    must(is_address(net.address) && is_address(net.netmask) && is_address(net.gateway) &&
         is_address(net.dns));
}

// The first byte says whether the file was longer than what was read of it.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *config = malloc(BOOT_CONFIG_MAX);
    uint32_t length;

    if (config == NULL || size == 0) {
        free(config);
        return 0;
    }
    length = (uint32_t)MIN(size - 1, (size_t)BOOT_CONFIG_MAX);
    memcpy(config, data + 1, length);
    length = config_tidy(config, length, data[0] & 1);
    must(length < BOOT_CONFIG_MAX && config[length] == '\0' && strlen(config) == length);
    check_loader(config);
    check_management(config);
    free(config);
    return 0;
}
