// srcs: mgmt/core/auth.c mgmt/core/core.c mgmt/core/system.c mgmt/core/cloud_seed.c mgmt/block/fat_image.c mgmt/core/modules.c mgmt/core/system_run.c mgmt/core/partition.c mgmt/core/disk.c mgmt/block/ram_disk.c mgmt/block/block.c mgmt/core/partition_build.c mgmt/core/partition_stop.c mgmt/core/deposit.c mgmt/core/image.c mgmt/core/console.c mgmt/core/event.c mgmt/core/operation.c mgmt/core/notify.c mgmt/core/status.c mgmt/hcs/api.c mgmt/hcs/api_hcs.c mgmt/hcs/api_image.c mgmt/hcs/api_node.c mgmt/hcs/api_event.c mgmt/hcs/api_metrics.c mgmt/hcs/guest_metrics.c mgmt/hcs/network_metrics.c mgmt/hcs/api_console.c mgmt/hcs/api_operation.c mgmt/hcs/document.c mgmt/hcs/document_seed.c mgmt/hcs/schema.c mgmt/hcs/json_read.c mgmt/hcs/json_write.c mgmt/hcs/result.c net/http.c net/http_out.c net/http_parse.c net/http_request.c net/http_route.c net/http_answer.c net/http_ws.c net/ws.c net/stream.c mgmt/hvif/hvif_status.c tests/sim/hvif_sim.c tests/sim/dp_sim.c tests/sim/loader_sim.c tests/sim/plat_host.c tests/sim/stream_mem.c mgmt/core/keeper.c mgmt/hcs/api_store.c mgmt/core/network.c mgmt/vswitch/vswitch.c mgmt/vswitch/mac_table.c mgmt/vswitch/offload.c mgmt/vswitch/dhcp.c mgmt/hcs/api_network.c mgmt/hcs/api_disk.c
// libs: mbedtls cjson llhttp
// SPDX-License-Identifier: Apache-2.0
// The API through the real HTTP server, on streams in memory: routes, statuses, long polls, console socket.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <mbedtls/base64.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mgmt/core/auth.h"
#include "mgmt/core/core.h"
#include "mgmt/core/event.h"
#include "mgmt/core/system.h"
#include "mgmt/core/keeper.h"
#include "mgmt/hcs/api.h"
#include "mgmt/hcs/metrics.h"
#include "tests/sim/dp_sim.h"
#include "tests/sim/hvif_sim.h"
#include "tests/sim/plat_host.h"
#include "tests/sim/stream_mem.h"

#define DOC                                                                                                      \
    "{\"Owner\":\"o\",\"SchemaVersion\":{\"Major\":2,\"Minor\":1},\"VirtualMachine\":{\"Chipset\":{"             \
    "\"LinuxKernelDirect\":{\"KernelFilePath\":\"kernel\"}},\"ComputeTopology\":{\"Memory\":{\"SizeInMB\":16}}," \
    "\"Devices\":{\"ComPorts\":{\"0\":{}}}}}"

static struct http_server *server;
static char authorization[80];

static struct mem_stream *dial(void)
{
    struct mem_stream *m = mem_stream_new();

    http_serve(server, &m->s);
    plat_host_settle();
    return m;
}

static void hang_up(struct mem_stream *m)
{
    if (!m->closed && !m->aborted) {
        mem_feed_reset(m);
        plat_host_settle();
    }
    mem_stream_free(m);
}

static void request_on(struct mem_stream *m, const char *method, const char *path, const char *headers,
                       const char *body)
{
    char head[1024];

    snprintf(head, sizeof head,
             "%s %s HTTP/1.1\r\nHost: x\r\nAuthorization: %s\r\nContent-Length: %zu\r\n%s\r\n", method, path,
             authorization, strlen(body), headers);
    mem_clear_output(m);
    mem_feed_text(m, head);
    mem_feed_text(m, body);
    plat_host_settle();
}

// Answer of the last exchange: status and body.
static char *answer;

