# SPDX-License-Identifier: Apache-2.0
"""From power-on to the API: machines of different shapes, machines that are refused, keelson.cfg, and the
program that runs nodes for people."""
import os
import pathlib
import re
import subprocess
import sys

import pytest
from booted import BUILD, Booted
from tools.emul import NodeConfig, start_node

ROOT = pathlib.Path(__file__).resolve().parents[2]
IMAGE = BUILD / "keelson.img"
LOADER_TIMEOUT_S = {"svm": 90, "vtx": 200}
RUN_TIMEOUT_S = 700

# Two processors and 1 GiB with ACPI (svm) and without (vtx) are what all other tests run on. name, engine,
# machine, what the loader and the hypervisor must have found.
MACHINES = [
    ("svm-small", "svm", dict(cpus=1, memory_mib=512), ["processors: 1 (ACPI MADT)", "host: xAPIC"]),
    ("svm-above-4g", "svm", dict(cpus=4, memory_mib=6144), ["processors: 4 (ACPI MADT)", "8192 MiB the highest address"]),
    ("svm-no-acpi", "svm", dict(acpi=False), ["processors: 2 (EFI MP Services)"]),
    ("svm-virtio-nvme", "svm", dict(nic="virtio-net-pci", disk_bus="nvme"), ["network: virtio"]),
    ("vtx-small-4cpu", "vtx", dict(cpus=4, memory_mib=512), ["processors: 4 (EFI MP Services)", "host: x2APIC"]),
    ("vtx-no-x2apic", "vtx", dict(cpus=1, cpu_model="corei5_arrandale_m520"), ["processors: 1 (", "host: xAPIC"]),
]

# name, engine, processor, the words that name what is missing.
REFUSED = [
    ("svm-no-virtualization", "svm", "qemu64,-svm", "neither VT-x nor AMD-V"),
    ("svm-no-npt", "svm", "EPYC,-npt", r"no nested paging \(NPT\)"),
    ("svm-no-nx", "svm", "EPYC,-nx", "no no-execute pages"),
    ("vtx-no-ept", "vtx", "core2_penryn_t9600", r"no EPT \(extended page tables\)"),
    ("vtx-no-unrestricted-guest", "vtx", "corei5_lynnfield_750", "no unrestricted guest mode"),
]


def rows(table):
    return pytest.mark.parametrize("row", table, ids=[row[0] for row in table])


@rows(MACHINES)
def test_machine_boots(row):
    name, engine, options, lines = row
    machine = Booted(f"loader-{name}", engine, **options)
    try:
        text = machine.node.text
        assert [line for line in lines if line not in text] == []
        assert machine.client.json("node", "show")["ProcessorCount"] == options.get("cpus", 2)
        machine.node.check()
    finally:
        machine.stop()


def boot_loader(name, engine, **options):
    """A machine that is watched only while the loader speaks."""
    return start_node(NodeConfig(directory=BUILD / "test" / "boot" / f"loader-{name}", image=IMAGE, engine=engine,
                                 **{"cpus": 1, "nic": "none", **options}))


@rows(REFUSED)
def test_machine_is_refused(row):
    name, engine, cpu_model, words = row
    with boot_loader(name, engine, cpu_model=cpu_model) as node:
        node.wait_for("Keelson cannot run on this machine:", LOADER_TIMEOUT_S[engine])
        node.wait_for(words, 10)
        assert "processor:" not in node.text


def test_configuration_is_used():
    text = "# Windows line ends and blanks\r\n  hostname = hull-7\r\nlog_level=debug\r\n"
    with boot_loader("config", "svm", config_text=text, nic="e1000") as node:
        node.wait_for("NodeReady hull-7:", LOADER_TIMEOUT_S["svm"])


def test_bad_configuration_does_not_stop_the_boot():
    """Too long, with a line in the middle of which it is cut, and a level that there is none of."""
    text = "log_level=loud\n" + "# 9\n" * 1500 + "hostname=never-read\n"
    with boot_loader("bad-config", "svm", config_text=text, nic="e1000") as node:
        node.wait_for("keelson.cfg is longer than 4095 bytes", LOADER_TIMEOUT_S["svm"])
        node.wait_for("log_level loud is not a level", 10)
        node.wait_for("NodeReady ", LOADER_TIMEOUT_S["svm"])
        assert "never-read" not in node.text


def test_serial_console_can_be_turned_off():
    """The firmware mirrors its console to the port: the loader's lines appear, nothing after them."""
    with boot_loader("no-console", "svm", config_text="console=none\n", nic="e1000") as node:
        node.wait_for("MiB the highest address", LOADER_TIMEOUT_S["svm"])
        with pytest.raises(AssertionError, match="within 10 s"):
            node.wait_for("Keelson .*svm|API ready", 10)
        assert "administrator secret" not in node.text


# ---- qemu-run.sh -----------------------------------------------------------------------------------------


def emul(folder, *arguments):
    """What qemu-run.sh does after building."""
    done = subprocess.run([sys.executable, "-m", "tools.emul", "--image", IMAGE, "--state-dir", folder, *arguments],
                          cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=RUN_TIMEOUT_S,
                          check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def works_in(folder):
    """Processes whose current folder this is: a node's emulator and its relay."""
    found = []
    for link in pathlib.Path("/proc").glob("[0-9]*/cwd"):
        try:
            if os.readlink(link) == str(folder):
                found.append(int(link.parent.name))
        except OSError:
            continue
    return found


def get(node, secret):
    url = (node / "url").read_text().strip()
    done = subprocess.run(["curl", "-sSk", "--max-time", "120", "-u", f"admin:{secret}", url + "v1/node"],
                          capture_output=True, text=True, timeout=150, check=False)
    return done.stdout


@pytest.mark.parametrize("engine, count", [("svm", 2), ("vtx", 1)])
def test_nodes_left_running(engine, count):
    """Detached nodes answer, have nothing secret in common, and are gone after --stop."""
    folder = BUILD / "test" / "boot" / f"run-{engine}"
    nodes = [folder / f"node{index}" for index in range(count)]
    try:
        said = emul(folder, "--engine", engine, "--nodes", str(count), "--detach", "--cpus", "1", "--memory", "1024")
        secrets = [(node / "secret").read_text().strip() for node in nodes]
        prints = [(node / "fingerprint").read_text().strip() for node in nodes]
        assert len(set(secrets)) == len(set(prints)) == count
        for node, secret in zip(nodes, secrets):
            assert re.fullmatch("[0-9a-f]{32}", secret) and secret not in said
            assert (node / "secret").stat().st_mode & 0o077 == 0
            assert works_in(node)
            assert '"Version"' in get(node, secret)
    finally:
        emul(folder, "--stop")
    assert [works_in(node) for node in nodes] == [[]] * count
    for node in nodes:
        (node / "disk.img").unlink(missing_ok=True)
