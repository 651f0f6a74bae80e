// srcs: mgmt/block/fat_image.c tests/unit/fat_read.c
// SPDX-License-Identifier: Apache-2.0
// FAT images: what a reader finds in them, what fsck.vfat and mtools say, and what does not fit.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mgmt/block/fat_image.h"
#include "tests/unit/fat_read.h"

#define SERIAL 0x1234abcdu

static char data[FAT_CLUSTERS_MAX * 512 + 1];

static uint8_t *make(const struct fat_file *files, unsigned count, size_t *bytes)
{
    uint8_t *image;

    *bytes = fat_image_bytes(files, count);
    assert_int_equal(*bytes % 512, 0);
    assert_true(*bytes > 0);
    image = malloc(*bytes);
    assert_non_null(image);
    memset(image, 0xa5, *bytes); // nothing of it may stay
    fat_image_write(image, "cidata", SERIAL, files, count);
    return image;
}

static void expect_file(const uint8_t *image, size_t bytes, const struct fat_file *file)
{
    size_t length;
    char *text = fat_read(image, bytes, file->name, &length);

    assert_non_null(text);
    assert_int_equal(length, file->bytes);
    assert_memory_equal(text, file->data, length);
    free(text);
}

static void test_sizes(void **state)
{
    static const uint32_t sizes[] = {0, 1, 511, 512, 513, 1024, 5000, 16384, 100000};

    (void)state;
    for (size_t a = 0; a < ARRAY_LEN(sizes); a++) {
        for (size_t b = 0; b < ARRAY_LEN(sizes) - 1; b++) {
            const struct fat_file files[] = {
                {"thirteen-char", data, sizes[a]},
                {"x", data + 1, sizes[b]},
                {"fourteen-chars", data + 2, 700},
            };
            size_t bytes, length;
            uint8_t *image = make(files, 3, &bytes);

            for (unsigned i = 0; i < 3; i++) {
                expect_file(image, bytes, &files[i]);
            }
            assert_null(fat_read(image, bytes, "y", &length));
            free(image);
        }
    }
}

static void test_what_does_not_fit(void **state)
{
    const struct fat_file largest = {"a", data, FAT_CLUSTERS_MAX * 512}, larger = {"a", data, sizeof data};
    const struct fat_file huge[] = {{"a", data, UINT32_MAX}, {"b", data, UINT32_MAX}};
    struct fat_file many[8];
    size_t bytes;
    uint8_t *image = make(&largest, 1, &bytes);

    (void)state;
    expect_file(image, bytes, &largest);
    free(image);
    assert_int_equal(fat_image_bytes(&larger, 1), 0);
    assert_int_equal(fat_image_bytes(huge, 2), 0);
    for (unsigned i = 0; i < 8; i++) {
        many[i] = (struct fat_file){"name", data, 0}; // two entries each, and one is the label's
    }
    assert_true(fat_image_bytes(many, 7) > 0);
    assert_int_equal(fat_image_bytes(many, 8), 0);
}

static int run(const char *format, const char *path)
{
    char command[256];

    (void)snprintf(command, sizeof command, format, path);
    return system(command);
}

static void save(const char *path, const void *bytes, size_t count)
{
    FILE *out = fopen(path, "wb");

    assert_non_null(out);
    assert_int_equal(fwrite(bytes, 1, count, out), count);
    assert_int_equal(fclose(out), 0);
}

static void test_other_programs_read_it(void **state)
{
    static const char text[] = "#cloud-config\n{}\n";
    const struct fat_file files[] = {
        {"user-data", text, sizeof text - 1}, {"meta-data", data, 3000}, {"network-config", data, 16384}};
    char folder[] = "/tmp/keelson-fat-XXXXXX", path[64], other[64];
    size_t bytes;
    uint8_t *image = make(files, 3, &bytes);
    char label[12];

    (void)state;
    fat_read_label(image, label);
    assert_string_equal(label, "cidata");
    if (run("PATH=$PATH:/sbin:/usr/sbin; %s command -v fsck.vfat && command -v mtype", "") != 0) {
        free(image);
        skip();
    }
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof path, "%s/image", folder);
    save(path, image, bytes);
    (void)snprintf(other, sizeof other, "%s/image.file", folder);
    save(other, data, 16384);
    assert_int_equal(run("PATH=$PATH:/sbin:/usr/sbin fsck.vfat -n %s >/dev/null", path), 0);
    assert_int_equal(run("f=%s; mtype -i $f ::network-config | cmp - $f.file", path), 0);
    assert_int_equal(run("mtype -i %s ::user-data | grep -q '^#cloud-config$'", path), 0);
    assert_int_equal(run("mlabel -s -i %s :: | grep -q 'cidata'", path), 0);
    assert_int_equal(run("mdir -i %s :: | grep -q 'Serial Number is 1234-ABCD'", path), 0);
    assert_int_equal(run("rm -r %s", folder), 0);
    free(image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_what_does_not_fit),
        cmocka_unit_test(test_other_programs_read_it),
    };

    for (size_t i = 0; i < sizeof data; i++) {
        data[i] = (char)(i * 31 + i / 509);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
