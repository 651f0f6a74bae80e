// SPDX-License-Identifier: Apache-2.0
// Routes for tests of the HTTP server: one for each way in which a handler can deal with a request.
#ifndef TESTS_SIM_HTTP_DEMO_H
#define TESTS_SIM_HTTP_DEMO_H

#include "net/http.h"

// What the handlers saw; reset by the tests.
struct http_demo {
    unsigned aborts;     // abort callbacks
    uint64_t uploaded;   // bytes of streamed bodies
    uint64_t upload_sum; // their sum, as a checksum
    unsigned auth_calls;
    unsigned ws_open, ws_closed;
    int ws_code;                 // of the last on_close
    size_t take_max;             // most that the upload handler takes at once; 0: everything
    uint64_t stream_max;         // longest stream; 0: any
    struct http_request *held;   // by /hold
    struct http_request *paused; // an upload that did not take all
};
extern struct http_demo demo;

// GET /hello, POST /echo (collect), PUT /upload (stream), GET /stream/{bytes}, GET /systems/{id}/console,
// GET /hold (answered by demo_release), GET /ws (echo), GET /public, GET /files/{rest*}, GET /big, GET /none
void http_demo_routes(struct http_server *s);
// Basic authentication: "admin:secret" has role 1; "slow:down" is limited; "no:role" is forbidden.
enum http_auth_result http_demo_auth(void *arg, struct http_request *r, struct http_identity *id);
void http_demo_release(void); // answer the held request

#endif
