// SPDX-License-Identifier: Apache-2.0
// BLAKE2b with 64 bytes of output and no key (RFC 7693): condenses what the loader gathers as entropy.
#ifndef KEELSON_BOOT_BLAKE2B_H
#define KEELSON_BOOT_BLAKE2B_H

#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>

#define BLAKE2B_BLOCK 128
#define BLAKE2B_OUT 64

struct blake2b {
    uint64_t state[8];
    uint64_t length; // bytes compressed so far
    uint8_t block[BLAKE2B_BLOCK];
    size_t used; // bytes of `block` not compressed yet
};

// Starts a hash.
void blake2b_init(struct blake2b *hash);
// Adds `size` bytes.
void blake2b_update(struct blake2b *hash, const void *data, size_t size);
// Finishes; `hash` must not be used afterwards.
void blake2b_final(struct blake2b *hash, uint8_t out[BLAKE2B_OUT]);

#endif
