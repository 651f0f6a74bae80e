// srcs: mgmt/hcs/document.c mgmt/hcs/document_seed.c mgmt/hcs/schema.c mgmt/hcs/json_read.c mgmt/hcs/json_write.c mgmt/hcs/result.c mgmt/core/system.c mgmt/core/cloud_seed.c mgmt/block/fat_image.c mgmt/core/modules.c mgmt/core/system_run.c mgmt/core/partition.c mgmt/core/disk.c mgmt/block/ram_disk.c mgmt/block/block.c mgmt/core/partition_build.c mgmt/core/partition_stop.c mgmt/core/deposit.c mgmt/core/image.c mgmt/core/console.c mgmt/core/event.c mgmt/core/operation.c mgmt/core/notify.c mgmt/core/status.c mgmt/hvif/hvif_status.c tests/sim/hvif_sim.c tests/sim/dp_sim.c tests/sim/loader_sim.c tests/sim/plat_host.c mgmt/core/network.c mgmt/core/keeper.c mgmt/vswitch/vswitch.c mgmt/vswitch/mac_table.c mgmt/vswitch/offload.c mgmt/vswitch/dhcp.c
// libs: mbedtls cjson
// SPDX-License-Identifier: Apache-2.0
// HCS documents: what is accepted, and for everything else the HRESULT and the JSON path.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mgmt/hcs/document.h"
#include "mgmt/hcs/result.h"

#define BOOT "\"Chipset\":{\"LinuxKernelDirect\":{\"KernelFilePath\":\"k\"}}"
#define VERSION "\"SchemaVersion\":{\"Major\":2,\"Minor\":1}"
#define MEMORY "\"Memory\":{\"SizeInMB\":64}"
#define TOPOLOGY "\"ComputeTopology\":{" MEMORY "}"
#define VM(inside) "{" VERSION ",\"VirtualMachine\":{" inside "}}"
#define VM_OK VM(BOOT "," TOPOLOGY)
#define WITH_VM(more) VM(BOOT "," TOPOLOGY "," more)
#define WITH_TOP(more) "{" VERSION ",\"VirtualMachine\":{" BOOT "," TOPOLOGY "}," more "}"
#define WITH_MEMORY(more) VM(BOOT ",\"ComputeTopology\":{\"Memory\":{\"SizeInMB\":64," more "}}")
#define WITH_CPU(inside) VM(BOOT ",\"ComputeTopology\":{" MEMORY ",\"Processor\":{" inside "}}")
#define WITH_DISK(lun, inside)                                                                               \
    WITH_VM("\"Devices\":{\"Scsi\":{\"a\":{\"Attachments\":{\"" lun "\":{" inside "}}}}}")
#define WITH_SEED(adapters, inside)                                                                          \
    WITH_VM("\"Devices\":{\"NetworkAdapters\":{" adapters "},\"NoCloud\":{" inside "}}")
#define WITH_NIC(inside) WITH_VM("\"Devices\":{\"NetworkAdapters\":{\"n\":{" inside "}}}")

