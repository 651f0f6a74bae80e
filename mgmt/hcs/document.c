// SPDX-License-Identifier: Apache-2.0
// Meaning of HCS documents: what the schema cannot say, and the conversion to and from the core.
#include "mgmt/hcs/document.h"

#include <stdio.h>
#include <string.h>

#include "mgmt/hcs/document_seed.h"
#include "mgmt/hcs/result.h"

#define DEFAULT_WEIGHT 100 // HV_PROP_CPU_WEIGHT
#define LIMIT_FULL 100000  // HCS Limit and Reservation: 1/1000 percent of a processor
#define CAP_FULL 0x10000

bool document_read(enum hcs_type_id type, const char *text, size_t length, struct json_document *doc,
                   struct schema_problems *problems)
{
    struct json_error error;
    char path[64] = "$";

    problems->count = 0;
    if (!json_read(text, length, doc, &error)) {
        if (error.line > 0) {
            snprintf(path, sizeof path, "$ (line %u, column %u)", error.line, error.column);
        }
        schema_problem_add(problems, HR_HCS_E_INVALID_JSON, path, NULL, "a JSON document", error.text);
        return false;
    }
    if (!schema_check(type, doc->root, problems)) {
        json_document_free(doc);
        return false;
    }
    return true;
}

// Follows a path of names; NULL when any is absent.
static const cJSON *at(const cJSON *node, const char *const *names)
{
    for (; *names != NULL && node != NULL; names++) {
        node = cJSON_GetObjectItemCaseSensitive(node, *names);
    }
    return node;
}
#define AT(node, ...) at(node, (const char *const[]){__VA_ARGS__, NULL})

static const char *string_or(const cJSON *node, const char *otherwise)
{
    return node != NULL ? node->valuestring : otherwise;
}

static uint64_t number_or(const cJSON *node, uint64_t otherwise)
{
    return node != NULL ? (uint64_t)node->valuedouble : otherwise;
}

static void check_version(const cJSON *root, struct schema_problems *problems)
{
    const cJSON *version = AT(root, "SchemaVersion");

    if (number_or(AT(version, "Major"), 0) != SCHEMA_MAJOR ||
        number_or(AT(version, "Minor"), 0) > SCHEMA_MINOR) {
        schema_problem_add(problems, HR_HCS_E_INVALID_JSON, "$.SchemaVersion", version,
                           "a schema version from 2.0 to 2.6", "write {\"Major\": 2, \"Minor\": 1}");
    }
}

// Container, HostedSystem and VirtualMachine exclude each other; the first two are refused as unavailable by
// the schema check, so that only a missing VirtualMachine is left to find.
static void check_kind(const cJSON *root, struct schema_problems *problems)
{
    if (AT(root, "VirtualMachine") == NULL) {
        schema_problem_add(problems, HR_HCS_E_INVALID_JSON, "$", NULL,
                           "exactly one of VirtualMachine, Container and HostedSystem", "add VirtualMachine");
    } else if (AT(root, "VirtualMachine", "Chipset", "LinuxKernelDirect") == NULL) {
        schema_problem_add(problems, HR_HCS_E_INVALID_JSON, "$.VirtualMachine.Chipset.LinuxKernelDirect",
                           NULL, "what to boot",
                           "add LinuxKernelDirect with KernelFilePath, the name of an image");
    }
}

static void check_ports(const cJSON *ports, struct schema_problems *problems)
{
    for (const cJSON *port = ports != NULL ? ports->child : NULL; port != NULL; port = port->next) {
        if (strcmp(port->string, "0") != 0 && strcmp(port->string, "1") != 0) {
            schema_problem_add(problems, HR_E_INVALIDARG, "$.VirtualMachine.Devices.ComPorts", NULL,
                               "only the keys \"0\" (COM1) and \"1\" (COM2)", "remove the other keys");
        }
    }
}

