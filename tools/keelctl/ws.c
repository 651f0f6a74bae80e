// SPDX-License-Identifier: Apache-2.0
// The client's side of a WebSocket (RFC 6455) over curl's CONNECT_ONLY mode.
#include "tools/keelctl/ws.h"

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <wslay/wslay.h>

#include "tools/keelctl/out.h"

#define HEAD_MAX 16384
#define HANDSHAKE_SECONDS 30.0
#define MESSAGE_MAX (1u << 20)
#define CLOSE_ABNORMAL 1006u

struct ws {
    struct client *client;
    CURL *curl;
    curl_socket_t socket;
    wslay_event_context_ptr wslay;
    ws_message_fn message;
    void *arg;
    bool gone;               // the connection is broken
    char head[HEAD_MAX + 1]; // the answer's head; behind it the first frames
    size_t head_used, head_taken;
};

// --- wslay's callbacks ---

static ssize_t on_receive(wslay_event_context_ptr ctx, uint8_t *buffer, size_t size, int flags, void *arg)
{
    struct ws *w = arg;
    size_t n = w->head_used - w->head_taken;
    CURLcode code;

    (void)flags;
    if (n > 0) { // came together with the handshake's answer
        n = n < size ? n : size;
        memcpy(buffer, w->head + w->head_taken, n);
        w->head_taken += n;
        return (ssize_t)n;
    }
    code = curl_easy_recv(w->curl, buffer, size, &n);
    if (code == CURLE_AGAIN) {
        wslay_event_set_error(ctx, WSLAY_ERR_WOULDBLOCK);
        return -1;
    }
    if (code != CURLE_OK || n == 0) {
        w->gone = true;
        wslay_event_set_error(ctx, WSLAY_ERR_CALLBACK_FAILURE);
        return -1;
    }
    return (ssize_t)n;
}

static ssize_t on_send(wslay_event_context_ptr ctx, const uint8_t *data, size_t size, int flags, void *arg)
{
    struct ws *w = arg;
    size_t n = 0;
    CURLcode code = curl_easy_send(w->curl, data, size, &n);

    (void)flags;
    if (code == CURLE_AGAIN || (code == CURLE_OK && n == 0)) {
        wslay_event_set_error(ctx, WSLAY_ERR_WOULDBLOCK);
        return -1;
    }
    if (code != CURLE_OK) {
        w->gone = true;
        wslay_event_set_error(ctx, WSLAY_ERR_CALLBACK_FAILURE);
        return -1;
    }
    return (ssize_t)n;
}

static int on_mask(wslay_event_context_ptr ctx, uint8_t *buffer, size_t size, void *arg)
{
    (void)ctx, (void)arg;
    return RAND_bytes(buffer, (int)size) == 1 ? 0 : -1;
}

static void on_message(wslay_event_context_ptr ctx, const struct wslay_event_on_msg_recv_arg *m, void *arg)
{
    struct ws *w = arg;

    (void)ctx;
    if (!wslay_is_ctrl_frame(m->opcode)) {
        w->message(w->arg, m->msg, m->msg_length);
    }
}

// --- the handshake (RFC 6455 section 4.1) ---

static void make_key(char key[32])
{
    unsigned char random[16];

    if (RAND_bytes(random, sizeof random) != 1) {
        abort();
    }
    EVP_EncodeBlock((unsigned char *)key, random, sizeof random);
}

