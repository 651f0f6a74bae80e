# SPDX-License-Identifier: Apache-2.0
"""An unmodified Debian kernel as a guest, from upload to power-off, on AMD-V (QEMU) and VT-x (Bochs)."""
import datetime

import pytest
from booted import Booted, booted
from linux_guest import (GUEST_BOOT_S, SMALL_CMDLINE, SMALL_READY, STEP_S, exit_type, run_ticks, start, state, upload,
                         upload_small, wait_shell)
from shell import ANSWER_S, Shell
from wire import Wire, labelled, metrics, pages, wait_settled

REQUESTS = 30
# How much slower a node may answer with all processors taken. The emulator's own processors are then never idle,
# so other programs on this machine count too; a node that starves is slower by orders of magnitude.
SLOWDOWN = 40
# The least that a VP may run beside others of the same weight, as part of what one of these runs: five share two
# processors, so with three on its processor it has four fifths of what they have on average.
FAIR = 0.5


@pytest.fixture(scope="module")
def machine():
    machine = booted("svm")
    upload(machine.client)
    return machine


@pytest.fixture
def client(machine):
    """Whatever a test started is gone afterwards, and with it all that it took."""
    before = pages(machine)
    yield machine.client
    for name in machine.client.keelctl("-o", "name", "system", "list").split():
        machine.client.keelctl("-q", "system", "delete", "--force", name)
    wait_settled(machine, before, pages)


def check_shell(console, cpus, step_s):
    """What makes a guest usable: arithmetic, processors, a clock of this century that goes on."""
    assert console.run("echo $((6*7))", step_s) == "42"
    assert console.run("nproc", step_s) == str(cpus)
    assert console.run("cat /proc/1/comm", step_s) == "init"
    year = int(console.run("date +%Y", step_s))
    assert year >= 2026 and year <= datetime.date.today().year + 1
    started = int(console.run("date +%s", step_s))
    assert int(console.run("sleep 1; date +%s", step_s)) > started


def check_counters(machine):
    """/metrics of a guest that has come to its shell: each VP ran, and its devices were used."""
    for vp in (0, 1):
        assert 0 < labelled(machine, "vp_run_seconds_total", system="one", vp=vp) < 1000
        assert labelled(machine, "vp_exits_total", system="one", vp=vp) > 100
    # In this order, since the guest goes on meanwhile.
    accesses = labelled(machine, "guest_port_accesses_total", system="one")
    by_ports = labelled(machine, "vp_exits_total", system="one", reason="io")
    assert 0 < accesses <= by_ports <= labelled(machine, "vp_exits_total", system="one")


def test_life_of_a_guest(machine, client):
    """Two processors; the shell answers. A reboot starts it again, the console's socket stays open, and history has both
    boots. Power-off is a graceful exit, and all memory comes back before the system is deleted."""
    before = pages(machine)
    start(client, "one", cpus=2)
    assert pages(machine)["hypervisor_mapped_pages"] - before["hypervisor_mapped_pages"] >= 256 << 8
    with client.console("one") as console:
        wait_shell(console, 2, GUEST_BOOT_S["svm"])
        check_shell(console, 2, STEP_S["svm"])
        check_counters(machine)
        console.send_line("reboot")
        wait_shell(console, 2, GUEST_BOOT_S["svm"])
        assert state(client, "one") == "Running"
        console.send_line("poweroff")
        assert console.wait_end(STEP_S["svm"]) == 0
    assert exit_type(client, "one", STEP_S["svm"]) == "GracefulExit"
    assert state(client, "one") == "Stopped"
    assert client.keelctl("system", "history", "one").count("keelson guest ready") == 2
    wait_settled(machine, before, pages)


def test_guest_above_4_gib():
    """Of a machine with 6 GiB QEMU puts 2 below 4 GiB: one run of 2.5 GiB is above."""
    with Booted("high", "svm", cpus=4, memory_mib=6144) as machine:
        assert "processors: 4 (ACPI MADT)" in machine.node.text and "8192 MiB the highest address" in machine.node.text
        node = machine.client.json("node", "show")
        assert node["ProcessorCount"] == 3  # the first runs no guests (arch/x86/svm/svm.c)
        assert node["Memory"]["TotalBytes"] > 5 << 30
        upload(machine.client)
        start(machine.client, "large", cpus=1, memory=2560)
        with machine.client.console("large") as console:
            wait_shell(console, 1, GUEST_BOOT_S["svm"])
            megabytes = int(console.run("free -m | sed -n 's/^Mem: *\\([0-9]*\\).*/\\1/p'", STEP_S["svm"]))
        assert 2300 < megabytes <= 2560
        machine.client.keelctl("system", "delete", "--force", "large")
        Shell(machine).node.send_line("poweroff")
        machine.wait_off(ANSWER_S["svm"])


