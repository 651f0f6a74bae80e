// SPDX-License-Identifier: Apache-2.0
// HTTP server: routes by method and path pattern, path parameters, the query string.
#include "net/http_priv.h"

#include <stdlib.h>
#include <string.h>

struct http_route_entry {
    struct http_route_entry *next;
    unsigned methods, flags;
    const char *pattern;
    http_handler handle;
    void *arg;
};

static bool pattern_valid(const char *p)
{
    unsigned params = 0;

    if (*p != '/') {
        return false;
    }
    while (*p) {
        const char *segment = p + 1;
        size_t len = strcspn(segment, "/");

        p = segment + len;
        if (len > 0 && segment[0] == '{') {
            params++;
            if (len < 3 || segment[len - 1] != '}' || (segment[len - 2] == '*' && *p)) {
                return false;
            }
        }
    }
    return params <= PARAMS_MAX;
}

void http_route(struct http_server *s, unsigned methods, const char *pattern, unsigned flags,
                http_handler handle, void *arg)
{
    struct http_route_entry *e = calloc(1, sizeof *e);

    if (!e || !pattern_valid(pattern)) {
        plat_log(LOG_ERROR, "http: bad route %s", pattern);
        abort();
    }
    *e = (struct http_route_entry){
        .methods = methods, .flags = flags, .pattern = pattern, .handle = handle, .arg = arg};
    *s->routes_end = e;
    s->routes_end = &e->next;
}

void routes_free(struct http_server *s)
{
    while (s->routes) {
        struct http_route_entry *e = s->routes;

        s->routes = e->next;
        free(e);
    }
}

bool route_public(const struct http_route_entry *e)
{
    return e->flags & HTTP_ROUTE_PUBLIC;
}

// --- percent encoding (RFC 3986 section 2.1) ---

static int hex(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

char *percent_decode(struct http_request *r, const char *text, size_t len, bool plus_is_space)
{
    char *out = http_alloc(r, len + 1);
    size_t n = 0;

    for (size_t i = 0; out && i < len; i++) {
        int c = (unsigned char)text[i];

        if (c == '%') {
            int high = len - i > 2 ? hex(text[i + 1]) : -1;
            int low = high >= 0 ? hex(text[i + 2]) : -1;

            c = low >= 0 ? high << 4 | low : 0;
            if (c == 0) {
                return NULL;
            }
            i += 2;
        } else if (c == '+' && plus_is_space) {
            c = ' ';
        }
        out[n++] = (char)c;
    }
    return out;
}

// --- matching ---

// How well a path fits: a bit for each literal segment, the leftmost in the highest place; -1: not at all.
static int64_t match(const char *pattern, const char *path)
{
    int64_t score = 0;
    int bit = 40;

    while (*pattern && *path) {
        size_t plen, len;

        pattern++; // both stand on '/'
        path++;
        plen = strcspn(pattern, "/");
        len = strcspn(path, "/");
        if (plen > 0 && pattern[0] == '{') {
            if (pattern[plen - 2] == '*') {
                return score;
            }
            if (len == 0) {
                return -1;
            }
        } else if (plen != len || memcmp(pattern, path, len) != 0) {
            return -1;
        } else if (bit > 0) {
            score |= (int64_t)1 << bit;
        }
        bit--;
        pattern += plen;
        path += len;
    }
    return *pattern || *path ? -1 : score;
}

const struct http_route_entry *route_find(struct http_request *r, unsigned *allowed)
{
    const struct http_route_entry *best = NULL;
    int64_t best_score = -1;

    *allowed = 0;
    if (r->path[0] != '/') {
        return NULL;
    }
    for (const struct http_route_entry *e = r->conn->server->routes; e; e = e->next) {
        int64_t score = match(e->pattern, r->path);

        if (score < 0) {
            continue;
        }
        *allowed |= e->methods;
        if (e->methods & r->method && score > best_score) {
            best = e;
            best_score = score;
        }
    }
    return best;
}

// Decode the parameters of a path that is known to match. False if one is malformed.
static bool bind_params(struct http_request *r, const char *pattern)
{
    const char *path = r->path;

    while (*pattern) {
        size_t plen, len;

        pattern++;
        path++;
        plen = strcspn(pattern, "/");
        len = strcspn(path, "/");
        if (plen > 0 && pattern[0] == '{') {
            bool rest = pattern[plen - 2] == '*';

            len = rest ? strlen(path) : len;
            r->params[r->param_count].name = pattern + 1;
            r->params[r->param_count].name_len = plen - (rest ? 3 : 2);
            r->params[r->param_count].value = percent_decode(r, path, len, false);
            if (!r->params[r->param_count++].value) {
                return false;
            }
        }
        pattern += plen;
        path += len;
    }
    return true;
}

void route_call(const struct http_route_entry *e, struct http_request *r)
{
    if (!bind_params(r, e->pattern)) {
        http_error(r, 400, "bad_request", "malformed percent encoding in the path", "uri");
        return;
    }
    e->handle(r, e->arg);
}

const char *http_param(const struct http_request *r, const char *name)
{
    size_t len = strlen(name);

    for (uint32_t i = 0; i < r->param_count; i++) {
        if (r->params[i].name_len == len && !memcmp(r->params[i].name, name, len)) {
            return r->params[i].value;
        }
    }
    return NULL;
}

const char *http_query(struct http_request *r, const char *name)
{
    size_t name_len = strlen(name);

    for (const char *p = r->query; *p;) {
        size_t len = strcspn(p, "&");
        size_t key_len = strcspn(p, "=&");

        if (key_len == name_len && !memcmp(p, name, name_len)) {
            const char *value = key_len < len ? p + key_len + 1 : p + len;

            return percent_decode(r, value, (size_t)(p + len - value), true);
        }
        p += len + (p[len] == '&');
    }
    return NULL;
}

static bool is_word(const char *words, const char *name, size_t name_len)
{
    while (*words) {
        size_t len = strcspn(words, " ");

        if (len == name_len && !memcmp(words, name, len)) {
            return true;
        }
        words += len + (words[len] == ' ');
    }
    return false;
}

const char *http_query_unknown(struct http_request *r, const char *known)
{
    for (const char *p = r->query; *p;) {
        size_t len = strcspn(p, "&");
        size_t key_len = strcspn(p, "=&");

        if (len > 0 && !is_word(known, p, key_len)) {
            char *name = http_alloc(r, key_len + 1);

            return name ? memcpy(name, p, key_len) : "";
        }
        p += len + (p[len] == '&');
    }
    return NULL;
}
