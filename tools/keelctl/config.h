// SPDX-License-Identifier: Apache-2.0
// Where keelctl keeps and finds things: configuration, secret, known nodes.
//
// The folder is $KEELSON_CONFIG_DIR, else $XDG_CONFIG_HOME/keelson, else ~/.config/keelson. It may hold
//   config        `key = value` lines: node, secret_file, fingerprint, cacert
//   secret        an administrator secret
//   known_nodes   `HOST:PORT FINGERPRINT` lines, written when a node is trusted
#ifndef KEELCTL_CONFIG_H
#define KEELCTL_CONFIG_H

#include "tools/keelctl/keelctl.h"

#define SECRET_MAX 256

// Fills options that the command line left open from the environment and the configuration file.
// False: a file cannot be understood, and that has been said.
bool config_fill(struct options *o);

// Reads the secret of --secret, KEELSON_SECRET, KEELSON_SECRET_FILE or the folder's file, in this order.
// False: there is none, or it cannot be read, and that has been said.
bool config_secret(const struct options *o, char secret[SECRET_MAX]);

// Looks up a node ("host:port") in known_nodes; fingerprint gets 64 lower-case hexadecimal digits.
bool known_node_find(const char *node, char fingerprint[65]);
// Records a node, replacing what was known. False: cannot be written, and that has been said.
bool known_node_record(const char *node, const char *fingerprint);
// The path of known_nodes, for messages.
const char *known_nodes_path(void);

// Brings a SHA-256 fingerprint (with or without colons, any case) into 64 lower-case digits.
bool fingerprint_normalize(const char *text, char out[65]);

#endif
