// SPDX-License-Identifier: Apache-2.0
// Configuration of keelctl: files and environment.
#include "tools/keelctl/config.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_SIZE 4096
#define LINE_SIZE 4096

// --- the folder ---

static const char *home(void)
{
    const char *path = getenv("HOME");

    return path != NULL && path[0] != '\0' ? path : "/";
}

static const char *folder(void)
{
    static char path[PATH_SIZE - 64];
    const char *own = getenv("KEELSON_CONFIG_DIR"), *xdg = getenv("XDG_CONFIG_HOME");

    if (own != NULL && own[0] != '\0') {
        snprintf(path, sizeof path, "%s", own);
    } else if (xdg != NULL && xdg[0] == '/') {
        snprintf(path, sizeof path, "%s/keelson", xdg);
    } else {
        snprintf(path, sizeof path, "%s/.config/keelson", home());
    }
    return path;
}

static void file_path(char path[PATH_SIZE], const char *name)
{
    snprintf(path, PATH_SIZE, "%s/%s", folder(), name);
}

static bool make_folder(void)
{
    char path[PATH_SIZE];

    snprintf(path, sizeof path, "%s/", folder());
    for (char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(path, 0700) != 0 && errno != EEXIST) {
            complain("%s: %s", path, strerror(errno));
            return false;
        }
        *slash = '/';
    }
    return true;
}

static char *trim(char *text)
{
    size_t len;

    text += strspn(text, " \t\r\n");
    len = strlen(text);
    while (len > 0 && strchr(" \t\r\n", text[len - 1]) != NULL) {
        text[--len] = '\0';
    }
    return text;
}

// --- configuration ---

// Takes the value, which is malloc'ed or NULL.
static void set_default(const char **option, char *value)
{
    if (*option == NULL && value != NULL && value[0] != '\0') {
        *option = value;
    } else {
        free(value);
    }
}

static void set_from_environment(const char **option, const char *name)
{
    const char *value = getenv(name);

    set_default(option, value != NULL ? strdup(value) : NULL);
}

static char *expand(const char *value)
{
    char *path = NULL;

    if (strncmp(value, "~/", 2) != 0 || asprintf(&path, "%s%s", home(), value + 1) < 0) {
        return strdup(value);
    }
    return path;
}

static bool config_line(struct options *o, char *line, const char *path, unsigned number)
{
    char *key = trim(line), *value = strchr(key, '=');

    if (key[0] == '\0' || key[0] == '#') {
        return true;
    }
    if (value == NULL) {
        complain("%s:%u: expected `key = value`", path, number);
        return false;
    }
    *value++ = '\0';
    key = trim(key);
    value = trim(value);
    if (strcmp(key, "node") == 0) {
        set_default(&o->node, strdup(value));
    } else if (strcmp(key, "secret_file") == 0) {
        set_default(&o->secret_file, expand(value));
    } else if (strcmp(key, "fingerprint") == 0) {
        set_default(&o->fingerprint, strdup(value));
    } else if (strcmp(key, "cacert") == 0) {
        set_default(&o->cacert, expand(value));
    } else {
        complain("%s:%u: unknown key '%s'; known are node, secret_file, fingerprint, cacert", path, number,
                 key);
        return false;
    }
    return true;
}

static bool config_file(struct options *o)
{
    char path[PATH_SIZE], line[LINE_SIZE];
    unsigned number = 0;
    bool good = true;
    FILE *file;

    file_path(path, "config");
    file = fopen(path, "r");
    if (file == NULL) {
        return true;
    }
    while (good && fgets(line, sizeof line, file) != NULL) {
        good = config_line(o, line, path, ++number);
    }
    fclose(file);
    return good;
}

bool config_fill(struct options *o)
{
    bool secret_in_environment = getenv("KEELSON_SECRET") != NULL;
    const char *from_command_line = o->secret_file;

    set_from_environment(&o->node, "KEELSON_NODE");
    set_from_environment(&o->fingerprint, "KEELSON_FINGERPRINT");
    set_from_environment(&o->cacert, "KEELSON_CACERT");
    set_from_environment(&o->secret_file, "KEELSON_SECRET_FILE");
    if (!config_file(o)) {
        return false;
    }
    if (secret_in_environment && from_command_line == NULL) {
        o->secret_file = NULL; // the secret itself comes before any file
    }
    return true;
}

// --- the secret ---

