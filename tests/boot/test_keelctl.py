# SPDX-License-Identifier: Apache-2.0
"""keelctl against keelson-sim: the real API on this machine, over a simulated hypervisor with scripted guests."""
import hashlib
import json
import os
import pathlib
import pty
import re
import select
import signal
import socket
import subprocess
import threading
import time
import urllib.parse

import pytest
from booted import BUILD, KEELCTL
from tests.sim.simulated import Simulation

USAGE, UNREACHABLE, CREDENTIALS, TIMEOUT = 2, 3, 4, 5
ANSWER_S = 60


@pytest.fixture(scope="module")
def sim():
    simulation = Simulation()
    yield simulation
    simulation.stop()


class Keelctl:
    """keelctl with a configuration folder of its own."""

    def __init__(self, sim, folder):
        self.sim = sim
        self.folder = folder
        clean = {k: v for k, v in os.environ.items() if not k.startswith("KEELSON_")}
        self.env = dict(clean, KEELSON_CONFIG_DIR=str(folder), KEELSON_NODE=sim.url, KEELSON_SECRET=sim.secret,
                        KEELSON_FINGERPRINT=sim.fingerprint)

    def __call__(self, *arguments, status=0, stdin=b"", without=(), **environment):
        """Returns (standard output, standard error)."""
        env = {k: v for k, v in self.env.items() if k not in without}
        done = subprocess.run([KEELCTL, *map(str, arguments)], env=dict(env, **environment), input=stdin,
                              capture_output=True, timeout=ANSWER_S, check=False)
        assert done.returncode == status, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout.decode(), done.stderr.decode()

    def json(self, *arguments):
        return json.loads(self("-o", "json", *arguments)[0])


@pytest.fixture
def keelctl(sim, tmp_path):
    k = Keelctl(sim, tmp_path / "config")
    yield k
    for name in k("-o", "name", "system", "list")[0].split():
        k("system", "delete", "--force", name)
    for name in k("-o", "name", "image", "list")[0].split():
        k("image", "delete", name)


@pytest.fixture
def kernel(keelctl):
    """A Linux kernel on the node."""
    keelctl("image", "put", "vmlinuz", pathlib.Path(os.environ.get("KEELSON_DEPS", BUILD / "deps")) / "linux" / "vmlinuz")
    return "vmlinuz"


# ---- the command line ------------------------------------------------------------------------------


def test_help_names_every_command(keelctl):
    text = keelctl("--help")[0]
    for words in ("image put NAME FILE", "system create ID", "system console ID", "node reboot", "operation wait"):
        assert words in text
    assert "--memory" in keelctl("system", "create", "--help")[0]
    assert "--memory" not in keelctl("system", "list", "--help")[0]
    assert re.match(r"keelctl \d+\.\d+", keelctl("--version")[0])


@pytest.mark.parametrize("arguments", [
    [], ["nonsense"], ["system"], ["system", "nonsense"], ["system", "start"], ["system", "start", "a", "b"],
    ["image", "list", "--memory", "1"], ["--output", "xml", "image", "list"], ["--nonsense"],
    ["system", "create", "x"], ["system", "create", "x", "--kernel", "k", "--memory", "much"],
    ["system", "create", "x", "--kernel", "k", "--memory", "64", "--address", "192.0.2.7/24"],
    ["system", "create", "x", "--kernel", "k", "--memory", "64", "--user-data", "/nonexistent"],
    ["system", "create", "x", "--kernel", "k", "--memory", "64", "--ssh-key", "/dev/null"],
    ["system", "create", "x", "--file", "-", "--hostname", "x"],
    ["system", "create", "x", "--file", "/nonexistent"], ["system", "create", "x", "--file", "-", "--memory", "1"],
    ["--fingerprint", "12", "node", "show"], ["--node", "http://127.0.0.1", "node", "show"],
    ["--node", "ftp://x", "node", "show"], ["--secret", "/nonexistent", "node", "show"],
])
def test_usage_errors(keelctl, arguments):
    assert keelctl(*arguments, status=USAGE)[1]


