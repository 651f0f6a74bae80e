// SPDX-License-Identifier: Apache-2.0
// Routing of device interrupts to the root partition, and EOI notifications.
#include "hv/interrupt.h"

#include "arch/x86/host.h"
#include "arch/x86/vlapic.h"
#include "hv/console.h"
#include "hv/exit.h"

enum source { SOURCE_LEVEL = 0, SOURCE_EDGE = 1, SOURCE_MSI = 2, SOURCE_CONSOLE = 3 };

#define DEVICE_VECTORS (HOST_VECTOR_DEVICE_LAST - HOST_VECTOR_DEVICE_FIRST + 1)

struct route {
    struct vp *vp; // NULL: free
    uint32_t gsi;
    uint8_t source; // enum source
    uint8_t vector; // on the VP
};
static struct route routes[DEVICE_VECTORS]; // [hypervisor lock]; a route is filled before it is unmasked
static struct route console_route;

void hv_device_interrupt(uint8_t host_vector)
{
    struct route *r = &routes[host_vector - HOST_VECTOR_DEVICE_FIRST];

    if (r->vp == NULL) {
        return; // arrived while it was being unmapped
    }
    if (r->source == SOURCE_LEVEL) {
        host_ioapic_mask(r->gsi, true);
    }
    vp_post_interrupt(r->vp, r->vector, r->source == SOURCE_LEVEL);
}

void interrupt_console_notify(void)
{
    if (console_route.vp != NULL) {
        vp_post_interrupt(console_route.vp, console_route.vector, false);
    }
}

static void send_eoi_message(struct vp *vp, uint8_t vector)
{
    vp_intercept_begin(vp, HV_MSG_APIC_EOI, sizeof(struct hv_apic_eoi), 0);
    vp->message->eoi.vector = vector;
    // The header's insn_length byte is part of the vector field now; completion needs no length.
    (void)vp_intercept_send(vp);
}

void hv_apic_eoi(struct vp *vp, uint8_t vector)
{
    if (!vp->partition->is_root) {
        send_eoi_message(vp, vector);
        return;
    }
    for (unsigned i = 0; i < DEVICE_VECTORS; i++) {
        if (routes[i].vp == vp && routes[i].vector == vector && routes[i].source == SOURCE_LEVEL) {
            host_ioapic_mask(routes[i].gsi, false);
        }
    }
}

static struct route *find_route(const struct hv_x_map_interrupt_in *in)
{
    struct route *spare = NULL;

    for (unsigned i = 0; i < DEVICE_VECTORS; i++) {
        if (routes[i].vp == NULL) {
            spare = spare == NULL ? &routes[i] : spare;
        } else if (in->source != SOURCE_MSI && routes[i].source != SOURCE_MSI && routes[i].gsi == in->gsi) {
            return &routes[i];
        }
    }
    return spare;
}

static hv_status_t map_device(const struct hv_x_map_interrupt_in *in, struct vp *vp,
                              struct hv_x_map_interrupt_out *out)
{
    struct route *r = find_route(in);
    uint8_t host_vector;

    if (r == NULL) {
        return HV_STATUS_NO_RESOURCES;
    }
    host_vector = (uint8_t)(HOST_VECTOR_DEVICE_FIRST + (r - routes));
    if (in->vector == 0) {
        if (in->source != SOURCE_MSI) {
            host_ioapic_mask(in->gsi, true);
        }
        r->vp = NULL;
        return HV_STATUS_SUCCESS;
    }
    *r = (struct route){
        .vp = vp, .gsi = in->gsi, .source = (uint8_t)in->source, .vector = (uint8_t)in->vector};
    if (in->source == SOURCE_MSI) {
        out->msi_address = 0xfee00000ull | (uint64_t)cpus[vp->cpu].apic_id << 12;
        out->msi_data = host_vector;
        return HV_STATUS_SUCCESS;
    }
    if (!host_ioapic_route(in->gsi, host_vector, cpus[vp->cpu].apic_id, in->source == SOURCE_LEVEL,
                           in->source == SOURCE_LEVEL)) {
        r->vp = NULL;
        return HV_STATUS_INVALID_PARAMETER;
    }
    host_ioapic_mask(in->gsi, false);
    return HV_STATUS_SUCCESS;
}

hv_status_t interrupt_map(const struct hv_x_map_interrupt_in *in, struct hv_x_map_interrupt_out *out)
{
    struct vp *vp;

    if (in->source > SOURCE_CONSOLE || in->vp_index >= HV_MAX_VPS_PER_PARTITION || in->vector > 0xff ||
        (in->vector != 0 && in->vector < 0x20)) {
        return HV_STATUS_INVALID_PARAMETER;
    }
    vp = root_partition->vps[in->vp_index];
    if (vp == NULL) {
        return HV_STATUS_INVALID_VP_INDEX;
    }
    if (in->source == SOURCE_CONSOLE) {
        console_route = (struct route){.vp = in->vector == 0 ? NULL : vp, .vector = (uint8_t)in->vector};
        if (console_input_pending()) {
            interrupt_console_notify();
        }
        return HV_STATUS_SUCCESS;
    }
    return map_device(in, vp, out);
}
