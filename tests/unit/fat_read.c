// SPDX-License-Identifier: Apache-2.0
// A reader for FAT12 that is written from the specification, not from mgmt/block/fat_image.c.
#include "tests/unit/fat_read.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

static uint32_t get(const uint8_t *at, unsigned bytes)
{
    uint32_t value = 0;

    for (unsigned i = bytes; i-- > 0;) {
        value = value << 8 | at[i];
    }
    return value;
}

struct volume {
    const uint8_t *image;
    uint32_t sector, cluster_bytes, table, root, root_entries, data, clusters;
};

static struct volume mount(const uint8_t *image, size_t bytes)
{
    struct volume v = {.image = image, .sector = get(image + 11, 2)};
    uint32_t table_sectors = get(image + 22, 2), sectors = get(image + 19, 2);

    assert_int_equal(get(image + 510, 2), 0xaa55);
    assert_int_equal(v.sector, 512);
    assert_int_equal((uint64_t)sectors * v.sector, bytes);
    v.cluster_bytes = image[13] * v.sector;
    v.table = get(image + 14, 2) * v.sector;
    v.root_entries = get(image + 17, 2);
    v.root = v.table + image[16] * table_sectors * v.sector;
    v.data = v.root + v.root_entries * 32;
    v.clusters = (uint32_t)((bytes - v.data) / v.cluster_bytes);
    assert_true(v.clusters < 4085); // what makes it FAT12
    assert_true((v.clusters + 2) * 3 / 2 + 1 <= table_sectors * v.sector);
    for (unsigned i = 1; i < image[16]; i++) {
        assert_memory_equal(image + v.table, image + v.table + i * table_sectors * v.sector,
                            table_sectors * v.sector);
    }
    return v;
}

static uint32_t next_cluster(const struct volume *v, uint32_t cluster)
{
    uint32_t pair = get(v->image + v->table + cluster + cluster / 2, 2);

    return cluster % 2 == 1 ? pair >> 4 : pair & 0xfff;
}

static char *contents(const struct volume *v, uint32_t cluster, uint32_t bytes, size_t *length)
{
    char *out = malloc(bytes + 1);

    assert_non_null(out);
    for (uint32_t done = 0; done < bytes; cluster = next_cluster(v, cluster)) {
        uint32_t n = MIN(v->cluster_bytes, bytes - done);

        assert_in_range(cluster, 2, v->clusters + 1);
        memcpy(out + done, v->image + v->data + (cluster - 2) * v->cluster_bytes, n);
        done += n;
        if (done == bytes) {
            assert_true(next_cluster(v, cluster) >= 0xff8);
        }
    }
    out[bytes] = '\0';
    *length = bytes;
    return out;
}

static void take_long_part(const uint8_t *e, char name[256])
{
    static const uint8_t at[] = {1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30};
    unsigned part = e[0] & 0x3f;

    assert_in_range(part, 1, 19);
    for (unsigned i = 0; i < sizeof at; i++) {
        uint32_t c = get(e + at[i], 2);

        name[(part - 1) * 13 + i] = c == 0xffff ? '\0' : (char)c;
    }
}

static uint8_t short_sum(const uint8_t *name)
{
    unsigned sum = 0;

    for (unsigned i = 0; i < 11; i++) {
        sum = (((sum & 1) ? 0x80 : 0) + (sum >> 1) + name[i]) & 0xff;
    }
    return (uint8_t)sum;
}

char *fat_read(const uint8_t *image, size_t bytes, const char *name, size_t *length)
{
    struct volume v = mount(image, bytes);
    char long_name[256] = "";
    uint8_t sum = 0;

    for (uint32_t i = 0; i < v.root_entries; i++) {
        const uint8_t *e = image + v.root + i * 32;

        if (e[0] == 0) {
            break;
        }
        if (e[11] == 0x0f) {
            sum = e[13];
            take_long_part(e, long_name);
            continue;
        }
        if (strcmp(long_name, name) == 0) {
            assert_int_equal(sum, short_sum(e));
            return contents(&v, get(e + 26, 2), get(e + 28, 4), length);
        }
        memset(long_name, 0, sizeof long_name);
    }
    return NULL;
}

void fat_read_label(const uint8_t *image, char label[12])
{
    memcpy(label, image + 43, 11);
    label[11] = '\0';
    for (unsigned i = 11; i-- > 0 && label[i] == ' ';) {
        label[i] = '\0';
    }
}
