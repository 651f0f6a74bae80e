// SPDX-License-Identifier: Apache-2.0
// keelctl system ...: compute systems through the HCS routes.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/keelctl/file.h"
#include "tools/keelctl/json.h"
#include "tools/keelctl/list.h"
#include "tools/keelctl/operation.h"
#include "tools/keelctl/out.h"
#include "tools/keelctl/seed.h"

#define SYSTEMS "/v1/hcs/systems"
#define ADAPTER "0"
#define DEFAULT_CMDLINE "console=ttyS0"

// --- create ---

// "root,data:ro" as attachments of one controller, in this order.
static void add_disks(cJSON *devices, const char *list)
{
    cJSON *attachments = cJSON_AddObjectToObject(
        cJSON_AddObjectToObject(cJSON_AddObjectToObject(devices, "Scsi"), "0"), "Attachments");

    for (unsigned lun = 0; *list != '\0'; lun++) {
        size_t length = strcspn(list, ",");
        bool read_only = length > 3 && strncmp(list + length - 3, ":ro", 3) == 0;
        char key[12], *name = strndup(list, read_only ? length - 3 : length);
        cJSON *disk;

        snprintf(key, sizeof key, "%u", lun);
        disk = cJSON_AddObjectToObject(attachments, key);
        cJSON_AddStringToObject(disk, "Type", "VirtualDisk");
        cJSON_AddStringToObject(disk, "Path", name);
        if (read_only) {
            cJSON_AddTrueToObject(disk, "ReadOnly");
        }
        free(name);
        list += length + (list[length] == ',');
    }
}

// The document that the short options stand for; NULL and said if they do not suffice.
static char *document_from_options(const struct options *o)
{
    uint64_t memory_mib, cpus = 1;
    cJSON *root, *version, *vm, *chipset, *linux_direct, *topology, *devices;
    char *text;

    if (o->kernel == NULL || o->memory == NULL) {
        complain("give the system's document with --file, or at least --kernel IMAGE and --memory MB");
        return NULL;
    }
    if (!parse_number("memory", o->memory, 1u << 20, &memory_mib) ||
        (o->cpus != NULL && !parse_number("cpus", o->cpus, 1024, &cpus))) {
        return NULL;
    }
    root = cJSON_CreateObject();
    cJSON_AddStringToObject(root, "Owner", o->owner != NULL ? o->owner : "keelctl");
    version = cJSON_AddObjectToObject(root, "SchemaVersion");
    cJSON_AddNumberToObject(version, "Major", 2);
    cJSON_AddNumberToObject(version, "Minor", 1);
    vm = cJSON_AddObjectToObject(root, "VirtualMachine");
    chipset = cJSON_AddObjectToObject(vm, "Chipset");
    linux_direct = cJSON_AddObjectToObject(chipset, "LinuxKernelDirect");
    cJSON_AddStringToObject(linux_direct, "KernelFilePath", o->kernel);
    if (o->initrd != NULL) {
        cJSON_AddStringToObject(linux_direct, "InitRdPath", o->initrd);
    }
    cJSON_AddStringToObject(linux_direct, "KernelCmdLine", o->cmdline != NULL ? o->cmdline : DEFAULT_CMDLINE);
    topology = cJSON_AddObjectToObject(vm, "ComputeTopology");
    cJSON_AddNumberToObject(cJSON_AddObjectToObject(topology, "Memory"), "SizeInMB", (double)memory_mib);
    cJSON_AddNumberToObject(cJSON_AddObjectToObject(topology, "Processor"), "Count", (double)cpus);
    devices = cJSON_AddObjectToObject(vm, "Devices");
    cJSON_AddObjectToObject(cJSON_AddObjectToObject(devices, "ComPorts"), "0");
    if (o->nic != NULL) {
        cJSON *adapter = cJSON_AddObjectToObject(cJSON_AddObjectToObject(devices, "NetworkAdapters"),
                                                 ADAPTER);

        if (strcmp(o->nic, "default") != 0) {
            cJSON_AddStringToObject(adapter, "EndpointId", o->nic);
        }
    }
    if (o->disk != NULL) {
        add_disks(devices, o->disk);
    }
    text = seed_add(devices, ADAPTER, o) ? cJSON_Print(root) : NULL;
    cJSON_Delete(root);
    return text;
}

static bool mixes_file_and_options(const struct options *o)
{
    return o->file != NULL && (o->kernel || o->initrd || o->cmdline || o->memory || o->cpus || o->disk ||
                               o->owner || o->nic || seed_given(o));
}

// What a command that ran an operation prints.
static void say_done(const struct options *o, const struct answer *a, const char *id, const char *done)
{
    if (o->output == OUTPUT_JSON) {
        printf("%s\n", a->body);
    } else if (o->output == OUTPUT_NAME) {
        printf("%s\n", id);
    } else if (!o->quiet && o->no_wait && strcmp(json_shown(a->json, "State"), "Pending") == 0) {
        print_clean(stdout, "%s: ", id);
        printf("operation %.0f has begun\n", json_number(a->json, "Id"));
    } else if (!o->quiet) {
        print_clean(stdout, "%s: ", id);
        puts(done);
    }
}

