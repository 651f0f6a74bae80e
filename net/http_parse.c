// SPDX-License-Identifier: Apache-2.0
// HTTP server: llhttp's callbacks build the request; a complete head is judged and handed to its route.
#include "net/http_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static struct http_conn *conn_of(llhttp_t *p)
{
    return p->data;
}

// Refuse the request from inside a callback; parse_input() answers.
static int refuse(struct http_conn *c, int status, const char *code, const char *message, const char *where)
{
    c->fail_status = status;
    c->fail_code = code;
    c->fail_message = message;
    c->fail_where = where;
    return HPE_USER;
}

static int no_memory(struct http_conn *c)
{
    return refuse(c, 503, "busy", "no memory for the request", NULL);
}

// --- head ---

static int on_begin(llhttp_t *p)
{
    struct http_conn *c = conn_of(p);

    c->req = request_new(c);
    if (!c->req) {
        return no_memory(c);
    }
    conn_rx_deadline(c, c->server->config.limits.header_timeout_ms);
    return 0;
}

// With a NUL after it, so that spans become strings when they end.
static bool head_append(struct http_request *r, const char *at, size_t len)
{
    if (r->head_len + len + 1 > r->head_cap) {
        uint32_t cap = r->head_cap ? r->head_cap : HEAD_FIRST_CAP;
        char *head;

        while (cap < r->head_len + len + 1) {
            cap *= 2;
        }
        head = realloc(r->head, cap);
        if (!head) {
            return false;
        }
        r->head = head;
        r->head_cap = cap;
    }
    memcpy(r->head + r->head_len, at, len);
    r->head_len += (uint32_t)len;
    r->head[r->head_len] = 0;
    return true;
}

static int end_string(llhttp_t *p)
{
    conn_of(p)->req->head_len++; // keep the NUL
    return 0;
}

static int on_url(llhttp_t *p, const char *at, size_t len)
{
    struct http_conn *c = conn_of(p);

    if (c->req->head_len + len > c->server->config.limits.url_bytes) {
        return refuse(c, 414, "uri_too_long", "the request target is too long", "uri");
    }
    for (size_t i = 0; i < len; i++) {
        if (at[i] < 0x21 || at[i] > 0x7e) {
            return refuse(c, 400, "bad_request", "invalid character in the request target", "uri");
        }
    }
    return head_append(c->req, at, len) ? 0 : no_memory(c);
}

static int header_text(struct http_conn *c, const char *at, size_t len)
{
    struct http_request *r = c->req;

    r->header_bytes += (uint32_t)len;
    if (r->header_bytes > c->server->config.limits.header_bytes) {
        return refuse(c, 431, "headers_too_large", "the header section is too large", "header");
    }
    return head_append(r, at, len) ? 0 : no_memory(c);
}

static bool new_field(struct http_request *r)
{
    if (r->field_count == r->field_cap) {
        uint32_t cap = r->field_cap ? r->field_cap * 2 : 16;
        struct http_field *f = realloc(r->fields, cap * sizeof *f);

        if (!f) {
            return false;
        }
        r->fields = f;
        r->field_cap = cap;
    }
    r->fields[r->field_count++] = (struct http_field){.name = r->head_len};
    return true;
}

// Spans arrive in pieces; a name after a value is a new field. Trailers (after the head) are dropped.
static int on_field(llhttp_t *p, const char *at, size_t len)
{
    struct http_conn *c = conn_of(p);
    struct http_request *r = c->req;

    if (r->dispatched) {
        return 0;
    }
    if (r->field_count == 0 || r->in_value) {
        if (r->field_count == c->server->config.limits.header_count) {
            return refuse(c, 431, "headers_too_large", "too many header fields", "header");
        }
        if (!new_field(r)) {
            return no_memory(c);
        }
        r->in_value = false;
    }
    return header_text(c, at, len);
}

static int on_field_end(llhttp_t *p)
{
    struct http_request *r = conn_of(p)->req;

    if (!r->dispatched) {
        end_string(p);
        r->fields[r->field_count - 1].value = r->head_len;
        r->in_value = true;
        r->value_ended = false;
        // An empty value has no span of its own.
        return head_append(r, "", 0) ? 0 : no_memory(conn_of(p));
    }
    return 0;
}

static int on_value(llhttp_t *p, const char *at, size_t len)
{
    struct http_conn *c = conn_of(p);
    struct http_request *r = c->req;

    if (r->dispatched) {
        return 0;
    }
    if (r->value_ended) { // RFC 9112 section 5.2
        return refuse(c, 400, "bad_request", "folded header lines are not accepted", "header");
    }
    r->value_ended = at + len != (const char *)c->in + c->in_len;
    return header_text(c, at, len);
}

