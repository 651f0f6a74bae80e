// SPDX-License-Identifier: Apache-2.0
// keelctl disk ...: guests' disks on the node's state partition.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/keelctl/client.h"
#include "tools/keelctl/json.h"
#include "tools/keelctl/list.h"
#include "tools/keelctl/operation.h"
#include "tools/keelctl/out.h"

#define DISKS "/v1/disks/"

static const char *base_text(const cJSON *disk)
{
    return json_text(disk, "Image") != NULL      ? json_shown(disk, "Image")
           : json_text(disk, "Snapshot") != NULL ? json_shown(disk, "Snapshot")
                                                 : "-";
}

static bool is_snapshot(const cJSON *disk)
{
    return cJSON_IsTrue(json_at(disk, "ReadOnly"));
}

static void show(const cJSON *disk)
{
    field(is_snapshot(disk) ? "snapshot" : "disk", "%s", json_shown(disk, "Name"));
    field("size", "%s (%.0f bytes)", bytes_text(json_number(disk, "Size")), json_number(disk, "Size"));
    field("allocated", "%s", bytes_text(json_number(disk, "Allocated")));
    if (json_text(disk, "Image") != NULL) {
        field("image", "%s", json_shown(disk, "Image"));
    }
    if (json_text(disk, "Snapshot") != NULL) {
        field("upon", "%s", json_shown(disk, "Snapshot"));
    }
    field("base of", "%.0f disks", json_number(disk, "Children"));
    field("used by", "%.0f systems", json_number(disk, "Systems"));
    field("created", "%s", time_text(json_text(disk, "Created")));
}

// Sends a request whose answer is a disk, and says what was done.
static enum status run(struct client *c, const struct options *o, const char *method, char *path,
                       const char *done)
{
    struct answer a;
    enum status status = client_request(c, method, path, NULL, &a);

    if (status == STATUS_OK && o->output == OUTPUT_JSON) {
        printf("%s\n", a.body);
    } else if (status == STATUS_OK && o->output == OUTPUT_NAME) {
        printf("%s\n", json_shown(a.json, "Name"));
    } else if (status == STATUS_OK && done == NULL) {
        show(a.json);
    } else if (status == STATUS_OK && !o->quiet) {
        printf("%s: %s, %s\n", json_shown(a.json, "Name"), done, bytes_text(json_number(a.json, "Size")));
    }
    answer_free(&a);
    free(path);
    return status;
}

static void disk_row(struct table *t, const cJSON *item)
{
    table_cell(t, "%s", json_shown(item, "Name"));
    table_cell(t, "%s", is_snapshot(item) ? "snapshot" : "disk");
    table_cell(t, "%s", bytes_text(json_number(item, "Size")));
    table_cell(t, "%s", bytes_text(json_number(item, "Allocated")));
    table_cell(t, "%s", base_text(item));
    table_cell(t, "%.0f", json_number(item, "Systems"));
    table_cell(t, "%s", time_text(json_text(item, "Created")));
}

enum status disk_list(struct client *c, const struct options *o, char **arguments)
{
    static const char *const headers[] = {"NAME", "KIND",    "SIZE",    "ALLOCATED",
                                          "BASE", "SYSTEMS", "CREATED", NULL};
    static const struct listing listing = {headers, "Disks", disk_row};

    (void)arguments;
    return list_show(c, o, "/v1/disks", &listing);
}

enum status disk_show(struct client *c, const struct options *o, char **arguments)
{
    return run(c, o, "GET", client_path(DISKS, arguments[0], ""), NULL);
}

// A number of bytes, or of K, M, G, T: powers of 1024.
static bool parse_size(const char *text, uint64_t *bytes)
{
    static const char units[] = "KMGT";
    char digits[24];
    size_t length = strlen(text), unit = 0;

    if (length > 1 && strchr(units, text[length - 1]) != NULL) {
        unit = (size_t)(strchr(units, text[length - 1]) - units) + 1;
        length--;
    }
    if (length >= sizeof digits) {
        complain("--size: '%s' is too long", text);
        return false;
    }
    memcpy(digits, text, length);
    digits[length] = '\0';
    if (!parse_number("size", digits, (1ull << 44) >> 10 * unit, bytes)) {
        return false;
    }
    *bytes <<= 10 * unit;
    return true;
}

enum status disk_create(struct client *c, const struct options *o, char **arguments)
{
    const char *base = o->image != NULL ? o->image : o->snapshot;
    char *escaped, query[512] = "";
    uint64_t size = 0;
    int n = 0;

    if (o->image != NULL && o->snapshot != NULL) {
        return usage_error("a disk has one base at most: --image or --snapshot");
    }
    if (o->size == NULL && base == NULL) {
        return usage_error("give --size, or --image or --snapshot");
    }
    if (o->size != NULL && !parse_size(o->size, &size)) {
        return STATUS_USAGE;
    }
    if (o->size != NULL) {
        n = snprintf(query, sizeof query, "?size=%llu", (unsigned long long)size);
    }
    if (base != NULL) {
        escaped = client_escape(base);
        snprintf(query + n, sizeof query - (size_t)n, "%c%s=%.300s", n == 0 ? '?' : '&',
                 o->image != NULL ? "image" : "snapshot", escaped);
        free(escaped);
    }
    return run(c, o, "POST", client_path(DISKS, arguments[0], query), "created");
}

enum status disk_resize(struct client *c, const struct options *o, char **arguments)
{
    char query[64];
    uint64_t size;

    if (!parse_size(arguments[1], &size)) {
        return STATUS_USAGE;
    }
    snprintf(query, sizeof query, "/resize?size=%llu", (unsigned long long)size);
    return run(c, o, "POST", client_path(DISKS, arguments[0], query), "resized");
}

enum status disk_snapshot(struct client *c, const struct options *o, char **arguments)
{
    char *as = client_escape(arguments[1]), *query, *path;

    if (asprintf(&query, "/snapshot?as=%s", as) < 0) {
        abort();
    }
    path = client_path(DISKS, arguments[0], query);
    free(query);
    free(as);
    return run(c, o, "POST", path, "is what the disk was");
}

enum status disk_delete(struct client *c, const struct options *o, char **arguments)
{
    (void)o;
    return item_delete(c, DISKS, arguments[0]);
}
