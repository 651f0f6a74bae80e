// SPDX-License-Identifier: Apache-2.0
// keelctl image ...
#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tools/keelctl/client.h"
#include "tools/keelctl/json.h"
#include "tools/keelctl/out.h"

#define BLOCK 65536
#define DIGEST_TEXT 65

// --- put ---

// The file, and the digest of what was read of it.
struct source {
    FILE *file;
    const char *name;
    int64_t size; // -1: a pipe
    EVP_MD_CTX *digest;
    struct progress bar;
};

static size_t source_read(void *arg, char *buffer, size_t size)
{
    struct source *s = arg;
    size_t n = fread(buffer, 1, size, s->file);

    if (ferror(s->file)) {
        complain("%s: %s", s->name, strerror(errno));
        return (size_t)-1;
    }
    EVP_DigestUpdate(s->digest, buffer, n);
    return n;
}

static void source_progress(void *arg, uint64_t sent)
{
    struct source *s = arg;

    progress_update(&s->bar, sent);
}

static bool digest_restart(struct source *s)
{
    return EVP_DigestInit_ex(s->digest, EVP_sha256(), NULL) == 1;
}

static void digest_end(struct source *s, char text[DIGEST_TEXT])
{
    unsigned char raw[EVP_MAX_MD_SIZE];
    unsigned len = 0;

    EVP_DigestFinal_ex(s->digest, raw, &len);
    for (unsigned i = 0; i < len && i < 32; i++) {
        snprintf(text + 2 * i, 3, "%02x", raw[i]);
    }
}

// A file is read twice, so that the node can check the digest before it takes the image.
static bool digest_ahead(struct source *s, char text[DIGEST_TEXT])
{
    char block[BLOCK];
    size_t n;

    do {
        n = source_read(s, block, sizeof block);
    } while (n > 0 && n != (size_t)-1);
    digest_end(s, text);
    return n == 0 && fseeko(s->file, 0, SEEK_SET) == 0 && digest_restart(s);
}

static bool source_open(struct source *s, const char *name)
{
    struct stat info;

    *s = (struct source){.name = name, .size = -1, .digest = EVP_MD_CTX_new()};
    s->file = strcmp(name, "-") == 0 ? stdin : fopen(name, "rb");
    if (s->file == NULL || fstat(fileno(s->file), &info) != 0) {
        complain("%s: %s", name, strerror(errno));
        return false;
    }
    if (S_ISDIR(info.st_mode)) {
        complain("%s: is a directory", name);
        return false;
    }
    if (S_ISREG(info.st_mode) && s->file != stdin) {
        s->size = info.st_size;
    }
    return s->digest != NULL && digest_restart(s);
}

static void source_close(struct source *s)
{
    if (s->file != NULL && s->file != stdin) {
        fclose(s->file);
    }
    EVP_MD_CTX_free(s->digest);
}

static enum status put_result(const struct options *o, const struct answer *a, const char *digest,
                              double seconds)
{
    double size = json_number(a->json, "Size");
    const char *stored = json_text(a->json, "Sha256");

    if (stored == NULL || strcmp(stored, digest) != 0) {
        complain("the node has stored other content: SHA-256 %s, sent was %s", json_shown(a->json, "Sha256"),
                 digest);
        return STATUS_FAILED;
    }
    if (o->output == OUTPUT_JSON) {
        printf("%s\n", a->body);
    } else if (o->output == OUTPUT_NAME) {
        printf("%s\n", json_shown(a->json, "Name"));
    } else if (!o->quiet) {
        printf("%s: %s in %.1f s, SHA-256 %s\n", json_shown(a->json, "Name"), bytes_text(size), seconds,
               digest);
    }
    return STATUS_OK;
}

enum status image_put(struct client *c, const struct options *o, char **arguments)
{
    char *path = client_path("/v1/images/", arguments[0], "");
    char ahead[DIGEST_TEXT] = "", sent[DIGEST_TEXT] = "";
    enum status status = STATUS_FAILED;
    struct answer a = {0};
    struct source s;

    if (source_open(&s, arguments[1]) && (s.size < 0 || digest_ahead(&s, ahead))) {
        struct upload u = {source_read, source_progress, &s, s.size, s.size >= 0 ? ahead : NULL};
        double started = monotonic_seconds();

        progress_begin(&s.bar, arguments[0], s.size > 0 ? (uint64_t)s.size : 0, true,
                       o->output == OUTPUT_HUMAN && !o->quiet);
        status = client_upload(c, path, &u, &a);
        progress_end(&s.bar);
        digest_end(&s, sent);
        if (status == STATUS_OK) {
            status = put_result(o, &a, sent, monotonic_seconds() - started);
        }
    }
    source_close(&s);
    answer_free(&a);
    free(path);
    return status;
}

// --- the rest ---

static void list_rows(struct table *t, const cJSON *document)
{
    const cJSON *item;

    cJSON_ArrayForEach(item, json_at(document, "Images"))
    {
        table_cell(t, "%s", json_shown(item, "Name"));
        table_cell(t, "%s", bytes_text(json_number(item, "Size")));
        table_cell(t, "%s", json_shown(item, "State"));
        table_cell(t, "%.0f", json_number(item, "References"));
        table_cell(t, "%s", time_text(json_text(item, "Created")));
        table_cell(t, "%.12s", json_shown(item, "Sha256"));
    }
    cJSON_ArrayForEach(item, json_at(document, "Uploads"))
    {
        table_cell(t, "%s", json_shown(item, "Name"));
        table_cell(t, "%s", bytes_text(json_number(item, "Received")));
        table_cell(t, "%s", json_shown(item, "State"));
        table_cell(t, "-");
        table_cell(t, "-");
        table_cell(t, "-");
    }
}

enum status image_list(struct client *c, const struct options *o, char **arguments)
{
    static const char *const headers[] = {"NAME", "SIZE", "STATE", "USERS", "CREATED", "SHA-256", NULL};
    struct answer a;
    enum status status = client_request(c, "GET", "/v1/images", NULL, &a);
    struct table t;

    (void)arguments;
    if (status == STATUS_OK && o->output == OUTPUT_JSON) {
        printf("%s\n", a.body);
    } else if (status == STATUS_OK) {
        table_init(&t, headers);
        list_rows(&t, a.json);
        table_print(&t, o->output == OUTPUT_NAME);
    }
    answer_free(&a);
    return status;
}

enum status image_show(struct client *c, const struct options *o, char **arguments)
{
    char *path = client_path("/v1/images/", arguments[0], "");
    struct answer a;
    enum status status = client_request(c, "GET", path, NULL, &a);

    if (status == STATUS_OK && o->output == OUTPUT_JSON) {
        printf("%s\n", a.body);
    } else if (status == STATUS_OK) {
        field("image", "%s", json_shown(a.json, "Name"));
        field("size", "%s (%.0f bytes)", bytes_text(json_number(a.json, "Size")),
              json_number(a.json, "Size"));
        field("SHA-256", "%s", json_shown(a.json, "Sha256"));
        field("state", "%s", json_shown(a.json, "State"));
        field("created", "%s", time_text(json_text(a.json, "Created")));
        field("used by", "%.0f systems", json_number(a.json, "References"));
    }
    answer_free(&a);
    free(path);
    return status;
}

enum status image_delete(struct client *c, const struct options *o, char **arguments)
{
    char *path = client_path("/v1/images/", arguments[0], "");
    struct answer a;
    enum status status = client_request(c, "DELETE", path, NULL, &a);

    (void)o;
    answer_free(&a);
    free(path);
    return status;
}
