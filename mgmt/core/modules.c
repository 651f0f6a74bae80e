// SPDX-License-Identifier: Apache-2.0
// Takes a text of modules apart.
#include "mgmt/core/modules.h"

#include <stdlib.h>
#include <string.h>

// Ends the entry at `text` in place, with doubled commas made single; returns where the next one begins, NULL behind
// the last.
static char *end_entry(char *text)
{
    char *to = text;

    for (char *from = text; *from != '\0'; from++) {
        if (*from == ',' && *++from != ',') {
            *to = '\0';
            return from;
        }
        *to++ = *from;
    }
    *to = '\0';
    return NULL;
}

static enum core_status add(struct module_list *out, char *entry, struct core_error *error)
{
    char *arguments;

    if (out->count == KERNEL_MAX_MODULES) {
        return core_fail(error, CORE_INVALID, "a kernel takes at most %u modules", KERNEL_MAX_MODULES);
    }
    entry += strspn(entry, " ");
    arguments = entry + strcspn(entry, " ");
    if (arguments == entry) {
        return core_fail(error, CORE_INVALID, "module %u has no name: write NAME[ ARGUMENTS],NAME...",
                         out->count);
    }
    if (*arguments != '\0') {
        *arguments++ = '\0';
        arguments += strspn(arguments, " ");
    }
    out->module[out->count].name = entry;
    out->module[out->count++].arguments = arguments;
    return CORE_OK;
}

enum core_status module_list_read(const char *list, struct module_list *out, struct core_error *error)
{
    enum core_status status = CORE_OK;
    char *next;

    *out = (struct module_list){0};
    if (list == NULL || list[0] == '\0') {
        return CORE_OK;
    }
    if (strlen(list) > MODULES_TEXT_MAX) {
        return core_fail(error, CORE_INVALID, "the list of modules is longer than %u bytes",
                         MODULES_TEXT_MAX);
    }
    out->text = strdup(list);
    if (out->text == NULL) {
        return core_fail(error, CORE_NO_HEAP, "management heap is full");
    }
    for (char *entry = out->text; entry != NULL && status == CORE_OK; entry = next) {
        next = end_entry(entry);
        status = add(out, entry, error);
    }
    if (status != CORE_OK) {
        module_list_free(out);
    }
    return status;
}

void module_list_free(struct module_list *list)
{
    free(list->text);
    *list = (struct module_list){0};
}