// One port, which is the guest's hvc0 and the node's console port 2.
static void check_virtio_ports(const cJSON *ports, struct schema_problems *problems)
{
    for (const cJSON *port = ports != NULL ? ports->child : NULL; port != NULL; port = port->next) {
        if (strcmp(port->string, "0") != 0) {
            schema_problem_add(problems, HR_E_INVALIDARG, "$.VirtualMachine.Devices.VirtioSerial.Ports", NULL,
                               "only the key \"0\"", "remove the other keys");
        }
    }
}

static void disk_problem(struct schema_problems *problems, hresult_t hr, const char *controller,
                         const char *lun, const cJSON *value, const char *expected, const char *remedy)
{
    char path[PROBLEM_PATH_MAX];

    snprintf(path, sizeof path, "$.VirtualMachine.Devices.Scsi[\"%.40s\"].Attachments[\"%.20s\"]", controller,
             lun);
    schema_problem_add(problems, hr, path, value, expected, remedy);
}

// Keys of attachments are logical unit numbers.
static bool is_lun(const char *key)
{
    size_t n = strlen(key);

    return n >= 1 && n <= 2 && strspn(key, "0123456789") == n && (n == 1 || key[0] != '0') &&
           (n == 1 || key[0] < '6' || (key[0] == '6' && key[1] < '4'));
}

static void check_attachment(const char *controller, const cJSON *attachment,
                             struct schema_problems *problems)
{
    const cJSON *type = AT(attachment, "Type"), *path = AT(attachment, "Path");

    if (!is_lun(attachment->string)) {
        disk_problem(problems, HR_E_INVALIDARG, controller, attachment->string, NULL,
                     "a logical unit number from \"0\" to \"63\" as key", "rename the key");
    }
    if (strcmp(type->valuestring, "PassThru") == 0) {
        disk_problem(problems, HR_E_NOTIMPL, controller, attachment->string, type, "VirtualDisk or Iso",
                     "physical disks cannot be given to systems on this node yet");
    }
    if (path->valuestring[0] == '\0') {
        disk_problem(problems, HR_E_INVALIDARG, controller, attachment->string, path,
                     "the name of a disk or an image",
                     "create a disk, or upload an image, and write its name");
    }
}

// The disk of a seed is one beside the attachments.
static void check_disks(const cJSON *scsi, const cJSON *seed, struct schema_problems *problems)
{
    unsigned count = seed != NULL;

    for (const cJSON *c = scsi != NULL ? scsi->child : NULL; c != NULL; c = c->next) {
        const cJSON *attachments = AT(c, "Attachments");

        for (const cJSON *a = attachments != NULL ? attachments->child : NULL; a != NULL; a = a->next) {
            check_attachment(c->string, a, problems);
            count++;
        }
    }
    if (count > DP_MAX_DISKS) {
        schema_problem_add(problems, HR_E_INVALIDARG, "$.VirtualMachine.Devices.Scsi", NULL,
                           "at most 8 attachments in all, or 7 and NoCloud", "remove some");
    }
}

static void check_adapters(const cJSON *adapters, struct schema_problems *problems)
{
    unsigned count = 0;

    for (const cJSON *a = adapters != NULL ? adapters->child : NULL; a != NULL; a = a->next, count++) {
        const cJSON *mac = AT(a, "MacAddress");
        uint8_t bytes[6];
        char path[PROBLEM_PATH_MAX];

        if (mac != NULL && !network_read_mac(mac->valuestring, bytes)) {
            snprintf(path, sizeof path, "$.VirtualMachine.Devices.NetworkAdapters[\"%.80s\"].MacAddress",
                     a->string);
            schema_problem_add(problems, HR_E_INVALIDARG, path, mac,
                               "a station's address such as 02-00-00-12-34-56",
                               "write six pairs of hexadecimal digits");
        }
    }
    if (count > DP_MAX_NICS) {
        schema_problem_add(problems, HR_E_INVALIDARG, "$.VirtualMachine.Devices.NetworkAdapters", NULL,
                           "at most 4 adapters", "remove some");
    }
}