static int status_of(const struct mem_stream *m)
{
    int status = 0;
    const char *body = m->out_len > 0 ? strstr((const char *)m->out, "\r\n\r\n") : NULL;

    free(answer);
    answer = strdup(body != NULL ? body + 4 : "");
    if (m->out_len > 0) {
        sscanf((const char *)m->out, "HTTP/1.1 %d", &status);
    }
    return status;
}

static int call(const char *method, const char *path, const char *body)
{
    struct mem_stream *m = dial();
    int status;

    request_on(m, method, path, "", body);
    status = status_of(m);
    hang_up(m);
    return status;
}

static void assert_answer_has(const char *text)
{
    if (strstr(answer, text) == NULL) {
        fail_msg("no %s in %s", text, answer);
    }
}

#define OK(status, method, path, body) assert_int_equal(call(method, path, body), status)

static void wait_state(const char *id, enum system_state state)
{
    for (int i = 0; i < 5000 && system_find(id)->state != state; i++) {
        plat_host_step(1);
    }
    assert_int_equal(system_find(id)->state, state);
}

static int setup_group(void **state)
{
    static const struct core_node node = {
        .version = "1.2.3", .engine = "sim", .hostname = "h", .cpu_brand = "\"cpu\"", .cpu_count = 2};
    const struct http_config config = {.auth = api_authenticate, .challenge = API_CHALLENGE};
    char secret[AUTH_SECRET_TEXT];

    (void)state;
    plat_host_log_level(LOG_ERROR);
    auth_new_secret(secret);
    snprintf(authorization, sizeof authorization, "Bearer %s", secret);
    core_init(&node);
    dp_sim_init();
    server = http_server_new(&config);
    api_init(server);
    OK(201, "PUT", "/v1/images/kernel", "KERNEL");
    return 0;
}

static int teardown_group(void **state)
{
    (void)state;
    http_server_free(server);
    free(answer);
    return 0;
}

static int teardown(void **state)
{
    struct core_error error;

    (void)state;
    for (struct system *s = system_next(NULL); s != NULL; s = system_next(s)) {
        (void)system_terminate(s, NULL, &error);
    }
    for (int i = 0; i < 5000 && system_count() > 0; i++) {
        plat_host_step(1);
        if (system_next(NULL)->state == SYSTEM_STOPPED) {
            assert_int_equal(system_delete(system_next(NULL), &error), CORE_OK);
        }
    }
    plat_host_settle();
    return 0;
}

static void test_authentication(void **state)
{
    struct mem_stream *m = dial();
    char saved[sizeof authorization];

    (void)state;
    mem_feed_text(m, "GET /v1/node HTTP/1.1\r\nHost: x\r\n\r\n");
    plat_host_settle();
    assert_int_equal(status_of(m), 401);
    assert_non_null(strstr((char *)m->out, "WWW-Authenticate: Basic realm=\"keelson\""));
    hang_up(m);
    memcpy(saved, authorization, sizeof saved);
    strcpy(authorization, "Bearer 00000000000000000000000000000000");
    OK(401, "GET", "/openapi.json", "");
    memcpy(authorization, saved, sizeof saved);
}

static void write_test_metrics(struct metrics *m)
{
    metrics_counter(m, "test_total", UINT64_MAX);
}

static void test_node_and_description(void **state)
{
    static struct metrics_source source = {.write = write_test_metrics};

    (void)state;
    metrics_source_add(&source);
    metrics_source_add(&source); // no second time
    OK(200, "GET", "/v1/node", "");
    assert_answer_has("\"Version\":\"1.2.3\"");
    assert_answer_has("\\\"cpu\\\"");
    OK(200, "GET", "/openapi.json", "");
    assert_answer_has("\"openapi\":\"3.0.3\"");
    assert_answer_has("/v1/hcs/systems/{id}/start");
    OK(200, "GET", "/v1/hypervisor", "");
    OK(200, "GET", "/v1/hypervisor/log", "");
    OK(200, "GET", "/metrics", "");
    assert_answer_has("keelson_systems_running 0\n");
    assert_answer_has("# TYPE keelson_hypervisor_mapped_pages gauge\n");
    assert_answer_has("\nkeelson_test_total 18446744073709551615\n");
    OK(200, "GET", "/v1/events", "");
    assert_answer_has("\"NodeReady\"");
    OK(400, "GET", "/v1/events?from=-1", "");
    assert_answer_has("E_INVALIDARG");
    OK(404, "GET", "/v1/nothing", "");
    OK(405, "DELETE", "/v1/node", "");
}

