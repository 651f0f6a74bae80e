// SPDX-License-Identifier: Apache-2.0
// Strict JSON input (RFC 8259): a scan for what cJSON accepts and we do not, then cJSON on an arena.
#include "mgmt/hcs/json_read.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_SIZE (32u << 10)
#define ARENA_MAX (4u << 20)

// --- the arena ---

struct block {
    struct block *next;
    size_t used, size;
    _Alignas(16) uint8_t bytes[];
};

struct json_arena {
    struct block *blocks;
    size_t total;
};

static struct json_arena *current; // while cJSON works

static void *arena_alloc(size_t size)
{
    struct block *b = current->blocks;
    size_t wanted = ALIGN_UP(size, (size_t)16);

    if (b == NULL || b->size - b->used < wanted) {
        size_t block_size = MAX(wanted, (size_t)BLOCK_SIZE);

        if (current->total + block_size > ARENA_MAX || (b = malloc(sizeof *b + block_size)) == NULL) {
            return NULL;
        }
        b->next = current->blocks;
        b->used = 0;
        b->size = block_size;
        current->blocks = b;
        current->total += block_size;
    }
    b->used += wanted;
    return b->bytes + b->used - wanted;
}

static void arena_keep(void *p)
{
    (void)p; // goes with the arena
}

static void arena_free(struct json_arena *arena)
{
    while (arena->blocks != NULL) {
        struct block *b = arena->blocks;

        arena->blocks = b->next;
        free(b);
    }
    free(arena);
}

// --- the scan ---

struct scan {
    const char *at, *end, *start;
    unsigned depth;
    const char *problem;
};

static bool scan_fail(struct scan *s, const char *problem)
{
    s->problem = problem;
    return false;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static const char *skip_digits(const char *at, const char *end)
{
    while (at < end && is_digit(*at)) {
        at++;
    }
    return at;
}

// number = [ minus ] int [ frac ] [ exp ]; integers must fit a double exactly.
static bool scan_number(struct scan *s)
{
    const char *digits = s->at + (*s->at == '-');
    const char *p = skip_digits(digits, s->end);
    bool integer = true;

    if (p == digits || (*digits == '0' && p - digits > 1)) {
        return scan_fail(s, "not a number as JSON writes them");
    }
    if (p < s->end && *p == '.') {
        const char *fraction = p + 1;

        integer = false;
        p = skip_digits(fraction, s->end);
        if (p == fraction) {
            return scan_fail(s, "a digit must follow the decimal point");
        }
    }
    if (p < s->end && (*p == 'e' || *p == 'E')) {
        const char *exponent = p + 1;

        integer = false;
        exponent += exponent < s->end && (*exponent == '+' || *exponent == '-');
        p = skip_digits(exponent, s->end);
        if (p == exponent || p - exponent > 3) {
            return scan_fail(s, "exponent is missing or too large");
        }
    }
    if (integer && (p - digits > 16 || strtoull(digits, NULL, 10) > (unsigned long long)JSON_INTEGER_MAX)) {
        return scan_fail(s, "integers beyond 9007199254740992 (2^53) are not accepted");
    }
    s->at = p;
    return true;
}

static bool scan_escape(struct scan *s)
{
    s->at++;
    if (s->at >= s->end || strchr("\"\\/bfnrtu", *s->at) == NULL) {
        return scan_fail(s, "unknown escape sequence");
    }
    if (*s->at == 'u' && s->end - s->at >= 5 && memcmp(s->at + 1, "0000", 4) == 0) {
        return scan_fail(s, "strings must not contain the NUL character");
    }
    s->at++;
    return true;
}

// Bytes of the UTF-8 sequence at p (RFC 3629), 0 if it is none or cut off.
static size_t utf8_sequence(const uint8_t *p, size_t left)
{
    size_t n = p[0] < 0x80                    ? 1
               : p[0] >= 0xc2 && p[0] <= 0xdf ? 2
               : (p[0] & 0xf0) == 0xe0        ? 3
               : p[0] >= 0xf0 && p[0] <= 0xf4 ? 4
                                              : 0;

    if (n == 0 || n > left) {
        return 0;
    }
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) ||
        (p[0] == 0xf4 && p[1] > 0x8f)) {
        return 0;
    }
    return n;
}

