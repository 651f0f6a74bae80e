// SPDX-License-Identifier: Apache-2.0
// keelctl: commands a Keelson node from a workstation. See docs/keelctl.md.
#include <curl/curl.h>
#include <getopt.h>
#include <keelson/types.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/keelctl/client.h"
#include "tools/keelctl/config.h"
#include "tools/keelctl/option.h"

void complain(const char *fmt, ...)
{
    va_list ap;

    fflush(stdout);
    fprintf(stderr, "keelctl: ");
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
}

enum status usage_error(const char *fmt, ...)
{
    va_list ap;

    fprintf(stderr, "keelctl: ");
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    return STATUS_USAGE;
}

// --- help ---

static void print_option(const struct option_row *row)
{
    char name[64];

    snprintf(name, sizeof name, "%s--%s%s%s", row->letter != 0 ? "" : "    ", row->name,
             row->argument ? " " : "", row->argument ? row->argument : "");
    if (row->letter != 0) {
        printf("  -%c, %-24s %s\n", row->letter, name, row->help);
    } else {
        printf("  %-28s %s\n", name, row->help);
    }
}

static void help_command(const struct command *cmd)
{
    printf("keelctl %s %s%s%s\n    %s\n", cmd->noun, cmd->verb, cmd->arguments[0] != '\0' ? " " : "",
           cmd->arguments, cmd->help);
}

// Commands of one noun with the options that they take, or all commands when noun is NULL.
static void help_commands(const char *noun)
{
    for (const struct command *cmd = commands; cmd->noun != NULL; cmd++) {
        char synopsis[64];

        if (noun != NULL && strcmp(noun, cmd->noun) != 0) {
            continue;
        }
        snprintf(synopsis, sizeof synopsis, "%s %s %s", cmd->noun, cmd->verb, cmd->arguments);
        printf("  %-28s %s\n", synopsis, cmd->help);
    }
}

static bool noun_accepts(const char *noun, const struct option_row *row)
{
    for (const struct command *cmd = commands; cmd->noun != NULL; cmd++) {
        if (strcmp(cmd->noun, noun) == 0 && option_accepted(cmd, row->name)) {
            return true;
        }
    }
    return false;
}

static void help_options(const char *noun, const struct command *cmd)
{
    printf("\nOptions:\n");
    for (const struct option_row *row = option_rows; row->name != NULL; row++) {
        if (row->common   ? noun == NULL
            : cmd != NULL ? option_accepted(cmd, row->name)
                          : noun != NULL && noun_accepts(noun, row)) {
            print_option(row);
        }
    }
}

static enum status help(const char *noun, const char *verb)
{
    const struct command *cmd = noun != NULL && verb != NULL ? command_find(noun, verb) : NULL;

    if (cmd != NULL) {
        help_command(cmd);
        help_options(noun, cmd);
    } else if (noun != NULL && noun_known(noun)) {
        help_commands(noun);
        help_options(noun, NULL);
    } else {
        printf("keelctl commands a Keelson node.\n\nUsage: keelctl [options] NOUN VERB [arguments]\n\n");
        help_commands(NULL);
        help_options(NULL, NULL);
        printf(
            "\n`keelctl NOUN --help` tells the options of its commands.\n"
            "Environment: KEELSON_NODE, KEELSON_SECRET, KEELSON_SECRET_FILE, KEELSON_FINGERPRINT, KEELSON_CACERT,\n"
            "KEELSON_CONFIG_DIR. Exit status: 0 done, 1 failed, 2 usage, 3 no connection, 4 credentials, 5 time-out.\n");
    }
    return STATUS_OK;
}

// --- running ---

static enum status wrong_arguments(const struct command *cmd)
{
    return usage_error("usage: keelctl %s %s %s", cmd->noun, cmd->verb, cmd->arguments);
}

static enum status run(const struct command *cmd, struct options *o, char **arguments)
{
    enum status status = STATUS_OK;
    struct client *c = NULL;

    if (!config_fill(o)) {
        return STATUS_USAGE;
    }
    if (!cmd->offline) {
        c = client_open(o, &status);
    }
    if (status == STATUS_OK) {
        status = cmd->run(c, o, arguments);
    }
    if (c != NULL) {
        client_close(c);
    }
    return status;
}

static enum status unknown_command(char **words)
{
    if (!noun_known(words[0])) {
        return usage_error("'%s' is no noun that keelctl knows; `keelctl --help` lists them", words[0]);
    }
    help_commands(words[0]);
    return words[1] == NULL ? usage_error("which of these?")
                            : usage_error("'%s %s' is no command", words[0], words[1]);
}

// The words of the command line after the options: noun, verb, arguments, NULL. "events" alone means "event list".
static enum status dispatch(struct options *o, const struct parsed *p, char **words)
{
    static char event[] = "event", list[] = "list";
    static char *event_list_words[] = {event, list, NULL};
    const struct command *cmd;
    int count = 0;

    if (words[0] != NULL && strcmp(words[0], "help") == 0) {
        return help(words[1], words[1] != NULL ? words[2] : NULL);
    }
    if (p->help) {
        return help(words[0], words[0] != NULL ? words[1] : NULL);
    }
    if (words[0] == NULL) {
        return usage_error("usage: keelctl [options] NOUN VERB [arguments]; `keelctl --help` lists them");
    }
    if (strcmp(words[0], "events") == 0 && words[1] == NULL) {
        words = event_list_words;
    }
    cmd = words[1] != NULL ? command_find(words[0], words[1]) : NULL;
    if (cmd == NULL) {
        return unknown_command(words);
    }
    while (words[2 + count] != NULL) {
        count++;
    }
    if (count < cmd->min_arguments || count > cmd->max_arguments) {
        return wrong_arguments(cmd);
    }
    return option_check(p, cmd) ? run(cmd, o, words + 2) : STATUS_USAGE;
}

int main(int argc, char **argv)
{
    struct options options = {0};
    struct parsed parsed = {0};
    enum status status;

    if (!option_parse(argc, argv, &options, &parsed)) {
        return STATUS_USAGE;
    }
    if (parsed.version) {
        puts("keelctl " KEELSON_VERSION);
        return STATUS_OK;
    }
    curl_global_init(CURL_GLOBAL_DEFAULT);
    status = dispatch(&options, &parsed, argv + optind);
    curl_global_cleanup();
    if (fflush(stdout) != 0 || ferror(stdout)) {
        complain("the output could not be written");
        return status == STATUS_OK ? STATUS_FAILED : (int)status;
    }
    return (int)status;
}
