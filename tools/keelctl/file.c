// SPDX-License-Identifier: Apache-2.0
// Reads small files.
#include "tools/keelctl/file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/keelctl/keelctl.h"

#define FILE_MAX (1u << 20)

static char *read_all(FILE *file, const char *name)
{
    char *text = malloc(FILE_MAX + 1);
    size_t n = text != NULL ? fread(text, 1, FILE_MAX + 1, file) : 0;

    if (text == NULL || ferror(file) || n > FILE_MAX) {
        complain("%s: %s", name, n > FILE_MAX ? "larger than 1 MiB" : strerror(errno));
        free(text);
        return NULL;
    }
    text[n] = '\0';
    return text;
}

char *file_read(const char *name)
{
    FILE *file = strcmp(name, "-") == 0 ? stdin : fopen(name, "r");
    char *text;

    if (file == NULL) {
        complain("%s: %s", name, strerror(errno));
        return NULL;
    }
    text = read_all(file, name);
    if (file != stdin) {
        fclose(file);
    }
    return text;
}
