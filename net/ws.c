// SPDX-License-Identifier: Apache-2.0
// WebSocket framing: see ws.h. Section numbers are those of RFC 6455.
#include "net/ws.h"

#include <stdlib.h>
#include <string.h>

#define FIN 0x80
#define RSV 0x70
#define MASKED 0x80
#define MSG_FIRST_CAP 1024
#define MSG_KEEP_CAP 4096 // a larger buffer is given back after its message

// --- UTF-8 ---
//
// The state packs what the next byte must be: bits 0-7 lowest allowed, 8-15 highest allowed, 16-17 how many
// continuation bytes are missing. 0: between characters.

static uint32_t utf8_start(uint8_t c)
{
    if (c < 0x80) {
        return 0;
    }
    if (c < 0xc2 || c > 0xf4) {
        return UTF8_BAD;
    }
    if (c < 0xe0) {
        return 1u << 16 | 0xbf80;
    }
    if (c < 0xf0) { // no overlong forms after E0, no surrogates after ED
        return 2u << 16 | (c == 0xed ? 0x9f00 : 0xbf00) | (c == 0xe0 ? 0xa0 : 0x80);
    }
    return 3u << 16 | (c == 0xf4 ? 0x8f00 : 0xbf00) | (c == 0xf0 ? 0x90 : 0x80);
}

static uint32_t utf8_next(uint32_t state, uint8_t c)
{
    uint32_t missing = state >> 16;

    if (c < (state & 0xff) || c > (state >> 8 & 0xff)) {
        return UTF8_BAD;
    }
    return missing == 1 ? 0 : (missing - 1) << 16 | 0xbf80;
}

uint32_t utf8_check(uint32_t state, const uint8_t *data, size_t len)
{
    size_t i = 0;

    while (i < len && state != UTF8_BAD) {
        uint64_t word;

        if (state == 0 && len - i >= 8) { // eight ASCII characters at once
            memcpy(&word, data + i, 8);
            if (!(word & 0x8080808080808080ull)) {
                i += 8;
                continue;
            }
        }
        state = state ? utf8_next(state, data[i]) : utf8_start(data[i]);
        i++;
    }
    return state;
}

// --- parser ---

void ws_parser_init(struct ws_parser *p, size_t max_message)
{
    memset(p, 0, sizeof *p);
    p->max_message = max_message;
}

void ws_parser_free(struct ws_parser *p)
{
    free(p->msg);
    p->msg = NULL;
    p->msg_cap = 0;
}

bool ws_close_code_valid(int code)
{
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) || (code >= 3000 && code <= 4999);
}

static bool is_control(int op)
{
    return op >= 8;
}

// Bytes of the frame header, as far as the bytes seen so far tell.
static size_t head_size(const struct ws_parser *p)
{
    size_t size = 2 + 4; // the mask is mandatory

    if (p->head_len < 2) {
        return 2;
    }
    switch (p->head[1] & 0x7f) {
    case 126:
        return size + 2;
    case 127:
        return size + 8;
    default:
        return size;
    }
}

static uint64_t be(const uint8_t *p, int bytes)
{
    uint64_t v = 0;

    for (int i = 0; i < bytes; i++) {
        v = v << 8 | p[i];
    }
    return v;
}

// Payload length in its shortest form (section 5.2); false if it is not.
static bool payload_length(const struct ws_parser *p, uint64_t *len)
{
    switch (p->head[1] & 0x7f) {
    case 126:
        *len = be(p->head + 2, 2);
        return *len >= 126;
    case 127:
        *len = be(p->head + 2, 8);
        return *len > 0xffff && !(*len >> 63);
    default:
        *len = p->head[1] & 0x7f;
        return true;
    }
}

static bool opcode_allowed(const struct ws_parser *p, int op, bool fin)
{
    switch (op) {
    case WS_OP_CONTINUATION:
        return p->type != 0;
    case WS_OP_TEXT:
    case WS_OP_BINARY:
        return p->type == 0; // section 5.4: fragments of two messages do not mix
    case WS_OP_CLOSE:
    case WS_OP_PING:
    case WS_OP_PONG:
        return fin;
    default:
        return false;
    }
}

