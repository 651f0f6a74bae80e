// SPDX-License-Identifier: Apache-2.0
// What all of keelctl shares: exit statuses, options, the command table.
#ifndef KEELCTL_H
#define KEELCTL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Exit statuses; docs/keelctl.md promises them to scripts.
enum status {
    STATUS_OK = 0,
    STATUS_FAILED = 1,      // the node refused, or the operation failed
    STATUS_USAGE = 2,       // wrong command line or configuration
    STATUS_UNREACHABLE = 3, // no connection, or the node is not the one that is trusted
    STATUS_CREDENTIALS = 4, // 401, 403, 429
    STATUS_TIMEOUT = 5,     // --timeout is over
};

enum output {
    OUTPUT_HUMAN,
    OUTPUT_JSON, // what the node answered
    OUTPUT_NAME, // the first column alone, for scripts and completion
};

// Everything that the command line, the environment and the configuration say. Strings are not owned.
struct options {
    // which node, and how to trust it
    const char *node;
    const char *secret_file; // "-": standard input
    const char *fingerprint;
    const char *cacert;
    bool insecure;
    bool accept_new; // trust an unknown node without asking
    // how to talk
    enum output output;
    bool quiet;
    // what single commands take
    const char *file;
    const char *kernel, *initrd, *cmdline, *owner;
    const char *memory, *cpus;
    const char *nic;
    const char *hostname, *user, *ssh_key, *address, *gateway, *dns;
    const char *user_data, *meta_data, *network_config; // files
    const char *on_switch, *mac, *vlan, *tagged, *rate;
    bool allow_spoofing;
    const char *disk;
    const char *size, *image, *snapshot;
    const char *types;
    const char *port;
    const char *from;
    const char *idle;
    const char *timeout;
    bool no_wait;
    bool start;
    bool console;
    bool force;
    bool follow;
    bool fresh;
    bool raw;
};

struct client;

struct command {
    const char *noun, *verb;
    const char *arguments; // shown after the verb: capital words, optional ones in brackets
    int min_arguments, max_arguments;
    const char *accepts; // long options besides the common ones, separated by blanks
    const char *help;
    // client: NULL for commands without a node.
    enum status (*run)(struct client *c, const struct options *o, char **arguments);
    bool offline;
};

// The table that main.c runs, explains and completes; ends with noun NULL.
extern const struct command commands[];

// commands_*.c
enum status image_put(struct client *c, const struct options *o, char **arguments);
enum status image_list(struct client *c, const struct options *o, char **arguments);
enum status image_show(struct client *c, const struct options *o, char **arguments);
enum status image_delete(struct client *c, const struct options *o, char **arguments);

enum status disk_list(struct client *c, const struct options *o, char **arguments);
enum status disk_show(struct client *c, const struct options *o, char **arguments);
enum status disk_create(struct client *c, const struct options *o, char **arguments);
enum status disk_resize(struct client *c, const struct options *o, char **arguments);
enum status disk_snapshot(struct client *c, const struct options *o, char **arguments);
enum status disk_delete(struct client *c, const struct options *o, char **arguments);

enum status system_create(struct client *c, const struct options *o, char **arguments);
enum status system_start(struct client *c, const struct options *o, char **arguments);
enum status system_stop(struct client *c, const struct options *o, char **arguments);
enum status system_shutdown(struct client *c, const struct options *o, char **arguments);
enum status system_pause(struct client *c, const struct options *o, char **arguments);
enum status system_resume(struct client *c, const struct options *o, char **arguments);
enum status system_list(struct client *c, const struct options *o, char **arguments);
enum status system_show(struct client *c, const struct options *o, char **arguments);
enum status system_properties(struct client *c, const struct options *o, char **arguments);
enum status system_wait(struct client *c, const struct options *o, char **arguments);
enum status system_delete(struct client *c, const struct options *o, char **arguments);
enum status system_console(struct client *c, const struct options *o, char **arguments);
enum status system_history(struct client *c, const struct options *o, char **arguments);

enum status switch_list(struct client *c, const struct options *o, char **arguments);
enum status switch_show(struct client *c, const struct options *o, char **arguments);
enum status switch_create(struct client *c, const struct options *o, char **arguments);
enum status switch_delete(struct client *c, const struct options *o, char **arguments);
enum status endpoint_list(struct client *c, const struct options *o, char **arguments);
enum status endpoint_create(struct client *c, const struct options *o, char **arguments);
enum status endpoint_delete(struct client *c, const struct options *o, char **arguments);

enum status store_show(struct client *c, const struct options *o, char **arguments);
enum status store_check(struct client *c, const struct options *o, char **arguments);
enum status store_scrub(struct client *c, const struct options *o, char **arguments);
enum status node_show(struct client *c, const struct options *o, char **arguments);
enum status node_reboot(struct client *c, const struct options *o, char **arguments);
enum status node_poweroff(struct client *c, const struct options *o, char **arguments);
enum status node_log(struct client *c, const struct options *o, char **arguments);
enum status node_trust(struct client *c, const struct options *o, char **arguments);
enum status node_partitions(struct client *c, const struct options *o, char **arguments);
enum status node_metrics(struct client *c, const struct options *o, char **arguments);
enum status event_list(struct client *c, const struct options *o, char **arguments);

enum status operation_list(struct client *c, const struct options *o, char **arguments);
enum status operation_show(struct client *c, const struct options *o, char **arguments);
enum status operation_wait(struct client *c, const struct options *o, char **arguments);
enum status operation_delete(struct client *c, const struct options *o, char **arguments);

// completion.c
enum status completion_bash(struct client *c, const struct options *o, char **arguments);

// Prints "keelctl: " and the text to standard error.
void complain(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
// The same and returns STATUS_USAGE.
enum status usage_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
