// SPDX-License-Identifier: Apache-2.0
// Forwarding: a frame on its way from one port to others. Data plane.
#include "mgmt/vswitch/vswitch.h"

#include "mgmt/plat.h"
#include "mgmt/vswitch/dhcp.h"
#include "mgmt/vswitch/offload.h"

#define ADDRESSES 12u // destination and source
#define UNTAGGED_HEADER 14u
#define TAG 4u
#define TAGGED_HEADER (UNTAGGED_HEADER + TAG)
#define ETHERTYPE_IPV4 0x0800
#define ETHERTYPE_TAG 0x8100
#define TAG_VLAN 0x0fff
#define VLAN_NONE 0x0fff // reserved by 802.1Q-2018, table 9-2
#define SECOND_NS 1000000000ull

struct passage {
    struct vswitch *home;
    struct switch_port *from;
    const struct switch_frame *frame; // as it was sent
    uint8_t head[TAGGED_HEADER];      // private copy of its Ethernet header
    uint32_t head_length;             // with the tag that it was sent with
    uint16_t vlan, ethertype;         // ethertype behind the tag
    uint16_t tag;                     // what goes out with a tag besides the VLAN: priority
    uint32_t now;                     // mac_time()
    uint32_t copied;                  // bytes, to all receivers
    // Made when the first receiver needs it, for all others too:
    struct switch_frame view[2]; // without and with a tag
    uint8_t view_head[2][TAGGED_HEADER];
    bool have_view[2];
    bool have_offload, offload_failed;
    struct offload offload; // of the private copy of the packet in `packet`
};

// Packet of a frame whose offloads are done for its receivers; one frame at a time is on its way.
static uint8_t packet[SWITCH_FRAME_MAX];
static struct switch_port *to_flush;

// --- frames ---

// Copies bytes [from, from + length) of the frame; returns how many there were.
static uint32_t gather(const struct switch_frame *f, uint32_t from, uint8_t *to, uint32_t length)
{
    uint32_t done = 0;

    for (uint32_t i = 0; i < f->piece_count && done < length; i++) {
        const struct switch_piece *p = &f->pieces[i];
        uint32_t n;

        if (from >= p->length) {
            from -= p->length;
            continue;
        }
        n = MIN(p->length - from, length - done);
        __builtin_memcpy(to + done, (const uint8_t *)p->data + from, n);
        done += n;
        from = 0;
    }
    return done;
}

static void add_piece(struct switch_frame *f, const void *data, uint32_t length)
{
    if (length > 0) {
        f->pieces[f->piece_count++] = (struct switch_piece){.data = data, .length = length};
        f->length += length;
    }
}

static uint16_t get16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static void put16(uint8_t *p, uint16_t value)
{
    p[0] = (uint8_t)(value >> 8);
    p[1] = (uint8_t)value;
}

// The Ethernet header with which the frame leaves by ports with or without a tag. Returns its length.
static uint32_t make_head(const struct passage *g, bool tagged, uint8_t out[TAGGED_HEADER])
{
    __builtin_memcpy(out, g->head, ADDRESSES);
    if (tagged) {
        put16(out + ADDRESSES, ETHERTYPE_TAG);
        put16(out + ADDRESSES + 2, g->tag | g->vlan);
    }
    put16(out + ADDRESSES + (tagged ? TAG : 0), g->ethertype);
    return tagged ? TAGGED_HEADER : UNTAGGED_HEADER;
}

