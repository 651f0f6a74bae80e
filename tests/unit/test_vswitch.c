// srcs: mgmt/vswitch/vswitch.c mgmt/vswitch/mac_table.c mgmt/vswitch/offload.c mgmt/vswitch/dhcp.c
// SPDX-License-Identifier: Apache-2.0
// The virtual switch: learning, ageing, VLANs, guards, rates, counters, offloads, DHCP in passing.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "mgmt/plat.h"
#include "mgmt/vswitch/offload.h"
#include "mgmt/vswitch/vswitch.h"

#define PORTS 6
#define KEEP 64
#define SECOND 1000000000ull

struct station {
    struct switch_port port;
    struct switch_port_user user;
    uint8_t mac[6];
    struct {
        uint8_t bytes[70000];
        uint32_t length;
        struct switch_offload offload;
    } got[KEEP];
    uint32_t count, flushes, room;
    bool up;
};

static struct vswitch sw;
static struct station *st; // PORTS of them
static uint64_t now;

uint64_t plat_now_ns(void)
{
    return now;
}

static bool deliver(void *user, const struct switch_frame *f)
{
    struct station *s = user;
    uint32_t at = 0;

    if (s->count == s->room) {
        return false;
    }
    for (uint32_t i = 0; i < f->piece_count; i++) {
        memcpy(s->got[s->count].bytes + at, f->pieces[i].data, f->pieces[i].length);
        at += f->pieces[i].length;
    }
    assert_int_equal(at, f->length);
    assert_true(f->pieces[0].length >= 14);
    s->got[s->count].length = at;
    s->got[s->count].offload = f->offload;
    s->count++;
    return true;
}

static void flush(void *user)
{
    ((struct station *)user)->flushes++;
}

static void set_up(void *user, bool up)
{
    ((struct station *)user)->up = up;
}

static void add(unsigned i, struct switch_port_settings s)
{
    st[i].room = KEEP;
    st[i].user = (struct switch_port_user){.deliver = deliver, .flush = flush, .link = set_up};
    memcpy(st[i].mac, (uint8_t[6]){2, 0, 0, 0, 0, (uint8_t)(i + 1)}, 6);
    memcpy(s.mac, st[i].mac, 6);
    switch_port_init(&st[i].port, &sw, &s);
    switch_port_attach(&st[i].port, &st[i].user, &st[i]);
}

static int setup(void **state)
{
    (void)state;
    now = 10 * SECOND;
    vswitch_init(&sw, 0x1234567890abcdefull);
    st = calloc(PORTS, sizeof *st);
    return st == NULL;
}

static int teardown(void **state)
{
    (void)state;
    switch_flush();
    free(st);
    return 0;
}

static void forget(void)
{
    for (unsigned i = 0; i < PORTS; i++) {
        st[i].count = st[i].flushes = 0;
    }
}

static uint8_t frame_bytes[70000];

// A frame of `length` bytes in frame_bytes, in `pieces` parts behind the first 14 bytes.
static uint32_t send_bytes(unsigned from, uint32_t length, unsigned parts, const struct switch_offload *o)
{
    struct switch_frame f = {.length = length, .piece_count = 1, .pieces = {{frame_bytes, 14}}};
    uint32_t at = 14;

    for (unsigned i = 0; i < parts && at < length; i++) {
        uint32_t n = i + 1 == parts ? length - at : MIN((length - 14) / parts, length - at);

        f.pieces[f.piece_count++] = (struct switch_piece){frame_bytes + at, n};
        at += n;
    }
    if (o != NULL) {
        f.offload = *o;
    }
    return switch_send(&st[from].port, &f);
}

static void addresses(const uint8_t *to, const uint8_t *from)
{
    memcpy(frame_bytes, to, 6);
    memcpy(frame_bytes + 6, from, 6);
    frame_bytes[12] = 0x88;
    frame_bytes[13] = 0xb5; // for experiments
}