// --- the event stream ---

static struct mem_stream *follow(const char *headers)
{
    struct mem_stream *m = dial();

    request_on(m, "GET", "/v1/events/stream", headers, "");
    return m;
}

static unsigned messages(const struct mem_stream *m, const char *type)
{
    char text[64];
    unsigned n = 0;

    snprintf(text, sizeof text, "event: %s\ndata: {", type);
    for (const char *at = (const char *)m->out; (at = strstr(at, text)) != NULL; at++) {
        n++;
    }
    return n;
}

static void post(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        event_post(EVENT_AUTH_REFUSED, "\x01\x02\"", "%u", i);
    }
    plat_host_settle();
}

static void test_event_stream(void **state)
{
    struct mem_stream *m;
    uint64_t oldest, next;
    char header[64];

    (void)state;
    m = follow("");
    assert_int_equal(status_of(m), 200);
    assert_int_equal(messages(m, "NodeReady"), 1);
    mem_clear_output(m);
    post(3);
    assert_int_equal(messages(m, "AuthenticationRefused"), 3);
    assert_non_null(strstr((const char *)m->out, "\"Subject\":\"\\u0001\\u0002\\\"\""));
    hang_up(m);
    event_range(&oldest, &next);
    snprintf(header, sizeof header, "Last-Event-ID: %llu\r\n", (unsigned long long)next - 3);
    m = follow(header);
    assert_int_equal(messages(m, "AuthenticationRefused"), 2);
    snprintf(header, sizeof header, "id: %llu\n", (unsigned long long)next - 1);
    assert_non_null(strstr((const char *)m->out, header));
    hang_up(m);
    m = follow("Last-Event-ID: 999999999\r\n"); // of an earlier boot
    assert_int_equal(messages(m, "AuthenticationRefused"), 0);
    post(1);
    assert_int_equal(messages(m, "AuthenticationRefused"), 1);
    hang_up(m);
    m = follow("Last-Event-ID: -1\r\n");
    assert_int_equal(status_of(m), 400);
    hang_up(m);
    m = follow("Last-Event-ID: 99999999999999999999\r\n");
    assert_int_equal(status_of(m), 400);
    hang_up(m);
}

// One who reads slowly is told how many events are gone, loses none of what is kept, and holds up nobody.
static void test_event_stream_of_a_slow_client(void **state)
{
    struct mem_stream *slow = follow(""), *quick = follow("");

    (void)state;
    mem_clear_output(slow);
    mem_clear_output(quick);
    slow->out_window = 10;
    for (unsigned i = 0; i < 100; i++) {
        post(20); // many times what the node queues for a client
    }
    assert_int_equal(messages(quick, "AuthenticationRefused"), 2000);
    slow->out_window = SIZE_MAX;
    mem_take(slow, 0);
    plat_host_settle();
    assert_int_equal(messages(slow, "Lost"), 1);
    assert_true(messages(slow, "AuthenticationRefused") > 500);
    assert_true(messages(slow, "AuthenticationRefused") < 2000);
    hang_up(slow);
    hang_up(quick);
}

static void test_event_streams_are_bounded(void **state)
{
    struct mem_stream *m[16], *more;

    (void)state;
    for (unsigned round = 0; round < 2; round++) { // in the second one the first ones are forgotten
        for (size_t i = 0; i < ARRAY_LEN(m); i++) {
            m[i] = follow("");
            assert_int_equal(status_of(m[i]), 200);
        }
        more = follow("");
        assert_int_equal(status_of(more), 503);
        hang_up(more);
        for (size_t i = 0; i < ARRAY_LEN(m); i++) {
            hang_up(m[i]);
        }
    }
}

