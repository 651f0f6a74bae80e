// SPDX-License-Identifier: Apache-2.0
// Uploads: an image arrives in pieces, is hashed on the way, and becomes visible all at once.
//
// What has arrived is recorded now and then, so that an upload that was cut off, by a client or by the power, can be
// taken up again. An image that nobody uses is replaced by a new one of its name; until then readers see the old one.
//
//   upload_begin ─► upload_write ... ─► upload_finish ─► image
//                        ├──► upload_suspend (kept for a later upload_begin)
//                        └──► upload_abort   (its space comes back)
#ifndef MGMT_STORE_UPLOAD_H
#define MGMT_STORE_UPLOAD_H

#include "mgmt/store/volume.h"

#define UPLOAD_BUFFER (256u << 10)
#define UPLOAD_RECORD_BYTES (32ull << 20) // how often what has arrived is recorded

struct upload;

// Starts an upload, or with `resume` goes on with one that was suspended; otherwise such a one is dropped.
// writable(arg) is called whenever upload_write() takes data again after it took less than it was given.
enum store_status upload_begin(struct store *s, const char *name, bool resume, void (*writable)(void *arg),
                               void *arg, struct upload **out);
uint64_t upload_received(const struct upload *u); // bytes taken, those of before included: where to go on
// Takes up to `length` bytes and returns how many. 0 after a failure: upload_status() says which.
size_t upload_write(struct upload *u, const void *data, size_t length);
enum store_status upload_status(const struct upload *u);
// Ends the upload. `sha256` NULL: any digest is right. STORE_MISMATCH, STORE_IN_USE (the image of that name is used)
// and other failures drop it. *image is set before done(). `u` is gone with this call.
void upload_finish(struct upload *u, const uint8_t *sha256, struct volume **image, store_done done,
                   void *arg);
void upload_abort(struct upload *u);
void upload_suspend(struct upload *u);

// What a later upload_begin() would go on from. *active: one is going on.
uint64_t upload_kept(const struct volume *v, bool *active);

// Uploads that are suspended or going on, by name; begin with NULL.
struct volume *upload_next(const struct store *s, const struct volume *previous);

#endif
