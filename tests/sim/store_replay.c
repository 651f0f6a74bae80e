// SPDX-License-Identifier: Apache-2.0
// store-replay: what a node would find in its store, starting from the image of a disk.
//
//   store-replay IMAGE [--contents DIR]
//
// looks for the state partition of a GPT disk, opens the store on it as a node does, recovery included, checks it, and
// prints what is in it as JSON. Without DIR it also scrubs the store; with DIR the contents of each image and disk become a
// file there, called by its Id, for whoever compares them. The image is not changed. Status 0: the report says what
// was found, a store that cannot be opened included ("Error"); 1: there is no such image or state partition; 2: wrong
// arguments.
#include <fcntl.h>
#include <mbedtls/sha256.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mgmt/block/gpt.h"
#include "mgmt/hcs/json_write.h"
#include "mgmt/store/store.h"
#include "mgmt/store/upload.h"
#include "mgmt/store/volume.h"
#include "tests/sim/disk_copy.h"
#include "tests/sim/plat_host.h"

#define PIECE (256u << 10) // of contents read at once
#define STEPS_MAX 10000000u

static struct store *store;
static bool answered;
static enum store_status status;

static void done(void *arg, enum store_status result)
{
    (void)arg;
    answered = true;
    status = result;
}

// Turns until the store has answered.
static enum store_status await(void)
{
    for (unsigned steps = 0; !answered; steps++) {
        if (steps == STEPS_MAX) {
            fprintf(stderr, "store-replay: the store does not come to an end\n");
            abort();
        }
        plat_host_step(1000);
    }
    answered = false;
    return status;
}

// --- the partition ---

static uint8_t table[GPT_BUFFER_SIZE];

static bool read_table(void *context, uint64_t block, uint32_t count)
{
    const struct disk_copy *d = context;

    memcpy(table, d->file + block * DISK_SECTOR, (size_t)count * DISK_SECTOR);
    return true;
}

// The one partition of type keelson-state. False: there is none, or several.
static bool select_partition(struct disk_copy *d)
{
    const struct gpt_guid type = GPT_TYPE_STATE;
    const struct gpt_disk disk = {.read = read_table,
                                  .context = d,
                                  .buffer = table,
                                  .blocks = d->file_bytes / DISK_SECTOR,
                                  .block_size = DISK_SECTOR};
    const struct gpt_partition *found = NULL;
    unsigned count = 0;
    struct gpt gpt;

    gpt_read(&disk, &gpt, NULL);
    for (uint32_t i = 0; i < gpt.count; i++) {
        if (gpt_guid_equal(&gpt.partitions[i].type, &type)) {
            found = &gpt.partitions[i];
            count++;
        }
    }
    if (count != 1) {
        return false;
    }
    disk_copy_select(d, found->first, found->blocks);
    return true;
}

// --- what is in it ---

static void report_checks(struct json_writer *w, const char *key,
                          enum store_status (*check)(struct store *s, struct store_report *report,
                                                     store_done done, void *arg))
{
    static struct store_report report;
    enum store_status result = check(store, &report, done, NULL);

    if (result == STORE_OK) {
        result = await();
    }
    json_open(w, key, '{');
    if (result == STORE_OK) {
        json_uint(w, "Problems", report.problems);
        json_string(w, "Text", report.text);
        json_uint(w, "BytesRead", report.bytes_read);
    } else {
        json_uint(w, "Problems", 1);
        json_string(w, "Text", store_status_text(result));
    }
    json_close(w, '}');
}

static void report_settings(struct json_writer *w)
{
    struct store_record record = {.name = NULL};
    uint8_t digest[VOLUME_SHA256];

    json_open(w, "Settings", '[');
    while (store_next(store, STORE_SETTING, record.name, &record)) {
        mbedtls_sha256_ret(record.body, record.length, digest, 0);
        json_open(w, NULL, '{');
        json_string(w, "Name", record.name);
        json_uint(w, "Size", record.length);
        json_hex(w, "Sha256", digest, sizeof digest);
        json_close(w, '}');
    }
    json_close(w, ']');
}

static void report_images(struct json_writer *w)
{
    struct volume_info info;

    json_open(w, "Images", '[');
    for (struct volume *v = NULL; (v = volume_next(store, VOLUME_IMAGE, v)) != NULL;) {
        volume_get_info(v, &info);
        json_open(w, NULL, '{');
        json_uint(w, "Id", info.id);
        json_string(w, "Name", info.name);
        json_uint(w, "Size", info.size);
        json_hex(w, "Sha256", info.sha256, sizeof info.sha256);
        json_close(w, '}');
    }
    json_close(w, ']');
}