#define P "$.VirtualMachine"
static const struct {
    const char *text;
    hresult_t hr;
    const char *path; // NULL: accepted
} table[] = {
    {VM_OK, HR_S_OK, NULL},
    {WITH_TOP("\"Owner\":\"me\",\"ShouldTerminateOnLastHandleClosed\":true"), HR_S_OK, NULL},
    {WITH_VM(
         "\"StopOnReset\":true,\"Devices\":{\"ComPorts\":{\"0\":{\"NamedPipe\":\"\\\\\\\\.\\\\pipe\\\\x\"},\"1\":{}}}"),
     HR_S_OK, NULL},
    {WITH_CPU("\"Count\":8,\"Limit\":50000,\"Weight\":10000,\"Reservation\":50000"), HR_S_OK, NULL},
    {WITH_MEMORY("\"Backing\":\"Physical\",\"AllowOvercommit\":false"), HR_S_OK, NULL},
    {"  " VM_OK "\n", HR_S_OK, NULL},
    // not JSON, or JSON that is not accepted
    {"", HR_HCS_E_INVALID_JSON, "$"},
    {"{", HR_HCS_E_INVALID_JSON, "$"},
    {"null", HR_HCS_E_INVALID_JSON, "$"},
    {"[]", HR_HCS_E_INVALID_JSON, "$"},
    {VM_OK "x", HR_HCS_E_INVALID_JSON, "$"},
    {VM_OK VM_OK, HR_HCS_E_INVALID_JSON, "$"},
    {WITH_TOP("\"Owner\":\"a\",\"Owner\":\"b\""), HR_HCS_E_INVALID_JSON, "$"},
    {WITH_TOP("\"Owner\":\"a\\u0000b\""), HR_HCS_E_INVALID_JSON, "$ (line 1"},
    {WITH_TOP("\"Owner\":\"a\nb\""), HR_HCS_E_INVALID_JSON, "$ (line 1"},
    {WITH_TOP("\"Owner\":\"\xff\""), HR_HCS_E_INVALID_JSON, "$ (line 1"},
    {WITH_TOP("\"Owner\":\"\xc0\x80\""), HR_HCS_E_INVALID_JSON, "$ (line 1"},
    {WITH_CPU("\"Count\":01"), HR_HCS_E_INVALID_JSON, "$ (line 1"},
    {WITH_CPU("\"Count\":18446744073709551616"), HR_HCS_E_INVALID_JSON, "$ (line 1"},
    {WITH_CPU("\"Count\":9007199254740993"), HR_HCS_E_INVALID_JSON, "$ (line 1"},
    {WITH_CPU("\"Count\":1e999"), HR_E_INVALIDARG, P ".ComputeTopology.Processor.Count"},
    {"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
     HR_HCS_E_INVALID_JSON, "$ (line 1, column 33"},
    // properties that do not exist
    {WITH_TOP("\"owner\":\"me\""), HR_HCS_E_INVALID_JSON, "$.owner"},
    {WITH_VM("\"Devces\":{}"), HR_HCS_E_INVALID_JSON, P ".Devces"},
    {WITH_MEMORY("\"sizeInMB\":1"), HR_HCS_E_INVALID_JSON, P ".ComputeTopology.Memory.sizeInMB"},
    // wrong types
    {WITH_TOP("\"Owner\":5"), HR_HCS_E_INVALID_JSON, "$.Owner"},
    {WITH_TOP("\"Owner\":null"), HR_HCS_E_INVALID_JSON, "$.Owner"},
    {WITH_TOP("\"ShouldTerminateOnLastHandleClosed\":\"true\""), HR_HCS_E_INVALID_JSON,
     "$.ShouldTerminateOnLastHandleClosed"},
    {WITH_CPU("\"Count\":\"2\""), HR_HCS_E_INVALID_JSON, P ".ComputeTopology.Processor.Count"},
    {WITH_CPU("\"Count\":1.5"), HR_HCS_E_INVALID_JSON, P ".ComputeTopology.Processor.Count"},
    {WITH_VM("\"Devices\":[]"), HR_HCS_E_INVALID_JSON, P ".Devices"},
    {WITH_VM("\"Devices\":{\"ComPorts\":[]}"), HR_HCS_E_INVALID_JSON, P ".Devices.ComPorts"},
    {WITH_VM("\"Devices\":{\"ComPorts\":{\"0\":1}}"), HR_HCS_E_INVALID_JSON, P ".Devices.ComPorts[\"0\"]"},
    {WITH_VM("\"Devices\":{\"ComPorts\":{\"0\":{\"NamedPipe\":1}}}"), HR_HCS_E_INVALID_JSON,
     P ".Devices.ComPorts[\"0\"].NamedPipe"},
    {WITH_MEMORY("\"BackingPageSize\":\"Huge\""), HR_HCS_E_INVALID_JSON,
     P ".ComputeTopology.Memory.BackingPageSize"},
    // out of range
    {WITH_CPU("\"Count\":0"), HR_E_INVALIDARG, P ".ComputeTopology.Processor.Count"},
    {WITH_CPU("\"Count\":9"), HR_E_INVALIDARG, P ".ComputeTopology.Processor.Count"},
    {WITH_CPU("\"Count\":-1"), HR_E_INVALIDARG, P ".ComputeTopology.Processor.Count"},
    {WITH_CPU("\"Weight\":0"), HR_E_INVALIDARG, P ".ComputeTopology.Processor.Weight"},
    {WITH_CPU("\"Limit\":100001"), HR_E_INVALIDARG, P ".ComputeTopology.Processor.Limit"},
    {WITH_CPU("\"Limit\":1000,\"Reservation\":2000"), HR_E_INVALIDARG,
     P ".ComputeTopology.Processor.Reservation"},
    {VM(BOOT ",\"ComputeTopology\":{\"Memory\":{\"SizeInMB\":0}}"), HR_E_INVALIDARG,
     P ".ComputeTopology.Memory.SizeInMB"},
    {VM(BOOT ",\"ComputeTopology\":{\"Memory\":{\"SizeInMB\":63}}"), HR_E_INVALIDARG,
     P ".ComputeTopology.Memory.SizeInMB"},
    {VM(BOOT ",\"ComputeTopology\":{\"Memory\":{\"SizeInMB\":9007199254740992}}"), HR_E_INVALIDARG,
     P ".ComputeTopology.Memory.SizeInMB"},
    {WITH_VM("\"Devices\":{\"ComPorts\":{\"2\":{}}}"), HR_E_INVALIDARG, P ".Devices.ComPorts"},
    // missing
    {"{}", HR_HCS_E_INVALID_JSON, "$.SchemaVersion"},
    {"{" VERSION "}", HR_HCS_E_INVALID_JSON, "$"},
    {VM(BOOT), HR_HCS_E_INVALID_JSON, P ".ComputeTopology"},
    {VM("\"Chipset\":{}," TOPOLOGY), HR_HCS_E_INVALID_JSON, P ".Chipset.LinuxKernelDirect"},
    {VM("\"Chipset\":{\"LinuxKernelDirect\":{}}," TOPOLOGY), HR_HCS_E_INVALID_JSON,
     P ".Chipset.LinuxKernelDirect.KernelFilePath"},
    {VM(BOOT ",\"ComputeTopology\":{}"), HR_HCS_E_INVALID_JSON, P ".ComputeTopology.Memory"},
    // versions
    {"{\"SchemaVersion\":{\"Major\":1,\"Minor\":0},\"VirtualMachine\":{" BOOT "," TOPOLOGY "}}",
     HR_HCS_E_INVALID_JSON, "$.SchemaVersion"},
    {"{\"SchemaVersion\":{\"Major\":2,\"Minor\":7},\"VirtualMachine\":{" BOOT "," TOPOLOGY "}}",
     HR_HCS_E_INVALID_JSON, "$.SchemaVersion"},
    // known but not here
    {WITH_VM("\"GuestState\":{\"GuestStateFilePath\":\"x\"}"), HR_E_NOTIMPL, P ".GuestState"},
    {WITH_VM("\"Devices\":{\"VirtualPMem\":{}}"), HR_E_NOTIMPL, P ".Devices.VirtualPMem"},
    {WITH_DISK("0", "\"Type\":\"PassThru\",\"Path\":\"d\""), HR_E_NOTIMPL,
     P ".Devices.Scsi[\"a\"].Attachments[\"0\"]"},
    // network adapters
    {WITH_VM("\"Devices\":{\"NetworkAdapters\":{}}"), HR_S_OK, NULL},
    {WITH_NIC("\"EndpointId\":\"12345678-9abc-4def-8101-020304050607\",\"MacAddress\":\"02-aB-00-00-00-01\""),
     HR_S_OK, NULL},
    {WITH_NIC(""), HR_S_OK, NULL},
    {WITH_NIC("\"EndpointId\":\"x\""), HR_HCS_E_INVALID_JSON, P ".Devices.NetworkAdapters[\"n\"].EndpointId"},
    {WITH_NIC("\"MacAddress\":\"02-00-00-00-00\""), HR_E_INVALIDARG,
     P ".Devices.NetworkAdapters[\"n\"].MacAddress"},
    {WITH_NIC("\"MacAddress\":\"02-00:00-00-00-01\""), HR_E_INVALIDARG,
     P ".Devices.NetworkAdapters[\"n\"].MacAddress"},
    {WITH_NIC("\"MacAddress\":\"03-00-00-00-00-01\""), HR_E_INVALIDARG,
     P ".Devices.NetworkAdapters[\"n\"].MacAddress"},
    {WITH_NIC("\"MacAddress\":\"02-00-00-00-00-011\""), HR_E_INVALIDARG,
     P ".Devices.NetworkAdapters[\"n\"].MacAddress"},
    {WITH_NIC("\"IovSettings\":{}"), HR_E_NOTIMPL, P ".Devices.NetworkAdapters[\"n\"].IovSettings"},
    {WITH_SEED("", ""), HR_S_OK, NULL},
    {WITH_SEED(
         "",
         "\"HostName\":\"web.example.org\",\"User\":\"admin\",\"SshAuthorizedKeys\":[\"ssh-rsa AAAA me\"]"),
     HR_S_OK, NULL},
    {WITH_SEED(
         "\"n\":{}",
         "\"NetworkAdapters\":{\"n\":{\"Address\":\"192.0.2.7/24\",\"Gateway\":\"192.0.2.1\",\"NameServers\":[\"192.0.2.1\"]}}"),
     HR_S_OK, NULL},
    {WITH_SEED("\"n\":{}", "\"NetworkAdapters\":{\"n\":{}}"), HR_S_OK, NULL},
    {WITH_SEED("", "\"HostName\":\"a\",\"UserData\":\"#cloud-config\",\"NetworkConfig\":\"x\""), HR_S_OK,
     NULL},
    {WITH_SEED("", "\"HostName\":\"a_b\""), HR_E_INVALIDARG, P ".Devices.NoCloud.HostName"},
    {WITH_SEED("", "\"User\":\"a b\""), HR_E_INVALIDARG, P ".Devices.NoCloud.User"},
    {WITH_SEED("", "\"SshAuthorizedKeys\":[\"ssh-rsa AAAA\",\"ssh-rsa A\\nB C\"]"), HR_E_INVALIDARG,
     P ".Devices.NoCloud.SshAuthorizedKeys[1]"},
    {WITH_SEED(
         "",
         "\"SshAuthorizedKeys\":[\"a b\",\"a b\",\"a b\",\"a b\",\"a b\",\"a b\",\"a b\",\"a b\",\"a b\",\"a b\",\"a b\",\"a b\",\"a b\",\"a b\",\"a b\",\"a b\",\"a b\"]"),
     HR_E_INVALIDARG, P ".Devices.NoCloud.SshAuthorizedKeys"},
    {WITH_SEED("", "\"UserData\":\"x\",\"User\":\"a\""), HR_E_INVALIDARG, P ".Devices.NoCloud.User"},
    {WITH_SEED("", "\"UserData\":\"x\",\"SshAuthorizedKeys\":[]"), HR_E_INVALIDARG,
     P ".Devices.NoCloud.SshAuthorizedKeys"},
    {WITH_SEED("", "\"MetaData\":\"x\",\"HostName\":\"a\""), HR_E_INVALIDARG, P ".Devices.NoCloud.HostName"},
    {WITH_SEED("\"n\":{}", "\"NetworkConfig\":\"x\",\"NetworkAdapters\":{\"n\":{}}"), HR_E_INVALIDARG,
     P ".Devices.NoCloud.NetworkAdapters"},
    {WITH_SEED("\"n\":{}", "\"NetworkAdapters\":{\"m\":{}}"), HR_E_INVALIDARG,
     P ".Devices.NoCloud.NetworkAdapters[\"m\"]"},
    {WITH_SEED("\"n\":{}", "\"NetworkAdapters\":{\"n\":{\"Address\":\"192.0.2.7\"}}"), HR_E_INVALIDARG,
     P ".Devices.NoCloud.NetworkAdapters[\"n\"].Address"},
    {WITH_SEED("\"n\":{}", "\"NetworkAdapters\":{\"n\":{\"Address\":\"192.0.2.300/24\"}}"), HR_E_INVALIDARG,
     P ".Devices.NoCloud.NetworkAdapters[\"n\"].Address"},
    {WITH_SEED("\"n\":{}", "\"NetworkAdapters\":{\"n\":{\"Gateway\":\"192.0.2.1\"}}"), HR_E_INVALIDARG,
     P ".Devices.NoCloud.NetworkAdapters[\"n\"].Gateway"},
    {WITH_SEED("\"n\":{}",
               "\"NetworkAdapters\":{\"n\":{\"Address\":\"192.0.2.7/24\",\"Gateway\":\"192.0.3.1\"}}"),
     HR_E_INVALIDARG, P ".Devices.NoCloud.NetworkAdapters[\"n\"].Gateway"},
    {WITH_SEED("\"n\":{}", "\"NetworkAdapters\":{\"n\":{\"NameServers\":[\"192.0.2.1\",\"dns\"]}}"),
     HR_E_INVALIDARG, P ".Devices.NoCloud.NetworkAdapters[\"n\"].NameServers[1]"},
    {WITH_SEED(
         "\"n\":{}",
         "\"NetworkAdapters\":{\"n\":{\"NameServers\":[\"1.1.1.1\",\"1.1.1.1\",\"1.1.1.1\",\"1.1.1.1\",\"1.1.1.1\"]}}"),
     HR_E_INVALIDARG, P ".Devices.NoCloud.NetworkAdapters[\"n\"].NameServers"},
    // virtio console
    {WITH_VM("\"Devices\":{\"VirtioSerial\":{\"Ports\":{\"0\":{\"NamedPipe\":\"x\"}}}}"), HR_S_OK, NULL},
    {WITH_VM("\"Devices\":{\"VirtioSerial\":{\"Ports\":{\"1\":{}}}}"), HR_E_INVALIDARG,
     P ".Devices.VirtioSerial.Ports"},
    {WITH_VM("\"Devices\":{\"VirtioSerial\":{\"Ports\":{\"0\":{\"Name\":\"x\"}}}}"), HR_E_NOTIMPL,
     P ".Devices.VirtioSerial.Ports[\"0\"].Name"},
    // disks
    {WITH_DISK("0", "\"Type\":\"VirtualDisk\",\"Path\":\"d\",\"ReadOnly\":true"), HR_S_OK, NULL},
    {WITH_DISK("63", "\"Type\":\"Iso\",\"Path\":\"d\",\"CachingMode\":\"Cached\""), HR_S_OK, NULL},
    {WITH_DISK("0", "\"Type\":\"VirtualDisk\""), HR_HCS_E_INVALID_JSON,
     P ".Devices.Scsi[\"a\"].Attachments[\"0\"].Path"},
    {WITH_DISK("64", "\"Type\":\"Iso\",\"Path\":\"d\""), HR_E_INVALIDARG,
     P ".Devices.Scsi[\"a\"].Attachments[\"64\"]"},
    {WITH_DISK("00", "\"Type\":\"Iso\",\"Path\":\"d\""), HR_E_INVALIDARG,
     P ".Devices.Scsi[\"a\"].Attachments[\"00\"]"},
    {WITH_DISK("x", "\"Type\":\"Iso\",\"Path\":\"d\""), HR_E_INVALIDARG,
     P ".Devices.Scsi[\"a\"].Attachments[\"x\"]"},
    {WITH_DISK("1", "\"Type\":\"Iso\",\"Path\":\"\""), HR_E_INVALIDARG,
     P ".Devices.Scsi[\"a\"].Attachments[\"1\"]"},
    {WITH_VM("\"Devices\":{\"Scsi\":{\"a\":{\"Attachments\":{\"0\":{\"Type\":\"Floppy\"}}}}}"),
     HR_HCS_E_INVALID_JSON, P ".Devices.Scsi[\"a\"].Attachments[\"0\"].Type"},
    {VM("\"Chipset\":{\"Uefi\":{},"
        "\"LinuxKernelDirect\":{\"KernelFilePath\":\"k\"}}," TOPOLOGY),
     HR_E_NOTIMPL, P ".Chipset.Uefi"},
    {"{" VERSION ",\"Container\":{}}", HR_HCS_E_SERVICE_NOT_AVAILABLE, "$.Container"},
    {"{" VERSION ",\"Container\":{\"GuestOs\":7}}", HR_HCS_E_INVALID_JSON, "$.Container.GuestOs"},
};

