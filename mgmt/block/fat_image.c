// SPDX-License-Identifier: Apache-2.0
// Writes a FAT12 file system: boot sector, two tables, root directory, files.
#include "mgmt/block/fat_image.h"

#include <string.h>

#define SECTOR 512u
#define TABLES 2u
#define ROOT_ENTRIES 16u
#define ROOT_SECTOR (1 + TABLES) // behind the boot sector and the tables
#define DATA_SECTOR (ROOT_SECTOR + 1)
#define FIRST_CLUSTER 2u
#define END_OF_CHAIN 0xfffu
#define MEDIA_FIXED 0xf8
#define DATE_1980 0x21 // "Date and Time Formats": day 1, month 1
#define ATTR_LABEL 0x08
#define ATTR_LONG_NAME 0x0f
#define ATTR_ARCHIVE 0x20
#define LONG_NAME_CHARS 13u // of one entry
#define LAST_LONG_NAME 0x40

struct boot_sector { // "Boot Sector and BPB"
    uint8_t jump[3];
    char oem_name[8];
    uint16_t bytes_per_sector;
    uint8_t sectors_per_cluster;
    uint16_t reserved_sectors;
    uint8_t tables;
    uint16_t root_entries;
    uint16_t sectors;
    uint8_t media;
    uint16_t sectors_per_table;
    uint16_t sectors_per_track, heads;
    uint32_t hidden_sectors, sectors_32;
    uint8_t drive, reserved, boot_signature;
    uint32_t serial;
    char label[FAT_LABEL_MAX];
    char type[8];
    uint8_t code[448];
    uint8_t signature[2];
} __attribute__((packed));
_Static_assert(sizeof(struct boot_sector) == SECTOR, "FAT 1.03 \"Boot Sector and BPB\"");

struct short_entry { // "FAT 32 Byte Directory Entry Structure"
    char name[11];
    uint8_t attributes, reserved, created_tenths;
    uint16_t created_time, created_date, accessed_date, cluster_high, written_time, written_date, cluster;
    uint32_t bytes;
} __attribute__((packed));

struct long_entry { // "FAT Long Directory Entries"
    uint8_t order;
    uint16_t first[5];
    uint8_t attributes, type, checksum;
    uint16_t second[6];
    uint16_t cluster;
    uint16_t third[2];
} __attribute__((packed));

union entry {
    struct short_entry s;
    struct long_entry l;
};
_Static_assert(sizeof(union entry) * ROOT_ENTRIES == SECTOR, "the root directory is one sector");

static uint32_t clusters_of(uint32_t bytes)
{
    return bytes / SECTOR + (bytes % SECTOR != 0);
}

static unsigned long_entries(const char *name)
{
    return (unsigned)((strlen(name) + LONG_NAME_CHARS - 1) / LONG_NAME_CHARS);
}

size_t fat_image_bytes(const struct fat_file *files, unsigned count)
{
    uint64_t clusters = 0;
    size_t entries = 1; // the label

    for (unsigned i = 0; i < count; i++) {
        clusters += clusters_of(files[i].bytes);
        entries += long_entries(files[i].name) + 1;
    }
    return clusters > FAT_CLUSTERS_MAX || entries > ROOT_ENTRIES ? 0 : (DATA_SECTOR + clusters) * SECTOR;
}

// Copies text into a field of fixed length that blanks fill up.
static void put_padded(char *field, size_t length, const char *text)
{
    size_t n = strnlen(text, length);

    memset(field, ' ', length);
    memcpy(field, text, n);
}

static void write_boot_sector(struct boot_sector *b, size_t sectors, const char *label, uint32_t serial)
{
    *b = (struct boot_sector){
        .jump = {0xeb, 0x3c, 0x90}, // to the code, which is not there: nothing boots from this
        .oem_name = {'K', 'E', 'E', 'L', 'S', 'O', 'N', ' '},
        .bytes_per_sector = SECTOR,
        .sectors_per_cluster = 1,
        .reserved_sectors = 1,
        .tables = TABLES,
        .root_entries = ROOT_ENTRIES,
        .sectors = (uint16_t)sectors,
        .media = MEDIA_FIXED,
        .sectors_per_table = 1,
        .sectors_per_track = 1,
        .heads = 1,
        .drive = 0x80,
        .boot_signature = 0x29,
        .serial = serial,
        .type = {'F', 'A', 'T', '1', '2', ' ', ' ', ' '},
        .signature = {0x55, 0xaa},
    };
    put_padded(b->label, sizeof b->label, label);
}