static const uint8_t everybody[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

static uint32_t send_to(unsigned from, const uint8_t *to)
{
    addresses(to, st[from].mac);
    return send_bytes(from, 60, 1, NULL);
}

static unsigned who_got(void)
{
    unsigned mask = 0;

    for (unsigned i = 0; i < PORTS; i++) {
        mask |= (st[i].count > 0) << i;
    }
    forget();
    return mask;
}

static const struct switch_port_settings open_port, guarded = {.guarded = true};

// --- learning ---

static void learns_where_stations_are(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        add(i, open_port);
        assert_true(st[i].up);
    }
    assert_int_equal(send_to(0, st[1].mac), 3 * 60); // unknown: to all others
    assert_int_equal(who_got(), 0xe);
    assert_int_equal(send_to(1, st[0].mac), 60); // seen before
    assert_int_equal(who_got(), 0x1);
    assert_int_equal(send_to(0, st[1].mac), 60);
    assert_int_equal(who_got(), 0x2);
    assert_int_equal(send_to(0, everybody), 3 * 60);
    assert_int_equal(who_got(), 0xe);
    assert_int_equal(send_to(0, st[0].mac), 0); // to itself: nowhere
    assert_int_equal(who_got(), 0);
    memcpy(st[2].mac, st[0].mac, 6); // the station moves
    send_to(2, everybody);
    forget();
    send_to(1, st[0].mac);
    assert_int_equal(who_got(), 0x4);
}

static void forgets_after_a_time(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        add(i, open_port);
    }
    send_to(0, everybody);
    forget();
    now += 290 * SECOND;
    send_to(1, st[0].mac);
    assert_int_equal(who_got(), 0x1);
    now += 20 * SECOND;
    send_to(1, st[0].mac);
    assert_int_equal(who_got(), 0x5);
}

static void forgets_a_port_that_goes(void **state)
{
    (void)state;
    add(0, open_port);
    add(1, guarded);
    add(2, open_port);
    send_to(0, everybody);
    forget();
    switch_port_detach(&st[0].port);
    switch_port_detach(&st[1].port);
    switch_port_detach(&st[1].port);
    send_to(2, st[0].mac);
    send_to(2, st[1].mac);
    send_to(0, everybody); // nobody hears it
    assert_int_equal(who_got(), 0);
    switch_port_attach(&st[1].port, &st[1].user, &st[1]);
    send_to(2, st[1].mac);
    assert_int_equal(who_got(), 0x2);
}

static void remembers_a_bounded_number(void **state)
{
    uint8_t mac[6] = {2, 9, 0, 0, 0, 0};

    (void)state;
    add(0, open_port);
    add(1, guarded);
    add(2, open_port);
    for (uint32_t i = 0; i < 100000; i++) { // far more than there is room for
        mac[2] = (uint8_t)(i >> 16);
        mac[3] = (uint8_t)(i >> 8);
        mac[4] = (uint8_t)i;
        addresses(everybody, mac);
        send_bytes(0, 60, 1, NULL);
        forget();
    }
    send_to(2, mac); // the last is known
    assert_int_equal(who_got(), 0x1);
    send_to(2, st[1].mac); // a guarded port's station cannot be pushed out
    assert_int_equal(who_got(), 0x2);
}

static void is_full_some_day(void **state)
{
    struct switch_port *ports = calloc(SWITCH_MAX_PORTS, sizeof *ports);

    (void)state;
    assert_non_null(ports);
    st[0].user = (struct switch_port_user){.deliver = deliver, .link = set_up};
    for (unsigned i = 0; i < SWITCH_MAX_PORTS; i++) {
        st[0].up = false;
        switch_port_init(&ports[i], &sw, &open_port);
        switch_port_attach(&ports[i], &st[0].user, &st[0]);
        assert_true(st[0].up);
    }
    add(1, open_port);
    assert_false(st[1].up);
    assert_int_equal(send_to(1, everybody), 0);
    switch_port_detach(&ports[7]);
    add(1, open_port);
    assert_true(st[1].up);
    assert_int_equal(st[1].port.number, 7);
    free(ports);
}