// The frame as it leaves: a header of ours, then what the sender's pieces hold.
static const struct switch_frame *view(struct passage *g, bool tagged)
{
    struct switch_frame *f = &g->view[tagged];
    uint32_t skip = g->head_length, head;

    if (g->have_view[tagged]) {
        return f;
    }
    g->have_view[tagged] = true;
    f->piece_count = 0;
    f->length = 0;
    head = make_head(g, tagged, g->view_head[tagged]);
    add_piece(f, g->view_head[tagged], head);
    for (uint32_t i = 0; i < g->frame->piece_count; i++) {
        const struct switch_piece *p = &g->frame->pieces[i];
        uint32_t n = MIN(skip, p->length);

        add_piece(f, (const uint8_t *)p->data + n, p->length - n);
        skip -= n;
    }
    f->offload = g->frame->offload;
    if (f->offload.needs_checksum) {
        f->offload.checksum_start = (uint16_t)(f->offload.checksum_start + head - g->head_length);
    }
    if (f->offload.header_length >= g->head_length) {
        f->offload.header_length = (uint16_t)(f->offload.header_length + head - g->head_length);
    }
    return f;
}

// --- a receiver ---

static void got_frames(struct switch_port *p)
{
    if (!p->got_frames) {
        p->got_frames = true;
        p->next_flush = to_flush;
        to_flush = p;
    }
}

static void deliver(struct passage *g, struct switch_port *p, const struct switch_frame *f)
{
    if (p->user->max_frame != 0 && f->length > p->user->max_frame) {
        p->counters.dropped_too_long++;
        return;
    }
    if (!p->user->deliver(p->user_arg, f)) {
        p->counters.dropped_no_room++;
        return;
    }
    p->counters.tx_frames++;
    p->counters.tx_bytes += f->length;
    g->copied += f->length;
    got_frames(p);
}

// The packet goes into private memory once, where what the sender left undone is done.
static bool begin_offload(struct passage *g)
{
    struct switch_offload what = g->frame->offload;

    if (!g->have_offload) {
        uint32_t length = gather(g->frame, g->head_length, packet, sizeof(packet));

        g->have_offload = true;
        what.checksum_start = (uint16_t)(what.checksum_start - g->head_length);
        g->offload_failed = g->frame->offload.checksum_start < g->head_length ||
                            !offload_begin(&g->offload, packet, length, g->ethertype, &what);
        g->from->counters.dropped_malformed += g->offload_failed;
    }
    return !g->offload_failed;
}

static void deliver_complete(struct passage *g, struct switch_port *p, bool tagged)
{
    uint8_t head[TAGGED_HEADER], headers[OFFLOAD_HEADERS_MAX];
    uint32_t head_length = make_head(g, tagged, head);
    bool cut = g->frame->offload.gso_type != SWITCH_GSO_NONE;

    if (!begin_offload(g)) {
        return;
    }
    for (uint32_t i = 0; i < g->offload.segments; i++) {
        struct switch_frame f = {.piece_count = 0};
        const uint8_t *payload = packet;
        uint32_t length = g->offload.length;

        add_piece(&f, head, head_length);
        if (cut) {
            length = offload_segment(&g->offload, i, headers, &payload);
            add_piece(&f, headers, g->offload.headers);
        }
        add_piece(&f, payload, length);
        deliver(g, p, &f);
    }
}

static bool carries(const struct switch_port *p, uint16_t vlan)
{
    return vlan == p->settings.vlan || (p->settings.trunk && switch_vlan_allowed(&p->settings, vlan));
}

static void forward(struct passage *g, struct switch_port *p)
{
    const struct switch_offload *left = &g->frame->offload;
    bool tagged = g->vlan != p->settings.vlan;

    if (p == g->from || !carries(p, g->vlan)) {
        return;
    }
    if ((left->needs_checksum || left->gso_type != SWITCH_GSO_NONE) && !p->user->takes_offload) {
        deliver_complete(g, p, tagged);
    } else {
        deliver(g, p, view(g, tagged));
    }
}

// To everybody, or to those behind whom an unknown station may be.
static void flood(struct passage *g, bool everybody)
{
    for (uint32_t i = 0; i < g->home->port_end; i++) {
        struct switch_port *p = g->home->port[i];

        if (p != NULL && (everybody || p->learns)) {
            forward(g, p);
        }
    }
}

// --- the sender ---

static bool is_group(const uint8_t *mac)
{
    return (mac[0] & 1) != 0;
}