// Twelve bits each, two in three bytes.
static void set_table(uint8_t *table, uint32_t cluster, uint32_t value)
{
    uint8_t *at = table + cluster * 3 / 2;

    if (cluster % 2 == 0) {
        at[0] = (uint8_t)value;
        at[1] = (uint8_t)((at[1] & 0xf0) | value >> 8);
    } else {
        at[0] = (uint8_t)((at[0] & 0x0f) | value << 4);
        at[1] = (uint8_t)(value >> 4);
    }
}

// As a character of a short name, or 0: not one that is taken from a long name.
static char short_character(char c)
{
    if (c >= 'a' && c <= 'z') {
        return (char)(c - 'a' + 'A');
    }
    return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ? c : '\0';
}

// A name that systems without long names see; the number makes it different from the other files'.
static void make_short_name(char out[11], const char *name, unsigned number)
{
    size_t n = 0;

    memset(out, ' ', 11);
    for (; n < 6 && short_character(name[n]) != '\0'; n++) {
        out[n] = short_character(name[n]);
    }
    out[n++] = '~';
    out[n] = (char)('0' + number);
}

static uint8_t checksum(const char name[11])
{
    uint8_t sum = 0;

    for (unsigned i = 0; i < 11; i++) {
        sum = (uint8_t)((sum >> 1 | sum << 7) + (uint8_t)name[i]);
    }
    return sum;
}

// Character `i` of a long name: a NUL ends it, and all ones fill its last entry up.
static uint16_t long_character(const char *name, size_t i)
{
    size_t length = strlen(name);

    return i < length ? (uint8_t)name[i] : i == length ? 0 : 0xffff;
}

static void write_long_entry(struct long_entry *e, const char *name, unsigned part, bool last, uint8_t sum)
{
    size_t from = (size_t)part * LONG_NAME_CHARS;

    *e = (struct long_entry){
        .order = (uint8_t)((part + 1) | (last ? LAST_LONG_NAME : 0)),
        .attributes = ATTR_LONG_NAME,
        .checksum = sum,
    };
    for (unsigned i = 0; i < LONG_NAME_CHARS; i++) {
        uint16_t c = long_character(name, from + i);

        if (i < 5) {
            e->first[i] = c;
        } else if (i < 11) {
            e->second[i - 5] = c;
        } else {
            e->third[i - 11] = c;
        }
    }
}

// The long name's parts come first, the last of them before the others. Returns the entry behind.
static union entry *write_entries(union entry *e, const struct fat_file *file, unsigned number,
                                  uint32_t cluster)
{
    unsigned parts = long_entries(file->name);
    struct short_entry s = {
        .attributes = ATTR_ARCHIVE,
        .created_date = DATE_1980,
        .accessed_date = DATE_1980,
        .written_date = DATE_1980,
        .cluster = (uint16_t)(file->bytes > 0 ? cluster : 0),
        .bytes = file->bytes,
    };

    make_short_name(s.name, file->name, number);
    for (unsigned part = parts; part-- > 0; e++) {
        write_long_entry(&e->l, file->name, part, part == parts - 1, checksum(s.name));
    }
    e->s = s;
    return e + 1;
}

void fat_image_write(uint8_t *image, const char *label, uint32_t serial, const struct fat_file *files,
                     unsigned count)
{
    size_t bytes = fat_image_bytes(files, count);
    uint8_t *table = image + SECTOR;
    union entry *e = (union entry *)(image + (size_t)ROOT_SECTOR * SECTOR);
    uint32_t cluster = FIRST_CLUSTER;

    memset(image, 0, bytes);
    write_boot_sector((struct boot_sector *)image, bytes / SECTOR, label, serial);
    set_table(table, 0, 0xf00 | MEDIA_FIXED);
    set_table(table, 1, END_OF_CHAIN);
    put_padded(e->s.name, sizeof e->s.name, label);
    e->s.attributes = ATTR_LABEL;
    e->s.written_date = DATE_1980;
    e++;
    for (unsigned i = 0; i < count; i++) {
        uint32_t end = cluster + clusters_of(files[i].bytes);

        e = write_entries(e, &files[i], i + 1, cluster);
        memcpy(image + (DATA_SECTOR + cluster - FIRST_CLUSTER) * SECTOR, files[i].data, files[i].bytes);
        for (; cluster < end; cluster++) {
            set_table(table, cluster, cluster + 1 < end ? cluster + 1 : END_OF_CHAIN);
        }
    }
    memcpy(table + SECTOR, table, SECTOR);
}
