// SPDX-License-Identifier: Apache-2.0
// HRESULT tables and the ResultError document.
#include "mgmt/hcs/result.h"

const char *hresult_name(hresult_t hr)
{
#define NAME(name, text, status)                                                                             \
    case HR_##name:                                                                                          \
        return #name;
    switch (hr) {
        HRESULT_TABLE(NAME)
    }
#undef NAME
    return "E_FAIL";
}

const char *hresult_text(hresult_t hr)
{
#define TEXT(name, text, status)                                                                             \
    case HR_##name:                                                                                          \
        return text;
    switch (hr) {
        HRESULT_TABLE(TEXT)
    }
#undef TEXT
    return "Unspecified failure";
}

int hresult_http_status(hresult_t hr)
{
#define STATUS(name, text, status)                                                                           \
    case HR_##name:                                                                                          \
        return status;
    switch (hr) {
        HRESULT_TABLE(STATUS)
    }
#undef STATUS
    return 500;
}

hresult_t hresult_of(enum core_status status)
{
    switch (status) {
    case CORE_OK:
        return HR_S_OK;
    case CORE_NOT_FOUND:
        return HR_HCS_E_SYSTEM_NOT_FOUND;
    case CORE_EXISTS:
        return HR_HCS_E_SYSTEM_ALREADY_EXISTS;
    case CORE_INVALID_STATE:
        return HR_HCS_E_INVALID_STATE;
    case CORE_ALREADY_STOPPED:
        return HR_HCS_E_SYSTEM_ALREADY_STOPPED;
    case CORE_INVALID:
        return HR_E_INVALIDARG;
    case CORE_LIMIT:
        return HR_E_NO_SYSTEM_RESOURCES;
    case CORE_NO_MEMORY:
        return HR_E_OUTOFMEMORY;
    case CORE_NO_HEAP:
        return HR_E_OUTOFMEMORY;
    case CORE_IN_USE:
        return HR_E_BUSY;
    case CORE_NO_STORAGE:
        return HR_E_DISK_FULL;
    case CORE_STORAGE:
        return HR_E_IO_DEVICE;
    case CORE_MISMATCH:
        return HR_E_CRC;
    case CORE_NO_IMAGE:
        return HR_E_FILE_NOT_FOUND;
    case CORE_BAD_IMAGE:
        return HR_E_BAD_FORMAT;
    case CORE_HYPERVISOR:
        return HR_E_FAIL;
    case CORE_TERMINATED:
        return HR_HCS_E_TERMINATED;
    case CORE_UNEXPECTED_EXIT:
        return HR_HCS_E_UNEXPECTED_EXIT;
    case CORE_TIMEOUT:
        return HR_HCS_E_OPERATION_TIMEOUT;
    case CORE_STATUS_COUNT:
        break;
    }
    return HR_E_UNEXPECTED;
}

hresult_t hresult_of_operation(const struct operation *op)
{
    if (op->type == OPERATION_START && op->error.status == CORE_TERMINATED) {
        return HR_HCS_E_TERMINATED_DURING_START;
    }
    return hresult_of(op->error.status);
}

static void write_event(struct json_writer *w, const struct result_event *event)
{
    json_open(w, NULL, '{');
    json_string(w, "Message", event->message);
    json_string(w, "Source", "Keelson");
    if (event->data[0] != NULL) {
        json_open(w, "Data", '[');
        for (size_t i = 0; i < RESULT_DATA_MAX && event->data[i] != NULL; i++) {
            json_open(w, NULL, '{');
            json_string(w, "Type", "String");
            json_string(w, "Value", event->data[i]);
            json_close(w, '}');
        }
        json_close(w, ']');
    }
    json_close(w, '}');
}

void result_error_write(struct json_writer *w, const char *key, hresult_t hr, const char *message,
                        const struct result_event *events, size_t event_count)
{
    json_open(w, key, '{');
    json_int(w, "Error", (int32_t)hr);
    json_string(w, "ErrorName", hresult_name(hr));
    json_string(w, "ErrorMessage", message != NULL && message[0] != '\0' ? message : hresult_text(hr));
    if (event_count > 0) {
        json_open(w, "ErrorEvents", '[');
        for (size_t i = 0; i < event_count; i++) {
            write_event(w, &events[i]);
        }
        json_close(w, ']');
    }
    json_close(w, '}');
}
