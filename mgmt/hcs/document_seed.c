// SPDX-License-Identifier: Apache-2.0
// Meaning of VirtualMachine.Devices.NoCloud.
#include "mgmt/hcs/document_seed.h"

#include <stdio.h>
#include <string.h>

#define SEED "$.VirtualMachine.Devices.NoCloud"

static const cJSON *member(const cJSON *object, const char *name)
{
    return object != NULL ? cJSON_GetObjectItemCaseSensitive(object, name) : NULL;
}

static const char *text_of(const cJSON *object, const char *name)
{
    const cJSON *item = member(object, name);

    return item != NULL ? item->valuestring : NULL;
}

static void seed_problem(struct schema_problems *problems, const char *name, const cJSON *value,
                         const char *expected, const char *remedy)
{
    char path[PROBLEM_PATH_MAX];

    snprintf(path, sizeof path, SEED ".%s", name);
    schema_problem_add(problems, HR_E_INVALIDARG, path, value, expected, remedy);
}

// --- host name, user, keys ---

static void check_keys(const cJSON *keys, struct schema_problems *problems)
{
    unsigned count = 0;
    char name[40];

    for (const cJSON *key = keys != NULL ? keys->child : NULL; key != NULL; key = key->next, count++) {
        if (!seed_key_valid(key->valuestring)) {
            snprintf(name, sizeof name, "SshAuthorizedKeys[%u]", count);
            seed_problem(problems, name, key, "one public key: its type and the key, in one line of ASCII",
                         "write what a line of the file id_*.pub holds");
        }
    }
    if (count > SEED_KEYS_MAX) {
        seed_problem(problems, "SshAuthorizedKeys", NULL, "at most 16 keys", "remove some");
    }
}

static void check_fields(const cJSON *seed, struct schema_problems *problems)
{
    const cJSON *host_name = member(seed, "HostName"), *user = member(seed, "User");

    if (host_name != NULL && !seed_host_name_valid(host_name->valuestring)) {
        seed_problem(problems, "HostName", host_name,
                     "a host name: letters, digits and '-' in parts of at most 63 bytes with '.' between",
                     "write a name such as web or web.example.org");
    }
    if (user != NULL && !seed_user_valid(user->valuestring)) {
        seed_problem(problems, "User", user,
                     "a user name of 1 to 32 of a-z, 0-9, '_' and '-', a letter or '_' first",
                     "write a name such as admin");
    }
    check_keys(member(seed, "SshAuthorizedKeys"), problems);
}

// A whole file takes the place of the fields that it would be made of.
static void check_file(const cJSON *seed, const char *name, const char *const *fields,
                       struct schema_problems *problems)
{
    const cJSON *file = member(seed, name);

    if (file == NULL) {
        return;
    }
    if (strlen(file->valuestring) > SEED_FILE_MAX) {
        seed_problem(problems, name, file, "at most 16384 bytes", "shorten it");
    }
    for (; *fields != NULL; fields++) {
        if (member(seed, *fields) != NULL) {
            char expected[80];

            snprintf(expected, sizeof expected, "nothing: %s is given", name);
            seed_problem(problems, *fields, member(seed, *fields), expected,
                         "say it there, or leave that out");
        }
    }
}

static void check_files(const cJSON *seed, struct schema_problems *problems)
{
    check_file(seed, "UserData", (const char *const[]){"User", "SshAuthorizedKeys", NULL}, problems);
    check_file(seed, "MetaData", (const char *const[]){"HostName", NULL}, problems);
    check_file(seed, "NetworkConfig", (const char *const[]){"NetworkAdapters", NULL}, problems);
}

// --- adapters ---

static void adapter_problem(struct schema_problems *problems, const cJSON *adapter, const char *name,
                            const cJSON *value, const char *expected, const char *remedy)
{
    char path[PROBLEM_PATH_MAX];

    snprintf(path, sizeof path, SEED ".NetworkAdapters[\"%.80s\"]%s", adapter->string, name);
    schema_problem_add(problems, HR_E_INVALIDARG, path, value, expected, remedy);
}

