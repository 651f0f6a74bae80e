// srcs: tools/keelctl/sse.c
// SPDX-License-Identifier: Apache-2.0
// Fuzz target: an event stream of a node that is none. However it is cut into pieces, it means the same.
#include <stdlib.h>
#include <string.h>

#include "tools/keelctl/sse.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct sum {
    unsigned messages;
    uint64_t hash;
};

static void add(struct sum *sum, const char *text)
{
    for (; *text != '\0'; text++) {
        sum->hash = (sum->hash ^ (uint8_t)*text) * 1099511628211u; // FNV-1a
    }
    sum->hash = (sum->hash ^ 0xff) * 1099511628211u;
}

static void note(void *arg, const char *type, const char *data)
{
    struct sum *sum = arg;

    if (strlen(type) >= SSE_TYPE_MAX || type[0] == '\0' || strlen(data) >= SSE_LINE_MAX) {
        abort();
    }
    sum->messages++;
    add(sum, type);
    add(sum, data);
}

static bool feed_all(const uint8_t *data, size_t size, size_t piece, struct sum *sum)
{
    static struct sse reader;
    bool good = true;

    *sum = (struct sum){0};
    sse_init(&reader, note, sum);
    while (size > 0 && good) {
        size_t n = size < piece ? size : piece;

        good = sse_feed(&reader, (const char *)data, n);
        data += n;
        size -= n;
    }
    return good;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sum whole, pieces;
    bool good = feed_all(data, size, size, &whole);

    if (feed_all(data, size, size > 0 ? 1 + data[0] % 7 : 1, &pieces) != good ||
        pieces.messages != whole.messages || pieces.hash != whole.hash) {
        abort();
    }
    return 0;
}
