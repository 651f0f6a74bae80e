# SPDX-License-Identifier: Apache-2.0
"""From power-on to the API: machines of different shapes, machines that are refused, keelson.cfg, and the
program that runs nodes for people."""
import json
import os
import pathlib
import re
import subprocess
import sys
import threading

import pytest
from booted import BUILD, Booted
from packets import dhcp_transactions, frames
from shell import ANSWER_S, Shell
from tools.emul import NodeConfig, start_node
from tools.emul.config import USUAL_CPUS

ROOT = pathlib.Path(__file__).resolve().parents[2]
IMAGE = BUILD / "keelson.img"
LOADER_TIMEOUT_S = {"svm": 120, "vtx": 300}
RUN_TIMEOUT_S = 700

# Two processors and 1 GiB with ACPI (svm) and without (vtx) are what all other tests run on; 4 processors and 6 GiB have a test
# in test_linux_guest.py. name, engine, machine, what the loader, the hypervisor and the management partition must have found.
MACHINES = [
    ("svm-small", "svm", dict(cpus=1, memory_mib=512, nic="e1000e"),
     ["processors: 1 (ACPI MADT)", "host: xAPIC", "network: e1000e at"]),
    ("svm-no-acpi", "svm", dict(acpi=False), ["processors: 3 (EFI MP Services)"]),
    ("svm-virtio-nvme", "svm", dict(nic="virtio-net-pci", disk_bus="nvme"), ["network: virtio"]),
    ("svm-strange-devices", "svm", dict(extra=["-device", "rtl8139,romfile=", "-device", "lsi53c895a,romfile="]),
     ["network: no driver for 10ec:8139 at", "storage: no driver for 1000:0012 at", "network: e1000 at"]),
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

CONFIG = """# Windows line ends and blanks
  hostname = hull-7
log_level=debug
network = static
address =10.0.2.15
netmask= 255.255.255.0
gateway = 10.0.2.2
colour = blue
ntp
hostname = no_good
""".replace("\n", "\r\n")
COMPLAINTS = ["line 8: unknown key", "line 9: not of the form key = value", "line 10: not a host name"]


def rows(table):
    return pytest.mark.parametrize("row", table, ids=[row[0] for row in table])


@rows(MACHINES)
def test_machine(row):
    """Boots, answers a request, and switches itself off."""
    name, engine, options, lines = row
    with Booted(f"loader-{name}", engine, **options) as machine:
        text = machine.node.text
        assert [line for line in lines if line not in text] == []
        node = machine.client.json("node", "show")
        cpus = options.get("cpus", USUAL_CPUS[engine])
        spare = 1 if engine == "svm" and cpus > 1 else 0  # arch/x86/svm/svm.c
        assert node["ProcessorCount"] == cpus - spare
        # The rest is the hypervisor's, the firmware's, and a heap of a sixteenth or 64 MiB.
        assert node["Memory"]["TotalBytes"] > (options.get("memory_mib", 1024) << 20) * 3 // 4
        Shell(machine).node.send_line("poweroff")
        machine.wait_off(ANSWER_S[engine])


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
    with Booted("config", "svm", config_text=CONFIG, packet_log=True) as machine:
        assert machine.client.json("node", "show")["Hostname"] == "hull-7"
        assert dhcp_transactions(frames(machine.node.config.directory)) == set()
        assert Shell(machine).run("hv loglevel") == "4 (debug)"
        said = re.findall(r"keelson\.cfg (line .*?)\r", machine.node.text)
        assert said == COMPLAINTS


def test_bad_configuration_does_not_stop_the_boot():
    """Too long, with a line in the middle of which it is cut, a level and a port that there is none of."""
    text = "log_level=loud\nconsole = com7\n" + "# 9\n" * 1500 + "hostname=never-read\n"
    with boot_loader("bad-config", "svm", config_text=text, nic="e1000") as node:
        node.wait_for("keelson.cfg is longer than 4095 bytes", LOADER_TIMEOUT_S["svm"])
        node.wait_for("keelson.cfg line 2: console com7 is none of com1, com2, none; using com1", 10)
        node.wait_for("keelson.cfg line 1: log_level loud is not a level, using info", 10)
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
    """The command of qemu-run.sh after building."""
    return [sys.executable, "-m", "tools.emul", "--image", IMAGE, "--state-dir", folder, *map(str, arguments)]


def run_emul(folder, *arguments):
    done = subprocess.run(emul(folder, *arguments), cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=RUN_TIMEOUT_S, check=False)
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
    """The node's description of itself, by the address that was left for clients."""
    url = (node / "url").read_text().strip()
    done = subprocess.run(["curl", "-sSk", "--max-time", "120", "-u", f"admin:{secret}", url + "v1/node"],
                          capture_output=True, text=True, timeout=150, check=True)
    return json.loads(done.stdout)


# name, options, nodes, engine that they then say they have.
LEFT_RUNNING = [
    ("svm", ["--engine", "svm", "--nodes", 2, "--cpus", 1, "--memory", 768], 2, "svm"),
    ("vtx", ["--engine", "vtx", "--cpus", 1, "--memory", 768], 1, "vmx"),
]


@rows(LEFT_RUNNING)
def test_nodes_left_running(row):
    """Detached nodes are as ordered, answer, have nothing secret in common, and are gone after --stop."""
    name, options, count, engine = row
    folder = BUILD / "test" / "boot" / f"run-{name}"
    nodes = [folder / f"node{index}" for index in range(count)]
    try:
        said = run_emul(folder, "--detach", *options)
        secrets = [(node / "secret").read_text().strip() for node in nodes]
        prints = [(node / "fingerprint").read_text().strip() for node in nodes]
        assert len(set(secrets)) == len(set(prints)) == count
        for node, secret in zip(nodes, secrets):
            assert re.fullmatch("[0-9a-f]{32}", secret) and secret not in said
            assert (node / "secret").stat().st_mode & 0o077 == 0
            assert works_in(node)
            answer = get(node, secret)
            assert (answer["Engine"], answer["ProcessorCount"]) == (engine, 1)
            assert 512 << 20 < answer["Memory"]["TotalBytes"] < 768 << 20
    finally:
        run_emul(folder, "--stop")
    assert [works_in(node) for node in nodes] == [[]] * count
    for node in nodes:
        (node / "disk.img").unlink(missing_ok=True)


def read_until(process, words):
    text = ""
    while words not in text:
        piece = os.read(process.stdout.fileno(), 65536).decode(errors="replace")
        assert piece, text
        text += piece
    return text


def test_node_with_a_terminal(tmp_path):
    """The engine chosen by trying, a disk of one's own, and the console joined with this process's terminal."""
    disk = tmp_path / "my.img"
    disk.write_bytes(IMAGE.read_bytes())
    folder = BUILD / "test" / "boot" / "run-terminal"
    with subprocess.Popen(emul(folder, "--engine", "auto", "--disk", disk), cwd=ROOT, stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as process:
        watchdog = threading.Timer(RUN_TIMEOUT_S, process.kill)
        watchdog.start()
        try:
            said = read_until(process, "keelson> ")
            assert re.search(r"^engine: (kvm|svm \(no usable KVM with nested virtualization\))$", said, re.MULTILINE)
            assert re.search(r"^node0: API at https://127\.0\.0\.1:\d+/$", said, re.MULTILINE)
            assert not (folder / "node0" / "disk.img").exists()
            process.stdin.write(b"version\r")
            process.stdin.flush()
            read_until(process, "Keelson ")
            process.stdin.write(b"poweroff\r")
            process.stdin.flush()
            process.communicate(timeout=60)
        finally:
            watchdog.cancel()
            process.terminate()
    assert process.returncode == 0
    assert works_in(folder / "node0") == []
