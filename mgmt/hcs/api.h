// SPDX-License-Identifier: Apache-2.0
// The JSON API: routes of schema/api.json on an HTTP server.
//
// Control plane only. Who may use a route is in the schema; every change is in the audit trail.
#ifndef MGMT_HCS_API_H
#define MGMT_HCS_API_H

#include "net/http.h"

// Registers all routes. core_init() must have been called.
void api_init(struct http_server *server);
// The server's authentication hook (struct http_config.auth); needs no argument.
enum http_auth_result api_authenticate(void *arg, struct http_request *r, struct http_identity *id);
// The value for struct http_config.challenge.
#define API_CHALLENGE "Basic realm=\"keelson\", charset=\"UTF-8\""

#endif