static bool decode(const char *text, struct system_config *cfg, struct schema_problems *problems,
                   struct json_document *doc)
{
    if (!document_read(HCS_TYPE_ComputeSystem, text, strlen(text), doc, problems)) {
        return false;
    }
    if (!document_decode_system(doc->root, cfg, problems)) {
        json_document_free(doc);
        return false;
    }
    return true;
}

static void test_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct schema_problems problems;
        struct system_config cfg;
        struct json_document doc;
        bool ok = decode(table[i].text, &cfg, &problems, &doc);

        if (table[i].path == NULL) {
            if (!ok) {
                char text[512];

                schema_problem_text(&problems.list[0], text, sizeof text);
                fail_msg("refused: %s\n  %s", table[i].text, text);
            }
            json_document_free(&doc);
            continue;
        }
        if (ok) {
            fail_msg("accepted: %s", table[i].text);
        }
        assert_true(problems.count > 0);
        if (problems.list[0].hr != table[i].hr ||
            strncmp(problems.list[0].path, table[i].path, strlen(table[i].path)) != 0) {
            fail_msg("%s\n  %s at %s, expected %s at %s", table[i].text, hresult_name(problems.list[0].hr),
                     problems.list[0].path, hresult_name(table[i].hr), table[i].path);
        }
        assert_true(strlen(problems.list[0].expected) > 3);
        assert_true(strlen(problems.list[0].remedy) > 3);
    }
}

