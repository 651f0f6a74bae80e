// srcs: mgmt/state/state.c mgmt/state/state_image.c mgmt/state/state_metrics.c mgmt/block_metrics.c mgmt/state/state_activity.c mgmt/core/keeper.c mgmt/core/image.c mgmt/core/event.c mgmt/core/notify.c mgmt/core/status.c mgmt/hvif/hvif_status.c tests/sim/disk_sim.c tests/sim/plat_host.c mgmt/store/check.c mgmt/store/db.c mgmt/store/fiber.c mgmt/store/fiber_switch.S mgmt/store/layout.c mgmt/store/map.c mgmt/store/record.c mgmt/store/scrub.c mgmt/store/space.c mgmt/store/store.c mgmt/store/txn.c mgmt/store/upload.c mgmt/store/vfs.c mgmt/store/volume.c mgmt/store/volume_delete.c mgmt/store/volume_flush.c mgmt/store/volume_io.c mgmt/store/volume_load.c mgmt/store/worker.c mgmt/state/state_disk.c mgmt/state/state_disks.c mgmt/block/mapped_disk.c mgmt/block/block.c mgmt/state/state_upload.c
// libs: sqlite3 mbedtls
// SPDX-License-Identifier: Apache-2.0
// The store in the node: what the core hands to its keeper is there after a restart.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mgmt/core/image.h"
#include "mgmt/core/keeper.h"
#include "mgmt/hcs/metrics.h"
#include "mgmt/rt/wake.h"
#include "mgmt/state/state.h"
#include "mgmt/store/upload.h"
#include "tests/sim/disk_sim.h"
#include "tests/sim/plat_host.h"

#define SECTORS (24u * 2048u)

static struct disk_sim disk;
struct wake wake_data;
static bool done;
static enum core_status result;

// --- the data plane and /metrics are not part of this test ---

void wake(struct wake *w)
{
    (void)w;
}

void metrics_source_add(struct metrics_source *s)
{
    assert_non_null(s->write);
}

void metrics_counter(struct metrics *m, const char *name, uint64_t value)
{
    (void)m;
    (void)name;
    (void)value;
}

void metrics_gauge(struct metrics *m, const char *name, uint64_t value)
{
    metrics_counter(m, name, value);
}

void metrics_family(struct metrics *m, const char *name, const char *type)
{
    (void)m;
    (void)name;
    (void)type;
}

void metrics_sample(struct metrics *m, const char *labels, uint64_t value)
{
    metrics_counter(m, labels, value);
}

const char *metrics_label(struct metrics_labels *l, const char *name, const char *value)
{
    (void)name;
    (void)value;
    return l->text;
}

void metrics_fail(struct metrics *m)
{
    (void)m;
}

static void wait_done(void)
{
    while (!done) {
        disk_sim_step(&disk);
        plat_host_settle();
    }
    done = false;
}

static void ready(void)
{
    done = true;
}

static void kept(void *arg, const struct core_error *error)
{
    (void)arg;
    result = error == NULL ? CORE_OK : error->status;
    done = true;
}

static void start(void)
{
    state_start(&disk.disk, NULL, "disk0p4", ready);
    wait_done();
}

static void closed(void *arg, enum store_status status)
{
    (void)arg;
    (void)status;
    done = true;
}

// The node's memory is gone, the disk stays.
static void stop(void)
{
    struct image *image;

    keeper_set(NULL);
    if (state_store() != NULL) {
        store_close(state_store(), closed, NULL);
        wait_done();
    }
    while ((image = image_next(NULL)) != NULL) {
        struct image_info info;
        char name[IMAGE_NAME_MAX + 1];

        image_get_info(image, &info);
        strcpy(name, info.name);
        image_forget(name);
    }
}

static enum core_status put(const char *name, uint8_t *content, size_t size)
{
    struct core_error error;
    struct image_upload *up;

    assert_int_equal(image_upload_begin(name, size, &up, &error), CORE_OK);
    assert_int_equal(image_upload_write(up, content, size, &error), CORE_OK);
    assert_int_equal(image_upload_seal(up, NULL, &error), CORE_OK);
    keeper()->save_image(image_upload_sealed(up), kept, NULL);
    wait_done();
    if (result != CORE_OK) {
        image_upload_abort(up);
        return result;
    }
    image_upload_publish(up);
    return CORE_OK;
}