// 01-80-C2-00-00-00 to -0F: between neighbours, such as spanning tree and LLDP.
static bool is_reserved(const uint8_t *mac)
{
    static const uint8_t reserved[5] = {0x01, 0x80, 0xc2, 0x00, 0x00};

    return __builtin_memcmp(mac, reserved, sizeof(reserved)) == 0 && mac[5] < 0x10;
}

static bool read_header(struct passage *g)
{
    const struct switch_frame *f = g->frame;
    const struct switch_offload *left = &f->offload;

    if (f->piece_count == 0 || f->piece_count > SWITCH_SEND_PIECES || f->length > SWITCH_FRAME_MAX ||
        gather(f, 0, g->head, UNTAGGED_HEADER) != UNTAGGED_HEADER) {
        return false;
    }
    g->head_length = UNTAGGED_HEADER;
    g->ethertype = get16(g->head + ADDRESSES);
    // Nobody segments TCP to a group.
    return !is_group(g->head + 6) && mac_number(g->head + 6) != 0 &&
           (left->gso_type == SWITCH_GSO_NONE || !is_group(g->head));
}

// The VLAN that the frame belongs to. A second tag would be seen as the first where the frame leaves without one.
static bool read_tag(struct passage *g)
{
    const struct switch_port_settings *s = &g->from->settings;
    uint16_t vlan;

    g->vlan = s->vlan;
    g->tag = 0;
    if (g->ethertype != ETHERTYPE_TAG) {
        return true;
    }
    if (gather(g->frame, UNTAGGED_HEADER, g->head + UNTAGGED_HEADER, TAG) != TAG) {
        return false;
    }
    g->head_length = TAGGED_HEADER;
    g->tag = get16(g->head + UNTAGGED_HEADER);
    g->ethertype = get16(g->head + UNTAGGED_HEADER + 2);
    vlan = g->tag & TAG_VLAN;
    g->tag &= (uint16_t)~TAG_VLAN;
    if (vlan != 0) {
        if (!s->trunk || vlan == VLAN_NONE || !switch_vlan_allowed(s, vlan)) {
            return false;
        }
        g->vlan = vlan;
    } // else it has a priority alone
    return g->ethertype != ETHERTYPE_TAG;
}

// Token bucket, kept as the moment at which it would be full again.
static bool within_rate(struct switch_port *p, uint32_t length, uint64_t now_ns)
{
    uint64_t rate = p->settings.rate, burst = MAX(rate / 10, (uint64_t)SWITCH_MIN_BURST);
    uint64_t from = MAX(p->send_at, now_ns), to = from + length * SECOND_NS / rate;

    if (to - now_ns > burst * SECOND_NS / rate) {
        return false;
    }
    p->send_at = to;
    return true;
}

static bool is_own_address(const struct switch_port *p, const uint8_t *mac)
{
    return __builtin_memcmp(mac, p->settings.mac, sizeof(p->settings.mac)) == 0;
}

static bool learn(struct passage *g)
{
    const struct switch_port *p = g->from;

    if (p->settings.guarded && !is_own_address(p, g->head + 6)) {
        return false;
    }
    return !p->learns || mac_table_learn(&g->home->macs, mac_number(g->head + 6), g->vlan, p->number, g->now);
}

// May the frame pass? Counts it if not.
static bool admit(struct passage *g)
{
    struct switch_port *p = g->from;
    struct switch_port_counters *c = &p->counters;
    uint64_t now_ns = plat_now_ns();

    g->now = mac_time(now_ns);
    if (!read_header(g)) {
        c->dropped_malformed++;
    } else if (is_reserved(g->head)) {
        c->dropped_reserved++;
    } else if (!read_tag(g)) {
        c->dropped_vlan++;
    } else if (!learn(g)) {
        c->dropped_spoofed++;
    } else if (p->settings.rate != 0 && !within_rate(p, g->frame->length, now_ns)) {
        c->dropped_rate++;
    } else {
        c->rx_frames++;
        c->rx_bytes += g->frame->length;
        return true;
    }
    return false;
}