static enum status run_verb(struct client *c, const struct options *o, const char *id, const char *verb,
                            const char *done)
{
    char *path = client_path(SYSTEMS "/", id, verb);
    struct answer a;
    enum status status = operation_run(c, o, path, NULL, &a);

    if (status == STATUS_OK) {
        say_done(o, &a, id, done);
    }
    answer_free(&a);
    free(path);
    return status;
}

enum status system_create(struct client *c, const struct options *o, char **arguments)
{
    char *path, *document;
    enum status status;
    struct answer a;

    if (mixes_file_and_options(o)) {
        return usage_error("--file holds the whole document; the other options cannot be added to it");
    }
    document = o->file != NULL ? file_read(o->file) : document_from_options(o);
    if (document == NULL) {
        return STATUS_USAGE;
    }
    path = client_path(SYSTEMS "/", arguments[0], "");
    status = operation_run(c, o, path, document, &a);
    if (status == STATUS_OK) {
        say_done(o, &a, arguments[0], "created");
    }
    answer_free(&a);
    free(path);
    free(document);
    if (status == STATUS_OK && (o->start || o->console)) {
        status = system_start(c, o, arguments);
    }
    return status;
}

// --- life cycle ---

enum status system_start(struct client *c, const struct options *o, char **arguments)
{
    enum status status = run_verb(c, o, arguments[0], "/start", "started");

    return status == STATUS_OK && o->console ? system_console(c, o, arguments) : status;
}

enum status system_stop(struct client *c, const struct options *o, char **arguments)
{
    return run_verb(c, o, arguments[0], "/terminate", "terminated");
}

enum status system_shutdown(struct client *c, const struct options *o, char **arguments)
{
    return run_verb(c, o, arguments[0], "/shutdown", "shut down");
}

enum status system_pause(struct client *c, const struct options *o, char **arguments)
{
    return run_verb(c, o, arguments[0], "/pause", "paused");
}

enum status system_resume(struct client *c, const struct options *o, char **arguments)
{
    return run_verb(c, o, arguments[0], "/resume", "resumed");
}

// A system that was created and never started has to be terminated as well before it can be forgotten.
static bool has_ended(struct client *c, const char *id, enum status *status)
{
    char *path = client_path(SYSTEMS "/", id, "/properties");
    struct answer a;
    bool ended;

    *status = client_request(c, "GET", path, NULL, &a);
    ended = *status == STATUS_OK && strcmp(json_shown(a.json, "State"), "Stopped") == 0;
    answer_free(&a);
    free(path);
    return ended;
}

enum status system_delete(struct client *c, const struct options *o, char **arguments)
{
    enum status status = STATUS_OK;

    if (o->force && !has_ended(c, arguments[0], &status) && status == STATUS_OK) {
        status = system_stop(c, o, arguments);
    }
    return status == STATUS_OK ? item_delete(c, SYSTEMS "/", arguments[0]) : status;
}

// --- looking ---

static void system_row(struct table *t, const cJSON *s)
{
    table_cell(t, "%s", json_shown(s, "Id"));
    table_cell(t, "%s", json_shown(s, "State"));
    table_cell(t, "%s", json_shown(s, "Owner"));
    table_cell(t, "%s", json_shown(s, "ExitType"));
    table_cell(t, "%s", json_shown(s, "RuntimeId"));
}

enum status system_list(struct client *c, const struct options *o, char **arguments)
{
    static const char *const headers[] = {"ID", "STATE", "OWNER", "EXIT", "RUNTIME ID", NULL};
    static const struct listing listing = {headers, NULL, system_row};

    (void)arguments;
    return list_show(c, o, SYSTEMS, &listing);
}

// A System_PropertyQuery for a comma-separated list of types, as a query string; malloc()ed.
static char *property_query(const char *types)
{
    cJSON *root = cJSON_CreateObject(), *list = cJSON_AddArrayToObject(root, "PropertyTypes");
    char *copy = strdup(types), *rest = copy, *item, *json, *query;

    while ((item = strsep(&rest, ",")) != NULL) {
        if (item[0] != '\0') {
            cJSON_AddItemToArray(list, cJSON_CreateString(item));
        }
    }
    json = cJSON_PrintUnformatted(root);
    query = client_path("/properties?query=", json, "");
    cJSON_Delete(root);
    free(json);
    free(copy);
    return query;
}

static enum status fetch_properties(struct client *c, const char *id, const char *types, struct answer *a)
{
    char *query = property_query(types), *path = client_path(SYSTEMS "/", id, query);
    enum status status = client_request(c, "GET", path, NULL, a);

    free(query);
    free(path);
    return status;
}

