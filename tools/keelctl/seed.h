// SPDX-License-Identifier: Apache-2.0
// Options of `system create` that make a NoCloud seed.
#ifndef KEELCTL_SEED_H
#define KEELCTL_SEED_H

#include <cjson/cJSON.h>

#include "tools/keelctl/keelctl.h"

// Is any of them given?
bool seed_given(const struct options *o);
// Adds NoCloud to a document's Devices if one is. `adapter` is the key of the system's adapter there. False: wrong, and
// said.
bool seed_add(cJSON *devices, const char *adapter, const struct options *o);

#endif