// The first two bytes can be judged without the rest (and must be: a client that sends an unmasked frame
// sends a shorter header than the one waited for).
static int check_first_bytes(const struct ws_parser *p)
{
    int op = p->head[0] & 15;

    if (p->head[0] & RSV || !(p->head[1] & MASKED) || !opcode_allowed(p, op, p->head[0] & FIN) ||
        (is_control(op) && (p->head[1] & 0x7f) > WS_CONTROL_MAX)) {
        return WS_CLOSE_PROTOCOL;
    }
    return 0;
}

static bool msg_reserve(struct ws_parser *p, size_t size)
{
    size_t cap = p->msg_cap ? p->msg_cap : MSG_FIRST_CAP;
    uint8_t *msg;

    while (cap < size) {
        cap *= 2;
    }
    if (cap == p->msg_cap) {
        return true;
    }
    msg = realloc(p->msg, cap);
    if (!msg) {
        return false;
    }
    p->msg = msg;
    p->msg_cap = cap;
    return true;
}

static int begin_frame(struct ws_parser *p)
{
    uint64_t len;

    if (!payload_length(p, &len)) {
        return WS_CLOSE_PROTOCOL;
    }
    p->op = p->head[0] & 15;
    p->fin = p->head[0] & FIN;
    if (is_control(p->op)) {
        p->control_len = 0;
    } else {
        if (p->op != WS_OP_CONTINUATION) {
            p->type = p->op;
            p->msg_len = 0;
            p->utf8_state = 0;
        }
        if (len > p->max_message - p->msg_len) {
            return WS_CLOSE_TOO_BIG;
        }
    }
    memcpy(p->mask, p->head + p->head_len - 4, 4);
    p->mask_pos = 0;
    p->left = len;
    p->in_payload = true;
    return 0;
}

static int take_head(struct ws_parser *p, const uint8_t *data, size_t len, size_t *used)
{
    while (*used < len) {
        int fail;

        p->head[p->head_len++] = data[(*used)++];
        if (p->head_len == 2 && (fail = check_first_bytes(p))) {
            return fail;
        }
        if (p->head_len > 2 && p->head_len == head_size(p)) {
            return begin_frame(p);
        }
    }
    return 0;
}

// Copy and unmask (section 5.3), eight bytes at a time.
static void unmask(struct ws_parser *p, uint8_t *out, const uint8_t *in, size_t len)
{
    uint8_t mask[8];
    uint64_t word, mask_word;
    size_t i = 0;

    for (int k = 0; k < 8; k++) {
        mask[k] = p->mask[(p->mask_pos + (uint32_t)k) & 3];
    }
    memcpy(&mask_word, mask, 8);
    for (; i + 8 <= len; i += 8) {
        memcpy(&word, in + i, 8);
        word ^= mask_word;
        memcpy(out + i, &word, 8);
    }
    for (; i < len; i++) {
        out[i] = in[i] ^ mask[i & 7];
    }
    p->mask_pos += (uint32_t)len;
}

static int take_payload(struct ws_parser *p, const uint8_t *data, size_t len)
{
    uint8_t *out;

    if (is_control(p->op)) {
        unmask(p, p->control + p->control_len, data, len);
        p->control_len = (uint8_t)(p->control_len + len);
    } else {
        if (!msg_reserve(p, p->msg_len + len + 1)) { // 1: the terminating NUL
            return WS_CLOSE_INTERNAL;
        }
        out = p->msg + p->msg_len;
        unmask(p, out, data, len);
        p->msg_len += len;
        if (p->type == WS_OP_TEXT) {
            p->utf8_state = utf8_check(p->utf8_state, out, len);
            if (p->utf8_state == UTF8_BAD) {
                return WS_CLOSE_BAD_DATA;
            }
        }
    }
    p->left -= len;
    return 0;
}

