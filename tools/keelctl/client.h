// SPDX-License-Identifier: Apache-2.0
// Requests to a node: one connection, credentials, answers, and errors in words.
#ifndef KEELCTL_CLIENT_H
#define KEELCTL_CLIENT_H

#include <cjson/cJSON.h>
#include <curl/curl.h>

#include "tools/keelctl/keelctl.h"

struct answer {
    long code;  // HTTP status
    char *body; // NUL-terminated
    size_t length;
    cJSON *json;   // NULL if the body is none
    char next[24]; // X-Next-Sequence, "" without
};
void answer_free(struct answer *a);

// Finds node, trust and secret. NULL: *status says why, and so has a message.
struct client *client_open(const struct options *o, enum status *status);
void client_close(struct client *c);
// The address that --node means, without connecting: "https://HOST:PORT" and "HOST:PORT", malloc()ed.
enum status client_node_name(const struct options *o, char **url, char **name);

// Sends a request and takes the whole answer. `body` (JSON) may be NULL. For anything but success the error has
// been printed. The answer must be freed in any case.
enum status client_request(struct client *c, const char *method, const char *path, const char *body,
                           struct answer *a);

// A GET whose error answers are left to the caller: STATUS_OK whenever there was an answer.
enum status client_request_quiet(struct client *c, const char *path, struct answer *a);

// Takes an answer without end piece by piece; take() returns false to end it. `last_id`: Last-Event-ID, or "". STATUS_OK
// whenever there was an answer; one that is no success is in *a, which must be freed in any case. A node that says nothing
// for longer than it may has lost the connection.
enum status client_stream(struct client *c, const char *path, const char *last_id,
                          bool (*take)(void *arg, const char *bytes, size_t length), void *arg,
                          struct answer *a);
// With true nothing is said of connections that fail from now on: the caller tries again.
void client_keep_trying(struct client *c, bool on);
// After STATUS_UNREACHABLE: was it the certificate? That has been said in any case.
bool client_is_other_node(const struct client *c);

// Streams an upload. read() fills the buffer like fread and is also told of progress.
struct upload {
    size_t (*read)(void *arg, char *buffer, size_t size); // (size_t)-1 aborts; the reader has said why
    void (*progress)(void *arg, uint64_t sent);
    void *arg;
    int64_t size;       // of all of it; -1: unknown
    const char *sha256; // hexadecimal, or NULL
    bool resumable;     // the node keeps what has arrived; needs the size
    uint64_t offset;    // where to begin: read() does
};
enum status client_upload(struct client *c, const char *path, const struct upload *u, struct answer *a);

// "/v1/images/" + escaped name + suffix. malloc()ed.
char *client_path(const char *prefix, const char *name, const char *suffix);
// Percent-encodes into malloc()ed memory.
char *client_escape(const char *text);

// For the WebSocket: a connected curl handle (CURLOPT_CONNECT_ONLY), the Host and Authorization fields.
CURL *client_connect(struct client *c, enum status *status);
const char *client_authority(const struct client *c);
char *client_authorization(const struct client *c); // malloc()ed: "Basic ..."

// The command line, for output.
const struct options *client_options(const struct client *c);

// Prints what an error answer says, in the form that -o asks for, and returns the exit status for it.
enum status client_report(struct client *c, const struct answer *a);
// Prints a ResultError document.
void report_result_error(const cJSON *document);

#endif
