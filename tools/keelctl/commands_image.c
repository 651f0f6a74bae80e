// SPDX-License-Identifier: Apache-2.0
// keelctl image ...
#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tools/keelctl/client.h"
#include "tools/keelctl/json.h"
#include "tools/keelctl/list.h"
#include "tools/keelctl/out.h"

#define BLOCK 65536
#define DIGEST_TEXT 65
#define RESUMABLE_BYTES (32 << 20) // smaller files are sent from the beginning
#define RETRIES 60u
#define RETRY_SECONDS 2

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
    s->file = NULL;
    s->digest = NULL;
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

// --- uploads that outlive their connection ---

// What the node has of it. False: the node cannot be asked.
static bool ask_received(struct client *c, const char *name, uint64_t *received, bool *active)
{
    struct answer a;
    bool answered = client_request_quiet(c, "/v1/images", &a) == STATUS_OK && a.code == 200;
    const cJSON *item;

    *received = 0;
    *active = false;
    cJSON_ArrayForEach(item, json_at(a.json, "Uploads"))
    {
        const char *found = json_text(item, "Name"), *state = json_text(item, "State");

        if (found != NULL && state != NULL && strcmp(found, name) == 0) {
            *received = (uint64_t)json_number(item, "Received");
            *active = strcmp(state, "Suspended") != 0;
        }
    }
    answer_free(&a);
    return answered;
}

// Where to go on: waits until the node has noticed that the old connection is gone. False: it does not answer.
static bool find_offset(struct client *c, const char *name, uint64_t *offset)
{
    bool active = true;

    for (unsigned i = 0; i < RETRIES; i++) {
        if (ask_received(c, name, offset, &active) && !active) {
            return true;
        }
        sleep(RETRY_SECONDS);
    }
    return false;
}

static bool source_seek(struct source *s, uint64_t offset)
{
    if (fseeko(s->file, (off_t)offset, SEEK_SET) == 0) {
        return true;
    }
    complain("%s: %s", s->name, strerror(errno));
    return false;
}

// Sends the rest again and again, as long as each connection brings it further.
static enum status put_resumable(struct client *c, const char *name, const char *path, struct source *s,
                                 struct upload *u, struct answer *a)
{
    uint64_t before = 0;
    unsigned idle = 0;
    enum status status;

    if (!ask_received(c, name, &u->offset, &(bool){false}) || u->offset >= (uint64_t)u->size) {
        u->offset = 0;
    }
    for (;;) {
        if (!source_seek(s, u->offset)) {
            return STATUS_FAILED;
        }
        before = u->offset;
        status = client_upload(c, path, u, a);
        if (status != STATUS_UNREACHABLE || idle >= RETRIES) {
            return status;
        }
        answer_free(a);
        if (!find_offset(c, name, &u->offset)) {
            return status;
        }
        idle = u->offset > before ? 0 : idle + 1;
        complain("%s: going on at byte %llu", name, (unsigned long long)u->offset);
    }
}

// What was left by somebody else, of another file: only the digest of the whole can tell, and it is sent along.
static enum status put(struct client *c, const char *name, const char *path, struct source *s,
                       struct upload *u, struct answer *a)
{
    struct answer store = {0};

    u->resumable = u->size >= RESUMABLE_BYTES && client_request_quiet(c, "/v1/store", &store) == STATUS_OK &&
                   store.code == 200;
    answer_free(&store);
    return u->resumable ? put_resumable(c, name, path, s, u, a) : client_upload(c, path, u, a);
}

static enum status put_source(struct client *c, const struct options *o, const char *name, struct source *s)
{
    char *path = client_path("/v1/images/", name, "");
    char ahead[DIGEST_TEXT] = "", sent[DIGEST_TEXT] = "";
    enum status status = STATUS_FAILED;
    struct answer a = {0};

    if (s->size < 0 || digest_ahead(s, ahead)) {
        struct upload u = {source_read, source_progress, s, s->size, s->size >= 0 ? ahead : NULL, false, 0};
        double started = monotonic_seconds();

        progress_begin(&s->bar, name, s->size > 0 ? (uint64_t)s->size : 0, true,
                       o->output == OUTPUT_HUMAN && !o->quiet);
        status = put(c, name, path, s, &u, &a);
        progress_end(&s->bar);
        digest_end(s, sent);
        if (status == STATUS_OK) {
            status = put_result(o, &a, s->size >= 0 ? ahead : sent, monotonic_seconds() - started);
        }
    }
    answer_free(&a);
    free(path);
    return status;
}

// --- formats of other systems: qemu-img makes a raw copy ---

// What qemu-img calls the file's format by its signature; NULL: it is sent as it is.
static const char *disk_format(struct source *s)
{
    char head[8] = "", tail[8] = "";

    if (s->size < 512 || fread(head, 1, sizeof head, s->file) != sizeof head ||
        fseeko(s->file, -512, SEEK_END) != 0 || fread(tail, 1, sizeof tail, s->file) != sizeof tail ||
        fseeko(s->file, 0, SEEK_SET) != 0) {
        return NULL;
    }
    if (memcmp(head, "QFI\xfb", 4) == 0) { // qcow2 specification, "Header"
        return "qcow2";
    }
    if (memcmp(head, "vhdxfile", 8) == 0) { // MS-VHDX 2.2.1
        return "vhdx";
    }
    return memcmp(tail, "conectix", 8) == 0 ? "vpc"
                                            : NULL; // Virtual Hard Disk Image Format, "Hard Disk Footer"
}

static bool run_qemu_img(const char *format, const char *from, const char *to)
{
    pid_t child = fork();
    int status = 0;

    if (child == 0) {
        execlp("qemu-img", "qemu-img", "convert", "-f", format, "-O", "raw", from, to, (char *)NULL);
        _exit(127);
    }
    if (child < 0 || waitpid(child, &status, 0) != child) {
        complain("qemu-img: %s", strerror(errno));
        return false;
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127) {
        complain(
            "%s is a disk of format %s: qemu-img (package qemu-utils) is needed to convert it; --raw sends it as it is",
            from, format);
    } else if (status != 0) {
        complain("qemu-img could not convert %s", from);
    }
    return status == 0;
}

// Replaces the source by its contents as a raw file that nobody else sees.
static bool source_convert(struct source *s, const char *format)
{
    const char *folder = getenv("TMPDIR");
    char *copy, *name = strdup(s->name);
    bool good = false;
    int file;

    if (asprintf(&copy, "%s/keelctl-XXXXXX", folder != NULL ? folder : "/tmp") < 0 || name == NULL) {
        abort();
    }
    file = mkstemp(copy);
    if (file < 0) {
        complain("%s: %s", copy, strerror(errno));
    } else {
        close(file);
        good = run_qemu_img(format, name, copy);
        source_close(s);
        good = good && source_open(s, copy);
        unlink(copy); // it lives as long as it is open
        s->name = "the converted disk";
    }
    free(copy);
    free(name);
    return good;
}

enum status image_put(struct client *c, const struct options *o, char **arguments)
{
    enum status status = STATUS_FAILED;
    const char *format = NULL;
    struct source s;

    if (source_open(&s, arguments[1])) {
        format = o->raw ? NULL : disk_format(&s);
        if (s.size >= 0 && format == NULL) {
            rewind(s.file);
        }
        if (format == NULL || source_convert(&s, format)) {
            status = put_source(c, o, arguments[0], &s);
        }
    }
    source_close(&s);
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
    (void)o;
    return item_delete(c, "/v1/images/", arguments[0]);
}