static int on_value_end(llhttp_t *p)
{
    struct http_request *r = conn_of(p)->req;
    uint32_t start;

    if (r->dispatched) {
        return 0;
    }
    start = r->fields[r->field_count - 1].value;
    while (r->head_len > start && (r->head[r->head_len - 1] == ' ' || r->head[r->head_len - 1] == '\t')) {
        r->head[--r->head_len] = 0;
    }
    return end_string(p);
}

// --- body ---

static int on_body(llhttp_t *p, const char *at, size_t len)
{
    struct http_conn *c = conn_of(p);
    size_t taken = body_deliver(c->req, (const uint8_t *)at, len);

    if (taken < len) {
        c->rest = (uint8_t *)at + taken;
        c->rest_len = len - taken;
        return HPE_PAUSED;
    }
    return 0;
}

static int on_complete(llhttp_t *p)
{
    struct http_conn *c = conn_of(p);

    c->req->complete = true;
    conn_rx_deadline(c, 0);
    return HPE_PAUSED; // the next request waits until this one is answered
}

// --- judging the head ---

static enum http_method method_of(const llhttp_t *p)
{
    switch (p->method) {
    case HTTP_GET:
        return HTTP_M_GET;
    case HTTP_HEAD:
        return HTTP_M_HEAD;
    case HTTP_POST:
        return HTTP_M_POST;
    case HTTP_PUT:
        return HTTP_M_PUT;
    case HTTP_PATCH:
        return HTTP_M_PATCH;
    case HTTP_DELETE:
        return HTTP_M_DELETE;
    case HTTP_OPTIONS:
        return HTTP_M_OPTIONS;
    default:
        return 0;
    }
}

static size_t count_header(const struct http_request *r, const char *name)
{
    size_t n = 0;

    for (uint32_t i = 0; i < r->field_count; i++) {
        n += strcasecmp(r->head + r->fields[i].name, name) == 0;
    }
    return n;
}

// Origin form or absolute form (RFC 9112 section 3.2); "*" for OPTIONS.
static bool split_url(struct http_request *r)
{
    char *url = r->head;

    if (!strncasecmp(url, "http://", 7) || !strncasecmp(url, "https://", 8)) {
        char *authority = strstr(url, "://") + 3;

        url = authority + strcspn(authority, "/?");
        if (*url != '/') { // no path: make one of the character before
            *--url = '/';
        }
    } else if (url[0] != '/' && !(r->method == HTTP_M_OPTIONS && !strcmp(url, "*"))) {
        return false;
    }
    r->path = url;
    r->query = url + strcspn(url, "?");
    if (*r->query) {
        *r->query++ = 0;
    }
    return !strchr(r->path, '#') && !strchr(r->query, '#');
}

struct verdict {
    int status; // 0: fine
    const char *code, *message, *where;
};

static struct verdict check_framing(struct http_request *r, const llhttp_t *p)
{
    const char *te = http_header(r, "Transfer-Encoding");

    if (te && r->http10) { // RFC 9112 section 6.1
        return (struct verdict){400, "bad_request", "Transfer-Encoding in an HTTP/1.0 message",
                                "Transfer-Encoding"};
    }
    if (te && strcasecmp(te, "chunked") != 0) {
        return (struct verdict){501, "not_implemented", "only the chunked transfer coding is supported",
                                "Transfer-Encoding"};
    }
    if (count_header(r, "Content-Length") > 1 || count_header(r, "Transfer-Encoding") > 1) {
        return (struct verdict){400, "bad_request", "the body length is given twice", "Content-Length"};
    }
    if (te) {
        r->content_length = -1;
    } else if (p->flags & F_CONTENT_LENGTH) {
        if (p->content_length > INT64_MAX) {
            return (struct verdict){413, "too_large", "the body is too large", "Content-Length"};
        }
        r->content_length = (int64_t)p->content_length;
    }
    r->has_body = te || (p->flags & F_CONTENT_LENGTH);
    return (struct verdict){0};
}

static struct verdict check_expect(struct http_request *r)
{
    const char *expect = http_header(r, "Expect");

    if (!expect || r->http10) {
        return (struct verdict){0};
    }
    if (strcasecmp(expect, "100-continue") != 0) {
        return (struct verdict){417, "expectation_failed", "only 100-continue can be expected", "Expect"};
    }
    r->expect_continue = r->content_length != 0;
    return (struct verdict){0};
}

