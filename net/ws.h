// SPDX-License-Identifier: Apache-2.0
// WebSocket framing, server side (RFC 6455): a strict incremental parser and the frame header writer.
//
// Pure computation on bytes; sockets, timeouts and the closing handshake's order are net/http_ws.c's.
// Written here because the only packaged library is to be had as a shared object for the workstation.
#ifndef NET_WS_H
#define NET_WS_H

#include <keelson/types.h>

enum ws_opcode {
    WS_OP_CONTINUATION = 0,
    WS_OP_TEXT = 1,
    WS_OP_BINARY = 2,
    WS_OP_CLOSE = 8,
    WS_OP_PING = 9,
    WS_OP_PONG = 10,
};

enum ws_close_code { // RFC 6455 section 7.4.1
    WS_CLOSE_NORMAL = 1000,
    WS_CLOSE_GOING_AWAY = 1001,
    WS_CLOSE_PROTOCOL = 1002,
    WS_CLOSE_NO_CODE = 1005,  // never on the wire: the peer's close frame had no code
    WS_CLOSE_ABNORMAL = 1006, // never on the wire: no close frame came
    WS_CLOSE_BAD_DATA = 1007,
    WS_CLOSE_TOO_BIG = 1009,
    WS_CLOSE_INTERNAL = 1011,
};

#define WS_CONTROL_MAX 125
#define WS_HEAD_MAX 10 // of a frame that we send: unmasked

struct ws_parser { // private to ws.c, except where ws_feed() says so
    size_t max_message;
    uint8_t head[14];
    uint8_t head_len;
    uint8_t op; // of the current frame
    bool in_payload;
    bool fin;
    uint8_t mask[4];
    uint32_t mask_pos;
    uint64_t left; // payload bytes of the frame still to come
    uint8_t type;  // of the message under assembly, 0 between messages
    uint8_t *msg;
    size_t msg_len, msg_cap;
    uint8_t control[WS_CONTROL_MAX + 1];
    uint8_t control_len;
    uint32_t utf8_state;
    int fail;
};

enum ws_event {
    WS_EV_MORE,    // all input used, nothing complete
    WS_EV_MESSAGE, // type, data, len: a whole message
    WS_EV_PING,    // data, len: to be echoed in a pong
    WS_EV_PONG,
    WS_EV_CLOSE, // code (WS_CLOSE_NO_CODE if absent), data, len: the reason
    WS_EV_FAIL,  // code to close with; the parser takes no more input
};

struct ws_item {
    int type; // WS_OP_TEXT or WS_OP_BINARY
    int code;
    const uint8_t *data; // NUL-terminated; valid until the next ws_feed()
    size_t len;
};

void ws_parser_init(struct ws_parser *p, size_t max_message);
void ws_parser_free(struct ws_parser *p);
// Take input up to the end of the next complete item; *used says how much. Call again with the rest.
enum ws_event ws_feed(struct ws_parser *p, const uint8_t *data, size_t len, size_t *used,
                      struct ws_item *item);
// Header of an unfragmented, unmasked frame; returns its length.
size_t ws_frame_head(uint8_t out[WS_HEAD_MAX], int opcode, size_t len);
// May this code stand in a close frame (RFC 6455 section 7.4)?
bool ws_close_code_valid(int code);

// Incremental UTF-8 check (RFC 3629: no surrogates, no overlong forms). State starts and must end at 0;
// returns UTF8_BAD for good once it fails.
#define UTF8_BAD 0xffffffffu
uint32_t utf8_check(uint32_t state, const uint8_t *data, size_t len);

#endif
