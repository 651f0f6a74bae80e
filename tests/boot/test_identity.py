# SPDX-License-Identifier: Apache-2.0
"""Two nodes that are switched on in the same second of the same day have nothing in common that should be their own."""
import concurrent.futures
import contextlib
import ssl
import subprocess

import pytest
from booted import KERNEL, Booted
from packets import dhcp_transactions, frames, initial_sequence_numbers
from wire import Wire, document

POWER_ON = {"svm": ["-rtc", "base=2026-03-01T12:00:00"], "vtx": ["clock: sync=slowdown, time0=1772366400"]}
CONNECTIONS = 8
SYSSIZE_AT = 0x1f4  # Linux boot protocol: size of the code, in paragraphs
MACS = ["52:54:00:12:34:56", "52:54:00:12:34:57"]


def boot(engine, mac):
    """A small one of its own clock: every node of these is switched on at noon."""
    return Booted(f"twin-{engine}-{mac[-2:]}", engine, cpus=1, memory_mib=512, mac=mac, packet_log=True,
                  extra=POWER_ON[engine])


@pytest.fixture(scope="module", params=["svm", "vtx"])
def twins(request):
    # An emulator ends with the thread that started it: the threads stay until all is done.
    with concurrent.futures.ThreadPoolExecutor(len(MACS)) as pool, contextlib.ExitStack() as ends:
        started = [pool.submit(boot, request.param, mac) for mac in MACS]
        for each in concurrent.futures.wait(started).done:
            if each.exception() is None:
                ends.enter_context(each.result())
        yield [each.result() for each in started]


def certificate(machine):
    """(serial number, public key) of what the node shows."""
    pem = ssl.get_server_certificate(("127.0.0.1", machine.port))
    shown = subprocess.run(["openssl", "x509", "-noout", "-serial", "-pubkey"], input=pem, text=True,
                           capture_output=True, check=True, timeout=60)
    serial, key = shown.stdout.split("\n", 1)
    return serial, key


def kernel_without_code():
    """The beginning of a kernel whose header declares no more: enough to define a system, and soon uploaded."""
    data = bytearray(KERNEL.read_bytes()[:1 << 16])
    data[SYSSIZE_AT:SYSSIZE_AT + 4] = bytes(4)
    return bytes(data)


def runtime_ids(machine):
    """GUIDs of systems that have the same name and the same document on each node."""
    with Wire(machine) as wire:
        assert wire.request("PUT", "/v1/images/kernel", kernel_without_code()).status == 201
        for name in ("a", "b"):
            answer = wire.request("POST", f"/v1/hcs/systems/{name}", document("kernel", memory=128))
            assert answer.status < 300, answer
        return [wire.request("GET", f"/v1/hcs/systems/{name}/properties").json()["RuntimeId"] for name in ("a", "b")]


def sequence_numbers(machine):
    """Of some connections, as somebody on the wire sees them."""
    for _ in range(CONNECTIONS):
        Wire(machine).close()
    return initial_sequence_numbers(frames(machine.node.config.directory))


def test_clocks_agree(twins):
    """Both believe that it is the day that they were told, so the rest of this file says something."""
    times = [twin.client.json("node", "show")["Time"] for twin in twins]
    assert [time[:10] for time in times] == ["2026-03-01"] * 2


def test_keys(twins):
    one, two = twins
    assert one.client.secret != two.client.secret
    assert one.client.fingerprint != two.client.fingerprint
    for mine, others in zip(certificate(one), certificate(two)):
        assert mine != others


def test_guids(twins):
    ids = [each for twin in twins for each in runtime_ids(twin)]
    assert len(set(ids)) == 4


def test_numbers_on_the_wire(twins):
    """TCP's initial sequence numbers tell neither those of the other node nor the next one (RFC 6528)."""
    one, two = (sequence_numbers(twin) for twin in twins)
    assert len(one) >= CONNECTIONS and len(two) >= CONNECTIONS
    assert len(set(one + two)) == len(one + two)
    steps = [(b - a) % 2**32 for numbers in (one, two) for a, b in zip(numbers, numbers[1:])]
    assert len(set(steps)) == len(steps)
    transactions = [dhcp_transactions(frames(twin.node.config.directory)) for twin in twins]
    assert transactions[0] and transactions[1] and not transactions[0] & transactions[1]