static struct verdict check_host(struct http_request *r)
{
    size_t hosts = count_header(r, "Host");

    if (hosts > 1 || (hosts == 0 && !r->http10)) {
        return (struct verdict){400, "bad_request", "exactly one Host header is required", "Host"};
    }
    return (struct verdict){0};
}

static struct verdict check_head(struct http_request *r, const llhttp_t *p)
{
    struct verdict v;

    if (p->http_major != 1) {
        return (struct verdict){505, "version", "only HTTP/1.1 and HTTP/1.0 are supported", "version"};
    }
    if (!r->method) {
        return (struct verdict){501, "not_implemented", "the method is not supported", "method"};
    }
    if (!split_url(r)) {
        return (struct verdict){400, "bad_request", "the request target is malformed", "uri"};
    }
    v = check_host(r);
    if (!v.status) {
        v = check_framing(r, p);
    }
    if (!v.status) {
        v = check_expect(r);
    }
    return v;
}

// A page of another origin must not drive this node with credentials that the browser remembers.
static bool cross_origin(const struct http_request *r)
{
    const char *origin = http_header(r, "Origin"), *host = http_header(r, "Host"), *site;

    if (!origin) {
        return false;
    }
    site = strstr(origin, "://");
    return !site || !host || strcasecmp(site + 3, host) != 0;
}

static bool upgrade_wanted(const struct http_request *r)
{
    return http_header(r, "Upgrade") != NULL;
}

static int on_head(llhttp_t *p)
{
    struct http_conn *c = conn_of(p);
    struct http_request *r = c->req;
    struct verdict v;

    r->http10 = p->http_major == 1 && p->http_minor == 0;
    r->keep_alive = llhttp_should_keep_alive(p);
    r->method = method_of(p);
    if (r->method == HTTP_M_HEAD) {
        r->method = HTTP_M_GET;
        r->is_head = true;
    }
    p->upgrade = 0; // the route decides; until then it is a request like any other
    v = check_head(r, p);
    if (v.status) {
        return refuse(c, v.status, v.code, v.message, v.where);
    }
    return HPE_PAUSED; // dispatch() runs outside the parser
}

// --- dispatch ---

static bool admitted(struct http_conn *c, struct http_request *r)
{
    struct http_server *s = c->server;

    if (c->overflow || s->stats.requests_active >= s->config.limits.requests) {
        if (c->overflow) {
            c->close_soon = true;
        }
        http_add_header(r, "Retry-After", "1");
        http_error(r, 503, "busy", c->overflow ? "too many connections" : "too many requests at once", NULL);
        return false;
    }
    r->active = true;
    s->stats.requests_active++;
    return true;
}

static bool authenticated(struct http_conn *c, struct http_request *r)
{
    struct http_config *cfg = &c->server->config;

    switch (cfg->auth ? cfg->auth(cfg->auth_arg, r, &r->identity) : HTTP_AUTH_OK) {
    case HTTP_AUTH_OK:
        return true;
    case HTTP_AUTH_FORBIDDEN:
        http_error(r, 403, "forbidden", "not allowed for this identity", NULL);
        return false;
    case HTTP_AUTH_LIMITED:
        http_add_header(r, "Retry-After", "5");
        http_error(r, 429, "too_many_requests", "too many failed attempts", NULL);
        return false;
    default:
        memset(&r->identity, 0, sizeof r->identity);
        if (cfg->challenge) {
            http_add_header(r, "WWW-Authenticate", cfg->challenge);
        }
        http_error(r, 401, "unauthorized", "valid credentials are required", "Authorization");
        return false;
    }
}

static void allow_header(struct http_request *r, unsigned allowed)
{
    static const struct {
        unsigned bit;
        const char *name;
    } names[] = {{HTTP_M_GET, "GET, HEAD"}, {HTTP_M_POST, "POST"},     {HTTP_M_PUT, "PUT"},
                 {HTTP_M_PATCH, "PATCH"},   {HTTP_M_DELETE, "DELETE"}, {HTTP_M_OPTIONS, "OPTIONS"}};
    char text[64] = "";
    size_t n = 0;

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if ((allowed | HTTP_M_OPTIONS) & names[i].bit) {
            n += (size_t)snprintf(text + n, sizeof text - n, "%s%s", n ? ", " : "", names[i].name);
        }
    }
    http_add_header(r, "Allow", text);
}

