// SPDX-License-Identifier: Apache-2.0
// Parser of keelson.cfg.
#include "mgmt/config.h"

#include <stdio.h>
#include <string.h>

#define KEY_MAX 32
#define VALUE_MAX 128

typedef const char *set_fn(struct net_config *net, const char *value); // NULL, or what is wrong

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static bool is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

// --- values ---

// The caller has found that the value fits.
static void copy_value(char *out, const char *value)
{
    memcpy(out, value, strlen(value) + 1);
}

// One DNS label, RFC 1123 "Host Names and Numbers".
static const char *set_hostname(struct net_config *net, const char *value)
{
    size_t len = strlen(value);

    if (len == 0 || len > NET_HOSTNAME_MAX || value[0] == '-' || value[len - 1] == '-') {
        return "not a host name";
    }
    for (size_t i = 0; i < len; i++) {
        if (!is_alnum(value[i]) && value[i] != '-') {
            return "not a host name";
        }
    }
    copy_value(net->hostname, value);
    return NULL;
}

static const char *set_network(struct net_config *net, const char *value)
{
    if (strcmp(value, "dhcp") != 0 && strcmp(value, "static") != 0) {
        return "neither dhcp nor static";
    }
    net->dhcp = value[0] == 'd';
    return NULL;
}

// Behind a decimal number from 0 to 255 of at most three digits; NULL if there is none.
static const char *skip_octet(const char *text)
{
    unsigned number = 0, digits = 0;

    while (digits < 3 && text[digits] >= '0' && text[digits] <= '9') {
        number = number * 10 + (unsigned)(text[digits++] - '0');
    }
    return digits == 0 || number > 255 ? NULL : text + digits;
}

static const char *copy_address(char out[16], const char *value)
{
    const char *at = value;

    for (size_t i = 0; i < 4; i++) {
        if (i > 0 && *at++ != '.') {
            return "not an IPv4 address";
        }
        at = skip_octet(at);
        if (at == NULL) {
            return "not an IPv4 address";
        }
    }
    if (*at != '\0') {
        return "not an IPv4 address";
    }
    copy_value(out, value);
    return NULL;
}

static const char *set_address(struct net_config *net, const char *value)
{
    return copy_address(net->address, value);
}

static const char *set_netmask(struct net_config *net, const char *value)
{
    return copy_address(net->netmask, value);
}

static const char *set_gateway(struct net_config *net, const char *value)
{
    return copy_address(net->gateway, value);
}

static const char *set_dns(struct net_config *net, const char *value)
{
    return copy_address(net->dns, value);
}

static const char *set_ntp(struct net_config *net, const char *value)
{
    if (strlen(value) >= sizeof(net->ntp)) {
        return "name too long";
    }
    copy_value(net->ntp, value);
    return NULL;
}

static const char *set_ipv6(struct net_config *net, const char *value)
{
    if (strcmp(value, "on") != 0 && strcmp(value, "off") != 0) {
        return "neither on nor off";
    }
    net->ipv6 = value[1] == 'n';
    return NULL;
}

static const char *ignore(struct net_config *net, const char *value) // the loader's business
{
    (void)net;
    (void)value;
    return NULL;
}

static const struct {
    const char *key;
    set_fn *set;
} keys[] = {
    {"hostname", set_hostname},
    {"network", set_network},
    {"address", set_address},
    {"netmask", set_netmask},
    {"gateway", set_gateway},
    {"dns", set_dns},
    {"ntp", set_ntp},
    {"ipv6", set_ipv6},
    {"console", ignore},
    {"log_level", ignore},
    {"apic_virtualization", ignore},
};

// --- lines ---

// Copies [from, end) without surrounding blanks; false when it does not fit.
static bool copy_trimmed(char *out, size_t cap, const char *from, const char *end)
{
    while (from < end && is_blank(*from)) {
        from++;
    }
    while (end > from && is_blank(end[-1])) {
        end--;
    }
    if ((size_t)(end - from) >= cap) {
        return false;
    }
    memcpy(out, from, (size_t)(end - from));
    out[end - from] = '\0';
    return true;
}

static const char *parse_line(const char *line, const char *end, struct net_config *net)
{
    const char *equals = memchr(line, '=', (size_t)(end - line));
    char key[KEY_MAX], value[VALUE_MAX];

    while (line < end && is_blank(*line)) {
        line++;
    }
    if (line == end || *line == '#') {
        return NULL;
    }
    if (equals == NULL || !copy_trimmed(key, sizeof(key), line, equals) ||
        !copy_trimmed(value, sizeof(value), equals + 1, end)) {
        return "not of the form key = value";
    }
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        if (strcmp(key, keys[i].key) == 0) {
            return keys[i].set(net, value);
        }
    }
    return "unknown key";
}

static void set_defaults(const uint8_t mac[6], struct net_config *net)
{
    *net = (struct net_config){.dhcp = true, .ipv6 = true};
    snprintf(net->hostname, sizeof(net->hostname), "keelson-%02x%02x%02x", mac[3], mac[4], mac[5]);
}

void config_parse(const char *text, const uint8_t mac[6], struct net_config *net,
                  void (*complain)(unsigned line, const char *what))
{
    unsigned number = 0;

    set_defaults(mac, net);
    while (*text != '\0') {
        const char *end = strchr(text, '\n');
        const char *what;

        end = end == NULL ? text + strlen(text) : end;
        number++;
        what = parse_line(text, end, net);
        if (what != NULL && complain != NULL) {
            complain(number, what);
        }
        text = *end == '\n' ? end + 1 : end;
    }
}