// Numbers with labels: every VP has its own, names are escaped, and families come in one piece.
static void test_metrics_of_a_system(void **state)
{
    const char *at;
    unsigned families = 0;

    (void)state;
    OK(202, "POST", "/v1/hcs/systems/a%22b%5C", DOC);
    OK(202, "POST", "/v1/hcs/systems/a%22b%5C/start", "");
    wait_state("a\"b\\", SYSTEM_RUNNING);
    OK(200, "GET", "/metrics", "");
    assert_answer_has("keelson_vp_run_seconds_total{system=\"a\\\"b\\\\\",vp=\"0\"} ");
    assert_answer_has("keelson_vp_wait_seconds_total{system=\"a\\\"b\\\\\",vp=\"0\"} ");
    assert_answer_has("keelson_vp_state{system=\"a\\\"b\\\\\",vp=\"0\"} ");
    assert_answer_has("keelson_system_pool_pages{system=");
    assert_answer_has("keelson_api_requests_total{route=\"POST /v1/hcs/systems/{id}/start\"} ");
    for (at = answer; (at = strstr(at, "# TYPE keelson_vp_state gauge\n")) != NULL; at++) {
        families++;
    }
    assert_int_equal(families, 1);
    OK(202, "POST", "/v1/hcs/systems/a%22b%5C/terminate", "");
    wait_state("a\"b\\", SYSTEM_STOPPED);
    OK(200, "GET", "/metrics", "");
    assert_null(strstr(answer, "keelson_vp_state{"));
}

static void test_life_of_a_system(void **state)
{
    (void)state;
    OK(404, "GET", "/v1/hcs/systems/vm/properties", "");
    assert_answer_has("HCS_E_SYSTEM_NOT_FOUND");
    OK(404, "POST", "/v1/hcs/systems/vm/start", "");
    OK(202, "POST", "/v1/hcs/systems/vm", DOC);
    assert_answer_has("\"Type\":\"Create\"");
    assert_answer_has("\"ResultName\":\"S_OK\"");
    OK(409, "POST", "/v1/hcs/systems/vm", DOC);
    assert_answer_has("HCS_E_SYSTEM_ALREADY_EXISTS");
    OK(400, "POST", "/v1/hcs/systems/vm/start", "{}"); // options must be NULL
    OK(202, "POST", "/v1/hcs/systems/vm/start", "null");
    wait_state("vm", SYSTEM_RUNNING);
    OK(409, "POST", "/v1/hcs/systems/vm/start", "");
    assert_answer_has("HCS_E_INVALID_STATE");
    OK(202, "POST", "/v1/hcs/systems/vm/pause", "");
    OK(200, "GET", "/v1/hcs/systems/vm/properties", "");
    assert_answer_has("\"State\":\"Paused\"");
    OK(202, "POST", "/v1/hcs/systems/vm/resume", "");
    OK(200, "POST", "/v1/hcs/systems/vm/properties", "{\"PropertyTypes\":[\"Memory\"]}");
    assert_answer_has("\"AssignedMemory\":16");
    OK(501, "POST", "/v1/hcs/systems/vm/properties", "{\"PropertyTypes\":[\"ProcessList\"]}");
    assert_answer_has("E_NOTIMPL");
    OK(202, "GET", "/v1/hcs/systems/vm/exit", "");
    assert_answer_has("HCS_E_OPERATION_TIMEOUT");
    OK(409, "DELETE", "/v1/hcs/systems/vm", "");
    OK(202, "POST", "/v1/hcs/systems/vm/terminate", "");
    wait_state("vm", SYSTEM_STOPPED);
    OK(409, "POST", "/v1/hcs/systems/vm/terminate", "");
    assert_answer_has("HCS_E_SYSTEM_ALREADY_STOPPED");
    OK(200, "GET", "/v1/hcs/systems/vm/exit", "");
    assert_answer_has("\"ExitType\":\"ForcedExit\"");
    OK(204, "DELETE", "/v1/hcs/systems/vm", "");
    OK(404, "DELETE", "/v1/hcs/systems/vm", "");
}

