// SPDX-License-Identifier: Apache-2.0
// HTTP server: answers, whole or streamed, and the JSON form of errors.
#include "net/http_priv.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define INLINE_BODY_MAX 8192 // a larger body gets a buffer of its own

static const struct {
    int status;
    const char *text;
} status_texts[] = {
    {100, "Continue"},
    {101, "Switching Protocols"},
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {206, "Partial Content"},
    {304, "Not Modified"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {416, "Range Not Satisfiable"},
    {417, "Expectation Failed"},
    {422, "Unprocessable Content"},
    {426, "Upgrade Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {503, "Service Unavailable"},
    {505, "HTTP Version Not Supported"},
    {507, "Insufficient Storage"},
};

const char *http_status_text(int status)
{
    for (size_t i = 0; i < ARRAY_LEN(status_texts); i++) {
        if (status_texts[i].status == status) {
            return status_texts[i].text;
        }
    }
    return "Unknown";
}

// --- the head ---

// IMF-fixdate (RFC 9110 section 5.6.7), written anew once a second.
static const char *date_text(void)
{
    static char text[40];
    static time_t shown = -1;
    time_t now = (time_t)(plat_unix_ms() / 1000);

    if (now != shown) {
        static const char days[] = "SunMonTueWedThuFriSat", months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
        struct tm tm;

        gmtime_r(&now, &tm);
        snprintf(text, sizeof text, "%.3s, %02d %.3s %04d %02d:%02d:%02d GMT", days + 3 * tm.tm_wday,
                 tm.tm_mday, months + 3 * tm.tm_mon, tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
        shown = now;
    }
    return text;
}

void http_add_header(struct http_request *r, const char *name, const char *value)
{
    size_t len = strlen(name) + strlen(value) + 4;
    char *extra;

    if (strpbrk(name, "\r\n:") || strpbrk(value, "\r\n") || r->extra_len + len > EXTRA_HEADERS_MAX) {
        return;
    }
    extra = realloc(r->extra, r->extra_len + len + 1);
    if (!extra) {
        return;
    }
    r->extra = extra;
    sprintf(extra + r->extra_len, "%s: %s\r\n", name, value);
    r->extra_len += len;
}

static bool has_extra(const struct http_request *r, const char *name)
{
    size_t len = strlen(name);

    for (const char *line = r->extra; line && *line; line = strstr(line, "\r\n") + 2) {
        if (!strncasecmp(line, name, len) && line[len] == ':') {
            return true;
        }
    }
    return false;
}

static void count_status(struct http_server *s, int status)
{
    s->stats.errors_4xx += status >= 400 && status < 500;
    s->stats.errors_5xx += status >= 500;
}

// length: -1 chunked, -2 until the connection closes.
static bool put_head(struct http_request *r, int status, const char *type, int64_t length)
{
    struct http_conn *c = r->conn;
    char head[640];
    int n = snprintf(head, sizeof head, "HTTP/1.1 %d %s\r\nDate: %s\r\nServer: Keelson\r\n", status,
                     http_status_text(status), date_text());

    if (type) {
        n += snprintf(head + n, sizeof head - (size_t)n,
                      "Content-Type: %.200s\r\nX-Content-Type-Options: nosniff\r\n", type);
    }
    if (length >= 0 && status != 204 && status != 304) {
        n += snprintf(head + n, sizeof head - (size_t)n, "Content-Length: %lld\r\n", (long long)length);
    } else if (length == -1) {
        n += snprintf(head + n, sizeof head - (size_t)n, "Transfer-Encoding: chunked\r\n");
    }
    if (!has_extra(r, "Cache-Control")) {
        n += snprintf(head + n, sizeof head - (size_t)n, "Cache-Control: no-store\r\n");
    }
    if (c->close_soon || !r->keep_alive) {
        n += snprintf(head + n, sizeof head - (size_t)n, "Connection: close\r\n");
    } else if (r->http10) {
        n += snprintf(head + n, sizeof head - (size_t)n, "Connection: keep-alive\r\n");
    }
    count_status(c->server, status);
    return out_append(&c->out, head, (size_t)n) && out_append(&c->out, r->extra, r->extra_len) &&
           out_append(&c->out, "\r\n", 2);
}

// Without memory for an answer the connection is all that can be given up.
static void give_up(struct http_request *r)
{
    struct http_conn *c = r->conn;

    r->answer = ANSWER_DONE;
    r->on_abort = NULL;
    c->eof = c->broken = true;
    conn_kick(c);
}

static void answer_done(struct http_request *r)
{
    r->answer = ANSWER_DONE;
    r->on_abort = NULL;
    conn_kick(r->conn);
}

// --- whole answers ---

static bool bodiless(const struct http_request *r, int status)
{
    return r->is_head || status == 204 || status == 304;
}

// The head of a whole answer. False: it has been given up, or there is no body to follow.
static bool respond_head(struct http_request *r, int status, const char *type, size_t len)
{
    if (r->answer != ANSWER_NONE) {
        plat_log(LOG_ERROR, "http: %s answered twice", r->path ? r->path : "?");
        give_up(r);
        return false;
    }
    body_discard(r);
    if (!put_head(r, status, type, (int64_t)len)) {
        give_up(r);
        return false;
    }
    if (len == 0 || bodiless(r, status)) {
        answer_done(r);
        return false;
    }
    return true;
}

static void respond_end(struct http_request *r, bool queued)
{
    if (queued) {
        answer_done(r);
    } else {
        give_up(r);
    }
}

void http_respond(struct http_request *r, int status, const char *type, const void *data, size_t len)
{
    void *copy;

    if (len <= INLINE_BODY_MAX) {
        if (respond_head(r, status, type, len)) {
            respond_end(r, out_append(&r->conn->out, data, len));
        }
        return;
    }
    copy = malloc(len);
    if (!copy) {
        http_error(r, 503, "busy", "no memory for the answer", NULL);
        return;
    }
    memcpy(copy, data, len);
    http_respond_take(r, status, type, copy, len);
}

void http_respond_json(struct http_request *r, int status, const char *json, size_t len)
{
    http_respond(r, status, "application/json", json, len);
}

void http_respond_static(struct http_request *r, int status, const char *type, const void *data, size_t len)
{
    if (respond_head(r, status, type, len)) {
        respond_end(r, out_append_static(&r->conn->out, data, len));
    }
}

void http_respond_take(struct http_request *r, int status, const char *type, void *data, size_t len)
{
    bool queued;

    if (!respond_head(r, status, type, len)) {
        free(data);
        return;
    }
    queued = out_append_owned(&r->conn->out, data, len);
    if (!queued) {
        free(data);
    }
    respond_end(r, queued);
}

// --- errors ---

size_t http_json_escape(char *out, size_t cap, const char *s)
{
    size_t n = 0;

    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        char piece[8];
        size_t len;

        if (c == '"' || c == '\\') {
            len = (size_t)sprintf(piece, "\\%c", c);
        } else if (c < 0x20 || c == 0x7f) {
            len = (size_t)sprintf(piece, "\\u%04x", c);
        } else {
            piece[0] = (char)c;
            len = 1;
        }
        if (n + len + 1 > cap) {
            break;
        }
        memcpy(out + n, piece, len);
        n += len;
    }
    if (cap > 0) {
        out[n] = 0;
    }
    return n;
}

// Foreign text in an error must be valid UTF-8; what is not becomes '?'.
static void escape_utf8(char *out, size_t cap, const char *s)
{
    char clean[512];

    snprintf(clean, sizeof clean, "%s", s);
    if (utf8_check(0, (const uint8_t *)clean, strlen(clean)) != 0) {
        for (char *p = clean; *p; p++) {
            *p = *p & 0x80 ? '?' : *p;
        }
    }
    http_json_escape(out, cap, clean);
}

void http_error(struct http_request *r, int status, const char *code, const char *message, const char *where)
{
    char m[640], w[640], json[1536];
    int n;

    escape_utf8(m, sizeof m, message);
    n = snprintf(json, sizeof json, "{\"error\":{\"code\":\"%.64s\",\"message\":\"%s\"", code, m);
    if (where) {
        escape_utf8(w, sizeof w, where);
        n += snprintf(json + n, sizeof json - (size_t)n, ",\"where\":\"%s\"", w);
    }
    n += snprintf(json + n, sizeof json - (size_t)n, "}}\n");
    http_respond_json(r, status, json, (size_t)n);
}

void http_errorf(struct http_request *r, int status, const char *code, const char *where, const char *fmt,
                 ...)
{
    char message[400];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(message, sizeof message, fmt, ap);
    va_end(ap);
    http_error(r, status, code, message, where);
}

void request_refuse(struct http_request *r, int status, const char *code, const char *message,
                    const char *where)
{
    void (*aborted)(struct http_request *) = r->on_abort;

    r->on_abort = NULL;
    if (aborted) {
        aborted(r);
    }
    if (r->answer == ANSWER_NONE) {
        http_error(r, status, code, message, where);
    } else {
        give_up(r); // in the middle of an answer: the client must see that it is cut short
    }
}

void conn_refuse(struct http_conn *c, int status, const char *code, const char *message, const char *where)
{
    if (!c->req) {
        c->req = request_new(c);
    }
    if (!c->req) {
        conn_kill(c);
        return;
    }
    c->close_soon = true;
    c->in_off = c->in_len;
    c->rest_len = 0;
    c->parser_paused = false;
    if (c->req->answer == ANSWER_DONE) { // the rest of a refused body is broken: nothing more to say
        conn_kick(c);
        return;
    }
    request_refuse(c->req, status, code, message, where);
}

// --- streamed answers ---

// Without memory for what is to be sent: whoever holds the request learns that it is over.
static void stream_lost(struct http_request *r)
{
    void (*aborted)(struct http_request *) = r->on_abort;

    give_up(r);
    if (aborted) {
        aborted(r);
    }
}

void http_stream_begin(struct http_request *r, int status, const char *type, int64_t length)
{
    if (length < 0) {
        length = -1;
        if (r->http10) { // knows no chunks: the end of the connection is the end of the body
            length = -2;
            r->keep_alive = false;
        }
    }
    r->chunked = length == -1;
    r->answer_left = length;
    if (r->mode == BODY_UNDECIDED) {
        body_discard(r);
    }
    if (r->answer != ANSWER_NONE || !put_head(r, status, type, length)) {
        stream_lost(r);
        return;
    }
    r->answer = ANSWER_STREAMING;
    conn_kick(r->conn);
}

static bool put_data(struct http_request *r, const void *data, size_t len)
{
    struct out_queue *q = &r->conn->out;
    char size[20];

    if (!r->chunked) {
        return out_append(q, data, len);
    }
    return out_append(q, size, (size_t)sprintf(size, "%zx\r\n", len)) && out_append(q, data, len) &&
           out_append(q, "\r\n", 2);
}

size_t http_stream_write(struct http_request *r, const void *data, size_t len)
{
    struct http_conn *c = r->conn;
    size_t limit = c->server->config.limits.out_bytes;
    size_t room = c->out.bytes < limit ? limit - c->out.bytes : 0;
    size_t n = MIN(len, room);

    if (r->answer != ANSWER_STREAMING) {
        return 0;
    }
    if (r->is_head) {
        return len;
    }
    if (r->answer_left >= 0 && (int64_t)n > r->answer_left) {
        n = (size_t)r->answer_left; // more than was announced
    }
    if (n < len) {
        r->want_writable = true;
    }
    if (n > 0) {
        if (!put_data(r, data, n)) {
            stream_lost(r);
            return 0;
        }
        if (r->answer_left >= 0) {
            r->answer_left -= (int64_t)n;
        }
        conn_kick(c);
    }
    return n;
}

void http_stream_on_writable(struct http_request *r, void (*writable)(struct http_request *r))
{
    r->on_writable = writable;
}

void answer_writable(struct http_request *r)
{
    r->want_writable = false;
    if (r->on_writable) {
        r->on_writable(r);
    }
}

void http_stream_end(struct http_request *r)
{
    bool queued = true;

    if (r->answer != ANSWER_STREAMING) {
        return;
    }
    if (r->answer_left > 0 && !r->is_head) {
        plat_log(LOG_ERROR, "http: %s: answer too short by %lld bytes", r->path, (long long)r->answer_left);
        give_up(r);
        return;
    }
    if (r->chunked && !r->is_head) {
        queued = out_append(&r->conn->out, "0\r\n\r\n", 5);
    }
    if (r->mode != BODY_DISCARD) {
        body_discard(r);
    }
    if (queued) {
        answer_done(r);
    } else {
        give_up(r);
    }
}

void http_stream_fail(struct http_request *r)
{
    give_up(r);
}
