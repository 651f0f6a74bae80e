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
// Brings one into the guest pool, or makes it visible as one that the store alone has. done() may come from within.
struct volume;
void state_load_image(struct volume *v, void (*done)(void *arg, const struct core_error *error), void *arg);
void state_metrics_init(void);
// Becomes the core's keeper of uploads.
void state_uploads_init(void);

// Becomes the core's keeper of disks. `medium` is the state partition as guests' disks use it; NULL: guests cannot
// open any.
struct block_device;
void state_disks_init(struct block_device *medium);

#endif
