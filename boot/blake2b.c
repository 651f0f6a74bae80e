// SPDX-License-Identifier: Apache-2.0
// BLAKE2b (RFC 7693, section 3), written for size.
#include "boot/blake2b.h"

#include "boot/mem.h"

static const uint64_t IV[8] = {
    0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1,
    0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b, 0x5be0cd19137e2179,
};

// RFC 7693, section 2.7.
static const uint8_t SIGMA[10][16] = {
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
    {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
    {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4},
    {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
    {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13},
    {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
    {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11},
    {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
    {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5},
    {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0},
};

static uint64_t rotate_right(uint64_t value, unsigned bits)
{
    return value >> bits | value << (64 - bits);
}

static void mix(uint64_t *v, const uint8_t lane[4], uint64_t x, uint64_t y)
{
    uint64_t *a = &v[lane[0]], *b = &v[lane[1]], *c = &v[lane[2]], *d = &v[lane[3]];
    *a += *b + x;
    *d = rotate_right(*d ^ *a, 32);
    *c += *d;
    *b = rotate_right(*b ^ *c, 24);
    *a += *b + y;
    *d = rotate_right(*d ^ *a, 16);
    *c += *d;
    *b = rotate_right(*b ^ *c, 63);
}

static void compress(struct blake2b *hash, bool last)
{
    static const uint8_t lanes[8][4] = {{0, 4, 8, 12},  {1, 5, 9, 13},  {2, 6, 10, 14}, {3, 7, 11, 15},
                                        {0, 5, 10, 15}, {1, 6, 11, 12}, {2, 7, 8, 13},  {3, 4, 9, 14}};
    uint64_t v[16];
    uint64_t m[16];

    mem_copy(v, hash->state, sizeof(hash->state));
    mem_copy(v + 8, IV, sizeof(IV));
    mem_copy(m, hash->block, sizeof(m));
    v[12] ^= hash->length;
    if (last) {
        v[14] = ~v[14];
    }
    for (unsigned round = 0; round < 12; round++) {
        const uint8_t *s = SIGMA[round % 10];
        for (unsigned i = 0; i < 8; i++) {
            mix(v, lanes[i], m[s[2 * i]], m[s[2 * i + 1]]);
        }
    }
    for (unsigned i = 0; i < 8; i++) {
        hash->state[i] ^= v[i] ^ v[i + 8];
    }
    hash->used = 0;
}

void blake2b_init(struct blake2b *hash)
{
    mem_set(hash, 0, sizeof(*hash));
    mem_copy(hash->state, IV, sizeof(IV));
    hash->state[0] ^= 0x01010000 ^ BLAKE2B_OUT; // parameter block: no key, fan-out and depth 1
}

void blake2b_update(struct blake2b *hash, const void *data, size_t size)
{
    const uint8_t *bytes = data;
    for (size_t i = 0; i < size; i++) {
        // A full block waits for more input, since the last one is compressed differently.
        if (hash->used == BLAKE2B_BLOCK) {
            hash->length += BLAKE2B_BLOCK;
            compress(hash, false);
        }
        hash->block[hash->used++] = bytes[i];
    }
}

void blake2b_final(struct blake2b *hash, uint8_t out[BLAKE2B_OUT])
{
    hash->length += hash->used;
    mem_set(hash->block + hash->used, 0, BLAKE2B_BLOCK - hash->used);
    compress(hash, true);
    mem_copy(out, hash->state, BLAKE2B_OUT);
}
