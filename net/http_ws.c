// SPDX-License-Identifier: Apache-2.0
// HTTP server: the WebSocket handshake and upgraded connections (RFC 6455).
#include "net/http_priv.h"

#include <mbedtls/base64.h>
#include <mbedtls/sha1.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define NS_PER_MS 1000000ull
#define KEY_LEN 24 // base64 of 16 bytes

// --- handshake (sections 4.2.1 and 4.2.2) ---

// Is `token` an element of a comma-separated list?
static bool list_has(const char *list, const char *token)
{
    size_t len = strlen(token);

    while (list && *list) {
        list += strspn(list, " \t,");
        if (!strncasecmp(list, token, len) && strchr(" \t,", list[len])) { // also matches the final NUL
            return true;
        }
        list += strcspn(list, ",");
    }
    return false;
}

static bool key_valid(const char *key)
{
    uint8_t raw[KEY_LEN];
    size_t n;

    return key && strlen(key) == KEY_LEN &&
           mbedtls_base64_decode(raw, sizeof raw, &n, (const uint8_t *)key, KEY_LEN) == 0 && n == 16;
}

static bool accept_value(const char *key, char out[32])
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    uint8_t text[KEY_LEN + sizeof guid], hash[20];
    size_t n;

    memcpy(text, key, KEY_LEN);
    memcpy(text + KEY_LEN, guid, sizeof guid - 1);
    return mbedtls_sha1_ret(text, KEY_LEN + sizeof guid - 1, hash) == 0 &&
           mbedtls_base64_encode((uint8_t *)out, 32, &n, hash, sizeof hash) == 0;
}

static bool handshake_valid(struct http_request *r)
{
    const char *version = http_header(r, "Sec-WebSocket-Version");

    if (r->method != HTTP_M_GET || r->is_head || r->http10 || r->has_body ||
        !list_has(http_header(r, "Connection"), "Upgrade") ||
        !list_has(http_header(r, "Upgrade"), "websocket")) {
        http_add_header(r, "Upgrade", "websocket");
        http_error(r, 426, "upgrade_required", "this path speaks WebSocket only", "Upgrade");
        return false;
    }
    if (!version || strcmp(version, "13") != 0) {
        http_add_header(r, "Sec-WebSocket-Version", "13");
        http_error(r, 426, "upgrade_required", "WebSocket version 13 is required", "Sec-WebSocket-Version");
        return false;
    }
    if (!key_valid(http_header(r, "Sec-WebSocket-Key"))) {
        http_error(r, 400, "bad_request", "16 bytes in base64 are required", "Sec-WebSocket-Key");
        return false;
    }
    return true;
}

static bool put_switching(struct http_request *r, const char *subprotocol)
{
    struct out_queue *q = &r->conn->out;
    static const char head[] = "HTTP/1.1 101 Switching Protocols\r\nServer: Keelson\r\nUpgrade: websocket\r\n"
                               "Connection: Upgrade\r\nSec-WebSocket-Accept: ";
    char accept[32];

    if (!accept_value(http_header(r, "Sec-WebSocket-Key"), accept)) {
        return false;
    }
    if (subprotocol) {
        http_add_header(r, "Sec-WebSocket-Protocol", subprotocol);
    }
    return out_append(q, head, sizeof head - 1) && out_append(q, accept, strlen(accept)) &&
           out_append(q, "\r\n", 2) && out_append(q, r->extra, r->extra_len) && out_append(q, "\r\n", 2);
}

struct http_ws *http_upgrade_ws(struct http_request *r, const struct ws_handler *h, void *user,
                                const char *subprotocol)
{
    struct http_conn *c = r->conn;
    struct http_ws *ws;

    if (!handshake_valid(r)) {
        return NULL;
    }
    ws = calloc(1, sizeof *ws);
    if (!ws || !put_switching(r, subprotocol)) {
        free(ws);
        http_stream_fail(r);
        return NULL;
    }
    *ws = (struct http_ws){.conn = c, .handler = h, .user = user, .close_code = WS_CLOSE_ABNORMAL};
    ws->last_rx_ns = plat_now_ns();
    ws_parser_init(&ws->parser, c->server->config.limits.ws_message_bytes);
    c->ws = ws;
    c->server->stats.websockets++;
    r->answer = ANSWER_DONE; // freed by the pump
    r->on_abort = NULL;
    conn_rx_deadline(c, 0);
    conn_kick(c);
    return ws;
}

// --- sending ---

static bool put_frame(struct http_ws *ws, int opcode, const void *data, size_t len)
{
    struct out_queue *q = &ws->conn->out;
    uint8_t head[WS_HEAD_MAX];

    if (!out_append(q, head, ws_frame_head(head, opcode, len)) || !out_append(q, data, len)) {
        ws->conn->eof = ws->conn->broken = true; // half a frame may be queued
        conn_kick(ws->conn);
        return false;
    }
    // Told when it drains, also if the user looks at ws_send_space() and does not try.
    ws->want_writable |= q->bytes > ws->conn->server->config.limits.out_bytes / 2;
    conn_kick(ws->conn);
    return true;
}