static void check_processor(const cJSON *processor, struct schema_problems *problems)
{
    const cJSON *reservation = AT(processor, "Reservation");

    if (number_or(reservation, 0) > number_or(AT(processor, "Limit"), LIMIT_FULL)) {
        schema_problem_add(problems, HR_E_INVALIDARG,
                           "$.VirtualMachine.ComputeTopology.Processor.Reservation", reservation,
                           "a reservation not above Limit", "lower it or raise Limit");
    }
}

static void check_memory(const cJSON *size, struct schema_problems *problems)
{
    if (number_or(size, 0) % (PARTITION_MEMORY_UNIT >> 20) != 0) {
        schema_problem_add(problems, HR_E_INVALIDARG, "$.VirtualMachine.ComputeTopology.Memory.SizeInMB",
                           size, "an even number of megabytes", "memory is given in units of 2 MB");
    }
}

static void check_lengths(const cJSON *root, struct schema_problems *problems)
{
    const cJSON *cmdline = AT(root, "VirtualMachine", "Chipset", "LinuxKernelDirect", "KernelCmdLine");

    if (strlen(string_or(AT(root, "Owner"), "")) > SYSTEM_OWNER_MAX) {
        schema_problem_add(problems, HR_E_INVALIDARG, "$.Owner", AT(root, "Owner"), "at most 128 bytes",
                           "shorten it");
    }
    if (strlen(string_or(cmdline, "")) > SYSTEM_CMDLINE_MAX) {
        schema_problem_add(problems, HR_E_INVALIDARG,
                           "$.VirtualMachine.Chipset.LinuxKernelDirect.KernelCmdLine", cmdline,
                           "at most 2047 bytes", "shorten it");
    }
}

static bool is_true(const cJSON *node)
{
    return cJSON_IsTrue(node);
}

static uint32_t scaled(uint64_t thousandths_percent)
{
    return (uint32_t)(thousandths_percent * CAP_FULL / LIMIT_FULL);
}

static void fill(const cJSON *root, struct system_config *cfg)
{
    const cJSON *vm = AT(root, "VirtualMachine");
    const cJSON *linux_direct = AT(vm, "Chipset", "LinuxKernelDirect");
    const cJSON *processor = AT(vm, "ComputeTopology", "Processor");
    const cJSON *ports = AT(vm, "Devices", "ComPorts");
    const char *initrd = string_or(AT(linux_direct, "InitRdPath"), "");

    *cfg = (struct system_config){
        .owner = string_or(AT(root, "Owner"), ""),
        .memory_bytes = number_or(AT(vm, "ComputeTopology", "Memory", "SizeInMB"), 0) << 20,
        .vp_count = (uint32_t)number_or(AT(processor, "Count"), 1),
        .weight = (uint32_t)number_or(AT(processor, "Weight"), DEFAULT_WEIGHT),
        .cap = MAX(scaled(number_or(AT(processor, "Limit"), LIMIT_FULL)), 1u),
        .reserve = scaled(number_or(AT(processor, "Reservation"), 0)),
        .com = {AT(ports, "0") != NULL, AT(ports, "1") != NULL,
                AT(vm, "Devices", "VirtioSerial", "Ports", "0") != NULL},
        .kernel = string_or(AT(linux_direct, "KernelFilePath"), ""),
        .initrd = initrd[0] != '\0' ? initrd : NULL,
        .cmdline = string_or(AT(linux_direct, "KernelCmdLine"), ""),
        .stop_on_reset = is_true(AT(vm, "StopOnReset")),
        .terminate_on_last_close = is_true(AT(root, "ShouldTerminateOnLastHandleClosed")),
    };
}