static void test_values(void **state)
{
    static const char text[] =
        "{\"Owner\":\"o\",\"SchemaVersion\":{\"Major\":2,\"Minor\":6},\"ShouldTerminateOnLastHandleClosed\":true,"
        "\"VirtualMachine\":{\"StopOnReset\":true,\"Chipset\":{\"LinuxKernelDirect\":{\"KernelFilePath\":\"k\","
        "\"InitRdPath\":\"i\",\"KernelCmdLine\":\"a=b \\u00e4\"}},\"ComputeTopology\":{\"Memory\":{\"SizeInMB\":4096},"
        "\"Processor\":{\"Count\":4,\"Limit\":50000,\"Weight\":300,\"Reservation\":25000}},\"Devices\":{\"ComPorts\":"
        "{\"1\":{}}}}}";
    struct schema_problems problems;
    struct system_config cfg;
    struct json_document doc;

    (void)state;
    assert_true(decode(text, &cfg, &problems, &doc));
    assert_string_equal(cfg.owner, "o");
    assert_string_equal(cfg.kernel, "k");
    assert_string_equal(cfg.initrd, "i");
    assert_string_equal(cfg.cmdline, "a=b \xc3\xa4");
    assert_int_equal(cfg.memory_bytes, 4096ull << 20);
    assert_int_equal(cfg.vp_count, 4);
    assert_int_equal(cfg.cap, 0x8000);
    assert_int_equal(cfg.reserve, 0x4000);
    assert_int_equal(cfg.weight, 300);
    assert_false(cfg.com[0]);
    assert_true(cfg.com[1]);
    assert_true(cfg.stop_on_reset);
    assert_true(cfg.terminate_on_last_close);
    json_document_free(&doc);

    assert_true(decode(VM_OK, &cfg, &problems, &doc)); // defaults
    assert_int_equal(cfg.vp_count, 1);
    assert_int_equal(cfg.cap, SYSTEM_CAP_NONE);
    assert_int_equal(cfg.weight, 100);
    assert_null(cfg.initrd);
    json_document_free(&doc);
}