static void test_documents_are_refused(void **state)
{
    const struct operation *last = operation_first();

    (void)state;
    OK(400, "POST", "/v1/hcs/systems/x", "");
    assert_answer_has("HCS_E_INVALID_JSON");
    OK(400, "POST", "/v1/hcs/systems/x", "{\"SchemaVersion\":1}");
    assert_answer_has("\"$.SchemaVersion\"");
    OK(501, "POST", "/v1/hcs/systems/x", "{\"SchemaVersion\":{\"Major\":2,\"Minor\":1},\"Container\":{}}");
    assert_answer_has("HCS_E_SERVICE_NOT_AVAILABLE");
    OK(404, "POST", "/v1/hcs/systems/x",
       "{\"SchemaVersion\":{\"Major\":2,\"Minor\":1},\"VirtualMachine\":{\"Chipset\":{\"LinuxKernelDirect\":{"
       "\"KernelFilePath\":\"nope\"}},\"ComputeTopology\":{\"Memory\":{\"SizeInMB\":16}}}}");
    assert_answer_has("E_FILE_NOT_FOUND");
    assert_ptr_equal(operation_first(), last); // a refused create leaves no record that nobody asks for
    OK(507, "POST", "/v1/hcs/systems/x",
       "{\"SchemaVersion\":{\"Major\":2,\"Minor\":1},\"VirtualMachine\":{\"Chipset\":{\"LinuxKernelDirect\":{"
       "\"KernelFilePath\":\"kernel\"}},\"ComputeTopology\":{\"Memory\":{\"SizeInMB\":1048576}}}}");
    assert_answer_has("E_OUTOFMEMORY");
    assert_int_equal(system_count(), 0);
}

static void test_enumerate(void **state)
{
    (void)state;
    OK(202, "POST", "/v1/hcs/systems/a", DOC);
    OK(202, "POST", "/v1/hcs/systems/b%20c", DOC);
    OK(200, "GET", "/v1/hcs/systems", "");
    assert_answer_has("\"Id\":\"a\"");
    assert_answer_has("\"Id\":\"b c\"");
    OK(200, "POST", "/v1/hcs/systems", "{\"Ids\":[\"a\"]}");
    assert_null(strstr(answer, "b c"));
    OK(200, "POST", "/v1/hcs/systems", "{\"Owners\":[\"nobody\"]}");
    assert_string_equal(answer, "[]");
    OK(200, "GET", "/v1/hcs/systems?query=%7B%22Types%22%3A%5B%22VirtualMachine%22%5D%7D", "");
    assert_answer_has("\"Id\":\"a\"");
    OK(400, "POST", "/v1/hcs/systems", "{\"Types\":[\"Pod\"]}");
}

static void test_operation_is_waited_for(void **state)
{
    struct mem_stream *m = dial();
    char path[80];

    (void)state;
    OK(202, "POST", "/v1/hcs/systems/vm", DOC);
    OK(202, "POST", "/v1/hcs/systems/vm/start", "");
    snprintf(path, sizeof path, "/v1/hcs/operations/%llu?timeoutMs=20000",
             (unsigned long long)operation_first()->id);
    request_on(m, "GET", path, "", "");
    for (int i = 0; i < 5000 && m->out_len == 0; i++) {
        plat_host_step(1);
    }
    assert_int_equal(status_of(m), 200);
    assert_answer_has("\"State\":\"Completed\"");
    assert_answer_has("\"ResultName\":\"S_OK\"");
    // The same connection: shutting down ends when the guest has.
    OK(202, "POST", "/v1/hcs/systems/vm/shutdown", "");
    wait_state("vm", SYSTEM_STOPPED);
    snprintf(path, sizeof path, "/v1/hcs/operations/%llu", (unsigned long long)operation_first()->id);
    request_on(m, "GET", path, "", "");
    assert_int_equal(status_of(m), 200);
    assert_answer_has("\"Type\":\"Shutdown\"");
    assert_answer_has("\"State\":\"Completed\"");
    hang_up(m);
    OK(204, "DELETE", path, "");
    OK(404, "GET", path, "");
    OK(404, "GET", "/v1/hcs/operations/x", "");
    OK(400, "GET", "/v1/hcs/operations/1?timeoutMs=99999999", "");
}

