// SPDX-License-Identifier: Apache-2.0
// The root's halves of micro-guests: preparation, special intercepts, checks afterwards.
#include "tests/guest/root/tests.h"

#include <string.h>

bool after_string_io(struct guest *g)
{
    return WANT(g->text_len == 17) && WANT(memcmp(g->text, "string of bytes", 15) == 0);
}

bool after_fetch(struct guest *g)
{
    return WANT(g->last_gpa == GUEST_CHECKED_GPA) && WANT(g->last_access == 2);
}

bool after_level_interrupt(struct guest *g)
{
    return WANT(g->eois == 1);
}

bool after_ap_fault(struct guest *g)
{
    return WANT(g->last_vp == 1);
}

bool after_refused(struct guest *g)
{
    (void)g;
    cover_refused();
    return true;
}

// --- pages with fewer rights: GPA 0x10000000 read-only, the next one not executable ---

#define RIGHTS_GPA 0x10000000ull

static bool map_spare(struct guest *g, unsigned page, uint32_t flags)
{
    size_t done;

    return must(hvif_map(g->partition, GPA(RIGHTS_GPA + page * PAGE_SIZE),
                         GPA(spare_memory().v + page * PAGE_SIZE), 1, flags, &done),
                "map a page");
}

bool setup_rights(struct guest *g)
{
    uint8_t *page = rt_gpa_to_virt(spare_memory());

    memset(page, 0, 2 * PAGE_SIZE);
    *(uint64_t *)page = 0x600d;
    page[PAGE_SIZE] = 0xc3; // RET
    return map_spare(g, 0, HV_MAP_READ) && map_spare(g, 1, HV_MAP_READ | HV_MAP_WRITE);
}

// Grants what was missing, then lets the VP try again.
bool serve_rights(struct guest *g, uint32_t vp, uint32_t *flags)
{
    const struct hv_message *m = g->vp[vp].msg;
    unsigned page = m->memory.gpa >= RIGHTS_GPA + PAGE_SIZE;

    *flags = 0;
    if (m->header.type == HV_MSG_GPA_INTERCEPT && m->memory.gpa - RIGHTS_GPA < 2 * PAGE_SIZE) {
        g->steps |= m->memory.hdr.access == (page ? 2 : 1) ? 1u << page : 0x80;
        return must(hvif_unmap(g->partition, GPA(RIGHTS_GPA + page * PAGE_SIZE), 1, 0), "unmap") &&
               map_spare(g, page, HV_MAP_RWX);
    }
    if (m->header.type == HV_MSG_IO_PORT && m->io.port == PORT_STEP) {
        *flags = HV_XWAIT_ADVANCE;
        return m->io.rax != 1 || must(hvif_unmap(g->partition, GPA(RIGHTS_GPA), 1, 0), "unmap");
    }
    if (m->header.type == HV_MSG_UNMAPPED_GPA && m->memory.gpa == RIGHTS_GPA) {
        g->done = true;
        *flags = STOPPED;
        return true;
    }
    return false;
}

bool after_rights(struct guest *g)
{
    return WANT(g->steps == 3) && WANT(*(uint64_t *)rt_gpa_to_virt(spare_memory()) == 0x7777);
}

// --- random guests: what nobody emulates is a #GP, so that they go on ---

bool serve_chaos(struct guest *g, uint32_t vp, uint32_t *flags)
{
    const struct hv_message *m = g->vp[vp].msg;
    bool memory = m->header.type == HV_MSG_UNMAPPED_GPA || m->header.type == HV_MSG_GPA_INTERCEPT;

    *flags = 0;
    if (memory && !is_plain_access(&m->memory)) {
        return set_register(g, vp, HV_REG_PENDING_INTERRUPTION,
                            HV_PENDING_VALID | HV_PENDING_TYPE(3) | HV_PENDING_VECTOR(13) |
                                HV_PENDING_ERROR_VALID);
    }
    if (m->header.type == HV_MSG_IO_PORT && (m->io.info & 8) != 0) {
        *flags = HV_XWAIT_ADVANCE;
        return true;
    }
    return false;
}