static void show_system(const cJSON *s)
{
    const cJSON *memory = json_at(s, "Memory"), *statistics = json_at(s, "Statistics");
    const cJSON *node = cJSON_GetArrayItem(json_at(memory, "VirtualNodes"), 0), *adapter;
    double uptime = json_number(statistics, "Uptime100ns") / 1e7;
    double runtime = json_number(json_at(statistics, "Processor"), "TotalRuntime100ns") / 1e7;

    field("system", "%s", json_shown(s, "Id"));
    field("state", "%s", json_shown(s, "State"));
    if (json_text(s, "ExitType") != NULL) {
        field("exit", "%s", json_text(s, "ExitType"));
    }
    field("owner", "%s", json_shown(s, "Owner"));
    field("runtime id", "%s", json_shown(s, "RuntimeId"));
    field("processors", "%.0f", json_number(node, "VirtualProcessorCount"));
    field("memory", "%s assigned of %s",
          bytes_text(json_number(json_at(memory, "VirtualMachineMemory"), "AssignedMemory") * 1048576),
          bytes_text(json_number(json_at(memory, "VirtualMachineMemory"), "ReservedMemory") * 1048576));
    cJSON_ArrayForEach(adapter, json_at(s, "NetworkAdapters"))
    {
        field("adapter", "%s on %s, address %s", json_shown(adapter, "MacAddress"),
              json_shown(adapter, "Switch"), json_shown(adapter, "IPv4Address"));
    }
    if (json_text(statistics, "ContainerStartTime") != NULL) {
        field("started", "%s", time_text(json_text(statistics, "ContainerStartTime")));
        field("up", "%s, %.1f s of processor time", duration_text(uptime), runtime);
    }
}

enum status system_show(struct client *c, const struct options *o, char **arguments)
{
    struct answer a;
    enum status status = fetch_properties(c, arguments[0], "Memory,Statistics", &a);

    if (status == STATUS_OK && o->output == OUTPUT_JSON) {
        printf("%s\n", a.body);
    } else if (status == STATUS_OK) {
        show_system(a.json);
    }
    answer_free(&a);
    return status;
}

enum status system_properties(struct client *c, const struct options *o, char **arguments)
{
    struct answer a;
    enum status status = fetch_properties(c, arguments[0], o->types != NULL ? o->types : "", &a);

    if (status == STATUS_OK && o->output == OUTPUT_JSON) {
        printf("%s\n", a.body);
    } else if (status == STATUS_OK) {
        char *pretty = cJSON_Print(a.json);

        print_lines(stdout, pretty != NULL ? pretty : a.body);
        putchar('\n');
        free(pretty);
    }
    answer_free(&a);
    return status;
}

// --- the end ---

#define WAIT_SECONDS 30.0 // of one request

// The last of the attributions says who ended it and how, in the schema's words.
static void show_exit(const char *id, const cJSON *document)
{
    const cJSON *attribution = cJSON_GetArrayItem(json_at(document, "Attribution"), 0);
    const cJSON *worker = json_at(attribution, "WorkerExit"), *client = json_at(attribution, "SystemExit");
    const cJSON *who = worker != NULL ? worker : client;

    field("system", "%s", id);
    field("exit", "%s", json_shown(document, "ExitType"));
    if (who != NULL) {
        field("reason", "%s by %s", json_shown(who, "Detail"), json_shown(who, "Initiator"));
    }
    if (json_text(document, "Message") != NULL) {
        field("message", "%s", json_text(document, "Message"));
    }
}

// One long poll; the state is asked for first, so that a system that still runs is no error.
static enum status poll_exit(struct client *c, const char *id, double seconds, bool *ended, struct answer *a)
{
    char *path, suffix[64];
    enum status status;

    *a = (struct answer){0};
    snprintf(suffix, sizeof suffix, "/exit?timeoutMs=%.0f", seconds * 1000);
    path = client_path(SYSTEMS "/", id, suffix);
    status = client_request_quiet(c, path, a);
    free(path);
    *ended = status == STATUS_OK && a->code == 200;
    if (status == STATUS_OK && !*ended &&
        strcmp(json_shown(a->json, "ErrorName"), "HCS_E_OPERATION_TIMEOUT") != 0) {
        status = client_report(c, a);
    }
    return status;
}

enum status system_wait(struct client *c, const struct options *o, char **arguments)
{
    double deadline = monotonic_seconds() + 1e9, left;
    enum status status = STATUS_OK;
    struct answer a = {0};
    uint64_t seconds;
    bool ended = false;

    if (o->timeout != NULL) {
        if (!parse_number("timeout", o->timeout, 1000000, &seconds)) {
            return STATUS_USAGE;
        }
        deadline = monotonic_seconds() + (double)seconds;
    }
    while (status == STATUS_OK && !ended) {
        left = deadline - monotonic_seconds();
        if (left <= 0) {
            complain("%s has not ended within %s s", arguments[0], o->timeout);
            status = STATUS_TIMEOUT;
            break;
        }
        answer_free(&a);
        status = poll_exit(c, arguments[0], left < WAIT_SECONDS ? left : WAIT_SECONDS, &ended, &a);
    }
    if (ended && o->output == OUTPUT_JSON) {
        printf("%s\n", a.body);
    } else if (ended) {
        show_exit(arguments[0], a.json);
    }
    answer_free(&a);
    return status;
}