static void test_waiting_times_out_or_is_given_up(void **state)
{
    struct mem_stream *m = dial(), *gone = dial();

    (void)state;
    OK(202, "POST", "/v1/hcs/systems/vm", DOC);
    request_on(m, "GET", "/v1/hcs/systems/vm/exit?timeoutMs=50", "", "");
    request_on(gone, "GET", "/v1/hcs/systems/vm/exit?timeoutMs=50000", "", "");
    assert_int_equal(m->out_len, 0);
    hang_up(gone); // its wait must not be touched any more
    for (int i = 0; i < 500 && m->out_len == 0; i++) {
        plat_host_step(1);
    }
    assert_int_equal(status_of(m), 202);
    assert_answer_has("HCS_E_OPERATION_TIMEOUT");
    request_on(m, "GET", "/v1/hcs/systems/vm/exit?timeoutMs=50000", "", "");
    OK(202, "POST", "/v1/hcs/systems/vm/terminate", "");
    plat_host_settle();
    assert_int_equal(status_of(m), 200);
    assert_answer_has("\"StatusName\":\"HCS_E_TERMINATED\"");
    hang_up(m);
}

// --- a store that answers when the test says so ---

static struct {
    keeper_done done;
    void *arg;
    char what[64];
} asked;

static void ask_save(struct image *image, keeper_done done, void *arg)
{
    struct image_info info;

    image_get_info(image, &info);
    snprintf(asked.what, sizeof asked.what, "save %s", info.name);
    asked.done = done;
    asked.arg = arg;
}

static void ask_delete(const char *name, keeper_done done, void *arg)
{
    snprintf(asked.what, sizeof asked.what, "delete %s", name);
    asked.done = done;
    asked.arg = arg;
}

static void ask_info(struct keeper_info *out)
{
    *out = (struct keeper_info){.place = "disk0p4", .total_bytes = 7u << 20, .problem = ""};
}

static void ask_check(bool contents,
                      void (*done)(void *arg, const struct keeper_report *report,
                                   const struct core_error *error),
                      void *arg)
{
    const struct keeper_report report = {contents ? 2 : 0, "a\nb\n", 9};

    done(arg, &report, NULL);
}

static void test_images_are_kept_before_they_are_seen(void **state)
{
    static const struct keeper fake = {
        .get_info = ask_info, .save_image = ask_save, .delete_image = ask_delete, .check = ask_check};
    struct core_error full = {.status = CORE_NO_STORAGE, .text = "image: the store is full"};
    struct mem_stream *m = dial(), *gone = dial();

    (void)state;
    keeper_set(&fake);
    request_on(m, "PUT", "/v1/images/kept", "", "abc");
    assert_string_equal(asked.what, "save kept");
    assert_int_equal(m->out_len, 0); // not answered
    OK(404, "GET", "/v1/images/kept", "");
    asked.done(asked.arg, NULL);
    plat_host_settle();
    assert_int_equal(status_of(m), 201);
    OK(200, "GET", "/v1/images/kept", "");
    request_on(m, "PUT", "/v1/images/other", "", "abc");
    asked.done(asked.arg, &full);
    plat_host_settle();
    assert_int_equal(status_of(m), 507);
    assert_answer_has("E_DISK_FULL");
    OK(404, "GET", "/v1/images/other", "");
    // A client that does not wait for the answer: the image is there all the same.
    request_on(gone, "PUT", "/v1/images/alone", "", "abc");
    hang_up(gone);
    asked.done(asked.arg, NULL);
    plat_host_settle();
    OK(200, "GET", "/v1/images/alone", "");
    request_on(m, "DELETE", "/v1/images/alone", "", "");
    assert_string_equal(asked.what, "delete alone");
    OK(200, "GET", "/v1/images/alone", "");
    asked.done(asked.arg, NULL);
    plat_host_settle();
    assert_int_equal(status_of(m), 204);
    OK(404, "GET", "/v1/images/alone", "");
    hang_up(m);
    OK(200, "GET", "/v1/store", "");
    assert_answer_has("\"Place\":\"disk0p4\"");
    OK(200, "POST", "/v1/store/check", "");
    assert_answer_has("\"Problems\":0");
    OK(200, "POST", "/v1/store/check?contents=1", "");
    assert_answer_has("\"Problems\":2");
    OK(400, "POST", "/v1/store/check?contents=2", "");
    keeper_set(NULL);
    OK(501, "GET", "/v1/store", "");
    OK(204, "DELETE", "/v1/images/kept", "");
}