def test_options_may_follow_words(keelctl):
    assert json.loads(keelctl("node", "show", "-o", "json")[0])["Engine"] == "sim"


# ---- which node, which credentials, which certificate ------------------------------------------------


def test_environment_alone(keelctl):
    assert "keelson-sim" in keelctl("node", "show")[0]


def test_configuration_file(keelctl, sim):
    keelctl.folder.mkdir()
    (keelctl.folder / "secret").write_text(sim.secret + "\n")
    (keelctl.folder / "secret").chmod(0o600)
    (keelctl.folder / "config").write_text(f"# mine\nnode = {sim.url}\nfingerprint={sim.fingerprint.lower()}\n")
    out, err = keelctl("node", "show", without=("KEELSON_NODE", "KEELSON_SECRET", "KEELSON_FINGERPRINT"))
    assert "keelson-sim" in out and err == ""
    (keelctl.folder / "config").write_text("nodes = x\n")
    assert "config:1: unknown key 'nodes'" in keelctl("node", "show", status=USAGE)[1]
    (keelctl.folder / "config").unlink()


def test_secret_sources(keelctl, sim, tmp_path):
    path = tmp_path / "s"
    path.write_text(sim.secret)
    path.chmod(0o644)
    assert "can be read by others" in keelctl("--secret", path, "node", "show", KEELSON_SECRET="wrong")[1]
    path.chmod(0o600)
    assert keelctl("node", "show", without=("KEELSON_SECRET",), KEELSON_SECRET_FILE=str(path))[1] == ""
    keelctl("--secret", "-", "node", "show", stdin=sim.secret.encode() + b"\n", without=("KEELSON_SECRET",))
    assert "no administrator secret" in keelctl("node", "show", status=USAGE, without=("KEELSON_SECRET",))[1]


def test_wrong_secret(keelctl):
    err = keelctl("node", "show", status=CREDENTIALS, KEELSON_SECRET="0" * 32)[1]
    assert "401" in err and "remedy" in err


def test_unknown_node_is_not_trusted_silently(keelctl, sim):
    err = keelctl("node", "show", status=UNREACHABLE, without=("KEELSON_FINGERPRINT",))[1]
    assert sim.fingerprint in err and not (keelctl.folder / "known_nodes").exists()


def test_trust_on_first_use(keelctl, sim):
    without = ("KEELSON_FINGERPRINT",)
    keelctl("--accept-new", "node", "show", without=without)
    known = (keelctl.folder / "known_nodes").read_text()
    assert known.split()[1] == sim.fingerprint.replace(":", "").lower()
    assert keelctl("node", "show", without=without)[1] == ""


def test_changed_certificate(keelctl, sim):
    """Refused before anything is sent; --accept-new does not help; `node trust` does, and keeps other nodes."""
    without = ("KEELSON_FINGERPRINT",)
    name = sim.url.split("/")[2]
    keelctl.folder.mkdir()
    known = keelctl.folder / "known_nodes"
    known.write_text(f"{name} {'0' * 64}\nother:443 {'1' * 64}\n")
    err = keelctl("node", "show", "--accept-new", status=UNREACHABLE, without=without)[1]
    assert sim.fingerprint in err and "is not the node that is trusted" in err
    keelctl("node", "trust", "2" * 64, status=UNREACHABLE, without=without)
    keelctl("node", "trust", sim.fingerprint, without=without + ("KEELSON_SECRET",))
    assert keelctl("node", "show", without=without)[0]
    assert f"other:443 {'1' * 64}" in known.read_text() and "0" * 64 not in known.read_text()


def test_pin_that_does_not_fit(keelctl):
    keelctl("node", "show", "--fingerprint", "ab" * 32, status=UNREACHABLE)
    keelctl("node", "show", "--insecure")


def test_nobody_there(keelctl):
    assert "connect" in keelctl("--node", "https://127.0.0.1:1", "node", "show", status=UNREACHABLE)[1]


# ---- images ----------------------------------------------------------------------------------------


