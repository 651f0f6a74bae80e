// SPDX-License-Identifier: Apache-2.0
// Errors in words: what went wrong, where in the document, and what to do about it.
#include <stdio.h>
#include <string.h>

#include "tools/keelctl/client.h"
#include "tools/keelctl/out.h"

enum { DATA_PATH, DATA_FOUND, DATA_EXPECTED, DATA_REMEDY, DATA_COUNT };

static const char *string_of(const cJSON *object, const char *key)
{
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, key));
}

// --- ResultError documents ---

// An ErrorEvent whose Data are path, value found, value expected, remedy (docs/api.md); false if it is another.
static bool report_problem(const cJSON *event)
{
    const cJSON *data = cJSON_GetObjectItemCaseSensitive(event, "Data");
    const char *text[DATA_COUNT];

    if (cJSON_GetArraySize(data) != DATA_COUNT) {
        return false;
    }
    for (int i = 0; i < DATA_COUNT; i++) {
        text[i] = string_of(cJSON_GetArrayItem(data, i), "Value");
        if (text[i] == NULL) {
            return false;
        }
    }
    print_clean(stderr, "  at %s\n", text[DATA_PATH]);
    if (text[DATA_FOUND][0] != '\0') {
        print_clean(stderr, "    found     %s\n", text[DATA_FOUND]);
    }
    print_clean(stderr, "    expected  %s\n", text[DATA_EXPECTED]);
    print_clean(stderr, "    remedy    %s\n", text[DATA_REMEDY]);
    return true;
}

void report_result_error(const cJSON *document)
{
    const cJSON *events = cJSON_GetObjectItemCaseSensitive(document, "ErrorEvents"), *event;
    const cJSON *number = cJSON_GetObjectItemCaseSensitive(document, "Error");
    const char *name = string_of(document, "ErrorName"), *message = string_of(document, "ErrorMessage");
    uint32_t hresult = cJSON_IsNumber(number) ? (uint32_t)number->valueint : 0;
    int count = cJSON_GetArraySize(events);

    fprintf(stderr, "keelctl: ");
    print_clean(stderr, "%s", name != NULL ? name : "error");
    fprintf(stderr, " (0x%08X): ", hresult);
    if (count > 0) {
        fprintf(stderr, "%d problem%s in the document\n", count, count == 1 ? "" : "s");
    } else {
        print_clean(stderr, "%s\n", message != NULL ? message : "no message");
    }
    cJSON_ArrayForEach(event, events)
    {
        if (!report_problem(event)) {
            const char *text = string_of(event, "Message");

            print_clean(stderr, "  %s\n", text != NULL ? text : "?");
        }
    }
}

// --- the HTTP server's own errors ---

static const char *remedy_for(long code)
{
    switch (code) {
    case 401:
        return "the secret is wrong: a node without a state disk makes a new one at every boot and shows it on its "
               "console";
    case 429:
        return "too many wrong secrets came from this address: wait a few seconds";
    case 503:
        return "the node is busy: try again";
    default:
        return NULL;
    }
}

static void report_http_error(const struct answer *a)
{
    const cJSON *error = cJSON_GetObjectItemCaseSensitive(a->json, "error");
    const char *code = string_of(error, "code"), *message = string_of(error, "message");
    const char *where = string_of(error, "where"), *remedy = remedy_for(a->code);

    fprintf(stderr, "keelctl: the node answered %ld", a->code);
    if (code != NULL) {
        print_clean(stderr, " %s", code);
    }
    if (message != NULL) {
        print_clean(stderr, ": %s", message);
    }
    if (where != NULL) {
        print_clean(stderr, " (%s)", where);
    }
    fputc('\n', stderr);
    if (remedy != NULL) {
        fprintf(stderr, "  remedy: %s\n", remedy);
    }
}

enum status client_report(struct client *c, const struct answer *a)
{
    if (client_options(c)->output == OUTPUT_JSON && a->json != NULL) {
        fprintf(stderr, "%s\n", a->body);
    } else if (string_of(a->json, "ErrorName") != NULL) {
        report_result_error(a->json);
    } else {
        report_http_error(a);
    }
    return a->code == 401 || a->code == 403 || a->code == 429 ? STATUS_CREDENTIALS : STATUS_FAILED;
}