size_t ws_send_space(const struct http_ws *ws)
{
    size_t limit = ws->conn->server->config.limits.out_bytes;
    size_t used = ws->conn->out.bytes + WS_HEAD_MAX;

    return ws->close_sent || used > limit ? 0 : limit - used;
}

bool ws_send(struct http_ws *ws, int type, const void *data, size_t len)
{
    if (len > ws_send_space(ws)) {
        ws->want_writable = true;
        return false;
    }
    return put_frame(ws, type, data, len);
}

static void send_close(struct http_ws *ws, int code, const void *reason, size_t len)
{
    uint8_t payload[WS_CONTROL_MAX];

    if (ws->close_sent) {
        return;
    }
    ws->close_sent = true;
    if (code == WS_CLOSE_NO_CODE) {
        put_frame(ws, WS_OP_CLOSE, NULL, 0);
        return;
    }
    len = MIN(len, sizeof payload - 2);
    payload[0] = (uint8_t)(code >> 8);
    payload[1] = (uint8_t)code;
    memcpy(payload + 2, reason, len);
    put_frame(ws, WS_OP_CLOSE, payload, len + 2);
}

void ws_close(struct http_ws *ws, int code, const char *reason)
{
    send_close(ws, code, reason ? reason : "", reason ? strlen(reason) : 0);
    ws->paused = false; // the peer's close frame is wanted
    conn_rx_deadline(ws->conn, LINGER_MS);
    conn_kick(ws->conn);
}

void *ws_user(const struct http_ws *ws)
{
    return ws->user;
}

void ws_writable(struct http_conn *c)
{
    struct http_ws *ws = c->ws;

    if (ws->want_writable && !ws->close_sent) {
        ws->want_writable = false;
        if (ws->handler->on_writable) {
            ws->handler->on_writable(ws);
        }
    }
}

// --- receiving ---

void ws_pause(struct http_ws *ws)
{
    ws->paused = true;
}

void ws_resume(struct http_ws *ws)
{
    if (ws->paused) {
        ws->paused = false;
        ws->last_rx_ns = plat_now_ns();
        conn_kick(ws->conn);
    }
}

// A peer that sends pings and reads nothing must not fill the queue with pongs.
static void answer_ping(struct http_ws *ws, const struct ws_item *item)
{
    if (!ws->close_sent && ws->conn->out.bytes < ws->conn->server->config.limits.out_bytes) {
        put_frame(ws, WS_OP_PONG, item->data, item->len);
    }
}

static void handle(struct http_ws *ws, enum ws_event ev, const struct ws_item *item)
{
    switch (ev) {
    case WS_EV_MESSAGE:
        if (!ws->close_sent) {
            ws->handler->on_message(ws, item->type, item->data, item->len);
        }
        break;
    case WS_EV_PING:
        answer_ping(ws, item);
        break;
    case WS_EV_CLOSE:
        ws->close_received = true;
        ws->close_code = item->code;
        send_close(ws, item->code, "", 0);
        conn_end(ws->conn, true);
        break;
    case WS_EV_FAIL:
        ws->close_code = item->code;
        send_close(ws, item->code, "", 0);
        conn_end(ws->conn, false);
        break;
    default:
        break;
    }
}

void ws_pump(struct http_conn *c)
{
    struct http_ws *ws = c->ws;

    ws->last_rx_ns = plat_now_ns();
    ws->ping_sent = false;
    while (!c->dead && !c->closing && !ws->paused && c->in_off < c->in_len) {
        struct ws_item item;
        size_t used;
        enum ws_event ev = ws_feed(&ws->parser, c->in + c->in_off, c->in_len - c->in_off, &used, &item);

        c->in_off += used;
        handle(ws, ev, &item);
    }
}

// --- time and end ---

// A paused socket hears no pongs, so silence says nothing about its peer.
uint64_t ws_deadline(const struct http_conn *c)
{
    uint64_t silence = c->server->config.limits.ws_ping_ms * NS_PER_MS;

    if (c->ws->paused) {
        return plat_now_ns() + silence;
    }
    return c->ws->last_rx_ns + (c->ws->ping_sent ? 2 * silence : silence);
}

void ws_timeout(struct http_conn *c, uint64_t now_ns)
{
    struct http_ws *ws = c->ws;

    if (ws->paused || now_ns < ws_deadline(c)) {
        return;
    }
    if (ws->ping_sent) {
        c->server->stats.timeouts++;
        conn_kill(c);
        return;
    }
    ws->ping_sent = true;
    if (!ws->close_sent) {
        put_frame(ws, WS_OP_PING, NULL, 0);
    }
}

void ws_gone(struct http_conn *c)
{
    struct http_ws *ws = c->ws;

    ws->handler->on_close(ws, ws->close_code);
    c->ws = NULL;
    c->server->stats.websockets--;
    ws_parser_free(&ws->parser);
    free(ws);
}
