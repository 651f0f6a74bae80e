// srcs: mgmt/vswitch/vswitch.c mgmt/vswitch/mac_table.c mgmt/vswitch/offload.c mgmt/vswitch/dhcp.c
// SPDX-License-Identifier: Apache-2.0
// Frames of hostile guests and of a hostile wire, with offloads of any kind, cut into any pieces. What must hold for
// each frame that arrives: it is one that its port may get, and complete where no offloads are taken.
#include <stdlib.h>
#include <string.h>

#include "mgmt/plat.h"
#include "mgmt/vswitch/vswitch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PORTS 6u
#define FRAME_ROOM (SWITCH_FRAME_MAX + 8)

struct step {
    uint8_t from, cuts; // port; number of pieces and how uneven they are
    uint16_t length;    // of the frame; its bytes follow as far as there are some, then zeros
    uint8_t needs_checksum, gso_type;
    uint16_t checksum_start, checksum_offset, gso_size;
    uint16_t bytes, wait; // that follow in the input; milliseconds that pass
} __attribute__((packed));

static struct vswitch sw;
static struct switch_port ports[PORTS];
static struct switch_port_user users[PORTS];
static uint8_t frame[FRAME_ROOM], got[FRAME_ROOM];
static uint64_t now, budget;

uint64_t plat_now_ns(void)
{
    return now;
}

// 0 to 2: guarded, access VLANs 0, 0 and 5; 3: unguarded, takes offloads; 4: trunk with 5 and 6; 5: the wire.
static struct switch_port_settings settings_of(unsigned i)
{
    struct switch_port_settings s = {.guarded = i < 3, .mac = {2, 0, 0, 0, 0, (uint8_t)i}};

    s.vlan = i == 2 ? 5 : 0;
    s.trunk = i >= 4;
    s.rate = i == 1 ? 100000 : 0;
    for (uint16_t vlan = 1; i == 5 && vlan < SWITCH_VLANS; vlan++) {
        switch_vlan_allow(&s, vlan);
    }
    if (i == 4) {
        switch_vlan_allow(&s, 5);
        switch_vlan_allow(&s, 6);
    }
    return s;
}

static bool deliver(void *user, const struct switch_frame *f)
{
    const struct switch_port *p = user;
    uint32_t at = 0;
    uint16_t vlan;

    if (f->piece_count == 0 || f->piece_count > SWITCH_MAX_PIECES || f->pieces[0].length < 14) {
        abort();
    }
    for (uint32_t i = 0; i < f->piece_count; i++) {
        if (f->pieces[i].length > sizeof(got) - at) {
            abort();
        }
        memcpy(got + at, f->pieces[i].data, f->pieces[i].length);
        at += f->pieces[i].length;
    }
    if (at != f->length || (!p->user->takes_offload && (f->offload.needs_checksum || f->offload.gso_type))) {
        abort();
    }
    vlan = got[12] == 0x81 && got[13] == 0 ? (uint16_t)((got[14] << 8 | got[15]) & 0xfff) : p->settings.vlan;
    if (vlan != p->settings.vlan && (!p->settings.trunk || !switch_vlan_allowed(&p->settings, vlan))) {
        abort(); // not its VLAN, or a tag that it knows nothing of
    }
    budget += at;
    return at % 16 != 7; // sometimes there is no room
}

static void cut(struct switch_frame *f, uint32_t length, uint8_t cuts)
{
    uint32_t count = cuts % SWITCH_SEND_PIECES, at = MIN(length, 14u + cuts / SWITCH_SEND_PIECES);

    f->length = length;
    f->piece_count = 1;
    f->pieces[0] = (struct switch_piece){frame, at};
    for (uint32_t i = 0; i < count && at < length; i++) {
        uint32_t n = i + 1 == count ? length - at : MIN(1 + cuts * (i + 1), length - at);

        f->pieces[f->piece_count++] = (struct switch_piece){frame + at, n};
        at += n;
    }
    f->length = at;
}

static void run(const struct step *s, const uint8_t *bytes, size_t count)
{
    struct switch_frame f = {.offload = {.needs_checksum = (s->needs_checksum & 1) != 0,
                                         .checksum_start = s->checksum_start,
                                         .checksum_offset = s->checksum_offset,
                                         .gso_type = s->gso_type,
                                         .gso_size = s->gso_size,
                                         .header_length = s->checksum_start}};
    uint32_t length = MAX((uint32_t)s->length, 14u), copied;

    memset(frame, 0, sizeof(frame));
    memcpy(frame, bytes, count);
    cut(&f, length, s->cuts);
    budget = 0;
    copied = switch_send(&ports[s->from % PORTS], &f);
    // Headers are repeated for each segment; nothing else makes more of a frame.
    if (copied > budget || budget > PORTS * (uint64_t)(length + 18 + (length / 48 + 1) * 280)) {
        abort();
    }
    now += s->wait * 1000000ull;
    if (s->wait % 5 == 0) {
        switch_flush();
    }
    if (s->wait % 31 == 7) {
        switch_port_detach(&ports[s->from % PORTS]);
        switch_port_attach(&ports[s->from % PORTS], &users[s->from % PORTS], &ports[s->from % PORTS]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    now = 1000000000;
    vswitch_init(&sw, 7);
    for (unsigned i = 0; i < PORTS; i++) {
        struct switch_port_settings s = settings_of(i);

        users[i] = (struct switch_port_user){.deliver = deliver, .takes_offload = i == 3};
        switch_port_init(&ports[i], &sw, &s);
        switch_port_attach(&ports[i], &users[i], &ports[i]);
    }
    while (size >= sizeof(struct step)) {
        struct step s;
        size_t count;

        memcpy(&s, data, sizeof(s));
        data += sizeof(s);
        size -= sizeof(s);
        count = MIN((size_t)s.bytes, size);
        run(&s, data, count);
        data += count;
        size -= count;
    }
    switch_flush();
    return 0;
}