// --- guards ---

static void spoofed_frames_are_dropped(void **state)
{
    (void)state;
    add(0, guarded);
    add(1, guarded);
    add(2, open_port);
    addresses(everybody, st[1].mac);
    assert_int_equal(send_bytes(0, 60, 1, NULL), 0); // another's address
    assert_int_equal(st[0].port.counters.dropped_spoofed, 1);
    assert_int_equal(st[0].port.counters.rx_frames, 0);
    assert_int_equal(send_bytes(2, 60, 1, NULL), 0); // nor where any address may come from
    assert_int_equal(st[2].port.counters.dropped_spoofed, 1);
    addresses(everybody, (uint8_t[]){2, 7, 7, 7, 7, 7});
    assert_int_equal(send_bytes(0, 60, 1, NULL), 0);
    assert_int_equal(send_bytes(2, 60, 1, NULL), 120);
    assert_int_equal(who_got(), 0x3);
    assert_int_equal(send_to(0, everybody), 120);
}

static void unknown_stations_are_not_behind_a_guard(void **state)
{
    (void)state;
    add(0, guarded);
    add(1, guarded);
    add(2, open_port);
    send_to(0, (uint8_t[]){2, 7, 7, 7, 7, 7});
    assert_int_equal(who_got(), 0x4);
    send_to(0, st[1].mac); // which never said anything
    assert_int_equal(who_got(), 0x2);
}

static void what_is_no_frame_is_dropped(void **state)
{
    static const uint8_t pause[6] = {0x01, 0x80, 0xc2, 0, 0, 1}, group[6] = {3, 0, 0, 0, 0, 1}, none[6];
    struct switch_frame f = {.pieces = {{frame_bytes, 10}}, .piece_count = 1, .length = 10};
    const struct switch_offload tso = {
        .needs_checksum = true, .checksum_start = 34, .checksum_offset = 16, .gso_type = 1, .gso_size = 1000};

    (void)state;
    add(0, open_port);
    add(1, open_port);
    assert_int_equal(switch_send(&st[0].port, &f), 0);
    addresses(everybody, group);
    assert_int_equal(send_bytes(0, 60, 1, NULL), 0);
    addresses(everybody, none);
    assert_int_equal(send_bytes(0, 60, 1, NULL), 0);
    addresses(everybody, st[0].mac);
    assert_int_equal(send_bytes(0, 2000, 1, &tso), 0); // TCP to everybody
    assert_int_equal(st[0].port.counters.dropped_malformed, 4);
    assert_int_equal(send_to(0, pause), 0);
    assert_int_equal(st[0].port.counters.dropped_reserved, 1);
    assert_int_equal(who_got(), 0);
}

// --- VLANs ---

static void put_tag(uint16_t tag, uint16_t ethertype)
{
    frame_bytes[12] = 0x81;
    frame_bytes[13] = 0;
    frame_bytes[14] = (uint8_t)(tag >> 8);
    frame_bytes[15] = (uint8_t)tag;
    frame_bytes[16] = (uint8_t)(ethertype >> 8);
    frame_bytes[17] = (uint8_t)ethertype;
}

static struct switch_port_settings trunk(uint16_t native, uint16_t a, uint16_t b)
{
    struct switch_port_settings s = {.trunk = true, .vlan = native};

    switch_vlan_allow(&s, a);
    switch_vlan_allow(&s, b);
    return s;
}