static enum ws_event failed(struct ws_parser *p, int code, struct ws_item *item)
{
    p->fail = code;
    *item = (struct ws_item){.code = code};
    return WS_EV_FAIL;
}

static enum ws_event end_close(struct ws_parser *p, struct ws_item *item)
{
    item->code = WS_CLOSE_NO_CODE;
    item->data = p->control + MIN(2, p->control_len);
    item->len = p->control_len < 2 ? 0 : p->control_len - 2u;
    if (p->control_len == 1) {
        return failed(p, WS_CLOSE_PROTOCOL, item);
    }
    if (p->control_len >= 2) {
        item->code = (int)be(p->control, 2);
        if (!ws_close_code_valid(item->code)) {
            return failed(p, WS_CLOSE_PROTOCOL, item);
        }
    }
    if (utf8_check(0, item->data, item->len) != 0) {
        return failed(p, WS_CLOSE_BAD_DATA, item);
    }
    return WS_EV_CLOSE;
}

static enum ws_event end_control(struct ws_parser *p, struct ws_item *item)
{
    p->control[p->control_len] = 0;
    *item = (struct ws_item){.data = p->control, .len = p->control_len};
    if (p->op == WS_OP_CLOSE) {
        return end_close(p, item);
    }
    return p->op == WS_OP_PING ? WS_EV_PING : WS_EV_PONG;
}

static enum ws_event end_message(struct ws_parser *p, struct ws_item *item)
{
    if (p->type == WS_OP_TEXT && p->utf8_state != 0) {
        return failed(p, WS_CLOSE_BAD_DATA, item); // ends inside a character
    }
    if (!msg_reserve(p, p->msg_len + 1)) {
        return failed(p, WS_CLOSE_INTERNAL, item);
    }
    p->msg[p->msg_len] = 0;
    *item = (struct ws_item){.type = p->type, .data = p->msg, .len = p->msg_len};
    p->type = 0;
    return WS_EV_MESSAGE;
}

// A frame is over: WS_EV_MORE if it completes nothing.
static enum ws_event end_frame(struct ws_parser *p, struct ws_item *item)
{
    p->in_payload = false;
    p->head_len = 0;
    if (is_control(p->op)) {
        return end_control(p, item);
    }
    return p->fin ? end_message(p, item) : WS_EV_MORE;
}

static void give_back_large_buffer(struct ws_parser *p)
{
    if (p->type == 0 && p->msg_cap > MSG_KEEP_CAP) {
        ws_parser_free(p);
    }
}

enum ws_event ws_feed(struct ws_parser *p, const uint8_t *data, size_t len, size_t *used,
                      struct ws_item *item)
{
    enum ws_event ev;

    *used = 0;
    *item = (struct ws_item){0};
    if (p->fail) {
        return failed(p, p->fail, item);
    }
    give_back_large_buffer(p);
    for (;;) {
        int fail = 0;

        if (!p->in_payload) {
            fail = take_head(p, data, len, used);
        }
        if (!fail && p->in_payload && p->left > 0 && *used < len) {
            size_t n = (size_t)MIN(p->left, (uint64_t)(len - *used));

            fail = take_payload(p, data + *used, n);
            *used += n;
        }
        if (fail) {
            return failed(p, fail, item);
        }
        if (!p->in_payload || p->left > 0) {
            return WS_EV_MORE;
        }
        ev = end_frame(p, item);
        if (ev != WS_EV_MORE) {
            return ev;
        }
    }
}

size_t ws_frame_head(uint8_t out[WS_HEAD_MAX], int opcode, size_t len)
{
    size_t n = 2;
    int bytes = len < 126 ? 0 : len <= 0xffff ? 2 : 8;

    out[0] = (uint8_t)(FIN | opcode);
    out[1] = (uint8_t)(bytes == 0 ? len : bytes == 2 ? 126 : 127);
    for (int i = bytes - 1; i >= 0; i--) {
        out[n++] = (uint8_t)((uint64_t)len >> (8 * i));
    }
    return n;
}
