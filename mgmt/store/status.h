// SPDX-License-Identifier: Apache-2.0
// Outcomes of the store's functions.
#ifndef MGMT_STORE_STATUS_H
#define MGMT_STORE_STATUS_H

enum store_status {
    STORE_OK = 0,
    STORE_NOT_FOUND,
    STORE_EXISTS,
    STORE_IN_USE,   // open, has children, or is being changed
    STORE_INVALID,  // an argument is wrong, or the object is of the wrong kind
    STORE_FULL,     // no extent or no room in the database is left
    STORE_LIMIT,    // a fixed limit is reached
    STORE_NO_HEAP,  // the management heap is full
    STORE_MISMATCH, // content is not what was announced (length or digest)
    STORE_IO,       // the disk failed; after a failed write until the store is opened again
    STORE_CORRUPT,  // what the disk holds is not consistent
    STORE_FOREIGN,  // the partition holds something else
    STORE_NEWER,    // written by a later version
    STORE_STATUS_COUNT
};

// A few words for logs and clients, such as "the store is full". Never NULL.
const char *store_status_text(enum store_status status);

#endif