static void vlans_are_apart(void **state)
{
    (void)state;
    add(0, (struct switch_port_settings){.vlan = 5, .guarded = true});
    add(1, (struct switch_port_settings){.vlan = 5, .guarded = true});
    add(2, (struct switch_port_settings){.vlan = 7, .guarded = true});
    add(3, (struct switch_port_settings){.guarded = true});
    add(4, trunk(0, 5, 6));
    for (int i = 14; i < 60; i++) {
        frame_bytes[i] = (uint8_t)i;
    }
    send_to(0, everybody);
    assert_int_equal(st[4].got[0].length, 64);
    assert_memory_equal(st[4].got[0].bytes + 12, "\x81\x00\x00\x05\x88\xb5\x0e\x0f",
                        8); // tagged on the trunk
    assert_int_equal(st[1].got[0].length, 60);
    assert_memory_equal(st[1].got[0].bytes, frame_bytes, 60);
    assert_int_equal(who_got(), 0x12);
    send_to(0, st[2].mac); // known, and in another VLAN
    assert_int_equal(who_got(), 0);
    send_to(2, everybody);
    assert_int_equal(who_got(), 0); // the trunk does not carry 7
    send_to(3, everybody);
    assert_memory_equal(st[4].got[0].bytes + 12, "\x88\xb5", 2); // its native VLAN
    assert_int_equal(who_got(), 0x10);
}

static void trunks_take_the_tags_they_may(void **state)
{
    (void)state;
    add(0, (struct switch_port_settings){.vlan = 5});
    add(1, trunk(0, 5, 6));
    add(2, trunk(5, 6, 0));
    addresses(everybody, st[1].mac);
    put_tag(0xa005, 0x88b5); // priority 5
    assert_int_equal(send_bytes(1, 64, 3, NULL), 60 + 60);
    assert_int_equal(st[0].got[0].length, 60);
    assert_memory_equal(st[0].got[0].bytes + 12, "\x88\xb5", 2);
    assert_memory_equal(st[0].got[0].bytes + 14, frame_bytes + 18, 46);
    assert_int_equal(who_got(), 0x5);
    put_tag(0xa006, 0x88b5);
    assert_int_equal(send_bytes(1, 64, 1, NULL), 64);
    assert_memory_equal(st[2].got[0].bytes + 12, "\x81\x00\xa0\x06\x88\xb5", 6); // with its priority
    assert_int_equal(who_got(), 0x4);
    put_tag(7, 0x88b5);
    assert_int_equal(send_bytes(1, 64, 1, NULL), 0);
    put_tag(0xfff, 0x88b5);
    assert_int_equal(send_bytes(1, 64, 1, NULL), 0);
    put_tag(5, 0x8100); // a tag within a tag
    assert_int_equal(send_bytes(1, 64, 1, NULL), 0);
    put_tag(0, 0x8100);
    assert_int_equal(send_bytes(1, 64, 1, NULL), 0);
    put_tag(5, 0x88b5);
    assert_int_equal(send_bytes(1, 17, 1, NULL), 0); // cut off
    assert_int_equal(st[1].port.counters.dropped_vlan, 5);
    addresses(everybody, st[0].mac);
    put_tag(5, 0x88b5); // an access port sends none, not even its own
    assert_int_equal(send_bytes(0, 64, 1, NULL), 0);
    put_tag(0, 0x88b5); // but for a priority
    assert_int_equal(send_bytes(0, 64, 1, NULL), 64 + 60);
}

// --- rates and counters ---

static uint64_t passed_in(uint64_t ns, uint64_t step)
{
    uint64_t bytes = 0;

    for (uint64_t end = now + ns; now < end; now += step) {
        addresses(st[1].mac, st[0].mac);
        bytes += send_bytes(0, 1500, 1, NULL);
        forget();
    }
    return bytes;
}

static void rates_hold(void **state)
{
    static const uint64_t rates[] = {10000, 1000000, 125000000};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rates); i++) {
        uint64_t burst = MAX(rates[i] / 10, (uint64_t)SWITCH_MIN_BURST), bytes;

        add(0, (struct switch_port_settings){.rate = rates[i], .guarded = true});
        add(1, guarded);
        bytes = passed_in(burst * SECOND / rates[i], SECOND / 200000); // what was saved up, and as much again
        assert_in_range(bytes, burst, 2 * burst + 3000);
        bytes = passed_in(SECOND, SECOND / 200000);
        assert_in_range(bytes, rates[i] - 3000, rates[i] + 3000);
        assert_true(st[0].port.counters.dropped_rate > 0);
        switch_port_detach(&st[0].port);
        switch_port_detach(&st[1].port);
    }
}