static void no_route(struct http_request *r, unsigned allowed)
{
    if (!allowed && strcmp(r->path, "*") != 0) {
        http_error(r, 404, "not_found", "there is nothing at this path", r->path);
        return;
    }
    allow_header(r, allowed);
    if (r->method == HTTP_M_OPTIONS) {
        http_respond(r, 204, NULL, NULL, 0);
    } else {
        http_error(r, 405, "method_not_allowed", "the method is not allowed here", r->path);
    }
}

void dispatch(struct http_conn *c)
{
    struct http_request *r = c->req;
    const struct http_route_entry *route;
    unsigned allowed = 0;

    r->dispatched = true;
    c->server->stats.requests++;
    conn_rx_deadline(c, 0);
    if (!admitted(c, r)) {
        return;
    }
    route = route_find(r, &allowed);
    if (!(route && route_public(route)) && !authenticated(c, r)) {
        return;
    }
    if ((r->method != HTTP_M_GET || upgrade_wanted(r)) && cross_origin(r)) {
        http_error(r, 403, "cross_origin", "requests from other origins are refused", "Origin");
        return;
    }
    if (!route) {
        no_route(r, allowed);
        return;
    }
    route_call(route, r);
}

// --- running the parser ---

// The parser knows the registered methods only. Is it a token and a space, so a method all the same?
static bool unknown_method(const struct http_conn *c)
{
    size_t i = c->in_off;

    while (i < c->in_len && (c->in[i] == '\r' || c->in[i] == '\n')) {
        i++;
    }
    while (i < c->in_len && ((c->in[i] >= 'A' && c->in[i] <= 'Z') || c->in[i] == '-')) {
        i++;
    }
    return i > c->in_off && i < c->in_len && c->in[i] == ' ';
}

static void answer_parse_error(struct http_conn *c, llhttp_errno_t err)
{
    int status = 400;
    const char *code = "bad_request", *message = llhttp_get_error_reason(&c->parser), *where = "request";

    if (c->fail_status) { // a callback's verdict; llhttp reports it in different ways
        conn_refuse(c, c->fail_status, c->fail_code, c->fail_message, c->fail_where);
        return;
    }
    switch (err) {
    case HPE_INVALID_METHOD:
        if (unknown_method(c)) {
            status = 501;
            code = "not_implemented";
            message = "the method is not supported";
        }
        where = "method";
        break;
    case HPE_INVALID_URL:
        where = "uri";
        break;
    case HPE_INVALID_VERSION:
    case HPE_PAUSED_H2_UPGRADE:
        status = 505;
        code = "version";
        message = "only HTTP/1.1 and HTTP/1.0 are supported";
        where = "version";
        break;
    case HPE_INVALID_HEADER_TOKEN:
        where = "header";
        break;
    case HPE_INVALID_CONTENT_LENGTH:
    case HPE_UNEXPECTED_CONTENT_LENGTH:
        where = "Content-Length";
        break;
    case HPE_INVALID_TRANSFER_ENCODING:
        where = "Transfer-Encoding";
        break;
    case HPE_INVALID_CHUNK_SIZE:
        where = "body";
        break;
    default:
        break;
    }
    conn_refuse(c, status, code, message ? message : "malformed request", where);
}

void parse_input(struct http_conn *c)
{
    const char *start = (const char *)c->in + c->in_off;
    llhttp_errno_t err = llhttp_execute(&c->parser, start, c->in_len - c->in_off);

    c->parser_paused = false;
    if (err == HPE_OK) {
        c->in_off = c->in_len;
        return;
    }
    if (err != HPE_PAUSED) {
        answer_parse_error(c, err);
        return;
    }
    c->in_off = (size_t)(llhttp_get_error_pos(&c->parser) - (const char *)c->in);
    llhttp_resume(&c->parser);
    c->parser_paused = true;
    if (!c->req->dispatched) {
        dispatch(c);
    } else if (c->req->complete && c->rest_len == 0) {
        body_end(c->req);
    }
}

void parse_init(struct http_server *s)
{
    llhttp_settings_t *st = &s->settings;

    llhttp_settings_init(st);
    st->on_message_begin = on_begin;
    st->on_url = on_url;
    st->on_url_complete = end_string;
    st->on_header_field = on_field;
    st->on_header_field_complete = on_field_end;
    st->on_header_value = on_value;
    st->on_header_value_complete = on_value_end;
    st->on_headers_complete = on_head;
    st->on_body = on_body;
    st->on_message_complete = on_complete;
}