def test_image_from_file_and_pipe(keelctl, tmp_path):
    content = os.urandom(300_000)
    digest = hashlib.sha256(content).hexdigest()
    (tmp_path / "f").write_bytes(content)
    assert digest in keelctl("image", "put", "from-file", tmp_path / "f")[0]
    assert digest in keelctl("image", "put", "from-pipe", "-", stdin=content)[0]
    listing = keelctl.json("image", "list")["Images"]
    assert {i["Name"]: i["Sha256"] for i in listing} == {"from-file": digest, "from-pipe": digest}
    assert "293 KiB" in keelctl("image", "list")[0]
    assert digest in keelctl("image", "show", "from-file")[0]
    keelctl("image", "delete", "from-pipe")
    assert keelctl("-o", "name", "image", "list")[0] == "from-file\n"


def test_empty_image(keelctl, tmp_path):
    (tmp_path / "empty").write_bytes(b"")
    done = subprocess.run([KEELCTL, "image", "put", "empty", tmp_path / "empty"], env=keelctl.env, check=False,
                          capture_output=True, timeout=ANSWER_S)
    assert done.returncode in (0, 1)  # the node decides; keelctl neither hangs nor dies


def test_image_errors(keelctl, tmp_path):
    assert "E_FILE_NOT_FOUND (0x80070002)" in keelctl("image", "show", "none", status=1)[1]
    assert "No such file" in keelctl("image", "put", "x", tmp_path / "none", status=1)[1]
    assert "directory" in keelctl("image", "put", "x", tmp_path, status=1)[1]
    keelctl("image", "put", "bad/name", "-", stdin=b"x", status=1)


# ---- systems ---------------------------------------------------------------------------------------


# ---- a node with a state partition: uploads that go on, disks ----------------------------------------


@pytest.fixture(scope="module")
def kept_sim(tmp_path_factory):
    simulation = Simulation(tmp_path_factory.mktemp("state") / "state.img")
    yield simulation
    simulation.stop()


@pytest.fixture
def kept(kept_sim, tmp_path):
    return Keelctl(kept_sim, tmp_path / "config")


class Cutter(threading.Thread):
    """A port that leads to the node, and cuts each connection that has carried as many bytes as the list says next."""

    def __init__(self, url, limits):
        super().__init__(daemon=True)
        host, port = urllib.parse.urlsplit(url).netloc.split(":")
        self.target = (host, int(port))
        self.limits = limits
        self.cuts = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://127.0.0.1:{self.listener.getsockname()[1]}"
        self.start()

    def run(self):
        while True:
            try:
                client = self.listener.accept()[0]
            except OSError:
                return
            self.carry(client)

    def carry(self, client):
        """One connection; keelctl has one at a time."""
        carried = 0
        with client, socket.create_connection(self.target) as node:
            while True:
                for source in select.select([client, node], [], [])[0]:
                    data = source.recv(1 << 16)
                    if not data:
                        return
                    (node if source is client else client).sendall(data)
                    carried += len(data) if source is client else 0
                if self.limits and carried > self.limits[0]:
                    self.limits.pop(0)
                    self.cuts += 1
                    return


def test_an_upload_goes_on_after_lost_connections(kept, kept_sim, tmp_path):
    content = os.urandom(1 << 20) * 33 + b"the end"
    (tmp_path / "large").write_bytes(content)
    cutter = Cutter(kept_sim.url, [9 << 20, 5 << 20, 3 << 20])
    out, err = kept("image", "put", "large", tmp_path / "large", KEELSON_NODE=cutter.url)
    cutter.listener.close()
    assert cutter.cuts == 3
    places = [int(place) for place in re.findall(r"large: going on at byte (\d+)", err)]
    assert places == sorted(places) and len(places) == 3 and places[0] > 4 << 20, err
    digest = hashlib.sha256(content).hexdigest()
    assert digest in out
    image = kept.json("image", "show", "large")
    assert image["Size"] == len(content) and image["Sha256"].lower() == digest
    # What an earlier run has left is used by a later one.
    kept("image", "delete", "large")
    cutter = Cutter(kept_sim.url, [9 << 20])
    process = subprocess.Popen([KEELCTL, "image", "put", "large", tmp_path / "large"], stderr=subprocess.PIPE,
                               env=dict(kept.env, KEELSON_NODE=cutter.url), stdout=subprocess.DEVNULL)
    while b"large: going on" not in process.stderr.readline():
        assert process.poll() is None
    process.kill()
    process.wait()
    cutter.listener.close()
    assert digest in kept("image", "put", "large", tmp_path / "large")[0]
    assert kept.json("image", "list")["Uploads"] == []
    kept("image", "delete", "large")


