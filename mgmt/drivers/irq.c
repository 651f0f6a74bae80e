// SPDX-License-Identifier: Apache-2.0
// Vectors for messages and inputs; the handlers that share an input.
#include "mgmt/drivers/irq.h"

#include "mgmt/hvif/hvif.h"
#include "mgmt/rt/cpu.h"

#define LINE_NONE 0xff
#define INPUTS_MAX 16u
#define HANDLERS_MAX 8u // of one input

enum source { SOURCE_LEVEL = 0, SOURCE_EDGE = 1, SOURCE_MSI = 2 }; // struct hv_x_map_interrupt_in

struct input {
    uint32_t gsi;
    enum source source;
    uint32_t count;
    struct {
        rt_handler_fn *fn;
        void *arg;
    } handlers[HANDLERS_MAX];
};
static struct input inputs[INPUTS_MAX];
static uint32_t input_count;

static hv_status_t map(enum source source, uint32_t gsi, uint8_t vector, struct hv_x_map_interrupt_out *out)
{
    const struct hv_x_map_interrupt_in in = {
        .source = source, .gsi = gsi, .vp_index = RT_VP_DATA, .vector = vector};

    return vector == 0 ? HV_STATUS_NO_RESOURCES : hvif_map_interrupt(&in, out);
}

// --- messages ---

hv_status_t irq_message_map(struct irq_message *out)
{
    struct hv_x_map_interrupt_out answer = {0};
    hv_status_t status;

    out->vector = rt_vector_alloc();
    status = map(SOURCE_MSI, 0, out->vector, &answer);
    out->address = answer.msi_address;
    out->data = answer.msi_data;
    return status;
}

void irq_message_set(const struct irq_message *message, rt_handler_fn *fn, void *arg)
{
    rt_vector_set(message->vector, fn, arg);
}

// --- inputs ---

static void input_interrupt(void *arg)
{
    struct input *in = arg;

    for (uint32_t i = 0; i < in->count; i++) {
        in->handlers[i].fn(in->handlers[i].arg);
    }
}

static struct input *find_input(uint32_t gsi)
{
    for (uint32_t i = 0; i < input_count; i++) {
        if (inputs[i].gsi == gsi) {
            return &inputs[i];
        }
    }
    return NULL;
}

static hv_status_t open_input(struct input *in)
{
    struct hv_x_map_interrupt_out out;
    uint8_t vector = rt_vector_alloc();

    if (vector != 0) {
        rt_vector_set(vector, input_interrupt, in); // before the first one arrives
    }
    return map(in->source, in->gsi, vector, &out);
}

static hv_status_t add(uint32_t gsi, enum source source, rt_handler_fn *fn, void *arg)
{
    struct input *in = find_input(gsi);
    bool first = in == NULL;
    hv_status_t status = HV_STATUS_SUCCESS;

    if (first ? input_count == INPUTS_MAX : in->count == HANDLERS_MAX || in->source != source) {
        return HV_STATUS_NO_RESOURCES;
    }
    if (first) {
        in = &inputs[input_count];
        *in = (struct input){.gsi = gsi, .source = source};
    }
    in->handlers[in->count].fn = fn;
    in->handlers[in->count].arg = arg;
    __atomic_store_n(&in->count, in->count + 1, __ATOMIC_RELEASE); // VP 0 may be in the handler already
    if (first) {
        status = open_input(in);
        input_count += status == HV_STATUS_SUCCESS;
    }
    return status;
}

hv_status_t irq_line_add(const struct pci_device *dev, rt_handler_fn *fn, void *arg)
{
    if (dev->irq_pin == 0 || dev->irq_line == LINE_NONE) {
        return HV_STATUS_NOT_FOUND;
    }
    return add(dev->irq_line, SOURCE_LEVEL, fn, arg);
}

hv_status_t irq_edge_add(uint32_t gsi, rt_handler_fn *fn, void *arg)
{
    return add(gsi, SOURCE_EDGE, fn, arg);
}
