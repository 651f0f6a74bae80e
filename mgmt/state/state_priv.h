// SPDX-License-Identifier: Apache-2.0
// What the parts of mgmt/state share.
#ifndef MGMT_STATE_STATE_PRIV_H
#define MGMT_STATE_STATE_PRIV_H

#include "mgmt/core/keeper.h"
#include "mgmt/state/state.h"

// The core's words for what the store says of `what`.
enum core_status state_error(struct core_error *error, enum store_status status, const char *what);

void state_save_image(struct image *image, keeper_done done, void *arg);
void state_delete_image(const char *name, keeper_done done, void *arg);
// Brings all images into the guest pool, one after the other; what does not fit stays on the disk alone.
void state_load_images(void (*loaded)(void));
void state_metrics_init(void);

#endif
