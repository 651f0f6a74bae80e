// SPDX-License-Identifier: Apache-2.0
// Images over HTTP: streamed upload, list, delete.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mgmt/core/image.h"
#include "mgmt/core/keeper.h"
#include "mgmt/core/kept_upload.h"
#include "mgmt/hcs/api_priv.h"

struct upload {
    struct http_request *request;
    struct image_upload *up;  // into memory,
    struct kept_upload *kept; // or onto the disk
    struct core_error error;  // status != CORE_OK: the rest of the body is not wanted
    uint8_t sha256[IMAGE_SHA256_SIZE];
    bool announced; // sha256 is set
};

static void write_image(struct json_writer *w, const char *key, const struct image *image)
{
    struct image_info info;

    image_get_info(image, &info);
    json_open(w, key, '{');
    json_string(w, "Name", info.name);
    json_uint(w, "Size", info.size);
    json_hex(w, "Sha256", info.sha256, sizeof info.sha256);
    json_time(w, "Created", info.created_ms);
    json_uint(w, "References", info.refs);
    json_bool(w, "InMemory", info.in_memory);
    json_string(w, "State", "Ready");
    json_close(w, '}');
}

static void write_upload(struct json_writer *w, const struct image_upload *up)
{
    struct image_upload_info info;

    image_upload_get_info(up, &info);
    json_open(w, NULL, '{');
    json_string(w, "Name", info.name);
    json_uint(w, "Received", info.received);
    json_uint(w, "Expected", info.expected);
    json_string(w, "State", "Uploading");
    json_close(w, '}');
}

static void write_kept_uploads(struct json_writer *w)
{
    struct kept_upload_info info;
    const char *last = NULL;

    while (upload_keeper() != NULL && upload_keeper()->next(last, &info)) {
        json_open(w, NULL, '{');
        json_string(w, "Name", info.name);
        json_uint(w, "Received", info.received);
        json_string(w, "State", info.active ? "Uploading" : "Suspended");
        json_close(w, '}');
        last = info.name;
    }
}

void api_image_list(struct http_request *r)
{
    struct json_writer w = {0};

    json_open(&w, NULL, '{');
    json_open(&w, "Images", '[');
    for (struct image *i = image_next(NULL); i != NULL; i = image_next(i)) {
        write_image(&w, NULL, i);
    }
    json_close(&w, ']');
    json_open(&w, "Uploads", '[');
    for (struct image_upload *u = image_upload_next(NULL); u != NULL; u = image_upload_next(u)) {
        write_upload(&w, u);
    }
    write_kept_uploads(&w);
    json_close(&w, ']');
    json_close(&w, '}');
    api_answer(r, 200, &w);
}

static void fail(struct http_request *r, const struct core_error *error)
{
    if (error->status == CORE_NOT_FOUND) { // not HCS_E_SYSTEM_NOT_FOUND
        api_fail(r, HR_E_FILE_NOT_FOUND, error->text);
    } else {
        api_fail_core(r, error);
    }
}

void api_image_get(struct http_request *r)
{
    const char *name = http_param(r, "name");
    struct image *image = image_find(name);
    struct json_writer w = {0};
    struct core_error error;

    if (image == NULL) {
        core_fail(&error, CORE_NOT_FOUND, "there is no image '%.64s'", name);
        fail(r, &error);
        return;
    }
    write_image(&w, NULL, image);
    api_answer(r, 200, &w);
}

// A request that waits for the store; the client may go away meanwhile.
struct kept {
    struct http_request *request; // NULL: nobody waits any more
    struct image_upload *up;
    char name[IMAGE_NAME_MAX + 1];
};

static void kept_gone(struct http_request *r)
{
    struct kept *k = http_user(r);

    k->request = NULL;
}

// NULL: the request is answered.
static struct kept *kept_new(struct http_request *r)
{
    struct kept *k = calloc(1, sizeof *k);

    if (k == NULL) {
        api_fail(r, HR_E_OUTOFMEMORY, NULL);
        return NULL;
    }
    k->request = r;
    http_set_user(r, k);
    http_on_abort(r, kept_gone);
    return k;
}

static void deleted(void *arg, const struct core_error *error)
{
    struct kept *k = arg;

    if (error == NULL) {
        image_forget(k->name);
    }
    if (k->request != NULL && error != NULL) {
        fail(k->request, error);
    } else if (k->request != NULL) {
        http_respond(k->request, 204, NULL, NULL, 0);
    }
    free(k);
}

