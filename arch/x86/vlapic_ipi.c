// SPDX-License-Identifier: Apache-2.0
// Virtual local APIC: interrupt commands, destinations, delivery into a partition (any processor).
//
// Source: SDM 3A "Issuing Interprocessor Interrupts", "Determining IPI Destination". The registers of other
// VPs are read while those may change; a guest that races with itself gets either answer.
#include "arch/x86/vlapic_priv.h"

enum delivery_mode {
    DELIVER_FIXED = 0,
    DELIVER_LOWEST = 1,
    DELIVER_NMI = 4,
    DELIVER_INIT = 5,
    DELIVER_SIPI = 6,
};
enum shorthand { SHORT_NONE, SHORT_SELF, SHORT_ALL, SHORT_OTHERS };

#define ICR_LOGICAL BIT(11)
#define ICR_ASSERT BIT(14)
#define ICR_LEVEL BIT(15)

struct ipi {
    struct vp *sender;
    uint32_t destination;
    bool logical;
    uint8_t shorthand, delivery, vector;
    bool level;
};

static bool logical_match_x2apic(const struct vp *vp, uint32_t destination)
{
    uint32_t ldr = apic_get(vp, APIC_LDR);

    return destination == 0xffffffff || (destination >> 16 == ldr >> 16 && (destination & ldr & 0xffff) != 0);
}

// SDM 3A "Logical Destination Mode": flat model, or clusters of four when DFR's top bits are clear.
static bool logical_match_xapic(const struct vp *vp, uint32_t destination)
{
    uint8_t ldr = (uint8_t)(apic_get(vp, APIC_LDR) >> 24);
    uint8_t dest = (uint8_t)destination;

    if (dest == 0xff) {
        return true;
    }
    if (apic_get(vp, APIC_DFR) >> 28 == 0xf) {
        return (dest & ldr) != 0;
    }
    return (dest >> 4 == ldr >> 4 || dest >> 4 == 0xf) && (dest & ldr & 0xf) != 0;
}

static bool physical_match(const struct vp *vp, uint32_t destination)
{
    return destination == 0xff || destination == 0xffffffff || destination == vp->apic_id;
}

static bool is_target(const struct vp *vp, const struct ipi *ipi)
{
    switch (ipi->shorthand) {
    case SHORT_SELF:
        return vp == ipi->sender;
    case SHORT_ALL:
        return true;
    case SHORT_OTHERS:
        return vp != ipi->sender;
    }
    if (!ipi->logical) {
        return physical_match(vp, ipi->destination);
    }
    return vlapic_mode(vp) == VLAPIC_X2APIC ? logical_match_x2apic(vp, ipi->destination)
                                            : logical_match_xapic(vp, ipi->destination);
}

// INIT, NMI and SIPI reach a software-disabled APIC as well; vectors do not.
static bool deliver_to(struct vp *vp, const struct ipi *ipi)
{
    switch (ipi->delivery) {
    case DELIVER_FIXED:
    case DELIVER_LOWEST:
        if (vlapic_mode(vp) == VLAPIC_OFF || !vlapic_software_enabled(vp)) {
            return false;
        }
        vp_post_interrupt(vp, ipi->vector, ipi->level);
        return true;
    case DELIVER_NMI:
        vp_request(vp, VP_REQ_NMI);
        return true;
    case DELIVER_INIT:
        vp_request(vp, VP_REQ_INIT);
        return true;
    case DELIVER_SIPI:
        __atomic_store_n(&vp->sipi_vector, ipi->vector, __ATOMIC_RELAXED);
        vp_request(vp, VP_REQ_SIPI);
        return true;
    }
    return false;
}

static struct vp *vp_at(const struct partition *p, unsigned index)
{
    return __atomic_load_n(&p->vps[index], __ATOMIC_ACQUIRE);
}

// Lowest-priority delivery: the VP with the least task or in-service priority; the first of equals.
static unsigned deliver_lowest(const struct partition *p, const struct ipi *ipi)
{
    struct vp *best = NULL;
    uint8_t least = 0;

    for (unsigned i = 0; i < HV_MAX_VPS_PER_PARTITION; i++) {
        struct vp *vp = vp_at(p, i);
        uint8_t priority;

        if (vp == NULL || !is_target(vp, ipi) || !vlapic_software_enabled(vp)) {
            continue;
        }
        priority = MAX(vlapic_tpr(vp), vlapic_highest(vp, APIC_ISR)) >> 4;
        if (best == NULL || priority < least) {
            best = vp;
            least = priority;
        }
    }
    return best != NULL && deliver_to(best, ipi) ? 1 : 0;
}

static unsigned deliver_all(const struct partition *p, const struct ipi *ipi)
{
    unsigned count = 0;

    for (unsigned i = 0; i < HV_MAX_VPS_PER_PARTITION; i++) {
        struct vp *vp = vp_at(p, i);

        if (vp != NULL && is_target(vp, ipi) && deliver_to(vp, ipi)) {
            count++;
        }
    }
    return count;
}

// The one VP that an interrupt is for, when that is plain to see: ids are indices nearly always.
static struct vp *single_target(const struct partition *p, const struct ipi *ipi)
{
    struct vp *vp = NULL;

    if (ipi->shorthand == SHORT_SELF) {
        return ipi->sender;
    }
    if (ipi->shorthand == SHORT_NONE && !ipi->logical && ipi->destination < HV_MAX_VPS_PER_PARTITION) {
        vp = vp_at(p, ipi->destination);
    }
    return vp != NULL && vp->apic_id == ipi->destination ? vp : NULL;
}

static unsigned deliver(const struct partition *p, const struct ipi *ipi)
{
    struct vp *vp = single_target(p, ipi);

    if (vp != NULL) {
        return deliver_to(vp, ipi) ? 1 : 0;
    }
    return ipi->delivery == DELIVER_LOWEST ? deliver_lowest(p, ipi) : deliver_all(p, ipi);
}

unsigned vlapic_deliver(struct partition *p, struct vp *sender, uint64_t destination, bool logical,
                        unsigned shorthand, unsigned delivery, uint8_t vector, bool level)
{
    struct ipi ipi = {
        .sender = sender,
        .destination = (uint32_t)destination,
        .logical = logical,
        .shorthand = shorthand & 3,
        .delivery = delivery & 7,
        .vector = vector,
        .level = level,
    };

    if (delivery <= DELIVER_LOWEST && vector < 16) {
        return 0;
    }
    return deliver(p, &ipi);
}

void vlapic_send_icr(struct vp *vp, uint64_t icr)
{
    uint32_t low = (uint32_t)icr;
    bool x2 = vlapic_mode(vp) == VLAPIC_X2APIC;
    struct ipi ipi = {
        .sender = vp,
        .destination = (uint32_t)(icr >> (x2 ? 32 : 56)),
        .logical = (low & ICR_LOGICAL) != 0,
        .shorthand = low >> 18 & 3,
        .delivery = low >> 8 & 7,
        .vector = (uint8_t)low,
    };

    if (ipi.delivery == DELIVER_INIT && (low & (ICR_LEVEL | ICR_ASSERT)) == ICR_LEVEL) {
        return; // INIT level de-assert: no processor since the Pentium does anything
    }
    if (ipi.delivery <= DELIVER_LOWEST && ipi.vector < 16) {
        vlapic_error(vp, APIC_ERROR_SEND_VECTOR);
        return;
    }
    (void)deliver(vp->partition, &ipi);
}