static void report_disks(struct json_writer *w)
{
    struct volume_info info, parent;

    json_open(w, "Disks", '[');
    for (struct volume *v = NULL; (v = volume_next(store, VOLUME_DISK, v)) != NULL;) {
        volume_get_info(v, &info);
        json_open(w, NULL, '{');
        json_uint(w, "Id", info.id);
        json_string(w, "Name", info.name);
        json_uint(w, "Size", info.size);
        json_bool(w, "ReadOnly", info.read_only);
        if (info.parent != NULL) {
            volume_get_info(info.parent, &parent);
            json_string(w, "Parent", parent.name);
        }
        json_close(w, '}');
    }
    json_close(w, ']');
}

// --- contents ---

static void piece_read(struct volume_io *io, enum store_status result)
{
    (void)io;
    done(NULL, result);
}

static bool write_piece(int fd, const uint8_t *data, uint64_t offset, uint64_t length)
{
    static uint8_t there[PIECE];

    // Of what a former call has left most is the same as a rule, and need not go to the disk again.
    if (pread(fd, there, length, (off_t)offset) == (ssize_t)length && memcmp(there, data, length) == 0) {
        return true;
    }
    return pwrite(fd, data, length, (off_t)offset) == (ssize_t)length;
}

// False: the file cannot be written, or the store does not read.
static bool copy_contents(struct volume *v, uint64_t size, int fd)
{
    static uint8_t buffer[PIECE];

    if (ftruncate(fd, (off_t)size) != 0) {
        return false;
    }
    for (uint64_t at = 0; at < size;) {
        uint64_t n = MIN(size - at, (uint64_t)PIECE);
        struct volume_io io = {.volume = v,
                               .op = VOLUME_READ,
                               .offset = at,
                               .length = ALIGN_UP(n, (uint64_t)DISK_SECTOR),
                               .buffer = buffer,
                               .done = piece_read};

        volume_submit(&io);
        if (await() != STORE_OK || !write_piece(fd, buffer, at, n)) {
            return false;
        }
        at += n;
    }
    return true;
}

static bool write_contents(enum volume_kind kind, const char *folder)
{
    struct volume_info info;
    char path[4096];
    bool good = true;

    for (struct volume *v = NULL; good && (v = volume_next(store, kind, v)) != NULL;) {
        int fd;

        volume_get_info(v, &info);
        snprintf(path, sizeof path, "%s/%llu", folder, (unsigned long long)info.id);
        fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        good = fd >= 0 && copy_contents(v, info.size, fd);
        if (fd >= 0) {
            good &= close(fd) == 0;
        }
        if (!good) {
            perror(path);
        }
    }
    return good;
}

// --- all ---

static void report_store(struct json_writer *w)
{
    struct store_info info;

    store_get_info(store, &info);
    json_bool(w, "Formatted", info.formatted);
    report_settings(w);
    report_images(w);
    report_disks(w);
    report_checks(w, "Check", store_check);
}

// The report on standard output. False: it could not be made.
static bool replay(struct disk_copy *d, const char *folder)
{
    struct json_writer w = {.text = NULL};
    bool good = true;

    store = store_open(&d->queue.disk, done, NULL);
    if (store == NULL) {
        fprintf(stderr, "store-replay: no memory\n");
        return false;
    }
    json_open(&w, NULL, '{');
    if (await() == STORE_OK) {
        report_store(&w);
        if (folder == NULL) {
            report_checks(&w, "Scrub", store_scrub);
        } else {
            good = write_contents(VOLUME_IMAGE, folder) && write_contents(VOLUME_DISK, folder);
        }
    } else {
        json_string(&w, "Error", store_error(store));
    }
    json_close(&w, '}');
    store_close(store, done, NULL);
    (void)await();
    good &= !w.failed && puts(w.text) >= 0 && fflush(stdout) == 0;
    json_free_text(&w);
    return good;
}

int main(int argc, char **argv)
{
    struct disk_copy disk;
    bool good;

    if (argc != 2 && (argc != 4 || strcmp(argv[2], "--contents") != 0)) {
        fprintf(stderr, "usage: %s IMAGE [--contents DIR]\n", argv[0]);
        return 2;
    }
    plat_host_log_off();
    if (!disk_copy_open(&disk, argv[1])) {
        perror(argv[1]);
        return 1;
    }
    if (!select_partition(&disk)) {
        fprintf(stderr, "%s: there is not one state partition\n", argv[1]);
        disk_copy_close(&disk);
        return 1;
    }
    good = replay(&disk, argc == 4 ? argv[3] : NULL);
    disk_copy_close(&disk);
    return good ? 0 : 1;
}