static void test_images(void **state)
{
    struct mem_stream *m = dial();

    (void)state;
    OK(200, "GET", "/v1/images", "");
    assert_answer_has("\"Name\":\"kernel\"");
    OK(200, "GET", "/v1/images/kernel", "");
    OK(404, "GET", "/v1/images/none", "");
    OK(404, "DELETE", "/v1/images/none", "");
    OK(400, "PUT", "/v1/images/-bad", "x");
    request_on(m, "PUT", "/v1/images/abc",
               "X-Content-SHA256: ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\r\n",
               "abc");
    assert_int_equal(status_of(m), 201);
    assert_answer_has("\"Sha256\":\"ba7816bf");
    request_on(m, "PUT", "/v1/images/abc",
               "X-Content-SHA256: ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\r\n",
               "abd");
    assert_int_equal(status_of(m), 422);
    request_on(m, "PUT", "/v1/images/abc", "X-Content-SHA256: ba78\r\n", "abc");
    assert_int_equal(status_of(m), 400);
    hang_up(m);
    OK(204, "DELETE", "/v1/images/abc", "");

    m = dial(); // the client goes away in the middle
    mem_feed_text(m, "PUT /v1/images/half HTTP/1.1\r\nHost: x\r\nContent-Length: 5000000\r\nAuthorization: ");
    mem_feed_text(m, authorization);
    mem_feed_text(m, "\r\n\r\n0123456789");
    plat_host_settle();
    OK(200, "GET", "/v1/images", "");
    assert_answer_has("\"Name\":\"half\",\"Received\":10,\"Expected\":5000000");
    OK(409, "PUT", "/v1/images/half", "x");
    hang_up(m);
    OK(200, "GET", "/v1/images", "");
    assert_null(strstr(answer, "half"));
}

// A masked frame as clients send them (RFC 6455 section 5.3), mask zero.
static void send_frame(struct mem_stream *m, uint8_t opcode, const char *text)
{
    uint8_t head[6] = {(uint8_t)(0x80 | opcode), (uint8_t)(0x80 | strlen(text)), 0, 0, 0, 0};

    mem_feed(m, head, sizeof head);
    mem_feed(m, text, strlen(text));
    plat_host_settle();
}

static bool output_has(const struct mem_stream *m, const char *text)
{
    return memmem(m->out, m->out_len, text, strlen(text)) != NULL;
}

static struct mem_stream *open_console(const char *path)
{
    struct mem_stream *m = dial();
    char head[512];

    snprintf(
        head, sizeof head,
        "GET %s HTTP/1.1\r\nHost: x\r\nAuthorization: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
        path, authorization);
    mem_feed_text(m, head);
    plat_host_settle();
    return m;
}