void api_image_delete(struct http_request *r)
{
    struct core_error error;
    struct kept *k;

    if (image_deletable(http_param(r, "name"), &error) != CORE_OK) {
        fail(r, &error);
        return;
    }
    k = kept_new(r);
    if (k == NULL) {
        return;
    }
    snprintf(k->name, sizeof k->name, "%s", http_param(r, "name"));
    if (keeper() != NULL) {
        keeper()->delete_image(k->name, deleted, k);
    } else {
        deleted(k, NULL);
    }
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

static bool parse_digest(const char *text, uint8_t out[IMAGE_SHA256_SIZE])
{
    if (strlen(text) != 2 * IMAGE_SHA256_SIZE) {
        return false;
    }
    for (size_t i = 0; i < IMAGE_SHA256_SIZE; i++) {
        int high = hex_digit(text[2 * i]), low = hex_digit(text[2 * i + 1]);

        if (high < 0 || low < 0) {
            return false;
        }
        out[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

static void upload_gone(struct http_request *r)
{
    struct upload *u = http_user(r);

    if (u->up != NULL) {
        image_upload_abort(u->up);
        u->up = NULL;
    }
}

// After an error the rest is taken and dropped, so that the client gets to read the answer.
static size_t upload_data(struct http_request *r, const void *data, size_t length)
{
    struct upload *u = http_user(r);

    if (u->up != NULL && image_upload_write(u->up, data, length, &u->error) != CORE_OK) {
        upload_gone(r);
    }
    return length;
}

static void saved(void *arg, const struct core_error *error)
{
    struct kept *k = arg;
    struct json_writer w = {0};

    if (error != NULL) {
        image_upload_abort(k->up);
    } else {
        write_image(&w, NULL, image_upload_publish(k->up));
    }
    if (k->request != NULL && error != NULL) {
        fail(k->request, error);
    } else if (k->request != NULL) {
        api_answer(k->request, 201, &w);
    }
    json_free_text(&w);
    free(k);
}

static void upload_end(struct http_request *r)
{
    struct upload *u = http_user(r);
    struct image_upload *up = u->up;
    struct core_error error;
    struct kept *k;

    if (up == NULL || image_upload_seal(up, u->announced ? u->sha256 : NULL, &u->error) != CORE_OK) {
        error = u->error;
        upload_gone(r);
        fail(r, &error);
        return;
    }
    u->up = NULL;
    k = kept_new(r);
    if (k == NULL) {
        image_upload_abort(up);
        return;
    }
    k->up = up;
    if (keeper() != NULL) {
        keeper()->save_image(image_upload_sealed(up), saved, k);
    } else {
        saved(k, NULL);
    }
}

// --- uploads that can be taken up again: straight to the disk ---

static void resumable_gone(struct http_request *r)
{
    struct upload *u = http_user(r);

    if (u->kept != NULL) {
        upload_keeper()->suspend(u->kept);
        u->kept = NULL;
    }
}

static void resumable_more(void *arg)
{
    struct upload *u = arg;

    http_body_resume(u->request);
}

// After an error the rest is taken and dropped, as above, and so is what has arrived.
static size_t resumable_data(struct http_request *r, const void *data, size_t length)
{
    struct upload *u = http_user(r);
    size_t taken;

    if (u->kept == NULL) {
        return length;
    }
    taken = upload_keeper()->write(u->kept, data, length, &u->error);
    if (u->error.status != CORE_OK) {
        upload_keeper()->abort(u->kept);
        u->kept = NULL;
        return length;
    }
    return taken;
}

static void resumable_done(void *arg, const struct core_error *error)
{
    struct kept *k = arg;
    struct image *image = image_find(k->name);
    struct json_writer w = {0};

    if (k->request != NULL && error != NULL) {
        fail(k->request, error);
    } else if (k->request != NULL && image == NULL) {
        api_fail(k->request, HR_E_FILE_NOT_FOUND, "the image was deleted as soon as it was there");
    } else if (k->request != NULL) {
        write_image(&w, NULL, image);
        api_answer(k->request, 201, &w);
    }
    free(k);
}

static void resumable_end(struct http_request *r)
{
    struct upload *u = http_user(r);
    struct kept_upload *kept = u->kept;
    uint8_t sha256[IMAGE_SHA256_SIZE];
    bool announced = u->announced;
    struct core_error error;
    struct kept *k;

    if (kept == NULL) {
        error = u->error;
        fail(r, &error);
        return;
    }
    u->kept = NULL;
    memcpy(sha256, u->sha256, sizeof sha256);
    k = kept_new(r);
    if (k == NULL) {
        upload_keeper()->suspend(kept);
        return;
    }
    snprintf(k->name, sizeof k->name, "%s", http_param(r, "name"));
    upload_keeper()->finish(kept, announced ? sha256 : NULL, resumable_done, k);
}

// Digits, then `end`. NULL: anything else, or more than 2^50.
static const char *parse_digits(const char *text, char end, uint64_t *value)
{
    *value = 0;
    if (*text < '0' || *text > '9') {
        return NULL;
    }
    for (; *text >= '0' && *text <= '9'; text++) {
        *value = *value * 10 + (uint64_t)(*text - '0');
        if (*value > 1ull << 50) {
            return NULL;
        }
    }
    return *text == end ? text + 1 : NULL;
}

// "bytes FIRST-LAST/TOTAL" (RFC 9110 section 14.4) of a part that goes to the end.
static bool parse_range(const char *text, uint64_t *first, uint64_t *total)
{
    uint64_t last;

    text = strncmp(text, "bytes ", 6) == 0 ? parse_digits(text + 6, '-', first) : NULL;
    text = text != NULL ? parse_digits(text, '/', &last) : NULL;
    text = text != NULL ? parse_digits(text, '\0', total) : NULL;
    return text != NULL && *first <= last && last + 1 == *total;
}

static void put_resumable(struct http_request *r, struct upload *u, const char *range)
{
    int64_t length = http_content_length(r);
    struct core_error error;
    uint64_t first, total;

    if (upload_keeper() == NULL) {
        api_fail(r, HR_HCS_E_SERVICE_NOT_AVAILABLE,
                 "this node has no state partition to keep parts on: upload without Content-Range");
        return;
    }
    if (!parse_range(range, &first, &total) || (length >= 0 && (uint64_t)length != total - first)) {
        api_fail(
            r, HR_E_INVALIDARG,
            "header Content-Range: expected bytes FIRST-LAST/TOTAL, up to the end, and as many in the body");
        return;
    }
    if (upload_keeper()->begin(http_param(r, "name"), first, total, resumable_more, u, &u->kept, &error) !=
        CORE_OK) {
        fail(r, &error);
        return;
    }
    u->request = r;
    http_set_user(r, u);
    http_on_abort(r, resumable_gone);
    http_body_stream(r, total, resumable_data, resumable_end);
}

static void upload_dropped(void *arg, const struct core_error *error)
{
    struct kept *k = arg;

    if (k->request != NULL && error != NULL) {
        fail(k->request, error);
    } else if (k->request != NULL) {
        http_respond(k->request, 204, NULL, NULL, 0);
    }
    free(k);
}

void api_upload_delete(struct http_request *r)
{
    struct core_error error;
    struct kept *k;

    if (upload_keeper() == NULL) {
        core_fail(&error, CORE_NOT_FOUND, "there is no upload of an image '%.64s'", http_param(r, "name"));
        fail(r, &error);
        return;
    }
    k = kept_new(r);
    if (k != NULL) {
        upload_keeper()->drop(http_param(r, "name"), upload_dropped, k);
    }
}

void api_image_put(struct http_request *r)
{
    const char *digest = http_header(r, "X-Content-SHA256"), *range = http_header(r, "Content-Range");
    int64_t length = http_content_length(r);
    struct upload *u = http_alloc(r, sizeof *u);
    struct core_error error;

    if (u == NULL) {
        api_fail(r, HR_E_OUTOFMEMORY, NULL);
        return;
    }
    u->announced = digest != NULL;
    if (digest != NULL && !parse_digest(digest, u->sha256)) {
        api_fail(r, HR_E_INVALIDARG, "header X-Content-SHA256: expected 64 hexadecimal digits");
        return;
    }
    if (range != NULL) {
        put_resumable(r, u, range);
        return;
    }
    if (image_upload_begin(http_param(r, "name"), length > 0 ? (uint64_t)length : 0, &u->up, &error) !=
        CORE_OK) {
        fail(r, &error);
        return;
    }
    http_set_user(r, u);
    http_on_abort(r, upload_gone);
    http_body_stream(r, IMAGE_SIZE_MAX, upload_data, upload_end);
}