static bool scan_string(struct scan *s)
{
    for (s->at++; s->at < s->end && *s->at != '"';) {
        size_t n;

        if ((uint8_t)*s->at < 0x20) {
            return scan_fail(s, "control characters in strings must be escaped");
        }
        if (*s->at == '\\') {
            if (!scan_escape(s)) {
                return false;
            }
            continue;
        }
        n = utf8_sequence((const uint8_t *)s->at, (size_t)(s->end - s->at));
        if (n == 0) {
            return scan_fail(s, "text is not UTF-8");
        }
        s->at += n;
    }
    if (s->at >= s->end) {
        return scan_fail(s, "string without an end");
    }
    s->at++;
    return true;
}

static bool scan_one(struct scan *s)
{
    char c = *s->at;

    if (c == '"') {
        return scan_string(s);
    }
    if (c == '-' || is_digit(c)) {
        return scan_number(s);
    }
    if (c == '{' || c == '[') {
        if (++s->depth > JSON_DEPTH_MAX) {
            return scan_fail(s, "nested too deeply");
        }
    } else if (c == '}' || c == ']') {
        s->depth -= s->depth > 0;
    } else if (c == '\0' || strchr(" \t\r\n,:truefalsn", c) == NULL) { // true, false, null
        return scan_fail(s, "unexpected character");
    }
    s->at++;
    return true;
}

static bool scan(struct scan *s)
{
    while (s->at < s->end) {
        if (!scan_one(s)) {
            return false;
        }
    }
    return true;
}

// --- checks on the tree ---

static const cJSON *duplicate_member(const cJSON *object)
{
    for (const cJSON *a = object->child; a != NULL; a = a->next) {
        for (const cJSON *b = a->next; b != NULL; b = b->next) {
            if (strcmp(a->string, b->string) == 0) {
                return b;
            }
        }
    }
    return NULL;
}

static bool check_tree(const cJSON *node, struct json_error *error)
{
    size_t members = 0;
    const cJSON *twice;

    for (const cJSON *c = node->child; c != NULL; c = c->next) {
        if (++members > JSON_MEMBERS_MAX) {
            snprintf(error->text, sizeof error->text, "an object or array has more than %u members",
                     JSON_MEMBERS_MAX);
            return false;
        }
    }
    twice = cJSON_IsObject(node) ? duplicate_member(node) : NULL;
    if (twice != NULL) {
        snprintf(error->text, sizeof error->text, "property \"%.80s\" occurs twice in one object",
                 twice->string);
        return false;
    }
    for (const cJSON *c = node->child; c != NULL; c = c->next) {
        if (!check_tree(c, error)) { // depth is bounded by the scan
            return false;
        }
    }
    return true;
}

static void locate(struct json_error *error, const char *text, const char *at)
{
    error->line = 1;
    error->column = 1;
    for (const char *p = text; p < at; p++) {
        if (*p == '\n') {
            error->line++;
            error->column = 1;
        } else {
            error->column++;
        }
    }
}

static cJSON *parse(struct json_arena *arena, const char *text, size_t length, const char **stop)
{
    cJSON_Hooks to_arena = {.malloc_fn = arena_alloc, .free_fn = arena_keep};
    cJSON *root;

    current = arena;
    cJSON_InitHooks(&to_arena);
    root = cJSON_ParseWithLengthOpts(text, length, stop, true);
    cJSON_InitHooks(NULL);
    current = NULL;
    return root;
}

bool json_read(const char *text, size_t length, struct json_document *out, struct json_error *error)
{
    struct scan s = {.at = text, .start = text, .end = text + length};
    const char *stop = text;

    memset(error, 0, sizeof *error);
    memset(out, 0, sizeof *out);
    if (length > JSON_TEXT_MAX) {
        snprintf(error->text, sizeof error->text, "the document is longer than %u bytes", JSON_TEXT_MAX);
        return false;
    }
    if (!scan(&s)) {
        snprintf(error->text, sizeof error->text, "%s", s.problem);
        locate(error, text, s.at);
        return false;
    }
    out->arena = calloc(1, sizeof *out->arena);
    if (out->arena == NULL) {
        snprintf(error->text, sizeof error->text, "management heap is full");
        return false;
    }
    // The terminator that cJSON wants at the end is the NUL that callers keep behind the text.
    out->root = parse(out->arena, text, length + 1, &stop);
    if (out->root == NULL) {
        snprintf(error->text, sizeof error->text, length == 0 ? "the document is empty" : "malformed JSON");
        locate(error, text, MIN(stop, text + length));
    } else if (check_tree(out->root, error)) {
        return true;
    }
    json_document_free(out);
    return false;
}

void json_document_free(struct json_document *doc)
{
    if (doc->arena != NULL) {
        arena_free(doc->arena);
    }
    *doc = (struct json_document){0};
}
