// SPDX-License-Identifier: Apache-2.0
// HTTP requests over libcurl.
#include "tools/keelctl/client.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "tools/keelctl/config.h"
#include "tools/keelctl/out.h"
#include "tools/keelctl/trust.h"

#define ANSWER_MAX (64u << 20)
#define CONNECT_SECONDS 60L // a node in an emulator on a busy machine takes its time
#define STALL_SECONDS 120L  // longer than the longest wait that the API allows
#define SILENCE_SECONDS 60  // of an event stream, which has a comment every 15

struct client {
    const struct options *options;
    CURL *curl;
    char *url;       // "https://host:port", without a path
    char *authority; // "host:port"
    struct trust trust;
    char secret[SECRET_MAX];
    char error[CURL_ERROR_SIZE];
    bool keep_trying; // failed connections are not said
};

// --- opening ---

// Brings "host", "host:port" or a URL into its parts.
static bool parse_node(const char *node, char **url, char **name)
{
    CURLU *parts = curl_url();
    char *scheme = NULL, *host = NULL, *port = NULL;
    bool good = parts != NULL &&
                curl_url_set(parts, CURLUPART_URL, node, CURLU_DEFAULT_SCHEME) == CURLUE_OK &&
                curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
                strcmp(scheme, "https") == 0 && curl_url_get(parts, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
                curl_url_get(parts, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK &&
                asprintf(url, "https://%s:%s", host, port) > 0 && asprintf(name, "%s:%s", host, port) > 0;

    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    curl_url_cleanup(parts);
    return good;
}

enum status client_node_name(const struct options *o, char **url, char **name)
{
    if (o->node == NULL) {
        return usage_error(
            "which node? Give --node URL, KEELSON_NODE, or a line `node = URL` in the configuration");
    }
    if (!parse_node(o->node, url, name)) {
        return usage_error("'%s' is no node: expected https://HOST[:PORT]", o->node);
    }
    return STATUS_OK;
}

static enum status open_node(struct client *c)
{
    const struct options *o = c->options;
    enum status status = client_node_name(o, &c->url, &c->authority);

    if (status == STATUS_OK && !config_secret(o, c->secret)) {
        status = STATUS_USAGE;
    }
    if (status != STATUS_OK) {
        return status;
    }
    status = trust_establish(&c->trust, o, c->url, c->authority);
    if (status != STATUS_OK) {
        return status;
    }
    c->curl = curl_easy_init();
    return c->curl != NULL ? STATUS_OK : STATUS_FAILED;
}

struct client *client_open(const struct options *o, enum status *status)
{
    struct client *c = calloc(1, sizeof *c);

    if (c == NULL) {
        *status = STATUS_FAILED;
        return NULL;
    }
    c->options = o;
    *status = open_node(c);
    if (*status != STATUS_OK) {
        client_close(c);
        return NULL;
    }
    return c;
}

void client_close(struct client *c)
{
    if (c->curl != NULL) {
        curl_easy_cleanup(c->curl);
    }
    OPENSSL_cleanse(c->secret, sizeof c->secret);
    free(c->url);
    free(c->authority);
    free(c);
}

// --- paths ---

char *client_escape(const char *text)
{
    char *escaped = curl_easy_escape(NULL, text, 0), *copy = escaped != NULL ? strdup(escaped) : NULL;

    curl_free(escaped);
    if (copy == NULL) {
        abort(); // out of memory in a client: nothing to save
    }
    return copy;
}

char *client_path(const char *prefix, const char *name, const char *suffix)
{
    char *escaped = client_escape(name), *path;

    if (asprintf(&path, "%s%s%s", prefix, escaped, suffix) < 0) {
        abort();
    }
    free(escaped);
    return path;
}

// --- one exchange ---

static size_t take_body(char *data, size_t size, size_t count, void *arg)
{
    struct answer *a = arg;
    size_t length = size * count;
    char *larger = a->length + length <= ANSWER_MAX ? realloc(a->body, a->length + length + 1) : NULL;

    if (larger == NULL) {
        return 0; // curl fails with CURLE_WRITE_ERROR
    }
    a->body = larger;
    memcpy(a->body + a->length, data, length);
    a->length += length;
    a->body[a->length] = '\0';
    return length;
}

static size_t take_header(char *data, size_t size, size_t count, void *arg)
{
    static const char next[] = "x-next-sequence:";
    struct answer *a = arg;
    size_t length = size * count;

    if (length > sizeof next && strncasecmp(data, next, sizeof next - 1) == 0) {
        sscanf(data + sizeof next - 1, " %23[0-9]", a->next);
    }
    return length;
}

// Options that every transfer needs. `answer` receives header fields and body.
static CURLcode prepare(struct client *c, const char *path, struct answer *answer)
{
    char *url;

    if (asprintf(&url, "%s%s", c->url, path) < 0) {
        abort();
    }
    curl_easy_reset(c->curl); // keeps the connection
    curl_easy_setopt(c->curl, CURLOPT_URL, url);
    free(url);
    curl_easy_setopt(c->curl, CURLOPT_PROTOCOLS_STR, "https");
    curl_easy_setopt(c->curl, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(c->curl, CURLOPT_NOPROXY, "*"); // the certificate checked must be the node's
    curl_easy_setopt(c->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c->curl, CURLOPT_USERAGENT, "keelctl");
    curl_easy_setopt(c->curl, CURLOPT_USERNAME, "admin");
    curl_easy_setopt(c->curl, CURLOPT_PASSWORD, c->secret);
    curl_easy_setopt(c->curl, CURLOPT_HTTPAUTH, CURLAUTH_BASIC);
    curl_easy_setopt(c->curl, CURLOPT_CONNECTTIMEOUT, CONNECT_SECONDS);
    curl_easy_setopt(c->curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(c->curl, CURLOPT_LOW_SPEED_TIME, STALL_SECONDS);
    curl_easy_setopt(c->curl, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(c->curl, CURLOPT_ERRORBUFFER, c->error);
    curl_easy_setopt(c->curl, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(c->curl, CURLOPT_WRITEDATA, answer);
    curl_easy_setopt(c->curl, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(c->curl, CURLOPT_HEADERDATA, answer);
    c->error[0] = '\0';
    return trust_apply(&c->trust, c->curl);
}

static enum status explain_failure(struct client *c, CURLcode code)
{
    if (c->trust.mismatch) {
        trust_explain_mismatch(&c->trust, c->authority);
    } else if (!c->keep_trying) {
        complain("%s: %s", c->url, c->error[0] != '\0' ? c->error : curl_easy_strerror(code));
    }
    return STATUS_UNREACHABLE;
}

static enum status exchange(struct client *c, struct answer *a)
{
    CURLcode code = curl_easy_perform(c->curl);

    curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &a->code);
    if (code != CURLE_OK) {
        return explain_failure(c, code);
    }
    a->json = a->body != NULL ? cJSON_ParseWithLength(a->body, a->length) : NULL;
    return STATUS_OK;
}

static enum status perform(struct client *c, struct answer *a)
{
    enum status status = exchange(c, a);

    return status == STATUS_OK && (a->code < 200 || a->code > 299) ? client_report(c, a) : status;
}

enum status client_request_quiet(struct client *c, const char *path, struct answer *a)
{
    *a = (struct answer){0};
    return prepare(c, path, a) == CURLE_OK ? exchange(c, a) : STATUS_FAILED;
}

enum status client_request(struct client *c, const char *method, const char *path, const char *body,
                           struct answer *a)
{
    struct curl_slist *fields = NULL;
    enum status status;

    *a = (struct answer){0};
    if (prepare(c, path, a) != CURLE_OK) {
        return STATUS_FAILED;
    }
    if (body != NULL || strcmp(method, "POST") == 0) {
        const char *text = body != NULL ? body : "";

        fields = curl_slist_append(fields, body != NULL ? "Content-Type: application/json" : "Content-Type:");
        curl_easy_setopt(c->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(text));
        curl_easy_setopt(c->curl, CURLOPT_COPYPOSTFIELDS, text);
    }
    curl_easy_setopt(c->curl, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, fields);
    status = perform(c, a);
    curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, NULL);
    curl_slist_free_all(fields);
    return status;
}

// --- streams ---

struct streaming {
    CURL *curl;
    bool (*take)(void *arg, const char *bytes, size_t length);
    void *arg;
    struct answer *answer; // takes what is no stream
    double heard;          // when the last bytes came
};

static size_t take_stream(char *data, size_t size, size_t count, void *arg)
{
    struct streaming *s = arg;
    long code = 0;

    s->heard = monotonic_seconds();
    curl_easy_getinfo(s->curl, CURLINFO_RESPONSE_CODE, &code);
    if (code != 200) {
        return take_body(data, size, count, s->answer);
    }
    return s->take(s->arg, data, size * count) ? size * count : 0;
}

// curl counts bytes a second, which a comment now and then is too little for.
static int watch_silence(void *arg, curl_off_t down_total, curl_off_t down, curl_off_t up_total,
                         curl_off_t up)
{
    const struct streaming *s = arg;

    (void)down_total, (void)down, (void)up_total, (void)up;
    return monotonic_seconds() - s->heard > SILENCE_SECONDS;
}

enum status client_stream(struct client *c, const char *path, const char *last_id,
                          bool (*take)(void *arg, const char *bytes, size_t length), void *arg,
                          struct answer *a)
{
    struct streaming s = {c->curl, take, arg, a, monotonic_seconds()};
    struct curl_slist *fields = curl_slist_append(NULL, "Accept: text/event-stream");
    enum status status = STATUS_FAILED;
    char field[64];

    *a = (struct answer){0};
    if (last_id[0] != '\0') {
        snprintf(field, sizeof field, "Last-Event-ID: %s", last_id);
        fields = curl_slist_append(fields, field);
    }
    if (prepare(c, path, a) == CURLE_OK) {
        curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, fields);
        curl_easy_setopt(c->curl, CURLOPT_WRITEFUNCTION, take_stream);
        curl_easy_setopt(c->curl, CURLOPT_WRITEDATA, &s);
        curl_easy_setopt(c->curl, CURLOPT_LOW_SPEED_TIME, 0L);
        curl_easy_setopt(c->curl, CURLOPT_NOPROGRESS, 0L);
        curl_easy_setopt(c->curl, CURLOPT_XFERINFOFUNCTION, watch_silence);
        curl_easy_setopt(c->curl, CURLOPT_XFERINFODATA, &s);
        status = exchange(c, a);
        curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, NULL);
    }
    curl_slist_free_all(fields);
    return status;
}

void client_keep_trying(struct client *c, bool on)
{
    c->keep_trying = on;
}

bool client_is_other_node(const struct client *c)
{
    return c->trust.mismatch;
}

// --- uploads ---

static size_t give_body(char *buffer, size_t size, size_t count, void *arg)
{
    const struct upload *u = arg;
    size_t n = u->read(u->arg, buffer, size * count);

    return n == (size_t)-1 ? CURL_READFUNC_ABORT : n;
}

static int tell_progress(void *arg, curl_off_t down_total, curl_off_t down, curl_off_t up_total,
                         curl_off_t up)
{
    const struct upload *u = arg;

    (void)down_total, (void)down, (void)up_total;
    u->progress(u->arg, u->offset + (uint64_t)up);
    return 0;
}

enum status client_upload(struct client *c, const char *path, const struct upload *u, struct answer *a)
{
    struct curl_slist *fields = curl_slist_append(NULL, "Content-Type: application/octet-stream");
    char digest[96], range[96];
    enum status status;

    *a = (struct answer){0};
    if (prepare(c, path, a) != CURLE_OK) {
        curl_slist_free_all(fields);
        return STATUS_FAILED;
    }
    if (u->sha256 != NULL) {
        snprintf(digest, sizeof digest, "X-Content-SHA256: %s", u->sha256);
        fields = curl_slist_append(fields, digest);
    }
    curl_easy_setopt(c->curl, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(c->curl, CURLOPT_READFUNCTION, give_body);
    curl_easy_setopt(c->curl, CURLOPT_READDATA, u);
    if (u->size >= 0) {
        curl_easy_setopt(c->curl, CURLOPT_INFILESIZE_LARGE, (curl_off_t)u->size - (curl_off_t)u->offset);
    }
    if (u->resumable) {
        snprintf(range, sizeof range, "Content-Range: bytes %llu-%lld/%lld", (unsigned long long)u->offset,
                 (long long)u->size - 1, (long long)u->size);
        fields = curl_slist_append(fields, range);
    }
    curl_easy_setopt(c->curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(c->curl, CURLOPT_XFERINFOFUNCTION, tell_progress);
    curl_easy_setopt(c->curl, CURLOPT_XFERINFODATA, u);
    curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, fields);
    status = perform(c, a);
    curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, NULL);
    curl_slist_free_all(fields);
    return status;
}

void answer_free(struct answer *a)
{
    cJSON_Delete(a->json);
    free(a->body);
    *a = (struct answer){0};
}

// --- for the WebSocket ---

CURL *client_connect(struct client *c, enum status *status)
{
    struct answer unused = {0};
    CURLcode code = prepare(c, "/", &unused);

    if (code == CURLE_OK) {
        curl_easy_setopt(c->curl, CURLOPT_CONNECT_ONLY, 1L);
        curl_easy_setopt(c->curl, CURLOPT_SSL_ENABLE_ALPN, 0L);
        code = curl_easy_perform(c->curl);
    }
    *status = code == CURLE_OK ? STATUS_OK : explain_failure(c, code);
    return code == CURLE_OK ? c->curl : NULL;
}

const char *client_authority(const struct client *c)
{
    return c->authority;
}

char *client_authorization(const struct client *c)
{
    char plain[SECRET_MAX + 8], coded[2 * SECRET_MAX], *field;
    int n = snprintf(plain, sizeof plain, "admin:%s", c->secret);

    EVP_EncodeBlock((unsigned char *)coded, (unsigned char *)plain, n);
    if (asprintf(&field, "Basic %s", coded) < 0) {
        abort();
    }
    OPENSSL_cleanse(plain, sizeof plain);
    return field;
}

const struct options *client_options(const struct client *c)
{
    return c->options;
}
