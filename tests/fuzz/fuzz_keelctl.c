// srcs: tools/keelctl/report.c tools/keelctl/out.c tools/keelctl/commands_operation.c tools/keelctl/commands_node.c tools/keelctl/commands_event.c tools/keelctl/sse.c tools/keelctl/commands_system.c tools/keelctl/file.c tools/keelctl/seed.c tools/keelctl/commands_network.c tools/keelctl/list.c
// libs: cjson
// SPDX-License-Identifier: Apache-2.0
// Fuzz target: answers of a node that is none, or not the one that is thought, to keelctl's commands and reports. No
// control character of theirs reaches the terminal.
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "tools/keelctl/client.h"
#include "tools/keelctl/operation.h"
#include "tools/keelctl/out.h"

#define ANSWERS_MAX 64 // to one command: a node may have it wait for ever, which is not what is looked for

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t *input;
static size_t left;
static unsigned answers;
static struct options options = {.output = OUTPUT_HUMAN};

// --- the node: the input up to the next zero byte is an answer, its first byte the HTTP status ---

static enum status answer(struct answer *a)
{
    static const long codes[] = {200, 202, 400, 401, 404, 409, 429, 500};
    const uint8_t *end = left > 0 ? memchr(input, 0, left) : NULL;
    size_t n = end != NULL ? (size_t)(end - input) : left;

    *a = (struct answer){.code = n > 0 ? codes[input[0] % 8] : 200, .length = n > 0 ? n - 1 : 0};
    a->body = strndup(n > 0 ? (const char *)input + 1 : "", a->length);
    a->json = a->body != NULL ? cJSON_Parse(a->body) : NULL;
    n += end != NULL;
    input += n;
    left -= n;
    return ++answers < ANSWERS_MAX && left > 0 ? STATUS_OK : STATUS_UNREACHABLE;
}

enum status client_request(struct client *c, const char *method, const char *path, const char *body,
                           struct answer *a)
{
    enum status status = answer(a);

    (void)method, (void)path, (void)body;
    return status == STATUS_OK && a->code >= 300 ? client_report(c, a) : status;
}

enum status client_request_quiet(struct client *c, const char *path, struct answer *a)
{
    (void)c, (void)path;
    return answer(a);
}

enum status client_stream(struct client *c, const char *path, const char *last_id,
                          bool (*take)(void *arg, const char *bytes, size_t length), void *arg,
                          struct answer *a)
{
    (void)c, (void)path, (void)last_id, (void)take, (void)arg;
    *a = (struct answer){0};
    return STATUS_UNREACHABLE; // fuzz_sse.c
}

void client_keep_trying(struct client *c, bool on)
{
    (void)c, (void)on;
}

bool client_is_other_node(const struct client *c)
{
    (void)c;
    return false;
}

void answer_free(struct answer *a)
{
    cJSON_Delete(a->json);
    free(a->body);
    *a = (struct answer){0};
}

char *client_path(const char *prefix, const char *name, const char *suffix)
{
    char *path = NULL;

    return asprintf(&path, "%s%s%s", prefix, name, suffix) < 0 ? NULL : path;
}

const struct options *client_options(const struct client *c)
{
    (void)c;
    return &options;
}

// --- what the commands call besides, and what is not run here ---

void complain(const char *fmt, ...)
{
    char text[4096];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    print_clean(stderr, "keelctl: %s\n", text); // as main.c does
}

enum status usage_error(const char *fmt, ...)
{
    (void)fmt;
    return STATUS_USAGE;
}

enum status client_node_name(const struct options *o, char **url, char **name)
{
    (void)o, (void)url, (void)name;
    return STATUS_USAGE; // no `node trust`
}

char *client_escape(const char *text)
{
    return strdup(text);
}

bool fingerprint_normalize(const char *text, char out[65])
{
    (void)text, (void)out;
    return false;
}

void fingerprint_text(const char digits[65], char out[96])
{
    (void)digits;
    out[0] = '\0';
}

bool known_node_record(const char *node, const char *fingerprint)
{
    (void)node, (void)fingerprint;
    return false;
}

bool trust_ask(const char *name, const char *fingerprint)
{
    (void)name, (void)fingerprint;
    return false;
}

enum status trust_probe(const char *url, char fingerprint[65])
{
    (void)url, (void)fingerprint;
    return STATUS_UNREACHABLE;
}

enum status system_console(struct client *c, const struct options *o, char **arguments)
{
    (void)c, (void)o, (void)arguments;
    return STATUS_OK;
}

// --- one command ---

typedef enum status command_fn(struct client *c, const struct options *o, char **arguments);

// Runs it with both outputs kept; what was printed must be text.
static void run(command_fn *command)
{
    static char *arguments[] = {"web", "1", NULL};
    FILE *out = stdout, *err = stderr;
    char *text = NULL;
    size_t length = 0;
    FILE *memory = open_memstream(&text, &length);

    if (memory == NULL) {
        return;
    }
    stdout = stderr = memory;
    (void)command(NULL, &options, arguments);
    stdout = out;
    stderr = err;
    fclose(memory);
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i], after = (unsigned char)text[i + 1];

        if ((c < ' ' && c != '\n' && c != '\t') || c == 0x7f ||
            (c == 0xc2 && after >= 0x80 && after <= 0x9f)) {
            abort();
        }
    }
    free(text);
}

// The first byte chooses the command.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static command_fn *const commands_run[] = {
        system_list,       system_show,    system_stop,    system_wait,    node_show,
        event_list,        operation_list, operation_show, operation_wait, node_partitions,
        system_properties, switch_list,    switch_show,    endpoint_list};

    if (size < 2) {
        return 0;
    }
    input = data + 1;
    left = size - 1;
    answers = 0;
    run(commands_run[data[0] % (sizeof commands_run / sizeof commands_run[0])]);
    return 0;
}