// In the order of the document: the first attachment becomes the first disk.
static void fill_disks(const cJSON *scsi, struct system_config *cfg)
{
    for (const cJSON *c = scsi != NULL ? scsi->child : NULL; c != NULL; c = c->next) {
        const cJSON *attachments = AT(c, "Attachments");

        for (const cJSON *a = attachments != NULL ? attachments->child : NULL; a != NULL; a = a->next) {
            cfg->disk[cfg->disk_count++] = (struct disk_source){
                .path = AT(a, "Path")->valuestring,
                .read_only = is_true(AT(a, "ReadOnly")) || strcmp(AT(a, "Type")->valuestring, "Iso") == 0,
            };
        }
    }
}

static void fill_adapters(const cJSON *adapters, struct system_config *cfg)
{
    for (const cJSON *a = adapters != NULL ? adapters->child : NULL; a != NULL; a = a->next) {
        struct system_nic *nic = &cfg->nic[cfg->nic_count++];
        const cJSON *mac = AT(a, "MacAddress");

        nic->endpoint = string_or(AT(a, "EndpointId"), "");
        if (mac != NULL) {
            (void)!network_read_mac(mac->valuestring, nic->mac); // was checked
        }
    }
}

bool document_decode_system(const cJSON *root, struct system_config *cfg, struct schema_problems *problems)
{
    problems->count = 0;
    check_version(root, problems);
    check_kind(root, problems);
    check_lengths(root, problems);
    check_memory(AT(root, "VirtualMachine", "ComputeTopology", "Memory", "SizeInMB"), problems);
    check_processor(AT(root, "VirtualMachine", "ComputeTopology", "Processor"), problems);
    check_ports(AT(root, "VirtualMachine", "Devices", "ComPorts"), problems);
    check_virtio_ports(AT(root, "VirtualMachine", "Devices", "VirtioSerial", "Ports"), problems);
    check_disks(AT(root, "VirtualMachine", "Devices", "Scsi"),
                AT(root, "VirtualMachine", "Devices", "NoCloud"), problems);
    check_adapters(AT(root, "VirtualMachine", "Devices", "NetworkAdapters"), problems);
    document_seed_check(AT(root, "VirtualMachine", "Devices"), problems);
    if (problems->count > 0) {
        return false;
    }
    fill(root, cfg);
    fill_disks(AT(root, "VirtualMachine", "Devices", "Scsi"), cfg);
    fill_adapters(AT(root, "VirtualMachine", "Devices", "NetworkAdapters"), cfg);
    cfg->has_seed = document_seed_read(AT(root, "VirtualMachine", "Devices"), &cfg->seed);
    return true;
}

// --- queries ---

static bool listed(const cJSON *array, const char *value)
{
    if (array == NULL) {
        return true;
    }
    for (const cJSON *item = array->child; item != NULL; item = item->next) {
        if (strcmp(item->valuestring, value) == 0) {
            return true;
        }
    }
    return false;
}

bool document_query_matches(const cJSON *root, const struct system *s)
{
    return root == NULL ||
           (listed(AT(root, "Ids"), s->id) && listed(AT(root, "Names"), s->id) &&
            listed(AT(root, "Types"), "VirtualMachine") && listed(AT(root, "Owners"), s->owner));
}

bool document_query_properties(const cJSON *root, unsigned *set, struct schema_problems *problems)
{
    const cJSON *types = AT(root, "PropertyTypes");

    problems->count = 0;
    *set = 0;
    for (const cJSON *item = types != NULL ? types->child : NULL; item != NULL; item = item->next) {
        if (strcmp(item->valuestring, "Memory") == 0) {
            *set |= DOCUMENT_MEMORY;
        } else if (strcmp(item->valuestring, "Statistics") == 0) {
            *set |= DOCUMENT_STATISTICS;
        } else if (strcmp(item->valuestring, "TerminateOnLastHandleClosed") == 0) {
            *set |= DOCUMENT_TERMINATE_ON_LAST_CLOSE;
        } else {
            schema_problem_add(problems, HR_E_NOTIMPL, "$.PropertyTypes", item,
                               "Memory, Statistics or TerminateOnLastHandleClosed",
                               "this node does not serve the property");
        }
    }
    return problems->count == 0;
}

