// SPDX-License-Identifier: Apache-2.0
// The loader's share of the entropy pool: many weak sources, condensed with BLAKE2b.
#include "boot/entropy.h"

#include "boot/blake2b.h"
#include "boot/mem.h"
#include "boot/x86.h"
#include <efi.h>
#include <efilib.h>

#define CPUID_1_ECX_RDRAND BIT(30)
#define JITTER_ROUNDS 512
#define PORT_POST 0x80 // a write or read here goes over the slow bus and changes nothing

static void add_firmware_rng(struct blake2b *pool)
{
    EFI_GUID guid = EFI_RNG_PROTOCOL_GUID;
    EFI_RNG_PROTOCOL *rng;
    uint8_t bytes[64];
    if (!EFI_ERROR(BS->LocateProtocol(&guid, NULL, (void **)&rng)) &&
        !EFI_ERROR(rng->GetRNG(rng, NULL, sizeof(bytes), bytes))) {
        blake2b_update(pool, bytes, sizeof(bytes));
        mem_set(bytes, 0, sizeof(bytes));
    }
}

static void add_rdrand(struct blake2b *pool)
{
    if ((cpuid(1, 0).ecx & CPUID_1_ECX_RDRAND) == 0) {
        return;
    }
    for (unsigned i = 0; i < 16; i++) {
        uint64_t value = 0;
        uint8_t ok;
        __asm__ volatile("rdrand %0; setc %1" : "+r"(value), "=qm"(ok) : : "cc");
        blake2b_update(pool, &value, sizeof(value));
        blake2b_update(pool, &ok, sizeof(ok));
    }
}

static void add_jitter(struct blake2b *pool)
{
    for (unsigned i = 0; i < JITTER_ROUNDS; i++) {
        uint64_t before = rdtsc();
        (void)inb(PORT_POST);
        uint64_t sample = rdtsc() ^ before << 32;
        blake2b_update(pool, &sample, sizeof(sample));
    }
}

static void add_network_addresses(struct blake2b *pool)
{
    EFI_GUID guid = EFI_SIMPLE_NETWORK_PROTOCOL_GUID;
    EFI_HANDLE *handles;
    UINTN count;
    if (EFI_ERROR(BS->LocateHandleBuffer(ByProtocol, &guid, NULL, &count, &handles))) {
        return;
    }
    for (UINTN i = 0; i < count; i++) {
        EFI_SIMPLE_NETWORK *nic;
        if (!EFI_ERROR(BS->HandleProtocol(handles[i], &guid, (void **)&nic)) && nic->Mode != NULL) {
            blake2b_update(pool, &nic->Mode->PermanentAddress, sizeof(nic->Mode->PermanentAddress));
        }
    }
    BS->FreePool(handles);
}

static void add_firmware_state(struct blake2b *pool)
{
    EFI_TIME now;
    UINT64 counter = 0;
    if (!EFI_ERROR(RT->GetTime(&now, NULL))) {
        blake2b_update(pool, &now, sizeof(now));
    }
    BS->GetNextMonotonicCount(&counter); // its high half counts boots in the firmware's store
    blake2b_update(pool, &counter, sizeof(counter));
}

void entropy_gather(struct boot_info *info)
{
    struct blake2b pool;
    _Static_assert(sizeof(info->entropy) == BLAKE2B_OUT, "one hash fills the field");

    blake2b_init(&pool);
    blake2b_update(&pool, &info->tsc_entry, sizeof(info->tsc_entry));
    add_firmware_rng(&pool);
    add_rdrand(&pool);
    add_network_addresses(&pool);
    add_firmware_state(&pool);
    add_jitter(&pool);
    blake2b_final(&pool, info->entropy);
    mem_set(&pool, 0, sizeof(pool));
}
