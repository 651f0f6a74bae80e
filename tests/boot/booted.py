# SPDX-License-Identifier: Apache-2.0
"""Nodes for the booted tests: the real image in an emulator, one boot for each machine, and clients for it.

A machine is booted when the first test asks for it, shared by all that follow, and ended with the test run.
Its console is kept in BUILD/test/boot/NAME/serial.log. Whatever runs is looked at before and after each test
(conftest.py).
"""
import atexit
import json
import os
import pathlib
import re
import subprocess
import tempfile
import threading
import time

from tools.emul import FAILURES, NodeConfig, NodeFailed, start_node
from tools.emul.bochs import remove_lock

BUILD = pathlib.Path(os.environ.get("KEELSON_BUILD", "build")).resolve()
DEPS = pathlib.Path(os.environ.get("KEELSON_DEPS", BUILD / "deps")).resolve()
KEELCTL = BUILD / "keelctl"
KERNEL = DEPS / "linux" / "vmlinuz"
INITRAMFS = BUILD / "guest-initramfs.cpio.gz"
# Emulators share two processors with everything else that runs: patience costs nothing when all is well.
BOOT_TIMEOUT_S = {"svm": 120, "vtx": 400}
COMMAND_TIMEOUT_S = 300
# No test of this tier makes the hypervisor stop a VP, or refuses one of the management partition's accesses.
NEVER = re.compile(FAILURES.pattern + r"|VP \d+ stopped:|root partition refused")


class Client:
    """keelctl and curl, set up for one node."""

    def __init__(self, url, secret, fingerprint):
        self.url = url.rstrip("/")
        self.secret = secret
        self.fingerprint = fingerprint
        self._config = tempfile.TemporaryDirectory(prefix="keelctl-")
        self.env = dict(os.environ, KEELSON_NODE=self.url, KEELSON_SECRET=secret,
                        KEELSON_FINGERPRINT=fingerprint, KEELSON_CONFIG_DIR=self._config.name)

    def keelctl(self, *arguments, status=0, **options):
        """Runs keelctl; returns its output. The exit status must be `status`."""
        done = subprocess.run([KEELCTL, *map(str, arguments)], env=self.env, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S, check=False, **options)
        assert done.returncode == status, f"keelctl {arguments}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout if status == 0 else done.stderr

    def json(self, *arguments):
        return json.loads(self.keelctl("-o", "json", *arguments))

    def curl(self, path, *arguments, user="default"):
        """An unmodified client: returns (HTTP status, header text, body)."""
        login = [] if user is None else ["-u", f"admin:{self.secret}" if user == "default" else user]
        with tempfile.TemporaryDirectory() as folder:
            head = pathlib.Path(folder, "head")
            done = subprocess.run(["curl", "-sS", "-k", "--max-time", "120", "-D", head, *login, *arguments, self.url + path],
                                  capture_output=True, timeout=150, check=False)
            assert done.returncode == 0, done.stderr.decode()
            # Behind a "100 Continue" comes the answer proper.
            text = head.read_text().replace("\r", "").strip().split("\n\n")[-1]
        return int(text.split()[1]), text, done.stdout

    def free_bytes(self):
        return self.json("node", "show")["Memory"]["FreeBytes"]

    def console(self, system, *arguments):
        return Console(self, system, arguments)


