// srcs: mgmt/hcs/document.c mgmt/hcs/document_seed.c mgmt/hcs/schema.c mgmt/hcs/json_read.c mgmt/hcs/json_write.c mgmt/hcs/result.c mgmt/core/system.c mgmt/core/cloud_seed.c mgmt/block/fat_image.c mgmt/core/modules.c mgmt/core/system_run.c mgmt/core/partition.c mgmt/core/disk.c mgmt/block/ram_disk.c mgmt/block/block.c mgmt/core/partition_build.c mgmt/core/partition_stop.c mgmt/core/deposit.c mgmt/core/image.c mgmt/core/console.c mgmt/core/event.c mgmt/core/operation.c mgmt/core/notify.c mgmt/core/status.c mgmt/hvif/hvif_status.c tests/sim/hvif_sim.c tests/sim/dp_sim.c tests/sim/loader_sim.c tests/sim/plat_host.c mgmt/core/network.c mgmt/core/keeper.c mgmt/vswitch/vswitch.c mgmt/vswitch/mac_table.c mgmt/vswitch/offload.c mgmt/vswitch/dhcp.c
// libs: mbedtls cjson
// SPDX-License-Identifier: Apache-2.0
// Fuzzes the documents that clients send: any bytes as each document type; errors must be well-formed JSON.
#include <stdlib.h>
#include <string.h>

#include "mgmt/hcs/document.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool condition)
{
    if (!condition) {
        abort();
    }
}

// A ResultError of ours must be accepted by our own strict reader.
static void check_error(const struct schema_problems *problems)
{
    struct json_writer w = {0};
    struct json_document doc;
    struct json_error error;

    must(problems->count > 0 && problems->count <= PROBLEMS_MAX);
    must(schema_problems_write(problems, &w) != HR_S_OK);
    must(!w.failed && json_read(w.text, w.length, &doc, &error));
    json_document_free(&doc);
    json_free_text(&w);
}

// What a decoded configuration promises to the core.
static void check_config(const struct system_config *cfg)
{
    must(cfg->memory_bytes > 0 && cfg->memory_bytes % PARTITION_MEMORY_UNIT == 0);
    must(cfg->vp_count >= 1 && cfg->vp_count <= DP_MAX_VPS);
    must(cfg->cap >= 1 && cfg->cap <= SYSTEM_CAP_NONE && cfg->reserve <= SYSTEM_CAP_NONE);
    must(cfg->weight >= 1 && cfg->weight <= 10000);
    must(cfg->kernel != NULL && cfg->cmdline != NULL && strlen(cfg->cmdline) <= SYSTEM_CMDLINE_MAX);
}

// A seed that the document's check let through can be made, unless its keys are too long together.
static void check_seed(const struct system_config *cfg)
{
    static const struct network_adapter nics[DP_MAX_NICS];
    struct core_error error = {0};
    enum core_status status;
    uint8_t *image;
    size_t bytes;

    must(cfg->disk_count < DP_MAX_DISKS && cfg->nic_count <= DP_MAX_NICS);
    status = seed_make(&cfg->seed, "fuzz", nics, cfg->nic_count, &image, &bytes, &error);
    if (status == CORE_OK) {
        must(bytes > 0 && bytes <= 65536 && bytes % 512 == 0);
        free(image);
    } else {
        must(status == CORE_INVALID && error.text[0] != '\0' && cfg->seed.key_count > 0);
    }
}

static void try_type(enum hcs_type_id type, const char *text, size_t size)
{
    struct schema_problems problems;
    struct json_document doc;
    struct system_config cfg;
    unsigned set;

    if (!document_read(type, text, size, &doc, &problems)) {
        check_error(&problems);
        return;
    }
    if (type == HCS_TYPE_ComputeSystem) {
        if (document_decode_system(doc.root, &cfg, &problems)) {
            check_config(&cfg);
            if (cfg.has_seed) {
                check_seed(&cfg);
            }
        } else {
            check_error(&problems);
        }
    } else if (type == HCS_TYPE_System_PropertyQuery &&
               !document_query_properties(doc.root, &set, &problems)) {
        check_error(&problems);
    }
    json_document_free(&doc);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum hcs_type_id types[] = {HCS_TYPE_ComputeSystem, HCS_TYPE_SystemQuery,
                                             HCS_TYPE_System_PropertyQuery, HCS_TYPE_PauseOptions};
    char *text = malloc(size + 1);

    must(text != NULL);
    memcpy(text, data, size);
    text[size] = '\0';
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        try_type(types[i], text, size);
    }
    free(text);
    return 0;
}