static void counts(void **state)
{
    const struct switch_port_counters *a, *b;

    (void)state;
    add(0, guarded);
    add(1, guarded);
    a = &st[0].port.counters;
    b = &st[1].port.counters;
    st[1].room = 2;
    st[1].user.max_frame = 1000;
    for (int i = 0; i < 3; i++) {
        send_to(0, st[1].mac);
    }
    addresses(st[1].mac, st[0].mac);
    send_bytes(0, 1001, 1, NULL);
    assert_int_equal(a->rx_frames, 4);
    assert_int_equal(a->rx_bytes, 180 + 1001);
    assert_int_equal(b->tx_frames, 2);
    assert_int_equal(b->tx_bytes, 120);
    assert_int_equal(b->dropped_no_room, 1);
    assert_int_equal(b->dropped_too_long, 1);
    assert_int_equal(a->tx_frames + b->rx_frames, 0);
}

static void flushes_those_that_got_something(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        add(i, guarded);
    }
    send_to(0, st[1].mac);
    send_to(0, st[1].mac);
    send_to(0, st[2].mac);
    switch_port_detach(&st[2].port); // goes before it is told
    switch_flush();
    assert_int_equal(st[1].flushes, 1);
    assert_int_equal(st[0].flushes + st[2].flushes + st[3].flushes, 0);
    switch_flush();
    assert_int_equal(st[1].flushes, 1);
}

// --- offloads, against a plain checksum of the specification's own words ---