static void test_disks(void **state)
{
    static const char good[] = WITH_VM(
        "\"Devices\":{\"Scsi\":{\"one\":{\"Attachments\":{\"0\":{\"Type\":\"VirtualDisk\",\"Path\":\"a\"},"
        "\"5\":{\"Type\":\"Iso\",\"Path\":\"b\"}}},\"two\":{\"Attachments\":{\"0\":{\"Type\":\"VirtualDisk\","
        "\"Path\":\"c\",\"ReadOnly\":true}}}}}");
    static char many[2048];
    struct schema_problems problems;
    struct system_config cfg;
    struct json_document doc;
    size_t n;

    (void)state;
    assert_true(decode(good, &cfg, &problems, &doc));
    assert_int_equal(cfg.disk_count, 3);
    assert_string_equal(cfg.disk[0].path, "a");
    assert_string_equal(cfg.disk[1].path, "b");
    assert_string_equal(cfg.disk[2].path, "c");
    assert_false(cfg.disk[0].read_only);
    assert_true(cfg.disk[1].read_only);
    assert_true(cfg.disk[2].read_only);
    json_document_free(&doc);
    n = (size_t)snprintf(many, sizeof many,
                         "{" VERSION ",\"VirtualMachine\":{" BOOT "," TOPOLOGY
                         ",\"Devices\":{\"Scsi\":{\"a\":{\"Attachments\":{");
    for (unsigned i = 0; i <= DP_MAX_DISKS; i++) {
        n += (size_t)snprintf(many + n, sizeof many - n, "%s\"%u\":{\"Type\":\"Iso\",\"Path\":\"a\"}",
                              i == 0 ? "" : ",", i);
    }
    snprintf(many + n, sizeof many - n, "}}}}}}");
    assert_false(decode(many, &cfg, &problems, &doc));
    assert_string_equal(problems.list[0].path, P ".Devices.Scsi");
}

