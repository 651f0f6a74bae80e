// SPDX-License-Identifier: Apache-2.0
// Checksums and TCP segmentation in software.
#include "mgmt/vswitch/offload.h"

#define ETHERTYPE_IPV4 0x0800
#define ETHERTYPE_IPV6 0x86dd
#define PROTOCOL_TCP 6

#define IPV4_HEADER 20u
#define IPV4_LENGTH 2
#define IPV4_ID 4
#define IPV4_FRAGMENT 6
#define IPV4_PROTOCOL 9
#define IPV4_CHECKSUM 10
#define IPV4_ADDRESSES 12
#define IPV6_HEADER 40u
#define IPV6_LENGTH 4
#define IPV6_ADDRESSES 8

#define TCP_HEADER 20u
#define TCP_SEQUENCE 4
#define TCP_OFFSET 12
#define TCP_FLAGS 13
#define TCP_CHECKSUM 16
#define TCP_FIN 0x01
#define TCP_PSH 0x08
#define TCP_CWR 0x80

static uint16_t get16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static void put16(uint8_t *p, uint32_t value)
{
    p[0] = (uint8_t)(value >> 8);
    p[1] = (uint8_t)value;
}

static uint32_t get32(const uint8_t *p)
{
    return (uint32_t)get16(p) << 16 | get16(p + 2);
}

static void put32(uint8_t *p, uint32_t value)
{
    put16(p, value >> 16);
    put16(p + 2, value & 0xffff);
}

static uint16_t fold(uint64_t sum)
{
    sum = (sum & 0xffffffff) + (sum >> 32);
    sum = (sum & 0xffffffff) + (sum >> 32);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}

// Words are added as the processor reads them; the sum does not care about byte order until the end (RFC 1071, 2).
uint16_t offload_sum(const uint8_t *data, uint32_t length, uint32_t sum)
{
    uint64_t total = __builtin_bswap16(fold(sum));

    for (; length >= 4; data += 4, length -= 4) {
        uint32_t word;

        __builtin_memcpy(&word, data, sizeof(word));
        total += word;
    }
    if (length >= 2) {
        uint16_t word;

        __builtin_memcpy(&word, data, sizeof(word));
        total += word;
        data += 2;
        length -= 2;
    }
    if (length == 1) {
        total += data[0];
    }
    return __builtin_bswap16(fold(total));
}

// The value for a checksum field. Zero means "none" in UDP, and its other form is as good everywhere.
static uint16_t finish(uint16_t sum)
{
    uint16_t checksum = (uint16_t)~sum;

    return checksum == 0 ? 0xffff : checksum;
}

// --- a checksum alone ---

// The field holds the sum of the pseudo header already.
static bool fill_checksum(uint8_t *packet, uint32_t length, const struct switch_offload *what)
{
    uint32_t start = what->checksum_start, field = start + what->checksum_offset;

    if (start >= length || field + 2 > length) {
        return false;
    }
    put16(packet + field, finish(offload_sum(packet + start, length - start, 0)));
    return true;
}

// --- packets to be cut ---

static bool network_header_fits(const struct offload *o, uint16_t ethertype)
{
    const uint8_t *p = o->packet;

    if (o->v6) {
        return ethertype == ETHERTYPE_IPV6 && o->transport >= IPV6_HEADER && p[0] >> 4 == 6;
    }
    return ethertype == ETHERTYPE_IPV4 && o->transport >= IPV4_HEADER && p[0] >> 4 == 4 &&
           (p[0] & 15) * 4u == o->transport && p[IPV4_PROTOCOL] == PROTOCOL_TCP &&
           (get16(p + IPV4_FRAGMENT) & 0x3fff) == 0;
}

static bool check_headers(struct offload *o, uint16_t ethertype, const struct switch_offload *what)
{
    uint32_t tcp;

    if (!what->needs_checksum || what->checksum_offset != TCP_CHECKSUM ||
        o->transport + TCP_HEADER > MIN(o->length, OFFLOAD_HEADERS_MAX) ||
        !network_header_fits(o, ethertype)) {
        return false;
    }
    tcp = (o->packet[o->transport + TCP_OFFSET] >> 4) * 4u;
    o->headers = o->transport + tcp;
    return tcp >= TCP_HEADER && o->headers <= MIN(o->length, OFFLOAD_HEADERS_MAX);
}

bool offload_begin(struct offload *o, uint8_t *packet, uint32_t length, uint16_t ethertype,
                   const struct switch_offload *what)
{
    *o = (struct offload){
        .packet = packet,
        .length = length,
        .transport = what->checksum_start,
        .size = what->gso_size,
        .segments = 1,
        .v6 = what->gso_type == SWITCH_GSO_TCPV6,
    };
    if (what->gso_type == SWITCH_GSO_NONE) {
        return !what->needs_checksum || fill_checksum(packet, length, what);
    }
    if ((what->gso_type != SWITCH_GSO_TCPV4 && !o->v6) || o->size < OFFLOAD_MIN_SEGMENT ||
        !check_headers(o, ethertype, what)) {
        return false;
    }
    o->segments = MAX((length - o->headers + o->size - 1) / o->size, 1u);
    return true;
}

static void finish_ipv4(uint8_t *h, uint32_t header, uint32_t length, uint32_t i)
{
    put16(h + IPV4_LENGTH, length);
    put16(h + IPV4_ID, get16(h + IPV4_ID) + i);
    put16(h + IPV4_CHECKSUM, 0);
    put16(h + IPV4_CHECKSUM, (uint16_t)~offload_sum(h, header, 0));
}

// Pseudo header of RFC 9293, 3.1: addresses, protocol, length.
static uint16_t pseudo_sum(const struct offload *o, const uint8_t *h, uint32_t tcp_length)
{
    uint32_t sum = PROTOCOL_TCP + tcp_length;

    return o->v6 ? offload_sum(h + IPV6_ADDRESSES, 32, sum) : offload_sum(h + IPV4_ADDRESSES, 8, sum);
}

uint32_t offload_segment(const struct offload *o, uint32_t i, uint8_t headers[OFFLOAD_HEADERS_MAX],
                         const uint8_t **payload)
{
    uint32_t at = i * o->size, length = MIN(o->size, o->length - o->headers - at);
    uint32_t tcp_length = o->headers - o->transport + length;
    uint8_t *tcp = headers + o->transport;
    uint16_t sum;

    *payload = o->packet + o->headers + at;
    __builtin_memcpy(headers, o->packet, o->headers);
    if (o->v6) {
        put16(headers + IPV6_LENGTH, o->headers - IPV6_HEADER + length);
    } else {
        finish_ipv4(headers, o->transport, o->headers + length, i);
    }
    put32(tcp + TCP_SEQUENCE, get32(tcp + TCP_SEQUENCE) + at);
    if (i > 0) {
        tcp[TCP_FLAGS] &= (uint8_t)~TCP_CWR;
    }
    if (i + 1 < o->segments) {
        tcp[TCP_FLAGS] &= (uint8_t) ~(TCP_FIN | TCP_PSH);
    }
    put16(tcp + TCP_CHECKSUM, 0);
    sum = offload_sum(tcp, o->headers - o->transport, pseudo_sum(o, headers, tcp_length));
    put16(tcp + TCP_CHECKSUM, finish(offload_sum(*payload, length, sum)));
    return length;
}