// --- properties ---

static void write_memory(struct json_writer *w, const struct system *s)
{
    bool lives = s->partition.phase == PARTITION_RUNNING;

    json_open(w, "Memory", '{');
    json_uint(w, "VirtualNodeCount", 1);
    json_open(w, "VirtualMachineMemory", '{');
    json_uint(w, "ReservedMemory", s->cfg.memory_bytes >> 20);
    json_uint(w, "AssignedMemory", lives ? s->cfg.memory_bytes >> 20 : 0);
    json_bool(w, "SlpActive", false);
    json_bool(w, "BalancingEnabled", false);
    json_bool(w, "DmOperationInProgress", false);
    json_close(w, '}');
    json_open(w, "VirtualNodes", '[');
    json_open(w, NULL, '{');
    json_uint(w, "VirtualNodeIndex", 0);
    json_uint(w, "PhysicalNodeNumber", 0);
    json_uint(w, "VirtualProcessorCount", s->cfg.vp_count);
    json_uint(w, "MemoryUsageInPages", lives ? s->cfg.memory_bytes >> PAGE_SHIFT : 0);
    json_close(w, '}');
    json_close(w, ']');
    json_close(w, '}');
}

static void write_statistics(struct json_writer *w, const struct system *s)
{
    bool lives = s->partition.phase == PARTITION_RUNNING;
    uint64_t committed = lives ? s->cfg.memory_bytes : 0;

    json_open(w, "Statistics", '{');
    json_time(w, "Timestamp", plat_unix_ms());
    if (s->started_ms != 0) {
        json_time(w, "ContainerStartTime", s->started_ms);
    }
    json_uint(w, "Uptime100ns", lives ? (plat_now_ns() - s->started_ns) / 100 : 0);
    json_open(w, "Processor", '{');
    json_uint(w, "TotalRuntime100ns", system_cpu_100ns(s));
    json_close(w, '}');
    json_open(w, "Memory", '{');
    json_uint(w, "MemoryUsageCommitBytes", committed);
    json_uint(w, "MemoryUsageCommitPeakBytes", s->started_ms != 0 ? s->cfg.memory_bytes : 0);
    json_uint(w, "MemoryUsagePrivateWorkingSetBytes", committed);
    json_close(w, '}');
    json_close(w, '}');
}

static const char *exit_name(enum system_exit exit)
{
    static const char *const names[] = {"None", "GracefulExit", "ForcedExit", "UnexpectedExit"};

    return names[exit];
}

// Of ours: what adapters a system has, and the addresses they got by DHCP.
static void write_adapters(struct json_writer *w, const struct system *s)
{
    json_open(w, "NetworkAdapters", '[');
    for (unsigned i = 0; i < s->cfg.nic_count; i++) {
        const struct network_adapter *a = &s->cfg.nic[i];
        const uint8_t *mac = a->settings.mac;
        char text[18], address[NETWORK_IPV4_TEXT];

        snprintf(text, sizeof text, "%02X-%02X-%02X-%02X-%02X-%02X", mac[0], mac[1], mac[2], mac[3], mac[4],
                 mac[5]);
        json_open(w, NULL, '{');
        json_string(w, "MacAddress", text);
        if (a->home != NULL) {
            json_string(w, "Switch", a->home->name);
        }
        if (a->endpoint != NULL) {
            json_string(w, "EndpointId", a->endpoint->id);
        }
        if (s->partition.attached && network_dhcp_address(s->partition.vm->nic[i].port, address)) {
            json_string(w, "IPv4Address", address);
        }
        json_close(w, '}');
    }
    json_close(w, ']');
}