static void check_name_servers(const cJSON *adapter, struct schema_problems *problems)
{
    const cJSON *list = member(adapter, "NameServers");
    unsigned count = 0;
    uint32_t unused;
    char name[32];

    for (const cJSON *s = list != NULL ? list->child : NULL; s != NULL; s = s->next, count++) {
        if (!seed_ipv4_read(s->valuestring, &unused)) {
            snprintf(name, sizeof name, ".NameServers[%u]", count);
            adapter_problem(problems, adapter, name, s, "a host's IPv4 address such as 192.0.2.1",
                            "correct it, or give NetworkConfig");
        }
    }
    if (count > SEED_NAME_SERVERS_MAX) {
        adapter_problem(problems, adapter, ".NameServers", NULL, "at most 4 addresses", "remove some");
    }
}

static void check_adapter(const cJSON *adapter, struct schema_problems *problems)
{
    const cJSON *address = member(adapter, "Address"), *gateway = member(adapter, "Gateway");
    uint32_t unused;
    unsigned prefix;

    if (address != NULL && !seed_address_read(address->valuestring, &unused, &prefix)) {
        adapter_problem(problems, adapter, ".Address", address,
                        "a host's IPv4 address with the length of its prefix, such as 192.0.2.7/24",
                        "correct it, or give NetworkConfig");
    } else if (gateway != NULL && address == NULL) {
        adapter_problem(problems, adapter, ".Gateway", gateway, "nothing without Address",
                        "add Address, or leave the gateway to DHCP");
    } else if (gateway != NULL && !seed_gateway_fits(address->valuestring, gateway->valuestring)) {
        adapter_problem(problems, adapter, ".Gateway", gateway,
                        "the IPv4 address of another host in the network of Address",
                        "correct it, or give NetworkConfig");
    }
    check_name_servers(adapter, problems);
}

static void check_adapters(const cJSON *seed, const cJSON *adapters, struct schema_problems *problems)
{
    const cJSON *list = member(seed, "NetworkAdapters");

    for (const cJSON *a = list != NULL ? list->child : NULL; a != NULL; a = a->next) {
        if (member(adapters, a->string) == NULL) {
            adapter_problem(problems, a, "", NULL, "a key of Devices.NetworkAdapters",
                            "add the adapter there, or correct the key");
        }
        check_adapter(a, problems);
    }
}

void document_seed_check(const cJSON *devices, struct schema_problems *problems)
{
    const cJSON *seed = member(devices, "NoCloud");

    if (seed != NULL) {
        check_fields(seed, problems);
        check_files(seed, problems);
        check_adapters(seed, member(devices, "NetworkAdapters"), problems);
    }
}

// --- reading ---

static void read_adapter(const cJSON *adapter, struct seed_adapter *out)
{
    const cJSON *list = member(adapter, "NameServers");

    out->address = text_of(adapter, "Address");
    out->gateway = text_of(adapter, "Gateway");
    for (const cJSON *s = list != NULL ? list->child : NULL; s != NULL; s = s->next) {
        out->name_server[out->name_server_count++] = s->valuestring;
    }
}

// In the order of the system's adapters, whatever that of the seed is.
static void read_adapters(const cJSON *settings, const cJSON *adapters, struct seed_config *out)
{
    unsigned i = 0;

    out->network = settings != NULL;
    for (const cJSON *a = adapters != NULL ? adapters->child : NULL; a != NULL; a = a->next) {
        read_adapter(member(settings, a->string), &out->adapter[i++]);
    }
}

bool document_seed_read(const cJSON *devices, struct seed_config *out)
{
    const cJSON *seed = member(devices, "NoCloud"), *keys = member(seed, "SshAuthorizedKeys");

    *out = (struct seed_config){
        .host_name = text_of(seed, "HostName"),
        .user = text_of(seed, "User"),
        .user_data = text_of(seed, "UserData"),
        .meta_data = text_of(seed, "MetaData"),
        .network_config = text_of(seed, "NetworkConfig"),
    };
    for (const cJSON *key = keys != NULL ? keys->child : NULL; key != NULL; key = key->next) {
        out->key[out->key_count++] = key->valuestring;
    }
    read_adapters(member(seed, "NetworkAdapters"), member(devices, "NetworkAdapters"), out);
    return seed != NULL;
}
