// SPDX-License-Identifier: Apache-2.0
// The entropy pool and its generator, on mbedTLS's SHA-256 and HMAC_DRBG (NIST SP 800-90A).
#include "mgmt/rt/entropy.h"
#include "mgmt/rt/entropy_priv.h"

#include "mgmt/plat.h"
#include "mgmt/rt/cpu.h"
#include "mgmt/rt/interrupt.h"

#include <mbedtls/hmac_drbg.h>
#include <mbedtls/md.h>
#include <mbedtls/sha256.h>
#include <string.h>

#define HASH_SIZE 32
#define CPUID_1_ECX_RDRAND BIT(30)
#define RDRAND_TRIES 10      // Intel's advice: fails ten times only when broken
#define TIMING_ROUNDS 64     // boot-time measurements of memory and CPUID latency
#define RESEED_INTERVAL 1024 // requests between two seedings from the pool

static uint8_t pool[HASH_SIZE];
static mbedtls_hmac_drbg_context drbg;
static bool have_rdrand;
static bool seeded;

// pool = SHA-256(pool, tag, data, time): nothing that is added can take away what is there.
static void mix(uint8_t tag, const void *data, size_t len)
{
    mbedtls_sha256_context sha;
    uint64_t now = cpu_rdtsc();

    mbedtls_sha256_init(&sha);
    if (mbedtls_sha256_starts_ret(&sha, 0) != 0 || mbedtls_sha256_update_ret(&sha, pool, HASH_SIZE) != 0 ||
        mbedtls_sha256_update_ret(&sha, &tag, 1) != 0 || mbedtls_sha256_update_ret(&sha, data, len) != 0 ||
        mbedtls_sha256_update_ret(&sha, (const uint8_t *)&now, sizeof(now)) != 0 ||
        mbedtls_sha256_finish_ret(&sha, pool) != 0) {
        rt_panic("SHA-256 failed");
    }
    mbedtls_sha256_free(&sha);
}

static void mix_rdrand(void)
{
    uint64_t words[4] = {0};

    if (!have_rdrand) {
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        bool ok = false;

        for (unsigned n = 0; n < RDRAND_TRIES && !ok; n++) {
            __asm__ volatile("rdrand %0" : "=r"(words[i]), "=@ccc"(ok));
        }
    }
    mix('r', words, sizeof(words));
}

// How long serialising instructions take varies with what else the host and its other processors do.
static void mix_timing(void)
{
    uint64_t times[TIMING_ROUNDS];
    uint32_t out[4];

    for (size_t i = 0; i < ARRAY_LEN(times); i++) {
        cpu_cpuid(0, 0, out);
        times[i] = cpu_rdtsc();
    }
    mix('t', times, sizeof(times));
}

// mbedTLS's entropy callback: takes `len` bytes out of the pool and makes the pool forget them.
static int extract(void *ctx, unsigned char *out, size_t len)
{
    (void)ctx;
    mix('j', entropy_jitter, sizeof(entropy_jitter));
    mix_rdrand();
    while (len > 0) {
        uint8_t block[HASH_SIZE];
        size_t n = MIN(len, sizeof(block));

        if (mbedtls_sha256_ret(pool, HASH_SIZE, block, 0) != 0) {
            return MBEDTLS_ERR_HMAC_DRBG_ENTROPY_SOURCE_FAILED;
        }
        memcpy(out, block, n);
        mix('x', block, sizeof(block));
        memset(block, 0, sizeof(block));
        out += n;
        len -= n;
    }
    return 0;
}

void entropy_init(const struct mgmt_boot_info *info)
{
    static const uint8_t personal[] = "Keelson management partition";
    uint32_t out[4];

    cpu_cpuid(1, 0, out);
    have_rdrand = (out[2] & CPUID_1_ECX_RDRAND) != 0;
    mix('b', info->boot.entropy, sizeof(info->boot.entropy));
    mix('c', &info->boot.tsc_entry, sizeof(info->boot.tsc_entry));
    mix('u', &info->boot.unix_time, sizeof(info->boot.unix_time));
    mix('s', &info->boot.tsc_at_time, sizeof(info->boot.tsc_at_time));
    mix_timing();
    mbedtls_hmac_drbg_init(&drbg);
    mbedtls_hmac_drbg_set_reseed_interval(&drbg, RESEED_INTERVAL);
    if (mbedtls_hmac_drbg_seed(&drbg, mbedtls_md_info_from_type(MBEDTLS_MD_SHA256), extract, NULL, personal,
                               sizeof(personal)) != 0) {
        rt_panic("the random generator cannot be seeded");
    }
    seeded = true;
}

// --- mgmt/plat.h ---

void plat_entropy_add(const void *buf, size_t len)
{
    mix('a', buf, len);
    if (seeded && mbedtls_hmac_drbg_reseed(&drbg, NULL, 0) != 0) {
        rt_panic("the random generator cannot be seeded");
    }
}

void plat_random(void *buf, size_t len)
{
    uint8_t *out = buf;

    while (len > 0) {
        size_t n = MIN(len, (size_t)MBEDTLS_HMAC_DRBG_MAX_REQUEST);

        if (mbedtls_hmac_drbg_random(&drbg, out, n) != 0) {
            rt_panic("no random numbers"); // a key without randomness would be worse than none
        }
        out += n;
        len -= n;
    }
}
