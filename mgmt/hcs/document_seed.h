// SPDX-License-Identifier: Apache-2.0
// VirtualMachine.Devices.NoCloud, an extension of ours: what a system's seed says (mgmt/core/cloud_seed.h).
#ifndef MGMT_HCS_DOCUMENT_SEED_H
#define MGMT_HCS_DOCUMENT_SEED_H

#include "mgmt/core/cloud_seed.h"
#include "mgmt/hcs/schema.h"

// `devices` has passed the schema's check, and may be NULL.
void document_seed_check(const cJSON *devices, struct schema_problems *problems);
// False: there is none. Strings in *out belong to `devices`, in which document_seed_check() found no problem.
bool document_seed_read(const cJSON *devices, struct seed_config *out);

#endif