def test_foreign_disk_formats_are_converted(kept, tmp_path):
    """By qemu-img; here by a script of that name that shows how it was called."""
    tool = tmp_path / "bin" / "qemu-img"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\n[ $# = 7 ] || exit 3\n[ -s \"$6\" ] || exit 4\necho \"$1 $2 $3 $4 $5\" >\"$7\"\n")
    tool.chmod(0o755)
    path = f"{tool.parent}:{os.environ['PATH']}"
    files = {"qcow2": b"QFI\xfb" + bytes(1020), "vhdx": b"vhdxfile" + bytes(1016), "vpc": bytes(1024) + b"conectix" + bytes(504)}
    for form, content in files.items():
        (tmp_path / form).write_bytes(content)
        kept("image", "put", form, tmp_path / form, PATH=path)
        expected = f"convert -f {form} -O raw\n".encode()
        assert kept.json("image", "show", form)["Sha256"].lower() == hashlib.sha256(expected).hexdigest()
        kept("image", "put", form, tmp_path / form, "--raw", PATH=path)
        assert kept.json("image", "show", form)["Sha256"].lower() == hashlib.sha256(content).hexdigest()
    assert "qemu-utils" in kept("image", "put", "x", tmp_path / "qcow2", status=1, PATH="/nonexistent")[1]
    tool.write_text("#!/bin/sh\nexit 1\n")
    assert "could not convert" in kept("image", "put", "x", tmp_path / "qcow2", status=1, PATH=path)[1]
    for form in files:
        kept("image", "delete", form)


def test_disks(kept):
    assert kept("disk", "create", "root", "--size", "1G")[0] == "root: created, 1.0 GiB\n"
    assert kept.json("disk", "show", "root")["Size"] == 1 << 30
    kept("disk", "resize", "root", "1500M")
    kept("disk", "snapshot", "root", "then")
    kept("disk", "create", "other", "--snapshot", "then")
    assert "upon" in kept("disk", "show", "other")[0]
    rows = [line.split() for line in kept("disk", "list")[0].splitlines()]
    assert [row[:2] for row in rows[1:]] == [["other", "disk"], ["root", "disk"], ["then", "snapshot"]]
    assert "E_BUSY" in kept("disk", "delete", "then", status=1)[1]
    for arguments in (["create", "x"], ["create", "x", "--size", "1X"], ["create", "x", "--size", "1G", "--image", "a", "--snapshot", "b"],
                      ["resize", "x", "-1"], ["create", "x", "--size", "20000G"]):
        assert kept("disk", *arguments, status=USAGE)[1]
    assert kept("-o", "name", "disk", "list")[0].split() == ["other", "root", "then"]
    for name in ("other", "root", "then"):
        kept("disk", "delete", name)


def test_life_by_short_options(keelctl, kernel):
    assert keelctl("system", "create", "a", "-k", kernel, "-m", "128", "-c", "2", "--start")[0] == "a: created\na: started\n"
    assert re.search(r"^a +Running +keelctl", keelctl("system", "list")[0], re.MULTILINE)
    shown = keelctl("system", "show", "a")[0]
    assert re.search(r"^processors +2$", shown, re.MULTILINE) and "128 MiB assigned" in shown
    keelctl("system", "wait", "a", "--timeout", "1", status=TIMEOUT)
    assert keelctl("system", "pause", "a")[0] == "a: paused\n"
    keelctl("system", "resume", "a")
    keelctl("system", "delete", "a", status=1)
    keelctl("system", "terminate", "a")
    assert "ForcedExit" in keelctl("system", "wait", "a")[0]
    keelctl("system", "delete", "a")
    assert keelctl("-o", "name", "system", "list")[0] == ""


def test_life_by_document(keelctl, kernel):
    document = {"Owner": "me", "SchemaVersion": {"Major": 2, "Minor": 1}, "VirtualMachine": {
        "Chipset": {"LinuxKernelDirect": {"KernelFilePath": kernel}},
        "ComputeTopology": {"Memory": {"SizeInMB": 96}}, "Devices": {"ComPorts": {"0": {}}}}}
    keelctl("system", "create", "doc", "--file", "-", stdin=json.dumps(document).encode())
    assert keelctl.json("system", "properties", "doc")["Owner"] == "me"
    assert "Statistics" in keelctl.json("system", "properties", "doc", "--types", "Memory,Statistics")
    operation = json.loads(keelctl("-o", "json", "system", "start", "doc", "--no-wait")[0])
    assert keelctl.json("operation", "wait", operation["Id"])["ResultName"] == "S_OK"
    keelctl("operation", "delete", operation["Id"])
    keelctl("system", "delete", "--force", "doc")


def test_networks(keelctl, kernel):
    """A switch, an endpoint on it, and a system's adapter on that."""
    assert keelctl("switch", "create", "lab")[0] == "lab: created\n"
    made = keelctl("-o", "name", "endpoint", "create", "--switch", "lab", "--mac", "02-00-00-00-00-0A", "--vlan", "5",
                   "--tagged", "7,6", "--rate", "125000", "--allow-spoofing")[0].strip()
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", made)
    assert re.search(rf"^{made} +lab +02-00-00-00-00-0A +5 +6-7 +125000 +no$", keelctl("endpoint", "list")[0], re.MULTILINE)
    keelctl("endpoint", "create", "--vlan", "4095", status=USAGE)
    keelctl("endpoint", "create", "not-a-guid", status=1)
    keelctl("system", "create", "web", "-k", kernel, "-m", "96", "--nic", made, "--start")
    assert re.search(r"^adapter +02-00-00-00-00-0A on lab, address -$", keelctl("system", "show", "web")[0], re.MULTILINE)
    assert re.search(r"^web #0 +02-00-00-00-00-0A +- +5 \+ 6-7 ", keelctl("switch", "show", "lab")[0], re.MULTILINE)
    assert complete(keelctl, "switch", "show", "l") == ["lab"]
    keelctl("endpoint", "delete", made, status=1)
    keelctl("system", "delete", "--force", "web")
    keelctl("endpoint", "delete", made)
    keelctl("switch", "delete", "lab")
    assert keelctl("-o", "name", "switch", "list")[0] == "default\n"


def test_seeds(keelctl, kernel, tmp_path):
    """The options become a seed; what is wrong in it is refused at its place."""
    def create(*arguments, status=0):
        return keelctl("system", "create", "cloud", "-k", kernel, "-m", "96", "--nic", "default", *arguments, status=status)

    keys = tmp_path / "keys"
    keys.write_text("# mine\nssh-ed25519 AAAA me@here\n\n  ecdsa-sha2-nistp256 BBBB\r\n")
    create("--hostname", "web", "--user", "admin", "--ssh-key", keys, "--address", "192.0.2.7/24", "--gateway", "192.0.2.1",
           "--dns", "192.0.2.1,192.0.2.2", "--start")
    keelctl("system", "delete", "--force", "cloud")
    create("--ssh-key", "ssh-ed25519 AAAA me@here", "--network-config", keys)
    keelctl("system", "delete", "--force", "cloud")
    for arguments, place in ((("--hostname", "a_b"), "HostName"), (("--user", "Me"), "User"),
                             (("--ssh-key", "ssh-rsa AAAA \u00e4"), "SshAuthorizedKeys[0]"),
                             (("--address", "192.0.2.7"), 'NetworkAdapters["0"].Address'),
                             (("--gateway", "192.0.2.1"), 'NetworkAdapters["0"].Gateway'),
                             (("--dns", "dns"), 'NetworkAdapters["0"].NameServers[0]'),
                             (("--user", "me", "--user-data", keys), "User")):
        assert f"at $.VirtualMachine.Devices.NoCloud.{place}\n" in create(*arguments, status=1)[1]
    keys.write_text("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n")
    assert f"{keys}.pub" in create("--ssh-key", keys, status=USAGE)[1]


def test_errors_name_place_and_remedy(keelctl, kernel):
    err = keelctl("system", "create", "x", "-k", kernel, "-m", "128", "-c", "9", status=1)[1]
    assert "E_INVALIDARG (0x80070057)" in err
    assert "$.VirtualMachine.ComputeTopology.Processor.Count" in err
    assert re.search(r"found +9\n", err) and re.search(r"expected +an integer", err) and "remedy" in err
    err = keelctl("-o", "json", "system", "create", "x", "-k", kernel, "-m", "128", "-c", "9", status=1)[1]
    assert json.loads(err)["ErrorName"] == "E_INVALIDARG"
    assert "HCS_E_SYSTEM_NOT_FOUND" in keelctl("system", "start", "none", status=1)[1]


def test_node_is_not_ended_over_running_systems(keelctl, kernel):
    keelctl("system", "create", "busy", "-k", kernel, "-m", "96", "--start")
    assert "--force" in keelctl("node", "reboot", status=1)[1]


def test_events_and_operations(keelctl, kernel):
    keelctl("system", "create", "seen", "-k", kernel, "-m", "96", "--start")
    assert re.search(r"SystemStarted +seen", keelctl("event", "list")[0])
    assert keelctl("events")[0] == keelctl("event", "list")[0]
    assert re.search(r"Start +seen +Completed +S_OK", keelctl("operation", "list")[0])
    assert "seen" in keelctl("node", "partitions")[0]
    assert "keelson_systems_running 1" in keelctl("node", "metrics")[0]


def test_foreign_text_cannot_command_the_terminal(keelctl, kernel):
    keelctl("system", "create", "evil", "-k", kernel, "-m", "96", "--owner", "\x1b]0;owned\x07\x1b[2J")
    out = keelctl("system", "list")[0]
    assert "\x1b" not in out and "\x07" not in out


# ---- consoles --------------------------------------------------------------------------------------


def test_console_through_pipes(keelctl, kernel):
    keelctl("system", "create", "c", "-k", kernel, "-m", "96", "--start")
    out = keelctl("system", "console", "c", stdin=b"hello\rpoweroff\r")[0]
    assert "simulated guest" in out and "hello" in out and "powering off" in out
    assert "GracefulExit" in keelctl("system", "wait", "c", "--timeout", "20")[0]
    assert "simulated guest" in keelctl("system", "history", "c")[0]


def test_console_idle_and_new(keelctl, kernel):
    keelctl("system", "create", "c", "-k", kernel, "-m", "96", "--start")
    assert "simulated guest" in keelctl("system", "console", "c", "--idle", "1")[0]
    out = keelctl("system", "console", "c", "--new", "--idle", "1", stdin=b"fresh\r")[0]
    assert "fresh" in out and "simulated guest" not in out


def test_console_refusals(keelctl, kernel):
    assert "HCS_E_SYSTEM_NOT_FOUND" in keelctl("system", "console", "none", status=1)[1]
    keelctl("system", "create", "c", "-k", kernel, "-m", "96")
    assert "ComPorts" in keelctl("system", "console", "c", "--port", "1", status=1)[1]
    keelctl("system", "console", "c", "--port", "7", status=USAGE)
    keelctl("system", "console", "c", KEELSON_SECRET="0" * 32, status=CREDENTIALS)


class Terminal:
    """keelctl on a pseudo-terminal."""

    def __init__(self, keelctl, *arguments):
        self.text = b""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execve(KEELCTL, [str(KEELCTL), *arguments], keelctl.env)

    def _read(self, seconds):
        """Appends what comes; False when nothing does."""
        try:
            ready = select.select([self.fd], [], [], seconds)[0]
            data = os.read(self.fd, 4096) if ready else b""
        except OSError:  # the other side is closed
            data = b""
        self.text += data
        return bool(data)

    def wait_for(self, wanted):
        deadline = time.monotonic() + ANSWER_S
        while wanted not in self.text:
            left = deadline - time.monotonic()
            assert left > 0 and self._read(left), f"no {wanted!r} in {self.text!r}"

    def wait_end(self):
        """The exit status; kills a process that does not end."""
        deadline = time.monotonic() + ANSWER_S
        while time.monotonic() < deadline:
            self._read(0.1)
            done, status = os.waitpid(self.pid, os.WNOHANG)
            if done:
                while self._read(0):  # its last words are in the terminal's buffer
                    pass
                os.close(self.fd)
                return status
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        raise AssertionError(f"keelctl does not end: {self.text!r}")


def test_console_on_a_terminal(keelctl, kernel):
    """Raw mode while attached: Ctrl-C goes to the guest, Ctrl-] leaves and gives the terminal back."""
    keelctl("system", "create", "tty", "-k", kernel, "-m", "96", "--start")
    terminal = Terminal(keelctl, "system", "console", "tty")
    terminal.wait_for(b"Ctrl-] leaves")
    terminal.wait_for(b"simulated guest")
    os.write(terminal.fd, b"\x03typed\r")
    terminal.wait_for(b"typed")
    os.write(terminal.fd, b"\x1d")
    assert terminal.wait_end() == 0
    assert keelctl.json("system", "properties", "tty")["State"] == "Running"


def test_progress_bar_on_a_terminal(keelctl, tmp_path):
    (tmp_path / "f").write_bytes(os.urandom(4_000_000))
    terminal = Terminal(keelctl, "image", "put", "bar", str(tmp_path / "f"))
    assert terminal.wait_end() == 0
    assert b"%" in terminal.text and b"3.8 MiB" in terminal.text and b"SHA-256" in terminal.text


def test_many_consoles_of_one_guest(keelctl, kernel):
    keelctl("system", "create", "m", "-k", kernel, "-m", "96", "--start")
    watchers = [subprocess.Popen([KEELCTL, "system", "console", "m"], env=keelctl.env, stdin=subprocess.DEVNULL,
                                 stdout=subprocess.PIPE) for _ in range(5)]
    keelctl("system", "console", "m", stdin=b"poweroff\r")
    for watcher in watchers:
        assert b"powering off" in watcher.communicate(timeout=ANSWER_S)[0] and watcher.returncode == 0


# ---- completion ------------------------------------------------------------------------------------


def complete(keelctl, *words):
    """What bash would offer for the last word."""
    script = ('PATH=$(dirname "$0"):$PATH; source <(keelctl completion bash); COMP_WORDS=("$@"); '
              'COMP_CWORD=$(($# - 1)); _keelctl; printf "%s\\n" "${COMPREPLY[@]}"')
    done = subprocess.run(["bash", "-c", script, KEELCTL, "keelctl", *words], env=keelctl.env, capture_output=True,
                          text=True, timeout=ANSWER_S, check=True)
    assert done.stderr == ""
    return done.stdout.split()


def test_completion(keelctl, kernel):
    keelctl("system", "create", "web", "-k", kernel, "-m", "96")
    assert complete(keelctl, "sys") == ["system"]
    assert set(complete(keelctl, "image", "")) == {"put", "list", "show", "delete"}
    assert complete(keelctl, "-o", "json", "system", "sho") == ["show"]
    assert complete(keelctl, "system", "start", "") == ["web"]
    assert complete(keelctl, "system", "create", "x", "--kernel", "") == ["vmlinuz"]
    assert "--memory" in complete(keelctl, "system", "create", "x", "--m")
    assert complete(keelctl, "-o", "j") == ["json"]
