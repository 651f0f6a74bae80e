// SPDX-License-Identifier: Apache-2.0
// DHCP messages in passing.
#include "mgmt/vswitch/dhcp.h"

#include "mgmt/vswitch/mac_table.h"

#define IPV4_HEADER 20u
#define IPV4_FRAGMENT 6
#define IPV4_PROTOCOL 9
#define PROTOCOL_UDP 17
#define UDP_HEADER 8u
#define SERVER_PORT 67
#define CLIENT_PORT 68

// Offsets in the message (RFC 2131, figure 1).
#define MESSAGE_OP 0
#define MESSAGE_HTYPE 1
#define MESSAGE_HLEN 2
#define MESSAGE_YIADDR 16
#define MESSAGE_CHADDR 28
#define MESSAGE_COOKIE 236
#define MESSAGE_OPTIONS 240u

#define OP_REQUEST 1
#define OP_REPLY 2
#define HTYPE_ETHERNET 1
#define COOKIE 0x63825363u

#define OPTION_PAD 0
#define OPTION_TYPE 53
#define OPTION_END 255
#define TYPE_ACK 5
#define TYPE_RELEASE 7

static uint16_t get16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t get32(const uint8_t *p)
{
    return (uint32_t)get16(p) << 16 | get16(p + 2);
}

static bool dhcp_ports(const uint8_t *udp)
{
    uint16_t from = get16(udp), to = get16(udp + 2);

    return to == SERVER_PORT || (from == SERVER_PORT && to == CLIENT_PORT);
}

bool dhcp_suspected(const uint8_t *packet, uint32_t length)
{
    uint32_t header = (packet[0] & 15) * 4u;

    return length >= IPV4_HEADER + 4 && packet[IPV4_PROTOCOL] == PROTOCOL_UDP &&
           (header > IPV4_HEADER || dhcp_ports(packet + IPV4_HEADER));
}

// The value of option 53; 0: none.
static uint8_t message_type(const uint8_t *m, uint32_t length)
{
    uint32_t at = MESSAGE_OPTIONS;

    while (at < length && m[at] != OPTION_END) {
        if (m[at] == OPTION_PAD) {
            at++;
            continue;
        }
        if (at + 2 > length || at + 2 + m[at + 1] > length) {
            return 0;
        }
        if (m[at] == OPTION_TYPE && m[at + 1] == 1) {
            return m[at + 2];
        }
        at += 2u + m[at + 1];
    }
    return 0;
}

static bool read_message(const uint8_t *m, uint32_t length, struct dhcp_news *news)
{
    uint8_t type;

    if (length < MESSAGE_OPTIONS || m[MESSAGE_HTYPE] != HTYPE_ETHERNET || m[MESSAGE_HLEN] != 6 ||
        get32(m + MESSAGE_COOKIE) != COOKIE) {
        return false;
    }
    type = message_type(m, length);
    news->mac = mac_number(m + MESSAGE_CHADDR);
    news->address = 0;
    if (m[MESSAGE_OP] == OP_REPLY && type == TYPE_ACK) {
        news->address = get32(m + MESSAGE_YIADDR);
        return news->address != 0; // zero answers a DHCPINFORM
    }
    return m[MESSAGE_OP] == OP_REQUEST && type == TYPE_RELEASE;
}

bool dhcp_read(const uint8_t *packet, uint32_t length, struct dhcp_news *news)
{
    uint32_t header;

    if (length < IPV4_HEADER || packet[0] >> 4 != 4 || packet[IPV4_PROTOCOL] != PROTOCOL_UDP ||
        (get16(packet + IPV4_FRAGMENT) & 0x1fff) != 0) {
        return false;
    }
    header = (packet[0] & 15) * 4u;
    if (header < IPV4_HEADER || header + UDP_HEADER > length || !dhcp_ports(packet + header)) {
        return false;
    }
    return read_message(packet + header + UDP_HEADER, length - header - UDP_HEADER, news);
}
