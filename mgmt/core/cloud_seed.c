// SPDX-License-Identifier: Apache-2.0
// The files of a NoCloud seed, and what may stand in them.
#include "mgmt/core/cloud_seed.h"

#include <mbedtls/sha256.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mgmt/block/fat_image.h"

#define HOST_NAME_MAX_BYTES 253u // RFC 1123 section 2.1, RFC 1035 section 2.3.4
#define LABEL_MAX_BYTES 63u
#define USER_MAX_BYTES 32u
#define ID_BYTES 16u // of the digest that the instance-id shows

// --- what fields may be ---

static bool is_lower(char c)
{
    return c >= 'a' && c <= 'z';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_alphanumeric(char c)
{
    return is_lower(c) || is_digit(c) || (c >= 'A' && c <= 'Z');
}

bool seed_host_name_valid(const char *name)
{
    size_t length = strlen(name), label = 0;

    if (length == 0 || length > HOST_NAME_MAX_BYTES) {
        return false;
    }
    for (size_t i = 0; i <= length; i++) {
        if (name[i] == '.' || name[i] == '\0') {
            if (label == 0 || label > LABEL_MAX_BYTES || name[i - 1] == '-') {
                return false;
            }
            label = 0;
        } else if (is_alphanumeric(name[i]) || (name[i] == '-' && label > 0)) {
            label++;
        } else {
            return false;
        }
    }
    return true;
}

bool seed_user_valid(const char *name)
{
    size_t length = strlen(name);

    if (length == 0 || length > USER_MAX_BYTES || !(is_lower(name[0]) || name[0] == '_')) {
        return false;
    }
    for (size_t i = 1; i < length; i++) {
        if (!is_lower(name[i]) && !is_digit(name[i]) && name[i] != '_' && name[i] != '-') {
            return false;
        }
    }
    return true;
}

bool seed_key_valid(const char *key)
{
    const char *blank = strchr(key, ' ');

    if (key[0] == ' ' || blank == NULL || blank[strspn(blank, " ")] == '\0') {
        return false;
    }
    for (const char *c = key; *c != '\0'; c++) {
        if (*c < 0x20 || *c > 0x7e) {
            return false;
        }
    }
    return true;
}

// Reads a decimal number up to `limit`, of one to three digits and without a leading zero.
static bool read_number(const char **at, unsigned limit, unsigned *out)
{
    size_t digits = strspn(*at, "0123456789");

    *out = 0;
    if (digits == 0 || digits > 3 || (digits > 1 && **at == '0')) {
        return false;
    }
    for (; digits > 0; digits--) {
        *out = *out * 10 + (unsigned)(*(*at)++ - '0');
    }
    return *out <= limit;
}

static bool read_ipv4(const char **at, uint32_t *address)
{
    unsigned byte;

    *address = 0;
    for (unsigned i = 0; i < 4; i++) {
        if ((i > 0 && *(*at)++ != '.') || !read_number(at, 255, &byte)) {
            return false;
        }
        *address = *address << 8 | byte;
    }
    return true;
}

// Neither "this network", loopback, multicast nor beyond (RFC 6890).
static bool is_host(uint32_t address)
{
    unsigned first = address >> 24;

    return first != 0 && first != 127 && first < 224;
}

bool seed_ipv4_read(const char *text, uint32_t *address)
{
    return read_ipv4(&text, address) && *text == '\0' && is_host(*address);
}

static uint32_t mask_of(unsigned prefix)
{
    return prefix == 0 ? 0 : UINT32_MAX << (32 - prefix);
}

bool seed_address_read(const char *text, uint32_t *address, unsigned *prefix)
{
    uint32_t host;

    if (!read_ipv4(&text, address) || *text++ != '/' || !read_number(&text, 32, prefix) || *text != '\0' ||
        *prefix == 0 || !is_host(*address)) {
        return false;
    }
    host = *address & ~mask_of(*prefix);
    return *prefix > 30 || (host != 0 && host != ~mask_of(*prefix)); // RFC 3021: two addresses, two hosts
}

bool seed_gateway_fits(const char *address, const char *gateway)
{
    uint32_t own, other;
    unsigned prefix;

    return seed_address_read(address, &own, &prefix) && seed_ipv4_read(gateway, &other) && own != other &&
           ((own ^ other) & mask_of(prefix)) == 0;
}

// --- texts ---

struct text {
    char at[SEED_FILE_MAX + 1];
    size_t length;
    bool full;
};

struct files {
    struct text user_data, meta_data, network_config;
};

static void put(struct text *t, const char *text)
{
    size_t n = strlen(text);

    if (n > SEED_FILE_MAX - t->length) {
        t->full = true;
        return;
    }
    memcpy(t->at + t->length, text, n + 1);
    t->length += n;
}

// As a JSON string (RFC 8259 section 7). Checked fields are printable ASCII.
static void put_quoted(struct text *t, const char *text)
{
    char c[3] = "";

    put(t, "\"");
    for (; *text != '\0'; text++) {
        bool escaped = *text == '"' || *text == '\\';

        c[0] = escaped ? '\\' : *text;
        c[1] = escaped ? *text : '\0';
        put(t, c);
    }
    put(t, "\"");
}

static void put_list(struct text *t, const char *const *items, unsigned count)
{
    put(t, "[");
    for (unsigned i = 0; i < count; i++) {
        put(t, i > 0 ? ", " : "");
        put_quoted(t, items[i]);
    }
    put(t, "]");
}

// The image's own default user keeps its rights and gets the name.
static void write_user_data(struct text *t, const struct seed_config *cfg)
{
    put(t, "#cloud-config\n{");
    if (cfg->user != NULL) {
        put(t, "\"user\": ");
        put_quoted(t, cfg->user);
        put(t, ", \"users\": [\"default\"], ");
    }
    if (cfg->key_count > 0) {
        put(t, "\"ssh_authorized_keys\": ");
        put_list(t, cfg->key, cfg->key_count);
        put(t, ", ");
    }
    put(t, "\"manage_etc_hosts\": \"localhost\"}\n"); // the host's own name can be resolved
}

static void put_subnet(struct text *t, const struct seed_adapter *a)
{
    if (a->address == NULL) {
        put(t, "{\"type\": \"dhcp4\"");
    } else {
        put(t, "{\"type\": \"static\", \"address\": ");
        put_quoted(t, a->address);
    }
    if (a->gateway != NULL) {
        put(t, ", \"gateway\": ");
        put_quoted(t, a->gateway);
    }
    if (a->name_server_count > 0) {
        put(t, ", \"dns_nameservers\": ");
        put_list(t, a->name_server, a->name_server_count);
    }
    put(t, "}");
}

// Adapters are known by their MAC addresses and get the names eth0, eth1, ...
static void write_network_config(struct text *t, const struct seed_config *cfg,
                                 const struct network_adapter *nic, unsigned nic_count)
{
    char text[96];

    put(t, "{\"version\": 1, \"config\": [");
    for (unsigned i = 0; i < nic_count; i++) {
        const uint8_t *m = nic[i].settings.mac;

        snprintf(text, sizeof text,
                 "%s{\"type\": \"physical\", \"name\": \"eth%u\", \"mac_address\": ", i > 0 ? ", " : "", i);
        put(t, text);
        snprintf(text, sizeof text, "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5]);
        put_quoted(t, text);
        put(t, ", \"subnets\": [");
        put_subnet(t, &cfg->adapter[i]);
        put(t, "]}");
    }
    put(t, "]}\n");
}

// The ends of the strings keep their boundaries apart.
static void digest(const struct files *f, const char *id, const char *host_name, uint8_t out[32])
{
    const char *const parts[] = {id, host_name, f->user_data.at, f->network_config.at};
    mbedtls_sha256_context sha;

    mbedtls_sha256_init(&sha);
    mbedtls_sha256_starts_ret(&sha, 0);
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        mbedtls_sha256_update_ret(&sha, (const uint8_t *)parts[i], strlen(parts[i]) + 1);
    }
    mbedtls_sha256_finish_ret(&sha, out);
    mbedtls_sha256_free(&sha);
}

static void write_meta_data(struct text *t, const struct seed_config *cfg, const uint8_t *sha)
{
    char hex[3];

    put(t, "{\"instance-id\": \"keelson-");
    for (unsigned i = 0; i < ID_BYTES; i++) {
        snprintf(hex, sizeof hex, "%02x", sha[i]);
        put(t, hex);
    }
    put(t, "\"");
    if (cfg->host_name != NULL) {
        put(t, ", \"local-hostname\": ");
        put_quoted(t, cfg->host_name);
    }
    put(t, "}\n");
}

// Writes the texts; returns the serial number of the file system.
static uint32_t write_files(struct files *f, const struct seed_config *cfg, const char *id,
                            const struct network_adapter *nic, unsigned nic_count)
{
    uint8_t sha[32];
    uint32_t serial;

    if (cfg->user_data != NULL) {
        put(&f->user_data, cfg->user_data);
    } else {
        write_user_data(&f->user_data, cfg);
    }
    if (cfg->network_config != NULL) {
        put(&f->network_config, cfg->network_config);
    } else if (cfg->network) {
        write_network_config(&f->network_config, cfg, nic, nic_count);
    }
    digest(f, id, cfg->host_name != NULL ? cfg->host_name : "", sha);
    if (cfg->meta_data != NULL) {
        put(&f->meta_data, cfg->meta_data);
    } else {
        write_meta_data(&f->meta_data, cfg, sha);
    }
    memcpy(&serial, sha, sizeof serial);
    return serial;
}

static const char *full_file(const struct files *f)
{
    return f->user_data.full        ? "user-data"
           : f->meta_data.full      ? "meta-data"
           : f->network_config.full ? "network-config"
                                    : NULL;
}

static enum core_status make_image(const struct files *f, uint32_t serial, uint8_t **image, size_t *bytes,
                                   struct core_error *error)
{
    const struct fat_file list[] = {
        {"user-data", f->user_data.at, (uint32_t)f->user_data.length},
        {"meta-data", f->meta_data.at, (uint32_t)f->meta_data.length},
        {"network-config", f->network_config.at, (uint32_t)f->network_config.length},
    };
    unsigned count = f->network_config.length > 0 ? 3 : 2; // cloud-init configures by itself without the file

    if (full_file(f) != NULL) {
        return core_fail(error, CORE_INVALID, "file %s of the system's seed is longer than %u bytes",
                         full_file(f), SEED_FILE_MAX);
    }
    *bytes = fat_image_bytes(list, count);
    *image = malloc(*bytes);
    if (*image == NULL) {
        return core_fail(error, CORE_NO_HEAP, "management heap is full");
    }
    fat_image_write(*image, SEED_DISK_NAME, serial, list, count);
    return CORE_OK;
}
_Static_assert(3 * (SEED_FILE_MAX / 512) <= FAT_CLUSTERS_MAX, "three files fit");

enum core_status seed_make(const struct seed_config *cfg, const char *id, const struct network_adapter *nic,
                           unsigned nic_count, uint8_t **image, size_t *bytes, struct core_error *error)
{
    struct files *f = calloc(1, sizeof *f);
    enum core_status status;
    uint32_t serial;

    if (f == NULL) {
        return core_fail(error, CORE_NO_HEAP, "management heap is full");
    }
    serial = write_files(f, cfg, id, nic, nic_count);
    status = make_image(f, serial, image, bytes, error);
    free(f);
    return status;
}