static void test_adapters(void **state)
{
    static const char good[] = WITH_VM(
        "\"Devices\":{\"NetworkAdapters\":{\"a\":{\"EndpointId\":\"12345678-9abc-4def-8101-020304050607\","
        "\"MacAddress\":\"02:aB:00:10:00:fF\"},\"b\":{}}}");
    static const uint8_t mac[6] = {0x02, 0xab, 0x00, 0x10, 0x00, 0xff}, none[6];
    struct schema_problems problems;
    struct system_config cfg;
    struct json_document doc;

    (void)state;
    assert_true(decode(good, &cfg, &problems, &doc));
    assert_int_equal(cfg.nic_count, 2);
    assert_memory_equal(cfg.nic[0].mac, mac, 6);
    assert_string_equal(cfg.nic[0].endpoint, "12345678-9abc-4def-8101-020304050607");
    assert_memory_equal(cfg.nic[1].mac, none, 6);
    assert_string_equal(cfg.nic[1].endpoint, "");
    json_document_free(&doc);
}

static void test_seed(void **state)
{
    static const char good[] = WITH_SEED(
        "\"a\":{},\"b\":{},\"c\":{}",
        "\"HostName\":\"web\",\"User\":\"u\",\"SshAuthorizedKeys\":[\"k 1\",\"k 2\"],\"NetworkAdapters\":{"
        "\"c\":{\"NameServers\":[\"192.0.2.3\"]},\"b\":{\"Address\":\"192.0.2.7/24\",\"Gateway\":\"192.0.2.1\"}}");
    static char file[SEED_FILE_MAX + 256];
    struct schema_problems problems;
    struct system_config cfg;
    struct json_document doc;

    (void)state;
    assert_true(decode(VM_OK, &cfg, &problems, &doc));
    assert_false(cfg.has_seed);
    json_document_free(&doc);
    assert_true(decode(good, &cfg, &problems, &doc));
    assert_true(cfg.has_seed);
    assert_string_equal(cfg.seed.host_name, "web");
    assert_string_equal(cfg.seed.user, "u");
    assert_int_equal(cfg.seed.key_count, 2);
    assert_string_equal(cfg.seed.key[1], "k 2");
    assert_true(cfg.seed.network);
    assert_null(cfg.seed.adapter[0].address);
    assert_string_equal(cfg.seed.adapter[1].address, "192.0.2.7/24");
    assert_string_equal(cfg.seed.adapter[1].gateway, "192.0.2.1");
    assert_null(cfg.seed.adapter[2].address);
    assert_int_equal(cfg.seed.adapter[2].name_server_count, 1);
    assert_string_equal(cfg.seed.adapter[2].name_server[0], "192.0.2.3");
    assert_null(cfg.seed.user_data);
    json_document_free(&doc);
    (void)snprintf(file, sizeof file,
                   "{" VERSION ",\"VirtualMachine\":{" BOOT "," TOPOLOGY
                   ",\"Devices\":{\"NoCloud\":{\"UserData\":\"%0*d\"}}}}",
                   (int)SEED_FILE_MAX, 0);
    assert_true(decode(file, &cfg, &problems, &doc));
    assert_false(cfg.seed.network);
    json_document_free(&doc);
    (void)snprintf(file, sizeof file,
                   "{" VERSION ",\"VirtualMachine\":{" BOOT "," TOPOLOGY
                   ",\"Devices\":{\"NoCloud\":{\"UserData\":\"%0*d\"}}}}",
                   (int)SEED_FILE_MAX + 1, 0);
    assert_false(decode(file, &cfg, &problems, &doc));
    assert_string_equal(problems.list[0].path, P ".Devices.NoCloud.UserData");
}

