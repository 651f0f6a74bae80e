# SPDX-License-Identifier: Apache-2.0
"""An unmodified Debian kernel as a guest, from upload to power-off, on AMD-V (QEMU) and VT-x (Bochs)."""
import datetime
import time

import pytest
from booted import booted
from linux_guest import exit_type, start, state, upload, wait_shell

GUEST_BOOT_S = {"svm": 240, "vtx": 900}
STEP_S = {"svm": 60, "vtx": 240}


@pytest.fixture(scope="module")
def machine():
    machine = booted("svm")
    upload(machine.client)
    return machine


@pytest.fixture
def client(machine):
    yield machine.client
    machine.node.check()
    for name in machine.client.keelctl("-o", "name", "system", "list").split():
        machine.client.keelctl("-q", "system", "delete", "--force", name)


def check_shell(console, cpus, step_s):
    """What makes a guest usable: arithmetic, processors, a clock of this century, poweroff."""
    assert console.run("echo $((6*7))", step_s) == "42"
    assert console.run("nproc", step_s) == str(cpus)
    assert console.run("cat /proc/1/comm", step_s) == "init"
    year = int(console.run("date +%Y", step_s))
    assert year >= 2026 and year <= datetime.date.today().year + 1
    started = int(console.run("date +%s", step_s))
    assert int(console.run("sleep 1; date +%s", step_s)) > started


def test_life_of_a_guest(client):
    """Two processors; the shell answers; power-off is a graceful exit; all memory comes back."""
    free = client.free_bytes()
    start(client, "one", cpus=2)
    assert free - client.free_bytes() >= 256 << 20
    with client.console("one") as console:
        wait_shell(console, 2, GUEST_BOOT_S["svm"])
        check_shell(console, 2, STEP_S["svm"])
        console.send_line("poweroff")
        assert console.wait_end(STEP_S["svm"]) == 0
    assert exit_type(client, "one", STEP_S["svm"]) == "GracefulExit"
    assert state(client, "one") == "Stopped"
    assert client.free_bytes() == free


def test_two_guests_at_once(client):
    """Side by side; one is terminated and the other does not notice; both return their memory."""
    free = client.free_bytes()
    start(client, "left", cpus=2, memory=192)
    start(client, "right", cpus=1, memory=192)
    with client.console("left") as left, client.console("right") as right:
        wait_shell(left, 2, 2 * GUEST_BOOT_S["svm"])
        wait_shell(right, 1, 2 * GUEST_BOOT_S["svm"])
        left.run("hostname left", STEP_S["svm"])
        assert right.run("hostname", STEP_S["svm"]) == "guest"
        client.keelctl("system", "stop", "left")
        assert left.wait_end(STEP_S["svm"]) == 0
        assert right.run("echo $((6*7))", STEP_S["svm"]) == "42"
        client.keelctl("system", "stop", "right")
        assert right.wait_end(STEP_S["svm"]) == 0
    assert exit_type(client, "left", 10) == exit_type(client, "right", 10) == "ForcedExit"
    assert client.free_bytes() == free


def test_reboot_keeps_the_console(client):
    """A guest's reboot starts it again; the console's socket stays open; history has both boots."""
    start(client, "again", cpus=1, memory=128)
    with client.console("again") as console:
        wait_shell(console, 1, GUEST_BOOT_S["svm"])
        console.send_line("reboot")
        wait_shell(console, 1, GUEST_BOOT_S["svm"])
        assert state(client, "again") == "Running"
        console.send_line("poweroff -f")
        assert console.wait_end(STEP_S["svm"]) == 0
    assert exit_type(client, "again", STEP_S["svm"]) == "GracefulExit"


def test_spinning_guest_leaves_the_api_responsive(client):
    """Busy loops on more VPs than there are processors; every request still comes back."""
    start(client, "spin", cpus=4, memory=192)
    with client.console("spin") as console:
        wait_shell(console, 4, 2 * GUEST_BOOT_S["svm"])
        console.run("for i in 1 2 3 4; do (while :; do :; done) & done", STEP_S["svm"])
        slowest = 0.0
        for _ in range(10):
            began = time.monotonic()
            client.keelctl("node", "show")
            slowest = max(slowest, time.monotonic() - began)
        # The measure of latency is the benchmark's; here it only must not starve.
        assert slowest < 20, f"{slowest:.1f} s for one request"
        assert console.run("echo alive", STEP_S["svm"]).endswith("alive")
    client.keelctl("system", "stop", "spin")


def test_guest_on_vtx():
    """All of it once more in Bochs, in one boot: it is slow."""
    machine = booted("vtx")
    client = machine.client
    assert client.curl("/v1/node", user=None)[0] == 401
    upload(client)
    free = client.free_bytes()
    start(client, "one", cpus=2)
    start(client, "two", cpus=1, memory=128)
    with client.console("one") as one, client.console("two") as two:
        wait_shell(one, 2, GUEST_BOOT_S["vtx"])
        assert one.run("echo $((6*7))", STEP_S["vtx"]) == "42"
        assert one.run("nproc", STEP_S["vtx"]) == "2"
        wait_shell(two, 1, GUEST_BOOT_S["vtx"])
        assert int(two.run("date +%Y", STEP_S["vtx"])) >= 2026
        client.keelctl("system", "stop", "two")
        one.send_line("poweroff")
        assert one.wait_end(STEP_S["vtx"]) == 0
    assert exit_type(client, "one", STEP_S["vtx"]) == "GracefulExit"
    assert exit_type(client, "two", STEP_S["vtx"]) == "ForcedExit"
    assert client.free_bytes() == free
    machine.node.check()
    machine.stop()