class Console:
    """A guest's console through keelctl, driven like a terminal."""

    def __init__(self, client, system, arguments=()):
        self.text = ""
        self._cursor = 0
        self._ended = False
        self._changed = threading.Condition()
        self._process = subprocess.Popen([KEELCTL, "system", "console", system, *arguments], env=client.env, bufsize=0,
                                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        while True:
            data = self._process.stdout.read(4096)
            with self._changed:
                self.text += data.decode(errors="replace")
                self._ended = not data
                self._changed.notify_all()
            if not data:
                return

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._process.poll() is None:
            self._process.terminate()
        self._process.wait(30)

    def wait_for(self, pattern, timeout):
        """Waits for something printed after the last match."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                match = re.compile(pattern, re.MULTILINE).search(self.text, self._cursor)
                if match:
                    self._cursor = match.end()
                    return match
                left = deadline - time.monotonic()
                why = self._end() if self._ended else f"{timeout} s are over" if left <= 0 else None
                assert why is None, f"{why} while waiting for {pattern!r} after {self.text[-60:]!r}\n{self.text[-3000:]}"
                self._changed.wait(left)

    def _end(self):
        """How keelctl ended, and what it complained about."""
        status = self._process.wait(30)
        return f"the console ended, status {status}, {self._process.stderr.read().decode(errors='replace')!r},"

    def send_line(self, text):
        self._process.stdin.write(text.encode() + b"\r")

    def run(self, command, timeout):
        """Runs a command of the guest's shell; returns what it printed, without the kernel's messages."""
        self.send_line(f"{command}; echo done-$((1+1))")
        lines = self.wait_for(r"^([^$]*?)done-2\s", timeout)[1].replace("\r", "").splitlines()
        return "\n".join(line for line in lines if not re.match(r"\[ *\d+\.\d{6}\] ", line)).strip()

    def wait_end(self, timeout):
        """Waits until keelctl has ended by itself; returns its exit status."""
        return self._process.wait(timeout)

    def leave(self):
        """Ends the input; keelctl goes on printing."""
        self._process.stdin.close()


class Booted:
    """A running node with its client. A `with` block, or the end of the test run, ends it."""

    running = []  # all of them

    def __init__(self, name, engine, cpus=None, memory_mib=1024, **options):
        self.engine = engine
        image = BUILD / "keelson.img"
        self.node = start_node(NodeConfig(directory=BUILD / "test" / "boot" / name, image=image, engine=engine,
                                          cpus=cpus, memory_mib=memory_mib, **options))
        self.node.failures = NEVER
        atexit.register(self.stop)
        self.client = None
        try:
            self.wait_ready()
        except NodeFailed:
            self.stop()
            raise
        Booted.running.append(self)

    def wait_ready(self):
        """Waits for the API of a node that has been started, or starts again, then with the secret it has shown before."""
        timeout = BOOT_TIMEOUT_S[self.engine]
        shown = self.node.wait_for(r"administrator secret(?:: ([0-9a-f]{32})\s| is the one shown before)", timeout)[1]
        secret = shown or self.client.secret
        self.node.wait_for(r"API ready: https://\d+\.\d+\.\d+\.\d+/\s", timeout)
        fingerprint = self.node.wait_for(r"fingerprint \(SHA-256\): ([0-9A-F:]{95})\s", timeout)[1]
        self.client = Client(self.node.api_url, secret, fingerprint)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    @property
    def port(self):
        """Of this machine, that leads to the node's API."""
        return self.node.config.api_port

    def wait_off(self, timeout):
        """Waits until the machine has switched itself off; returns the emulator's exit status."""
        status = self.node.wait_end(timeout)
        Booted.running.remove(self)
        return status

    def stop(self):
        if self in Booted.running:
            Booted.running.remove(self)
        self.node.stop()
        (self.node.config.directory / "disk.img").unlink(missing_ok=True)


def check_all():
    """No node may have died or printed what a healthy one never prints."""
    for machine in Booted.running:
        machine.node.check()


SECOND_DISK_SIZE = 16 * 63 * 16 * 512  # whole cylinders, as Bochs wants them: 7.9 MiB


# Another disk of the shared machine, for tests that write to one; in Bochs only, where it costs a minute to boot a machine
# of their own.
SECOND_DISK = BUILD / "test" / "boot" / "shared-vtx" / "second.img"


def shared_options(engine):
    if engine != "vtx":
        return {}
    SECOND_DISK.parent.mkdir(parents=True, exist_ok=True)
    SECOND_DISK.write_bytes(os.urandom(SECOND_DISK_SIZE))
    remove_lock(SECOND_DISK)
    return {"extra": [f"ata0-slave: type=disk, path={SECOND_DISK}, mode=flat"]}


_shared = {}  # engine -> machine, or why there is none


def booted(engine):
    """The machine that the tests of an engine share. One that did not start is not tried again."""
    if engine not in _shared:
        try:
            _shared[engine] = Booted(f"shared-{engine}", engine, **shared_options(engine))
        except NodeFailed as error:
            _shared[engine] = error
    if isinstance(_shared[engine], NodeFailed):
        raise _shared[engine]
    return _shared[engine]