void document_write_properties(struct json_writer *w, const char *key, const struct system *s, unsigned set)
{
    json_open(w, key, '{');
    json_string(w, "Id", s->id);
    json_string(w, "SystemType", "VirtualMachine");
    json_string(w, "RuntimeOsType", "Linux");
    json_string(w, "Name", s->id);
    json_string(w, "Owner", s->owner);
    json_uuid(w, "RuntimeId", s->runtime_id);
    json_string(w, "State", system_state_name(s->state));
    if (s->state == SYSTEM_STOPPED) {
        json_bool(w, "Stopped", true);
        json_string(w, "ExitType", exit_name(s->exit));
    }
    if (s->cfg.nic_count > 0) {
        write_adapters(w, s);
    }
    if (set & DOCUMENT_MEMORY) {
        write_memory(w, s);
    }
    if (set & DOCUMENT_STATISTICS) {
        write_statistics(w, s);
    }
    if (set & DOCUMENT_TERMINATE_ON_LAST_CLOSE) {
        json_bool(w, "TerminateOnLastHandleClosed", s->terminate_on_last_close);
    }
    json_close(w, '}');
}

// --- exit status ---

static void write_worker_exit(struct json_writer *w, const char *type, const char *detail,
                              const char *initiator)
{
    json_open(w, "WorkerExit", '{');
    json_uint(w, "ExitCode", 0);
    json_string(w, "Type", type);
    json_string(w, "Detail", detail);
    json_string(w, "Initiator", initiator);
    json_close(w, '}');
}

static void write_attribution(struct json_writer *w, const struct system *s)
{
    json_open(w, "Attribution", '[');
    json_open(w, NULL, '{');
    switch (s->cause) {
    case SYSTEM_CAUSE_NONE:
        break;
    case SYSTEM_CAUSE_POWER_OFF:
        write_worker_exit(w, "Stopped", "PowerOff", "GuestOS");
        break;
    case SYSTEM_CAUSE_RESET:
        write_worker_exit(w, "StoppedOnReset", "Reset", "GuestOS");
        break;
    case SYSTEM_CAUSE_TERMINATED:
        json_open(w, "SystemExit", '{');
        json_string(w, "Detail", "Terminate");
        json_string(w, "Initiator", "Client");
        json_close(w, '}');
        break;
    case SYSTEM_CAUSE_TRIPLE_FAULT:
        write_worker_exit(w, "UnexpectedStop", "TripleFault", "GuestOS");
        break;
    case SYSTEM_CAUSE_VP_FAILURE:
        write_worker_exit(w, "UnrecoverableError", "DeviceFatalError", "Internal");
        break;
    case SYSTEM_CAUSE_RESET_FAILED:
        write_worker_exit(w, "ResetFailed", "ResetStartFailure", "Internal");
        break;
    }
    json_close(w, '}');
    json_close(w, ']');
}

static hresult_t exit_status(const struct system *s)
{
    switch (s->exit) {
    case SYSTEM_EXIT_NONE:
    case SYSTEM_EXIT_GRACEFUL:
        return HR_S_OK;
    case SYSTEM_EXIT_FORCED:
        return HR_HCS_E_TERMINATED;
    case SYSTEM_EXIT_UNEXPECTED:
        return HR_HCS_E_UNEXPECTED_EXIT;
    }
    return HR_E_UNEXPECTED;
}

void document_write_exit(struct json_writer *w, const char *key, const struct system *s)
{
    json_open(w, key, '{');
    json_int(w, "Status", (int32_t)exit_status(s));
    json_string(w, "StatusName", hresult_name(exit_status(s)));
    json_string(w, "ExitType", exit_name(s->exit));
    json_string(w, "Message", s->exit_text);
    json_time(w, "Time", s->stopped_ms);
    write_attribution(w, s);
    json_close(w, '}');
}
