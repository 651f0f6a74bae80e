// SPDX-License-Identifier: Apache-2.0
// Who keeps the core's objects over restarts: the node's store, or nobody.
//
// The core and the faces know only this table; mgmt/state/ fills it when the node has a state partition. What was
// answered as done is on the disk. Control plane only.
#ifndef MGMT_CORE_KEEPER_H
#define MGMT_CORE_KEEPER_H

#include "mgmt/core/status.h"

struct image;

// error NULL: done, and durable. Exactly once, from the event loop; without memory already from within the call.
typedef void (*keeper_done)(void *arg, const struct core_error *error);

struct keeper_info {
    const char *place; // such as "disk0p4"
    uint8_t uuid[16];
    uint64_t total_bytes, free_bytes;
    uint64_t database_bytes, database_limit;
    uint64_t commits, transactions;
    const char *problem; // "" while all is well
};

struct keeper_report {
    unsigned problems;
    const char *text; // a line each; valid in done()
    uint64_t bytes_read;
};

struct keeper {
    void (*get_info)(struct keeper_info *out);
    // A copy of the image's content goes to the disk. The image must stay until done().
    void (*save_image)(struct image *image, keeper_done done, void *arg);
    void (*delete_image)(const char *name, keeper_done done, void *arg);
    void (*save_setting)(const char *name, const void *body, size_t length, keeper_done done, void *arg);
    // The setting's length, or 0 when there is none or it does not have room.
    size_t (*get_setting)(const char *name, void *body, size_t room);
    void (*delete_setting)(const char *name, keeper_done done, void *arg);
    // The name of the first setting behind `name` in the order of strcmp(); NULL: there is none.
    const char *(*next_setting)(const char *name);
    // Consistency of the store, or with `contents` that of everything it holds. One at a time.
    void (*check)(bool contents,
                  void (*done)(void *arg, const struct keeper_report *report, const struct core_error *error),
                  void *arg);
};

const struct keeper *keeper(void); // NULL: nothing outlives a restart
void keeper_set(const struct keeper *k);

#endif
