// SPDX-License-Identifier: Apache-2.0
// Validation of documents against the HCS schema: tables generated from schema/hcs.json and hcs_support.json.
//
// Each problem names the JSON path, the value that is there, what was expected and what to do. A property
// of the schema that Keelson does not implement is refused by name, never ignored, unless the support
// table calls it harmless.
#ifndef MGMT_HCS_SCHEMA_H
#define MGMT_HCS_SCHEMA_H

#include <gen/hcs_types.h>
#include <gen/hresult.h>

#include "mgmt/hcs/json_read.h"
#include "mgmt/hcs/json_write.h"

#define SCHEMA_MAJOR 2
#define SCHEMA_MINOR 6 // 2.0 to 2.6

enum hcs_kind {
    HCS_KIND_OBJECT,
    HCS_KIND_ENUM,
    HCS_KIND_INTEGER,
    HCS_KIND_STRING,
    HCS_KIND_BOOLEAN,
    HCS_KIND_GUID,
    HCS_KIND_ANY,
};
enum hcs_shape { HCS_SHAPE_ONE, HCS_SHAPE_ARRAY, HCS_SHAPE_MAP };
enum hcs_support {
    HCS_SUPPORT_YES,
    HCS_SUPPORT_HARMLESS,    // accepted, no effect (docs/api.md lists them)
    HCS_SUPPORT_NO,          // E_NOTIMPL
    HCS_SUPPORT_UNAVAILABLE, // HCS_E_SERVICE_NOT_AVAILABLE
};

struct hcs_property {
    const char *name;
    uint8_t kind, shape, support; // enums above
    uint8_t required;
    uint8_t since_minor;      // schema version 2.N that introduced it
    uint16_t type;            // enum hcs_type_id, for HCS_KIND_OBJECT
    int64_t low, high;        // for HCS_KIND_INTEGER
    const char *const *names; // for HCS_KIND_ENUM, NULL-terminated
    const char *note;         // why it is unavailable
};

struct hcs_type {
    const char *name;
    const struct hcs_property *properties;
    uint16_t property_count;
};

#define PROBLEM_PATH_MAX 200
struct schema_problem {
    hresult_t hr;
    char path[PROBLEM_PATH_MAX]; // such as $.VirtualMachine.Devices.ComPorts["0"].NamedPipe
    char value[80];              // JSON text of what is there, perhaps cut; "" if nothing is
    char expected[160];
    char remedy[160];
};

#define PROBLEMS_MAX 8
struct schema_problems {
    struct schema_problem list[PROBLEMS_MAX];
    size_t count; // in list; checking stops when it is full
};

// Checks `doc` as a document of `type`. True if there is no problem.
MUST_CHECK bool schema_check(enum hcs_type_id type, const cJSON *doc, struct schema_problems *out);
// Adds a problem found by other means; `value` may be NULL.
void schema_problem_add(struct schema_problems *out, hresult_t hr, const char *path, const cJSON *value,
                        const char *expected, const char *remedy);
// One sentence of a problem.
void schema_problem_text(const struct schema_problem *p, char *buf, size_t cap);
// ResultError document of all problems; returns its HRESULT, that of the first problem.
hresult_t schema_problems_write(const struct schema_problems *problems, struct json_writer *w);

#endif