static __attribute__((noinline)) void note_dhcp(const struct passage *g)
{
    uint8_t message[DHCP_SNOOP_MAX];
    uint32_t length = gather(g->frame, g->head_length, message, sizeof(message));
    struct dhcp_news news;
    uint16_t port;

    if (!dhcp_read(message, length, &news)) {
        return;
    }
    port = mac_table_owner(&g->home->macs, news.mac);
    // A station can give back its own address alone.
    if (port != MAC_NO_PORT && (news.address != 0 || port == g->from->number)) {
        __atomic_store_n(&g->home->port[port]->dhcp_address, news.address, __ATOMIC_RELAXED);
    }
}

static void snoop(const struct passage *g)
{
    uint8_t start[24];

    if (g->ethertype == ETHERTYPE_IPV4 &&
        gather(g->frame, g->head_length, start, sizeof(start)) == sizeof(start) &&
        dhcp_suspected(start, sizeof(start))) {
        note_dhcp(g);
    }
}

uint32_t switch_send(struct switch_port *port, const struct switch_frame *frame)
{
    struct passage g;
    uint16_t to;

    if (!port->attached) {
        return 0;
    }
    g.home = port->home;
    g.from = port;
    g.frame = frame;
    g.copied = 0;
    g.have_view[0] = g.have_view[1] = false;
    g.have_offload = false;
    if (!admit(&g)) {
        return 0;
    }
    snoop(&g);
    if (is_group(g.head)) {
        flood(&g, true);
        return g.copied;
    }
    to = mac_table_find(&g.home->macs, mac_number(g.head), g.vlan, g.now);
    if (to == MAC_NO_PORT) {
        flood(&g, false);
    } else {
        forward(&g, g.home->port[to]);
    }
    return g.copied;
}

void switch_flush(void)
{
    while (to_flush != NULL) {
        struct switch_port *p = to_flush;

        to_flush = p->next_flush;
        p->got_frames = false;
        if (p->user->flush != NULL) {
            p->user->flush(p->user_arg);
        }
    }
}

// --- ports ---

void vswitch_init(struct vswitch *s, uint64_t seed)
{
    *s = (struct vswitch){.port_end = 0};
    mac_table_init(&s->macs, seed);
}

void switch_port_init(struct switch_port *p, struct vswitch *home,
                      const struct switch_port_settings *settings)
{
    *p = (struct switch_port){.home = home, .settings = *settings};
}

static void set_link(const struct switch_port *p, bool up)
{
    if (p->user->link != NULL) {
        p->user->link(p->user_arg, up);
    }
}

void switch_port_attach(struct switch_port *p, const struct switch_port_user *user, void *user_arg)
{
    struct vswitch *s = p->home;
    uint16_t n = 0;

    p->user = user;
    p->user_arg = user_arg;
    while (n < SWITCH_MAX_PORTS && s->port[n] != NULL) {
        n++;
    }
    if (n == SWITCH_MAX_PORTS) {
        set_link(p, false);
        return;
    }
    s->port[n] = p;
    s->port_end = MAX(s->port_end, n + 1u);
    p->number = n;
    // Without a place for its address its station is found like any other.
    p->learns = !p->settings.guarded || !mac_table_fix(&s->macs, mac_number(p->settings.mac), n);
    p->attached = true;
    set_link(p, true);
}

static void do_not_flush(const struct switch_port *p)
{
    struct switch_port **at = &to_flush;

    while (*at != NULL && *at != p) {
        at = &(*at)->next_flush;
    }
    if (*at != NULL) {
        *at = p->next_flush;
    }
}

void switch_port_detach(struct switch_port *p)
{
    struct vswitch *s = p->home;

    if (!p->attached) {
        return;
    }
    p->attached = false;
    do_not_flush(p);
    mac_table_forget_port(&s->macs, p->number);
    s->port[p->number] = NULL;
    while (s->port_end > 0 && s->port[s->port_end - 1] == NULL) {
        s->port_end--;
    }
}