def milliseconds_for_requests(machine):
    """What REQUESTS requests take by the node's own clock."""
    began = metrics(machine)["uptime_milliseconds"]
    with Wire(machine) as wire:
        for _ in range(REQUESTS):
            assert wire.request("GET", "/v1/hcs/systems").status == 200
    return metrics(machine)["uptime_milliseconds"] - began


def check_spinning(machine, spin, calm):
    """Busy loops on more VPs than there are processors: requests are answered at a comparable pace, and another
    busy guest's VP gets a share like theirs."""
    client = machine.client
    alone = milliseconds_for_requests(machine)
    spin.run("for i in 1 2 3 4; do (while :; do :; done) & done", STEP_S["svm"])
    calm.run("(while :; do :; done) & true", STEP_S["svm"])
    before = run_ticks(client)
    beside = milliseconds_for_requests(machine)
    spun, calmed = (run_ticks(client)[name] - before[name] for name in ("spin", "calm"))
    assert labelled(machine, "vp_wait_seconds_total", system="spin") > 0.1
    assert spin.run("echo alive", STEP_S["svm"]).endswith("alive")
    assert calm.run("echo alive", STEP_S["svm"]).endswith("alive")
    assert beside < SLOWDOWN * alone, f"{REQUESTS} requests: {alone} ms, {beside} ms beside a spinning guest"
    assert calmed > FAIR * spun / 4, f"ticks: {calmed} of one VP, {spun} of four"


def test_two_guests_at_once(machine, client):
    """Side by side, and spinning; one is terminated and the other does not notice; both return their memory."""
    before = pages(machine)
    start(client, "spin", cpus=4, memory=192)
    start(client, "calm", cpus=1, memory=128)
    with client.console("spin") as spin, client.console("calm") as calm:
        wait_shell(spin, 4, 2 * GUEST_BOOT_S["svm"])
        wait_shell(calm, 1, 2 * GUEST_BOOT_S["svm"])
        spin.run("hostname spin", STEP_S["svm"])
        assert calm.run("hostname", STEP_S["svm"]) == "guest"
        check_spinning(machine, spin, calm)
        client.keelctl("system", "stop", "spin")
        assert spin.wait_end(STEP_S["svm"]) == 0
        assert calm.run("echo $((6*7))", STEP_S["svm"]).endswith("42")
        client.keelctl("system", "stop", "calm")
        assert calm.wait_end(STEP_S["svm"]) == 0
    assert exit_type(client, "spin", 10) == exit_type(client, "calm", 10) == "ForcedExit"
    wait_settled(machine, before, pages)


def test_guests_on_vtx():
    """The main road once more in Bochs, in one boot of Linux: it is slow. A second guest, a small one, runs beside it."""
    machine = booted("vtx")
    client = machine.client
    upload(client)
    upload_small(client)
    before = pages(machine)
    start(client, "one", cpus=2)
    with client.console("one") as one:
        wait_shell(one, 2, GUEST_BOOT_S["vtx"])
        check_shell(one, 2, STEP_S["vtx"])
        Shell(machine).run_in_guest("one", "echo serial $((40+2))", "serial 42")
        one.wait_for(r"serial 42\s", STEP_S["vtx"])
        client.keelctl("system", "create", "two", "--kernel", "small", "--cmdline", SMALL_CMDLINE, "--memory", 64, "--start")
        with client.console("two") as two:
            two.wait_for(SMALL_READY, STEP_S["vtx"])
            assert one.run("echo $((6*7))", STEP_S["vtx"]) == "42"
            client.keelctl("system", "stop", "two")
            assert two.wait_end(STEP_S["vtx"]) == 0
        one.send_line("poweroff")
        assert one.wait_end(STEP_S["vtx"]) == 0
    assert exit_type(client, "one", STEP_S["vtx"]) == "GracefulExit"
    assert exit_type(client, "two", STEP_S["vtx"]) == "ForcedExit"
    wait_settled(machine, before, pages)
    for name in ("one", "two"):
        client.keelctl("system", "delete", name)
