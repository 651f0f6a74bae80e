// SPDX-License-Identifier: Apache-2.0
// --hostname, --user, --ssh-key, --address and the like: VirtualMachine.Devices.NoCloud.
#include "tools/keelctl/seed.h"

#include <stdlib.h>
#include <string.h>

#include "tools/keelctl/file.h"

static bool has_network(const struct options *o)
{
    return o->address != NULL || o->gateway != NULL || o->dns != NULL;
}

bool seed_given(const struct options *o)
{
    return o->hostname != NULL || o->user != NULL || o->ssh_key != NULL || o->user_data != NULL ||
           o->meta_data != NULL || o->network_config != NULL || has_network(o);
}

static void add_text(cJSON *object, const char *key, const char *text)
{
    if (text != NULL) {
        cJSON_AddStringToObject(object, key, text);
    }
}

static bool add_file(cJSON *seed, const char *key, const char *name)
{
    char *text = name != NULL ? file_read(name) : NULL;

    add_text(seed, key, text);
    free(text);
    return name == NULL || text != NULL;
}

// A key has its type and a blank in front, which names of files rarely have.
static bool is_key(const char *text)
{
    static const char *const types[] = {"ssh-", "ecdsa-", "sk-ssh-", "sk-ecdsa-"};

    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (strncmp(text, types[i], strlen(types[i])) == 0 && strchr(text, ' ') != NULL) {
            return true;
        }
    }
    return false;
}

// Every line of a file in the form of authorized_keys (sshd(8)): neither empty nor a remark.
static void add_lines(cJSON *keys, char *text)
{
    char *line;

    while ((line = strsep(&text, "\r\n")) != NULL) {
        line += strspn(line, " \t");
        if (*line != '\0' && *line != '#') {
            cJSON_AddItemToArray(keys, cJSON_CreateString(line));
        }
    }
}

static bool add_keys(cJSON *seed, const char *key)
{
    cJSON *keys;
    char *text;

    if (key == NULL) {
        return true;
    }
    text = is_key(key) ? strdup(key) : file_read(key);
    if (text == NULL) {
        return false;
    }
    if (strstr(text, "PRIVATE KEY-----") != NULL) {
        complain("--ssh-key: %s is a private key; name the public one, %s.pub", key, key);
        free(text);
        return false;
    }
    keys = cJSON_AddArrayToObject(seed, "SshAuthorizedKeys");
    add_lines(keys, text);
    free(text);
    if (cJSON_GetArraySize(keys) == 0) {
        complain("--ssh-key: %s holds no key", key);
        return false;
    }
    return true;
}

static bool add_network(cJSON *seed, const char *adapter, const struct options *o)
{
    cJSON *settings, *servers;
    char *list, *rest, *item;

    if (!has_network(o)) {
        return true;
    }
    if (o->nic == NULL) {
        complain("--address, --gateway and --dns are for an adapter; add --nic ENDPOINT or --nic default");
        return false;
    }
    settings = cJSON_AddObjectToObject(cJSON_AddObjectToObject(seed, "NetworkAdapters"), adapter);
    add_text(settings, "Address", o->address);
    add_text(settings, "Gateway", o->gateway);
    if (o->dns != NULL) {
        servers = cJSON_AddArrayToObject(settings, "NameServers");
        rest = list = strdup(o->dns);
        while ((item = strsep(&rest, ",")) != NULL) {
            cJSON_AddItemToArray(servers, cJSON_CreateString(item));
        }
        free(list);
    }
    return true;
}

bool seed_add(cJSON *devices, const char *adapter, const struct options *o)
{
    cJSON *seed;

    if (!seed_given(o)) {
        return true;
    }
    seed = cJSON_AddObjectToObject(devices, "NoCloud");
    add_text(seed, "HostName", o->hostname);
    add_text(seed, "User", o->user);
    return add_keys(seed, o->ssh_key) && add_network(seed, adapter, o) &&
           add_file(seed, "UserData", o->user_data) && add_file(seed, "MetaData", o->meta_data) &&
           add_file(seed, "NetworkConfig", o->network_config);
}
