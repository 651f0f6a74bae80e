// SPDX-License-Identifier: Apache-2.0
// A line into words, and a name into a word.
#include <string.h>

#include "mgmt/shell/command.h"

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

// Takes one character of a word; returns how many bytes of the line it was.
static size_t take(char *quote, const char *line, size_t left, char **out)
{
    char c = line[0];

    if (*quote != '\0' && c == *quote) {
        *quote = '\0';
        return 1;
    }
    if (*quote == '\0' && (c == '\'' || c == '"')) {
        *quote = c;
        return 1;
    }
    if (c == '\\' && *quote != '\'' && left > 1) {
        *(*out)++ = line[1];
        return 2;
    }
    *(*out)++ = c;
    return 1;
}

void words_split(struct words *w, const char *line, size_t length)
{
    char *out = w->text;
    size_t i = 0;
    char quote = '\0';

    w->count = 0;
    w->open = false;
    w->problem = NULL;
    for (;;) {
        while (i < length && is_blank(line[i])) {
            i++;
        }
        w->open = false;
        if (i == length) {
            return;
        }
        if (w->count == COMMAND_WORDS_MAX) {
            w->problem = "too many words";
            return;
        }
        w->word[w->count++] = out;
        w->last = i;
        w->open = true;
        while (i < length && (quote != '\0' || !is_blank(line[i]))) {
            i += take(&quote, line + i, length - i, &out);
        }
        *out++ = '\0';
        if (quote != '\0') {
            w->problem = quote == '"' ? "a \" is not closed" : "a ' is not closed";
        }
        if (i == length) {
            return;
        }
    }
}

size_t words_quote(char *out, size_t cap, const char *name)
{
    size_t n = 0;

    for (; *name != '\0'; name++) {
        if (n + 2 > cap) {
            return 0;
        }
        if (strchr(" \t\\'\"", *name) != NULL) {
            out[n++] = '\\';
        }
        out[n++] = *name;
    }
    return n;
}
