// SPDX-License-Identifier: Apache-2.0
// Uploads of images that can be taken up again: by the node's store, or nobody.
//
// Content goes to the disk as it arrives, not into memory. What has arrived of an upload that was cut off stays, over
// restarts too, until somebody goes on with it, begins anew, or drops it. Control plane only.
#ifndef MGMT_CORE_KEPT_UPLOAD_H
#define MGMT_CORE_KEPT_UPLOAD_H

#include "mgmt/core/keeper.h"

struct kept_upload; // while a client sends

struct kept_upload_info {
    const char *name;
    uint64_t received; // where to go on
    bool active;       // somebody is sending, or the last one's bytes are being recorded
};

struct upload_keeper {
    // By name; the one behind `name`, or the first with NULL. False: there is none.
    bool (*next)(const char *name, struct kept_upload_info *out);
    // `offset` 0 begins anew; otherwise it must be what was received. `total` is the length of the image. writable(arg)
    // is called whenever write() takes more after it took less than it was given.
    enum core_status (*begin)(const char *name, uint64_t offset, uint64_t total, void (*writable)(void *arg),
                              void *arg, struct kept_upload **out, struct core_error *error);
    // How many bytes it took; 0 and an error: no more will be taken.
    size_t (*write)(struct kept_upload *u, const void *data, size_t length, struct core_error *error);
    // The end, one of them: it becomes an image, if the length is right and, unless it is NULL, the digest; what has
    // arrived stays; nothing stays.
    void (*finish)(struct kept_upload *u, const uint8_t *sha256, keeper_done done, void *arg);
    void (*suspend)(struct kept_upload *u);
    void (*abort)(struct kept_upload *u);
    // Drops what has arrived of one that nobody is sending.
    void (*drop)(const char *name, keeper_done done, void *arg);
};

const struct upload_keeper *upload_keeper(void); // NULL: uploads go into memory
void upload_keeper_set(const struct upload_keeper *k);

#endif
