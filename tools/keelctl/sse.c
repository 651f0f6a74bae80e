// SPDX-License-Identifier: Apache-2.0
// Server-sent events, the reading side.
#include "tools/keelctl/sse.h"

#include <stdio.h>
#include <string.h>

static const char byte_order_mark[] = "\xef\xbb\xbf";

static void forget_message(struct sse *s)
{
    s->type[0] = '\0';
    s->data_length = 0;
}

void sse_init(struct sse *s, sse_message_fn *message, void *arg)
{
    s->message = message;
    s->arg = arg;
    s->begun = s->after_cr = false;
    s->line_length = 0;
    forget_message(s);
}

// A message without data is none. The line feed behind its last line does not belong to it.
static void dispatch(struct sse *s)
{
    if (s->data_length > 0) {
        s->data[s->data_length - 1] = '\0';
        s->message(s->arg, s->type[0] != '\0' ? s->type : "message", s->data);
    }
    forget_message(s);
}

static bool add_data(struct sse *s, const char *value)
{
    size_t length = strlen(value);

    if (length >= sizeof s->data - s->data_length) {
        return false;
    }
    memcpy(s->data + s->data_length, value, length);
    s->data_length += length;
    s->data[s->data_length++] = '\n';
    return true;
}

// "NAME:VALUE" or "NAME: VALUE" or "NAME". A comment has no name; unknown names are passed over.
static bool take_field(struct sse *s, char *line)
{
    char *value = strchr(line, ':');

    if (value == NULL) {
        value = line + strlen(line);
    } else {
        *value++ = '\0';
        value += *value == ' ';
    }
    if (strcmp(line, "event") == 0) {
        snprintf(s->type, sizeof s->type, "%s", value);
    } else if (strcmp(line, "data") == 0) {
        return add_data(s, value);
    }
    return true;
}

static bool take_line(struct sse *s)
{
    size_t mark = sizeof byte_order_mark - 1;
    char *line = s->line;

    line[s->line_length] = '\0';
    s->line_length = 0;
    if (!s->begun && strncmp(line, byte_order_mark, mark) == 0) {
        line += mark;
    }
    s->begun = true;
    if (line[0] == '\0') {
        dispatch(s);
        return true;
    }
    return take_field(s, line);
}

static bool take_byte(struct sse *s, char byte)
{
    bool second = byte == '\n' && s->after_cr;

    s->after_cr = byte == '\r';
    if (second) {
        return true;
    }
    if (byte == '\n' || byte == '\r') {
        return take_line(s);
    }
    if (s->line_length == sizeof s->line - 1) {
        return false;
    }
    s->line[s->line_length++] = byte;
    return true;
}

bool sse_feed(struct sse *s, const char *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (!take_byte(s, bytes[i])) {
            return false;
        }
    }
    return true;
}