static void test_many_problems_are_bounded(void **state)
{
    char text[8192] = "{";
    struct schema_problems problems;
    struct system_config cfg;
    struct json_document doc;
    struct json_writer w = {0};

    (void)state;
    for (int i = 0; i < 200; i++) {
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s\"x%d\":{}", i ? "," : "", i);
    }
    strcat(text, "}");
    assert_false(decode(text, &cfg, &problems, &doc));
    assert_int_equal(problems.count, PROBLEMS_MAX);
    assert_int_equal(schema_problems_write(&problems, &w), HR_HCS_E_INVALID_JSON);
    assert_false(w.failed);
    assert_non_null(strstr(w.text, "\"ErrorName\":\"HCS_E_INVALID_JSON\""));
    assert_non_null(strstr(w.text, "\"Value\":\"$.x7\""));
    json_free_text(&w);
}

static void test_writer(void **state)
{
    static const uint8_t uuid[16] = {0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0x4d, 0xef,
                                     0x81, 1,    2,    3,    4,    5,    6,    7};
    struct json_writer w = {0};
    struct json_document doc;
    struct json_error error;

    (void)state;
    json_open(&w, NULL, '{');
    json_string(&w, "s", "a\"b\\c\n\x7f\xc3\xa4\xff");
    json_uint(&w, "u", UINT64_MAX);
    json_int(&w, "i", -5);
    json_bool(&w, "b", true);
    json_time(&w, "t", 1767225600123);
    json_time(&w, "t0", 0);
    json_uuid(&w, "g", uuid);
    json_open(&w, "a", '[');
    json_null(&w, NULL);
    json_uint(&w, NULL, 1);
    json_close(&w, ']');
    json_close(&w, '}');
    assert_string_equal(w.text,
                        "{\"s\":\"a\\\"b\\\\c\\u000a\\u007f\xc3\xa4\xef\xbf\xbd\",\"u\":18446744073709551615,"
                        "\"i\":-5,\"b\":true,\"t\":\"2026-01-01T00:00:00.123Z\",\"t0\":null,"
                        "\"g\":\"12345678-9abc-4def-8101-020304050607\",\"a\":[null,1]}");
    json_free_text(&w);
    assert_false(json_read("[1,2", 4, &doc, &error)); // what we would not write
}