// The value that only a WebSocket server would send back for this key.
static void expected_accept(const char *key, char accept[32])
{
    unsigned char hash[EVP_MAX_MD_SIZE];
    char text[96];
    unsigned len;
    int n = snprintf(text, sizeof text, "%s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key);

    EVP_Digest(text, (size_t)n, hash, &len, EVP_sha1(), NULL);
    EVP_EncodeBlock((unsigned char *)accept, hash, (int)len);
}

// Waits until the socket can be read or written; false when the handshake's time is up.
static bool wait_socket(struct ws *w, short events, double deadline)
{
    struct pollfd p = {.fd = w->socket, .events = events};
    double left = deadline - monotonic_seconds();

    return left > 0 && poll(&p, 1, (int)(left * 1000) + 1) > 0;
}

static bool send_all(struct ws *w, const char *text, double deadline)
{
    size_t length = strlen(text), n;

    while (length > 0) {
        CURLcode code = curl_easy_send(w->curl, text, length, &n);

        if (code == CURLE_OK) {
            text += n;
            length -= n;
        } else if (code != CURLE_AGAIN || !wait_socket(w, POLLOUT, deadline)) {
            return false;
        }
    }
    return true;
}

// Reads until `done` says so or the other side closes; false if it did or takes too long.
static bool receive_more(struct ws *w, double deadline)
{
    size_t n;
    CURLcode code;

    while ((code = curl_easy_recv(w->curl, w->head + w->head_used, HEAD_MAX - w->head_used, &n)) ==
           CURLE_AGAIN) {
        if (!wait_socket(w, POLLIN, deadline)) {
            return false;
        }
    }
    if (code != CURLE_OK || n == 0) {
        return false;
    }
    w->head_used += n;
    w->head[w->head_used] = '\0';
    return true;
}

static bool send_request(struct ws *w, const char *path, const char *key, double deadline)
{
    char *authorization = client_authorization(w->client), *request;
    bool good;

    if (asprintf(&request,
                 "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: keelctl\r\nAuthorization: %s\r\n"
                 "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                 "Sec-WebSocket-Key: %s\r\n\r\n",
                 path, client_authority(w->client), authorization, key) < 0) {
        abort();
    }
    good = send_all(w, request, deadline);
    explicit_bzero(request, strlen(request));
    explicit_bzero(authorization, strlen(authorization));
    free(request);
    free(authorization);
    return good;
}

// The value of a header field in the answer's head, NULL without it.
static const char *header_value(const char *head, const char *name)
{
    size_t length = strlen(name);

    for (const char *line = strstr(head, "\r\n"); line != NULL; line = strstr(line, "\r\n")) {
        line += 2;
        if (strncasecmp(line, name, length) == 0 && line[length] == ':') {
            line += length + 1;
            return line + strspn(line, " \t");
        }
    }
    return NULL;
}

// Takes the answer to a refused handshake whole and reports it.
static enum status report_refusal(struct ws *w, long code, double deadline)
{
    const char *length_text = header_value(w->head, "Content-Length");
    size_t length = length_text != NULL ? strtoul(length_text, NULL, 10) : 0;
    struct answer a = {.code = code};
    enum status status;

    while (w->head_used - w->head_taken < length && w->head_used < HEAD_MAX && receive_more(w, deadline)) {
    }
    a.length = w->head_used - w->head_taken;
    a.body = strdup(w->head + w->head_taken);
    a.json = cJSON_Parse(a.body);
    status = client_report(w->client, &a);
    answer_free(&a);
    return status;
}

static enum status handshake(struct ws *w, const char *path)
{
    double deadline = monotonic_seconds() + HANDSHAKE_SECONDS;
    char key[32], accept[32], *end = NULL;
    const char *value;
    long code;

    make_key(key);
    expected_accept(key, accept);
    if (!send_request(w, path, key, deadline)) {
        complain("the node does not take the request");
        return STATUS_UNREACHABLE;
    }
    while (end == NULL) {
        if (w->head_used == HEAD_MAX || !receive_more(w, deadline)) {
            complain("the node did not answer the request");
            return STATUS_UNREACHABLE;
        }
        end = strstr(w->head, "\r\n\r\n");
    }
    w->head_taken = (size_t)(end - w->head) + 4;
    code = strncmp(w->head, "HTTP/1.1 ", 9) == 0 ? strtol(w->head + 9, NULL, 10) : 0;
    if (code < 100) {
        complain("the node's answer is not HTTP");
        return STATUS_FAILED;
    }
    if (code != 101) {
        return report_refusal(w, code, deadline);
    }
    value = header_value(w->head, "Sec-WebSocket-Accept");
    if (value == NULL || strncmp(value, accept, strlen(accept)) != 0) {
        complain("the answer is not that of a WebSocket server");
        return STATUS_FAILED;
    }
    return STATUS_OK;
}

// --- opening and closing ---

static enum status open_socket(struct ws *w, const char *path)
{
    static const struct wslay_event_callbacks callbacks = {
        .recv_callback = on_receive,
        .send_callback = on_send,
        .genmask_callback = on_mask,
        .on_msg_recv_callback = on_message,
    };
    enum status status;

    w->curl = client_connect(w->client, &status);
    if (w->curl == NULL) {
        return status;
    }
    if (curl_easy_getinfo(w->curl, CURLINFO_ACTIVESOCKET, &w->socket) != CURLE_OK) {
        return STATUS_FAILED;
    }
    status = handshake(w, path);
    if (status == STATUS_OK && wslay_event_context_client_init(&w->wslay, &callbacks, w) != 0) {
        status = STATUS_FAILED;
    }
    if (status == STATUS_OK) {
        wslay_event_config_set_max_recv_msg_length(w->wslay, MESSAGE_MAX);
    }
    return status;
}

struct ws *ws_open(struct client *c, const char *path, ws_message_fn message, void *arg, enum status *status)
{
    struct ws *w = calloc(1, sizeof *w);

    if (w == NULL) {
        abort();
    }
    w->client = c;
    w->message = message;
    w->arg = arg;
    *status = open_socket(w, path);
    if (*status != STATUS_OK) {
        ws_free(w);
        return NULL;
    }
    return w;
}

void ws_free(struct ws *w)
{
    if (w->wslay != NULL) {
        wslay_event_context_free(w->wslay);
    }
    free(w);
}

// --- running ---

int ws_socket(const struct ws *w)
{
    return w->socket;
}

bool ws_wants_write(const struct ws *w)
{
    return wslay_event_want_write(w->wslay) != 0;
}

bool ws_step(struct ws *w)
{
    // Both return at once when the socket would block. wslay answers pings and closes by itself.
    if (wslay_event_want_read(w->wslay) && wslay_event_recv(w->wslay) != 0) {
        w->gone = true;
    }
    if (wslay_event_want_write(w->wslay) && wslay_event_send(w->wslay) != 0) {
        w->gone = true;
    }
    return !w->gone && (wslay_event_want_read(w->wslay) || wslay_event_want_write(w->wslay));
}

size_t ws_queued(const struct ws *w)
{
    return wslay_event_get_queued_msg_length(w->wslay);
}

void ws_send(struct ws *w, const void *data, size_t length)
{
    struct wslay_event_msg m = {WSLAY_BINARY_FRAME, data, length};

    if (wslay_event_queue_msg(w->wslay, &m) != 0) {
        w->gone = true;
    }
}

void ws_close(struct ws *w)
{
    wslay_event_queue_close(w->wslay, WSLAY_CODE_NORMAL_CLOSURE, NULL, 0);
}

unsigned ws_close_code(const struct ws *w)
{
    if (!wslay_event_get_close_received(w->wslay)) {
        return CLOSE_ABNORMAL;
    }
    return wslay_event_get_status_code_received(w->wslay);
}
