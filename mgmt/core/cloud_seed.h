// SPDX-License-Identifier: Apache-2.0
// NoCloud seeds: the small disk from which a cloud image learns its host name, user, keys and network.
//
// What cloud-init's data source "NoCloud" reads: a file system labelled "cidata" that holds user-data, meta-data and
// perhaps network-config. Each file is either made of the definition's fields or given as it is. What is made is JSON,
// which is YAML as well; network-config is of version 1. The instance-id is a digest of the system's id and of all that
// the seed says, so that a guest is configured again when one of them changes, and only then. Control plane only.
#ifndef MGMT_CORE_CLOUD_SEED_H
#define MGMT_CORE_CLOUD_SEED_H

#include "mgmt/core/network.h"
#include "mgmt/dataplane/dp.h"

#define SEED_FILE_MAX 16384u // bytes of each file
#define SEED_KEYS_MAX 16u
#define SEED_NAME_SERVERS_MAX 4u
#define SEED_DISK_NAME "cidata"

struct seed_adapter {
    const char *address; // such as "192.0.2.7/24"; NULL: by DHCP
    const char *gateway; // NULL: none, or by DHCP
    const char *name_server[SEED_NAME_SERVERS_MAX];
    unsigned name_server_count;
};

struct seed_config { // strings belong to whoever made it; NULL: not given
    const char *host_name, *user;
    const char *key[SEED_KEYS_MAX]; // lines of authorized_keys
    unsigned key_count;
    bool network; // all adapters are configured; otherwise as the image thinks fit
    struct seed_adapter adapter[DP_MAX_NICS];           // in the order of the system's
    const char *user_data, *meta_data, *network_config; // whole files, in place of what the fields above make
};

// What the fields may be.
bool seed_host_name_valid(const char *name); // labels of RFC 1123, 253 bytes at most
bool seed_user_valid(const char *name);      // as useradd(8) of Debian wants it
bool seed_key_valid(const char *key);        // one line of printable ASCII, two words at least
bool seed_ipv4_read(const char *text, uint32_t *address);
// An address that a host can have, with the length of its network's prefix.
bool seed_address_read(const char *text, uint32_t *address, unsigned *prefix);
// Is the gateway another host of the address's network?
bool seed_gateway_fits(const char *address, const char *gateway);

// Makes the disk of a system whose adapters are `nic`. On success *image is from malloc().
enum core_status seed_make(const struct seed_config *cfg, const char *id, const struct network_adapter *nic,
                           unsigned nic_count, uint8_t **image, size_t *bytes, struct core_error *error);

#endif