static void test_queries(void **state)
{
    static const char good[] = "{\"PropertyTypes\":[\"Memory\",\"Statistics\"]}";
    static const char later[] = "{\"PropertyTypes\":[\"ProcessList\"]}";
    static const char bad[] = "{\"PropertyTypes\":[\"memory\"]}";
    struct schema_problems problems;
    struct json_document doc;
    unsigned set;

    (void)state;
    assert_true(document_read(HCS_TYPE_System_PropertyQuery, good, strlen(good), &doc, &problems));
    assert_true(document_query_properties(doc.root, &set, &problems));
    assert_int_equal(set, DOCUMENT_MEMORY | DOCUMENT_STATISTICS);
    json_document_free(&doc);
    assert_true(document_read(HCS_TYPE_System_PropertyQuery, later, strlen(later), &doc, &problems));
    assert_false(document_query_properties(doc.root, &set, &problems));
    assert_int_equal(problems.list[0].hr, HR_E_NOTIMPL);
    json_document_free(&doc);
    assert_false(document_read(HCS_TYPE_System_PropertyQuery, bad, strlen(bad), &doc, &problems));
    assert_int_equal(problems.list[0].hr, HR_HCS_E_INVALID_JSON);
    assert_string_equal(problems.list[0].path, "$.PropertyTypes[0]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),  cmocka_unit_test(test_values),
        cmocka_unit_test(test_disks),  cmocka_unit_test(test_adapters),
        cmocka_unit_test(test_seed),   cmocka_unit_test(test_many_problems_are_bounded),
        cmocka_unit_test(test_writer), cmocka_unit_test(test_queries),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
