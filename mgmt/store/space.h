// SPDX-License-Identifier: Apache-2.0
// Which extents are taken, in memory: those that the database gives to a volume and those about to be.
#ifndef MGMT_STORE_SPACE_H
#define MGMT_STORE_SPACE_H

#include <keelson/types.h>

struct space {
    uint64_t *bits; // set: taken
    uint64_t count, used, next;
};

MUST_CHECK bool space_init(struct space *s, uint64_t count); // false without memory
void space_end(struct space *s);
// Takes any free extent, by preference the one behind the last taken. False: none is left.
MUST_CHECK bool space_take(struct space *s, uint32_t *extent);
// Takes this one. False: it does not exist or is taken.
MUST_CHECK bool space_claim(struct space *s, uint64_t extent);
void space_give(struct space *s, uint32_t extent);

#endif
