# SPDX-License-Identifier: Apache-2.0
"""Guests on the virtual switch: with each other, with the node, and through the uplink with QEMU's user network."""
import json

import pytest
from booted import booted
from linux_guest import upload, wait_shell

GUEST_BOOT_S = 240
STEP_S = 120
NODE = "10.0.2.15"
# What udhcpc calls with the lease in its environment.
LEASE_SCRIPT = r"printf '#!/bin/sh\n[ $1 = bound ] && ip addr add $ip/24 dev eth0\n' >/tmp/lease; chmod +x /tmp/lease"
# The first line that says whether all of them came back.
PING = "ping -c 3 -W 10 {} | grep -c ' 0% packet loss'"
TRANSFER_KIB = 2048


def document(adapters):
    return {"SchemaVersion": {"Major": 2, "Minor": 2}, "VirtualMachine": {
        "Chipset": {"LinuxKernelDirect": {"KernelFilePath": "vmlinuz", "InitRdPath": "initrd",
                                          "KernelCmdLine": "console=ttyS0 quiet"}},
        "ComputeTopology": {"Memory": {"SizeInMB": 128}, "Processor": {"Count": 1}},
        "Devices": {"ComPorts": {"0": {}}, "NetworkAdapters": adapters}}}


@pytest.fixture
def client():
    machine = booted("svm")
    yield machine.client
    machine.node.check()
    for name in machine.client.keelctl("-o", "name", "system", "list").split():
        machine.client.keelctl("-q", "system", "delete", "--force", name)


def start(client, folder, name, adapters):
    upload(client)
    (folder / name).write_text(json.dumps(document(adapters)))
    client.keelctl("system", "create", name, "--file", folder / name, "--start")


def last(console, command):
    """The last line that a command prints; before it may be the end of a long command itself."""
    return console.run(command, STEP_S).split("\n")[-1]


def lease(console):
    """Gets an address from the user network's DHCP server; returns it."""
    console.run(LEASE_SCRIPT, STEP_S)
    console.run("ip link set eth0 up", STEP_S)
    console.run("udhcpc -i eth0 -n -q -t 10 -s /tmp/lease", STEP_S)
    return last(console, "ip -4 addr show dev eth0 | sed -n 's/.*inet \\([0-9.]*\\).*/\\1/p'")


def endpoint(client, *options):
    return client.keelctl("-o", "name", "endpoint", "create", *options).strip()


def addresses_of(client, name):
    return [adapter.get("IPv4Address") for adapter in client.json("system", "show", name)["NetworkAdapters"]]


def check_uplink(client, one, two):
    """Addresses from the user network's server; each other, and the node, which is there for its clients meanwhile."""
    assert last(one, "cat /sys/class/net/eth0/address") == "02:00:00:00:00:0a"
    addresses = [lease(console) for console in (one, two)]
    assert len({NODE, *addresses}) == 3 and all(a.startswith("10.0.2.") for a in addresses)
    assert [addresses_of(client, name)[0] for name in ("one", "two")] == addresses
    assert last(one, PING.format(addresses[1])) == "1"
    assert last(two, PING.format(addresses[0])) == "1"
    assert last(one, PING.format(NODE)) == "1"
    return addresses[1]


def check_transfer(one, two, address):
    """Segments that neither guest cuts nor sums up, and to the node, whose address takes none of that."""
    two.send_line("nc -l -p 7777 >/tmp/got; echo got-it")
    one.run(f"dd if=/dev/urandom of=/tmp/data bs=64k count={TRANSFER_KIB // 64} 2>/dev/null", STEP_S)
    one.run(f"until nc {address} 7777 </tmp/data; do :; done", STEP_S)
    two.wait_for("^got-it", STEP_S)
    sums = [last(console, f"sha256sum <{path}") for console, path in ((one, "/tmp/data"), (two, "/tmp/got"))]
    assert sums[0] == sums[1]
    assert last(one, f"nc -w 10 {NODE} 443 </dev/null && echo open") == "open"


def check_private(client, one, two):
    """A switch of their own, where VLANs are apart and a guest's address is its own."""
    for console, n in ((one, 1), (two, 2)):
        console.run(f"ip link set eth1 up; ip addr add 192.168.7.{n}/24 dev eth1", STEP_S)
        console.run(f"ip link set eth2 up; ip addr add 192.168.8.{n}/24 dev eth2", STEP_S)
    assert last(one, PING.format("192.168.7.2")) == "1"
    assert last(one, "ping -c 1 -W 2 192.168.8.2 | grep -c ' 100% packet loss'") == "1"  # another VLAN
    one.run("ip link set eth1 down; ip link set eth1 address 02:00:00:00:77:77; ip link set eth1 up", STEP_S)
    assert last(one, "ping -c 1 -W 2 192.168.7.2 | grep -c ' 100% packet loss'") == "1"
    ports = client.json("switch", "show", "lab")["Ports"]
    spoofed = {(p["SystemId"], p["Adapter"]): p["Dropped"]["Spoofed"] for p in ports}
    assert spoofed.pop(("one", 1)) > 0 and set(spoofed.values()) == {0}
    assert 'keelson_switch_port_received_frames_total{switch="default",port="uplink"}' in client.keelctl("node", "metrics")


def test_guests_on_switches(client, tmp_path):
    client.keelctl("switch", "create", "lab")
    made = {}
    for name, mac, vlan in (("one", "02-00-00-00-00-0A", 6), ("two", "02-00-00-00-00-0B", 7)):
        made[name] = [endpoint(client, "--switch", "lab", "--vlan", 5), endpoint(client, "--switch", "lab", "--vlan", vlan)]
        start(client, tmp_path, name, {"0": {"MacAddress": mac}, "1": {"EndpointId": made[name][0]}, "2": {"EndpointId": made[name][1]}})
    with client.console("one") as one, client.console("two") as two:
        for console in (one, two):
            wait_shell(console, 1, GUEST_BOOT_S)
        address = check_uplink(client, one, two)
        check_transfer(one, two, address)
        check_private(client, one, two)
        for name in ("one", "two"):
            client.keelctl("system", "stop", name)
            client.keelctl("system", "delete", name)
    for identifier in made["one"] + made["two"]:
        client.keelctl("endpoint", "delete", identifier)
    client.keelctl("switch", "delete", "lab")
