// SPDX-License-Identifier: Apache-2.0
// keelson-sim: the whole control plane as a Linux program, over the simulated hypervisor and data plane.
//
// The API, its documents and its life cycles are the real ones; guests are the scripted ones of dp_sim.h.
// For tests of clients and for work on the faces without an emulator:
//   keelson-sim [--port N] [--secret-file FILE] [--state FILE]
// prints the address, the certificate's fingerprint and the administrator secret, then serves until it is
// killed or told to power off. FILE is the state partition, made if there is none; without it nothing is kept.
#include <mbedtls/platform_util.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mgmt/block/block.h"
#include "mgmt/core/auth.h"
#include "mgmt/core/core.h"
#include "mgmt/core/keeper.h"
#include "mgmt/core/network.h"
#include "mgmt/hcs/server.h"
#include "mgmt/rt/wake.h"
#include "mgmt/state/state.h"
#include "tests/sim/disk_file.h"
#include "tests/sim/dp_sim.h"
#include "tests/sim/hvif_sim.h"
#include "tests/sim/plat_host.h"

struct options {
    uint16_t port;
    const char *secret_file;
    const char *state_file;
};

#define STATE_BYTES (128ull << 20) // of a new state file

static struct options parse(int argc, char **argv)
{
    struct options o = {.port = 0};

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--port") == 0 && i + 1 < argc) {
            o.port = (uint16_t)atoi(argv[++i]);
        } else if (strcmp(argv[i], "--secret-file") == 0 && i + 1 < argc) {
            o.secret_file = argv[++i];
        } else if (strcmp(argv[i], "--state") == 0 && i + 1 < argc) {
            o.state_file = argv[++i];
        } else {
            fprintf(stderr, "usage: %s [--port N] [--secret-file FILE] [--state FILE]\n", argv[0]);
            exit(2);
        }
    }
    return o;
}

static bool done;

// --- the data plane's part of guests' disks: simulated guests do not use theirs ---

struct wake wake_data;

void wake(struct wake *w)
{
    (void)w;
}

static struct block_device medium = {.max_sectors = BLOCK_MAX_SECTORS, .max_segments = BLOCK_MAX_SEGMENTS};

static void state_ready(void)
{
    done = true;
}

static void start_state(const char *file)
{
    static struct disk_file disk;

    if (file == NULL) {
        return;
    }
    if (!disk_file_open(&disk, file, STATE_BYTES)) {
        perror(file);
        exit(1);
    }
    state_start(&disk.queue.disk, &medium, file, state_ready);
    while (!done) {
        plat_host_step(1000);
    }
}

static void secret_kept(void *arg, const struct core_error *error)
{
    (void)arg;
    if (error != NULL) {
        fprintf(stderr, "the secret is not kept: %s\n", error->text);
    }
    done = true;
}

static void keep_secret(void)
{
    uint8_t digest[AUTH_DIGEST];

    auth_get_digest(digest);
    done = false;
    keeper()->save_setting(AUTH_SETTING, digest, sizeof digest, secret_kept, NULL);
    while (!done) {
        plat_host_step(1000);
    }
}

// A new one unless the state partition has one.
static void show_secret(const char *file)
{
    char secret[AUTH_SECRET_TEXT];
    uint8_t digest[AUTH_DIGEST];
    FILE *f;

    if (keeper() != NULL && keeper()->get_setting(AUTH_SETTING, digest, sizeof digest) == sizeof digest) {
        auth_set_digest(digest);
        printf("the administrator secret is the one shown before\n");
        return;
    }
    auth_new_secret(secret);
    if (keeper() != NULL) {
        keep_secret();
    }
    printf("administrator secret: %s\n", secret);
    if (file != NULL) {
        umask(077);
        f = fopen(file, "w");
        if (f == NULL || fprintf(f, "%s\n", secret) < 0 || fclose(f) != 0) {
            perror(file);
            exit(1);
        }
    }
    mbedtls_platform_zeroize(secret, sizeof secret);
}

int main(int argc, char **argv)
{
    static const struct core_node node = {
        .version = "simulation",
        .engine = "sim",
        .cpu_brand = "simulated processor",
        .hostname = "keelson-sim",
        .cpu_count = 2,
        .tsc_hz = 1000000000,
    };
    static const struct api_server_names names = {
        .hostname = "localhost", .ip = {{127, 0, 0, 1}}, .ip_len = {4}, .ip_count = 1};
    struct options o = parse(argc, argv);
    char fingerprint[96];
    uint16_t port;

    plat_host_log_level(LOG_NOTICE);
    core_init(&node);
    dp_sim_init();
    start_state(o.state_file);
    network_load();
    port = api_server_start(o.port, &names);
    if (port == 0) {
        return 1;
    }
    api_server_fingerprint(fingerprint);
    printf("API ready: https://127.0.0.1:%u/\ncertificate fingerprint: %s\n", port, fingerprint);
    show_secret(o.secret_file);
    fflush(stdout);
    while (sim_hv_last_system_action() != HV_X_POWER_OFF && sim_hv_last_system_action() != HV_X_REBOOT) {
        plat_host_step(1000);
    }
    return 0;
}