static uint16_t plain_checksum(const uint8_t *pseudo, size_t pseudo_length, const uint8_t *data,
                               size_t length)
{
    uint32_t sum = 0;

    for (size_t i = 0; i < pseudo_length; i++) {
        sum += (uint32_t)pseudo[i] << (i % 2 == 0 ? 8 : 0);
    }
    for (size_t i = 0; i < length; i++) {
        sum += (uint32_t)data[i] << (i % 2 == 0 ? 8 : 0);
    }
    while (sum >> 16 != 0) {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return (uint16_t)~sum;
}

static void put16(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static uint32_t get32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

#define SEQUENCE 0xfffffff0u
#define ID 0xfffe

// TCP over IPv4 with 4 bytes of IP options or over IPv6, 12 bytes of TCP options; the checksum field holds the pseudo header's sum.
static uint32_t make_tcp(bool v6, uint32_t l2, uint32_t payload)
{
    uint8_t *ip = frame_bytes + l2, *tcp = ip + (v6 ? 40 : 24), pseudo[40];
    uint32_t length = 32 + payload;
    size_t pseudo_length = v6 ? 40 : 12;

    memset(ip, 0, 100);
    put16(frame_bytes + l2 - 2, v6 ? 0x86dd : 0x0800);
    if (v6) {
        ip[0] = 0x60;
        put16(ip + 4, length);
        ip[6] = 6;
        for (int i = 8; i < 40; i++) {
            ip[i] = (uint8_t)(i * 7);
        }
        memcpy(pseudo, ip + 8, 32);
        memcpy(pseudo + 32,
               (uint8_t[]){0, (uint8_t)(length >> 16), (uint8_t)(length >> 8), (uint8_t)length, 0, 0, 0, 6},
               8);
    } else {
        memcpy(ip, (uint8_t[]){0x46, 0, 0, 0, ID >> 8, ID & 255, 0x40, 0, 64, 6, 0, 0,
                               10,   0, 0, 1, 10,      0,        0,    2, 1,  1, 1, 1},
               24);
        put16(ip + 2, 24 + length);
        put16(ip + 10, plain_checksum(NULL, 0, ip, 24));
        memcpy(pseudo, ip + 12, 8);
        memcpy(pseudo + 8, (uint8_t[]){0, 6, (uint8_t)(length >> 8), (uint8_t)length}, 4);
    }
    memcpy(tcp,
           (uint8_t[]){0x12, 0x34, 0, 80, SEQUENCE >> 24, 0xff, 0xff, SEQUENCE & 255, 1, 2, 3, 4, 0x80, 0x99,
                       1, 0},
           16);
    put16(tcp + 16, (uint16_t)~plain_checksum(pseudo, pseudo_length, NULL, 0));
    for (uint32_t i = 0; i < payload; i++) {
        tcp[32 + i] = (uint8_t)(i * 31 + i / 256);
    }
    return l2 + (v6 ? 40 : 24) + length;
}

// A packet as a stranger would check it. Returns the length of its payload.
static uint32_t check_tcp(const uint8_t *frame, uint32_t length, uint32_t l2, bool v6, uint32_t at,
                          uint32_t segment, bool last)
{
    const uint8_t *ip = frame + l2, *tcp = ip + (v6 ? 40 : 24);
    uint32_t tcp_length = length - (uint32_t)(tcp - frame);
    uint8_t pseudo[40];

    if (v6) {
        assert_int_equal(ip[4] << 8 | ip[5], tcp_length);
        memcpy(pseudo, ip + 8, 32);
        memcpy(pseudo + 32, (uint8_t[]){0, 0, (uint8_t)(tcp_length >> 8), (uint8_t)tcp_length, 0, 0, 0, 6},
               8);
    } else {
        assert_int_equal(ip[2] << 8 | ip[3], 24 + tcp_length);
        assert_int_equal(plain_checksum(NULL, 0, ip, 24), 0);
        assert_int_equal((ip[4] << 8 | ip[5]), (ID + segment) & 0xffff);
        memcpy(pseudo, ip + 12, 8);
        memcpy(pseudo + 8, (uint8_t[]){0, 6, (uint8_t)(tcp_length >> 8), (uint8_t)tcp_length}, 4);
    }
    assert_int_equal(plain_checksum(pseudo, v6 ? 40 : 12, tcp, tcp_length), 0);
    assert_int_equal(get32(tcp + 4), SEQUENCE + at);
    assert_int_equal(tcp[13], (segment == 0 ? 0x80 : 0) | 0x10 | (last ? 0x09 : 0)); // CWR, ACK, PSH and FIN
    for (uint32_t i = 0; i < tcp_length - 32; i++) {
        assert_int_equal(tcp[32 + i], (uint8_t)((at + i) * 31 + (at + i) / 256));
    }
    return tcp_length - 32;
}

static struct switch_offload tcp_offload(bool v6, uint32_t l2, uint16_t size)
{
    return (struct switch_offload){
        .needs_checksum = true,
        .checksum_start = (uint16_t)(l2 + (v6 ? 40 : 24)),
        .checksum_offset = 16,
        .gso_type = size == 0 ? SWITCH_GSO_NONE
                    : v6      ? SWITCH_GSO_TCPV6
                              : SWITCH_GSO_TCPV4,
        .gso_size = size,
    };
}

static void checksums_are_filled_in(void **state)
{
    (void)state;
    add(0, guarded);
    add(1, guarded);
    for (uint32_t payload = 0; payload < 70; payload++) {
        bool v6 = payload % 3 == 0;
        struct switch_offload o = tcp_offload(v6, 14, 0);

        addresses(st[1].mac, st[0].mac);
        send_bytes(0, make_tcp(v6, 14, payload), 1 + payload % 5, &o);
        assert_int_equal(st[1].count, 1);
        assert_false(st[1].got[0].offload.needs_checksum);
        assert_int_equal(check_tcp(st[1].got[0].bytes, st[1].got[0].length, 14, v6, 0, 0, true), payload);
        forget();
    }
}

static void large_frames_are_cut(void **state)
{
    static const uint32_t payloads[] = {0, 1, 1399, 1400, 1401, 8191, 65000};

    (void)state;
    add(0, guarded);
    add(1, guarded);
    st[1].user.max_frame = 1518;
    for (size_t i = 0; i < 2 * ARRAY_LEN(payloads); i++) {
        bool v6 = i % 2 != 0;
        struct switch_offload o = tcp_offload(v6, 14, 1400);
        uint32_t payload = payloads[i / 2], at = 0, expected = MAX((payload + 1399) / 1400, 1u);

        addresses(st[1].mac, st[0].mac);
        send_bytes(0, make_tcp(v6, 14, payload), 7, &o);
        assert_int_equal(st[1].count, expected);
        for (uint32_t n = 0; n < expected; n++) {
            assert_int_equal(st[1].got[n].offload.gso_type, SWITCH_GSO_NONE);
            at += check_tcp(st[1].got[n].bytes, st[1].got[n].length, 14, v6, at, n, n + 1 == expected);
        }
        assert_int_equal(at, payload);
        forget();
    }
}

static void offloads_reach_who_takes_them(void **state)
{
    struct switch_offload o = tcp_offload(false, 14, 1400);
    uint32_t length;

    (void)state;
    add(0, guarded);
    add(1, guarded);
    st[1].user.takes_offload = true;
    addresses(st[1].mac, st[0].mac);
    length = make_tcp(false, 14, 60000);
    send_bytes(0, length, 3, &o);
    assert_int_equal(st[1].count, 1);
    assert_int_equal(st[1].got[0].length, length);
    assert_memory_equal(st[1].got[0].bytes, frame_bytes, length);
    assert_memory_equal(&st[1].got[0].offload, &o, sizeof o);
}

static void offloads_and_tags(void **state)
{
    struct switch_offload o = tcp_offload(false, 14, 1400), tagged = tcp_offload(false, 18, 1400);

    (void)state;
    add(0, (struct switch_port_settings){.vlan = 5, .guarded = true});
    add(1, trunk(0, 5, 6));
    addresses((uint8_t[]){2, 7, 7, 7, 7, 7}, st[0].mac);
    send_bytes(0, make_tcp(false, 14, 1500), 3, &o); // gets a tag on its way
    assert_int_equal(st[1].count, 2);
    assert_memory_equal(st[1].got[1].bytes + 12, "\x81\x00\x00\x05\x08\x00", 6);
    check_tcp(st[1].got[1].bytes, st[1].got[1].length, 18, false, 1400, 1, true);
    forget();
    st[1].user.takes_offload = true;
    send_bytes(0, make_tcp(false, 14, 1500), 3, &o);
    assert_int_equal(st[1].got[0].offload.checksum_start, 42);
    forget();
    addresses(st[0].mac, st[1].mac); // and loses one
    make_tcp(false, 18, 1500);
    put_tag(5, 0x0800);
    send_bytes(1, 18 + 24 + 32 + 1500, 4, &tagged);
    assert_int_equal(st[0].count, 2);
    check_tcp(st[0].got[0].bytes, st[0].got[0].length, 14, false, 0, 0, false);
    forget();
    st[0].user.takes_offload = true;
    send_bytes(1, 18 + 24 + 32 + 1500, 4, &tagged);
    assert_int_equal(st[0].got[0].offload.checksum_start, 38);
}

static void offloads_that_make_no_sense(void **state)
{
    struct switch_offload good = tcp_offload(false, 14, 1400), o;
    uint32_t length;

    (void)state;
    add(0, guarded);
    add(1, guarded);
    addresses(st[1].mac, st[0].mac);
    length = make_tcp(false, 14, 3000);
#define REFUSED(change)                                                                                      \
    o = good;                                                                                                \
    change;                                                                                                  \
    assert_int_equal(send_bytes(0, length, 2, &o), 0);
    REFUSED(o.gso_size = 47)
    REFUSED(o.gso_size = 0)
    REFUSED(o.gso_type = 3) // UDP
    REFUSED(o.gso_type = SWITCH_GSO_TCPV6)
    REFUSED(o.checksum_start = 37)
    REFUSED(o.checksum_start = 3)
    REFUSED(o.checksum_start = 60000)
    REFUSED(o.checksum_offset = 6)
    REFUSED(o.needs_checksum = false)
    REFUSED(o.gso_type = 0; o.checksum_offset = 3055) // one byte of it is beyond the end
    frame_bytes[14 + 24 + 12] = 0x40;                 // a TCP header of 16 bytes
    REFUSED((void)0)
    frame_bytes[14 + 24 + 12] = 0xf0; // of 60, cut off
    length = 14 + 24 + 40;
    REFUSED((void)0)
    assert_int_equal(st[0].port.counters.dropped_malformed, 12);
    assert_int_equal(who_got(), 0);
}

// --- DHCP ---

static uint32_t make_dhcp(uint8_t op, uint8_t type, const uint8_t *mac, const uint8_t *address)
{
    uint8_t *ip = frame_bytes + 14, *m = ip + 28;

    memset(ip, 0, 600);
    put16(frame_bytes + 12, 0x0800);
    ip[0] = 0x45;
    ip[9] = 17;
    put16(ip + 20, op == 2 ? 67 : 68);
    put16(ip + 22, op == 2 ? 68 : 67);
    m[0] = op;
    m[1] = 1;
    m[2] = 6;
    memcpy(m + 16, address, 4);
    memcpy(m + 28, mac, 6);
    memcpy(m + 236, "\x63\x82\x53\x63", 4);
    memcpy(m + 240, (uint8_t[]){0, 51, 4, 0, 0, 1, 0, 53, 1, type, 255}, 11);
    return 14 + 28 + 251;
}

static void dhcp_is_read_in_passing(void **state)
{
    static const uint8_t ten[4] = {10, 0, 2, 15}, none[4];
    uint32_t length;

    (void)state;
    add(0, open_port); // the server's side
    add(1, guarded);
    add(2, guarded);
    addresses(everybody, st[0].mac);
    length = make_dhcp(2, 2, st[1].mac, ten); // an offer
    send_bytes(0, length, 3, NULL);
    assert_int_equal(st[1].port.dhcp_address, 0);
    length = make_dhcp(2, 5, st[1].mac, ten);
    send_bytes(0, length - 2, 3, NULL); // its type is cut off
    assert_int_equal(st[1].port.dhcp_address, 0);
    send_bytes(0, length, 3, NULL);
    assert_int_equal(st[1].port.dhcp_address, 0x0a00020f);
    assert_int_equal(st[2].port.dhcp_address, 0);
    make_dhcp(2, 5, st[1].mac, none); // answers a request for information
    send_bytes(0, length, 3, NULL);
    assert_int_equal(st[1].port.dhcp_address, 0x0a00020f);
    addresses(everybody, st[2].mac);
    make_dhcp(1, 7, st[1].mac, none);
    send_bytes(2, length, 3, NULL); // another cannot give it back
    assert_int_equal(st[1].port.dhcp_address, 0x0a00020f);
    addresses(everybody, st[1].mac);
    make_dhcp(1, 7, st[1].mac, none);
    send_bytes(1, length, 1, NULL);
    assert_int_equal(st[1].port.dhcp_address, 0);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(learns_where_stations_are),
        TEST(forgets_after_a_time),
        TEST(forgets_a_port_that_goes),
        TEST(remembers_a_bounded_number),
        TEST(is_full_some_day),
        TEST(spoofed_frames_are_dropped),
        TEST(unknown_stations_are_not_behind_a_guard),
        TEST(what_is_no_frame_is_dropped),
        TEST(vlans_are_apart),
        TEST(trunks_take_the_tags_they_may),
        TEST(rates_hold),
        TEST(counts),
        TEST(flushes_those_that_got_something),
        TEST(checksums_are_filled_in),
        TEST(large_frames_are_cut),
        TEST(offloads_reach_who_takes_them),
        TEST(offloads_and_tags),
        TEST(offloads_that_make_no_sense),
        TEST(dhcp_is_read_in_passing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