// In header fields and messages the secret must not bring surprises.
static bool secret_clean(char *secret, const char *from)
{
    char *text = trim(secret);

    memmove(secret, text, strlen(text) + 1);
    if (secret[0] == '\0') {
        complain("%s: the secret is empty", from);
        return false;
    }
    for (const char *p = secret; *p != '\0'; p++) {
        if (!isgraph((unsigned char)*p)) {
            complain("%s: the secret holds blanks or control characters", from);
            return false;
        }
    }
    return true;
}

static bool secret_read(const char *path, char secret[SECRET_MAX])
{
    bool standard = strcmp(path, "-") == 0, good;
    FILE *file = standard ? stdin : fopen(path, "r");
    struct stat info;

    if (file == NULL) {
        complain("%s: %s", path, strerror(errno));
        return false;
    }
    if (!standard && fstat(fileno(file), &info) == 0 && S_ISREG(info.st_mode) && (info.st_mode & 077) != 0) {
        complain("warning: %s can be read by others; use `chmod 600 %s`", path, path);
    }
    good = fgets(secret, SECRET_MAX, file) != NULL;
    if (!good) {
        complain("%s: no secret in it", standard ? "standard input" : path);
    }
    if (!standard) {
        fclose(file);
    }
    return good && secret_clean(secret, standard ? "standard input" : path);
}

bool config_secret(const struct options *o, char secret[SECRET_MAX])
{
    const char *direct = getenv("KEELSON_SECRET");
    char path[PATH_SIZE];

    if (o->secret_file != NULL) {
        return secret_read(o->secret_file, secret);
    }
    if (direct != NULL && direct[0] != '\0') {
        snprintf(secret, SECRET_MAX, "%s", direct);
        return secret_clean(secret, "KEELSON_SECRET");
    }
    file_path(path, "secret");
    if (access(path, F_OK) == 0) {
        return secret_read(path, secret);
    }
    complain("no administrator secret: the node shows it on its console when it starts; give it with "
             "--secret FILE, in KEELSON_SECRET, or in %s",
             path);
    return false;
}

// --- known nodes ---

const char *known_nodes_path(void)
{
    static char path[PATH_SIZE];

    file_path(path, "known_nodes");
    return path;
}

// Splits a line of known_nodes; false for comments and what is no entry.
static bool known_node_line(const char *line, char node[512], char fingerprint[65])
{
    char text[200];

    return line[0] != '#' && sscanf(line, "%511s %199s", node, text) == 2 &&
           fingerprint_normalize(text, fingerprint);
}

bool known_node_find(const char *node, char fingerprint[65])
{
    char line[LINE_SIZE], name[512];
    FILE *file = fopen(known_nodes_path(), "r");
    bool found = false;

    if (file == NULL) {
        return false;
    }
    while (!found && fgets(line, sizeof line, file) != NULL) {
        found = known_node_line(line, name, fingerprint) && strcasecmp(name, node) == 0;
    }
    fclose(file);
    return found;
}

// Copies all lines but those of `node`.
static void copy_others(FILE *out, const char *node)
{
    char line[LINE_SIZE], name[512], fingerprint[65];
    FILE *in = fopen(known_nodes_path(), "r");

    if (in == NULL) {
        return;
    }
    while (fgets(line, sizeof line, in) != NULL) {
        if (!known_node_line(line, name, fingerprint) || strcasecmp(name, node) != 0) {
            fputs(line, out);
        }
    }
    fclose(in);
}

bool known_node_record(const char *node, const char *fingerprint)
{
    char temporary[PATH_SIZE + 16];
    FILE *out;
    bool good;

    if (!make_folder()) {
        return false;
    }
    snprintf(temporary, sizeof temporary, "%s.%ld", known_nodes_path(), (long)getpid());
    out = fopen(temporary, "w");
    if (out == NULL) {
        complain("%s: %s", temporary, strerror(errno));
        return false;
    }
    copy_others(out, node);
    fprintf(out, "%s %s\n", node, fingerprint);
    good = ferror(out) == 0;
    good = fclose(out) == 0 && good && rename(temporary, known_nodes_path()) == 0;
    if (!good) {
        complain("%s: %s", known_nodes_path(), strerror(errno));
        unlink(temporary);
    }
    return good;
}

bool fingerprint_normalize(const char *text, char out[65])
{
    size_t n = 0;

    if (strncasecmp(text, "sha256:", 7) == 0) {
        text += 7;
    }
    for (; *text != '\0'; text++) {
        if (*text == ':') {
            continue;
        }
        if (!isxdigit((unsigned char)*text) || n == 64) {
            return false;
        }
        out[n++] = (char)tolower((unsigned char)*text);
    }
    out[n] = '\0';
    return n == 64;
}
