# SPDX-License-Identifier: Apache-2.0
"""What a node's NIC sent, as the emulator wrote it down (packet_log of NodeConfig), and what strangers could see in it."""
import re
import struct

ETHERNET, IPV4_TYPE, TCP, UDP = 14, b"\x08\x00", 6, 17
SYN_ACK = 0x12
DHCP_SERVER = 67
HTTPS = 443


def frames(directory):
    """All frames so far, in both directions."""
    pcap = directory / "packets.pcap"
    return list(of_qemu(pcap.read_bytes()) if pcap.exists() else of_bochs((directory / "packets.txt").read_text()))


def of_qemu(data):
    """The classic pcap format: a header of 24 bytes, and one of 16 before each frame."""
    at = 24
    while at + 16 <= len(data):
        size = struct.unpack_from("<I", data, at + 8)[0]
        yield data[at + 16:at + 16 + size]
        at += 16 + size


def of_bochs(text):
    """Hexadecimal bytes, sixteen a line, and behind them the characters."""
    for part in re.split(r"^a packet from .*length \d+$", text, flags=re.MULTILINE)[1:]:
        rows = re.findall(r"^((?:[0-9a-f]{2} )+)", part, re.MULTILINE)
        yield bytes.fromhex("".join(rows))


def payloads(all_frames, protocol):
    """What the IPv4 packets of a protocol carry."""
    for frame in all_frames:
        if frame[12:14] == IPV4_TYPE and len(frame) > ETHERNET + 20 and frame[ETHERNET + 9] == protocol:
            yield frame[ETHERNET + (frame[ETHERNET] & 15) * 4:]


def initial_sequence_numbers(all_frames):
    """Of the connections that the node's API accepted, in their order (RFC 9293, "Header Format")."""
    found = {}
    for segment in payloads(all_frames, TCP):
        source, client, sequence = struct.unpack_from(">HHI", segment)
        if source == HTTPS and segment[13] & 0x3f == SYN_ACK:
            found[client] = sequence
    return list(found.values())


def dhcp_transactions(all_frames):
    """Identifiers that the node chose (RFC 2131, "The format of a DHCP message")."""
    return {datagram[12:16] for datagram in payloads(all_frames, UDP)
            if struct.unpack_from(">H", datagram, 2)[0] == DHCP_SERVER}