static void test_console_socket(void **state)
{
    struct mem_stream *m, *late;

    (void)state;
    OK(202, "POST", "/v1/hcs/systems/vm", DOC);
    m = open_console("/v1/systems/vm/console"); // before it runs
    assert_int_equal(status_of(m), 101);
    OK(202, "POST", "/v1/hcs/systems/vm/start", "");
    wait_state("vm", SYSTEM_RUNNING);
    plat_host_settle();
    assert_true(output_has(m, "simulated guest: 1 VP(s), 16 MB"));
    send_frame(m, 2, "hello\n");
    assert_true(output_has(m, "hello\r\n"));
    late = open_console("/v1/systems/vm/console?from=0"); // sees it all
    assert_true(output_has(late, "hello\r\n"));
    OK(200, "GET", "/v1/systems/vm/console/history", "");
    assert_answer_has("hello\r\n");
    OK(404, "GET", "/v1/systems/vm/console/history?port=1", "");
    OK(404, "GET", "/v1/systems/vm/console/history?port=2", ""); // the virtio console, which it has not
    OK(400, "GET", "/v1/systems/vm/console/history?port=3", "");
    send_frame(m, 2, "poweroff\n");
    wait_state("vm", SYSTEM_STOPPED);
    plat_host_settle();
    assert_true(output_has(m, "powering off"));
    assert_true(output_has(late, "the system has ended")); // close frame
    OK(204, "DELETE", "/v1/hcs/systems/vm", "");           // while the sockets are still there
    hang_up(m);
    hang_up(late);
}

static void test_close_terminates_if_asked(void **state)
{
    (void)state;
    OK(202, "POST", "/v1/hcs/systems/t",
       "{\"SchemaVersion\":{\"Major\":2,\"Minor\":1},\"ShouldTerminateOnLastHandleClosed\":true,\"VirtualMachine\":{"
       "\"Chipset\":{\"LinuxKernelDirect\":{\"KernelFilePath\":\"kernel\"}},\"ComputeTopology\":{\"Memory\":{"
       "\"SizeInMB\":16}}}}");
    OK(202, "POST", "/v1/hcs/systems/t/start", "");
    wait_state("t", SYSTEM_RUNNING);
    OK(204, "DELETE", "/v1/hcs/systems/t", "");
    wait_state("t", SYSTEM_STOPPED);
}

static void test_service(void **state)
{
    (void)state;
    OK(200, "GET", "/v1/hcs/service/properties", "");
    assert_answer_has("{\"Properties\":[{\"SupportedSchemaVersions\":[{\"Major\":2,\"Minor\":6}]}]}");
    OK(200, "GET",
       "/v1/hcs/service/properties?query=%7B%22PropertyTypes%22%3A%5B%22ProcessorTopology%22%5D%7D", "");
    assert_answer_has("\"LogicalProcessorCount\":2");
}

// Refused requests leave nothing behind.
static void test_nothing_accumulates(void **state)
{
    uint64_t total, before, after, pool_before, pool_after;

    (void)state;
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 600; i++) { // more than any table keeps
            OK(400, "POST", "/v1/hcs/systems/x", "{\"SchemaVersion\":1}");
            OK(404, "POST", "/v1/hcs/systems/x/start", "");
            OK(400, "PUT", "/v1/images/-bad", "x");
        }
        if (round == 0) {
            plat_heap_usage(&total, &before);
            plat_pool_usage(&total, &pool_before);
        }
    }
    plat_heap_usage(&total, &after);
    plat_pool_usage(&total, &pool_after);
    assert_true(after <= before + 4096);
    assert_int_equal(pool_after, pool_before);
}

int main(void)
{
#define T(f) cmocka_unit_test_teardown(f, teardown)
    const struct CMUnitTest tests[] = {
        T(test_authentication),
        T(test_node_and_description),
        T(test_metrics_of_a_system),
        T(test_event_stream),
        T(test_event_stream_of_a_slow_client),
        T(test_event_streams_are_bounded),
        T(test_life_of_a_system),
        T(test_documents_are_refused),
        T(test_enumerate),
        T(test_operation_is_waited_for),
        T(test_waiting_times_out_or_is_given_up),
        T(test_images),
        T(test_images_are_kept_before_they_are_seen),
        T(test_console_socket),
        T(test_close_terminates_if_asked),
        T(test_service),
        T(test_nothing_accumulates),
    };

    return cmocka_run_group_tests(tests, setup_group, teardown_group);
}