static void everything_is_back(void **state)
{
    size_t size = (3u << 20) + 77;
    uint8_t *content = malloc(size), *back = malloc(size);
    struct image_info before, after;
    char setting[8];

    (void)state;
    memset(content, 0x3c, size);
    disk_sim_init(&disk, SECTORS, 3);
    start();
    assert_non_null(keeper());
    assert_int_equal(keeper()->get_setting("x", setting, sizeof setting), 0);
    keeper()->save_setting("x", "value", 5, kept, NULL);
    wait_done();
    assert_int_equal(result, CORE_OK);
    assert_int_equal(put("kernel", content, size), CORE_OK);
    assert_int_equal(put("gone", content, 1000), CORE_OK);
    keeper()->save_setting("x.2", "more", 4, kept, NULL);
    wait_done();
    assert_string_equal(keeper()->next_setting("x"), "x.2");
    assert_null(keeper()->next_setting("x.2"));
    keeper()->save_setting("y", "", 0, kept, NULL);
    wait_done();
    keeper()->delete_setting("x.2", kept, NULL);
    wait_done();
    assert_int_equal(result, CORE_OK);
    image_get_info(image_find("kernel"), &before);
    keeper()->delete_image("gone", kept, NULL);
    wait_done();
    image_forget("gone");
    stop();
    start();
    assert_int_equal(keeper()->get_setting("x", setting, sizeof setting), 5);
    assert_memory_equal(setting, "value", 5);
    assert_int_equal(keeper()->get_setting("x", setting, 4), 0); // no room
    assert_string_equal(keeper()->next_setting("x"), "y");
    assert_null(image_find("gone"));
    image_get_info(image_find("kernel"), &after);
    assert_int_equal(after.created_ms, before.created_ms);
    assert_int_equal(image_read(image_find("kernel"), 0, back, size), size);
    assert_memory_equal(back, content, size);
    stop();
    disk_sim_end(&disk);
    free(content);
    free(back);
}

static void full_store_keeps_nothing_half(void **state)
{
    size_t size = 20u << 20; // of 17 MiB
    uint8_t *content = calloc(1, size);
    struct keeper_info info;

    (void)state;
    disk_sim_init(&disk, SECTORS, 3);
    start();
    assert_int_equal(put("large", content, size), CORE_NO_STORAGE);
    assert_int_equal(put("small", content, 1000), CORE_OK);
    stop();
    start();
    assert_null(image_find("large"));
    assert_non_null(image_find("small"));
    keeper()->get_info(&info);
    assert_int_equal(info.free_bytes, 16u << 20);
    stop();
    disk_sim_end(&disk);
    free(content);
}

// Content that has changed under the digest is not given to guests.
static void damaged_images_are_not_offered(void **state)
{
    uint8_t content[4096];
    struct volume_run run;

    (void)state;
    memset(content, 1, sizeof content);
    disk_sim_init(&disk, SECTORS, 3);
    start();
    assert_int_equal(put("a", content, sizeof content), CORE_OK);
    assert_int_equal(put("b", content, sizeof content), CORE_OK);
    volume_lookup(volume_find(state_store(), VOLUME_IMAGE, "a"), 0, 512, &run);
    disk.media[run.sector * DISK_SECTOR] ^= 1;
    stop();
    start();
    assert_null(image_find("a"));
    assert_non_null(image_find("b"));
    stop();
    disk_sim_end(&disk);
}

static void unusable_partition_leaves_a_node_without(void **state)
{
    (void)state;
    disk_sim_init(&disk, SECTORS, 3);
    disk.media[100] = 1;
    start();
    assert_null(keeper());
    assert_null(state_store());
    disk_sim_end(&disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_is_back),
        cmocka_unit_test(full_store_keeps_nothing_half),
        cmocka_unit_test(damaged_images_are_not_offered),
        cmocka_unit_test(unusable_partition_leaves_a_node_without),
    };

    plat_host_log_off();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
