// SPDX-License-Identifier: Apache-2.0
// The store: what a node keeps on its state partition. Records here, images and disks in volume.h and upload.h.
//
// Objects live in memory; SQLite on the partition is the record of them. A change is committed first and then seen:
// a call that returns STORE_OK calls done() exactly once, from the event loop, after the commit is durable or has
// failed; one that returns anything else has done nothing and calls nothing. Strings and blobs passed in are copied.
// Control plane only.
//
//   store_open ─► (formats a blank partition) ─► ready ─► store_close
#ifndef MGMT_STORE_STORE_H
#define MGMT_STORE_STORE_H

#include "mgmt/store/disk.h"
#include "mgmt/store/status.h"

#define STORE_TEXT_MAX 160
#define STORE_KIND_MAX 32
#define STORE_NAME_MAX 128
#define STORE_BODY_MAX (256u << 10)
#define STORE_RECORDS_MAX (4u << 20) // bytes of all records together
#define STORE_SETTING "setting"      // the kind of records that are the node's own settings

struct store;

typedef void (*store_done)(void *arg, enum store_status status);

// Opens the store on `disk`, which must stay. A partition with zeros in its first and last MiB is formatted; one that holds anything else is
// refused. done(): on success the store is ready; on failure only store_error() and store_close() may be called.
// NULL without memory. One store at a time.
struct store *store_open(struct disk *disk, store_done done, void *arg);
// Ends the store when all its work has ended, then calls done() and frees it. Nothing more may be started meanwhile.
void store_close(struct store *s, store_done done, void *arg);
// Why opening failed or writing stopped, in words; "" if nothing is wrong.
const char *store_error(const struct store *s);

struct store_info {
    uint8_t uuid[16];
    int64_t created_ms;
    uint64_t total_bytes, free_bytes; // of extents
    uint64_t database_bytes, database_limit;
    uint64_t commits, transactions; // transactions / commits: how many shared one commit
    uint32_t fiber_stack, fiber_stack_used;
    bool formatted; // by this store_open()
    bool failed;    // a write failed: nothing is written until the store is opened again
};
void store_get_info(const struct store *s, struct store_info *out);

// --- records: named blobs of a kind, such as settings and definitions of systems ---

struct store_record {
    const char *kind, *name;
    const void *body; // followed by a NUL that `length` does not count
    size_t length;
};

// Creates or replaces.
enum store_status store_put(struct store *s, const char *kind, const char *name, const void *body,
                            size_t length, store_done done, void *arg);
enum store_status store_delete(struct store *s, const char *kind, const char *name, store_done done,
                               void *arg);
// What is committed; valid until the event loop goes on. False: there is none.
bool store_get(const struct store *s, const char *kind, const char *name, struct store_record *out);
// Those of a kind, by name; begin with name NULL. False: there is none behind `name`.
bool store_next(const struct store *s, const char *kind, const char *name, struct store_record *out);

// --- is it sound? ---

struct store_report {
    unsigned problems;             // all of them
    char text[STORE_TEXT_MAX * 8]; // the first ones, a line each
    uint64_t bytes_read;
};
// Compares database pages, maps, bitmap and memory. `report` must stay until done(); STORE_OK means that the check
// could be made, not that it found nothing.
enum store_status store_check(struct store *s, struct store_report *report, store_done done, void *arg);
// Reads every image and holds it against its SHA-256, and every grain of the disks to see that it can be read.
enum store_status store_scrub(struct store *s, struct store_report *report, store_done done, void *arg);

#endif
