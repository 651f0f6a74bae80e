# SPDX-License-Identifier: Apache-2.0
"""Power cuts of a real node. QEMU logs what its disk does while images, disks, settings and a guest's data change; then
the disks that cuts at random moments would have left are given to the store on the host.

One recording serves all tests. It stays in BUILD/test/boot/power-cut; with KEELSON_RECORDING=DIR it is read from there, and
nothing is booted. KEELSON_SEED begins with other cuts; `make soak` makes a longer recording (KEELSON_ROUNDS) and repeats the
cuts with KEELSON_SEEDS seeds.
"""
import contextlib
import functools
import hashlib
import json
import os
import pathlib
import pickle
import random
import re
import subprocess
import tempfile
import uuid

import pytest
from booted import BOOT_TIMEOUT_S, BUILD, INITRAMFS, KERNEL, Booted
from linux_guest import wait_shell
from promises import PRESENT, SECTOR, Promises, disk_value, objects
from shell import Shell
from tools.emul.config import copy_sparse
from tools.emul.disk_log import FATES, DiskLog, PowerCuts, entry_count

STORE_REPLAY = BUILD / "store-replay"
CUTS = 200  # for each seed
LYING_CUTS = 10
ROUNDS = int(os.environ.get("KEELSON_ROUNDS", "1"))  # of a guest that writes
SEED = int(os.environ.get("KEELSON_SEED", "1"))
SEEDS = int(os.environ.get("KEELSON_SEEDS", "1"))
WRITES = 8  # of a guest in a round, each while something else is changed
GUEST_BOOT_S = 240
STEP_S = 120
REPLAY_S = 120
MIB = 1 << 20
DISK_BYTES = 4 * MIB
GRAIN = 64 << 10  # what a disk of the store allocates and gives back (mgmt/store/volume.h)
SWITCH = "lab"


def sha256(data):
    return hashlib.sha256(data).hexdigest()


class Recorder:
    """A node with a logged disk, and the promises that it makes while it works."""

    def __init__(self, folder):
        self.booted = Booted("power-cut", "svm", disk_log=True)
        self.config = self.booted.node.config
        self.promises = Promises()
        self.rng = random.Random(SEED)
        self.number = 1_000_000  # of the next line that a guest writes: seven digits make lines of eight bytes
        self.folder = folder
        # The first secret was shown when it was kept. The certificate is used before; what is acknowledged after it was
        # committed after it.
        self.promises.acknowledge(self.count(), self.promises.begin(0, setting={"auth.secret": self.secret_digest()}))
        self.identity = self.promises.begin(0, setting={"tls.identity": PRESENT})

    @property
    def client(self):
        return self.booted.client

    def count(self):
        return entry_count(self.config.disk_log_path)

    def secret_digest(self):
        return sha256(hashlib.sha256(self.client.secret.encode()).digest())

    @contextlib.contextmanager
    def change(self, **values):
        """Around a request that changes objects, and its answer."""
        begun = self.promises.begin(self.count(), **values)
        yield begun
        self.promises.acknowledge(self.count(), begun)

    # ---- what the API is asked for ----

    def put_image(self, name, path=None):
        if path is None:
            path = pathlib.Path(self.folder, name)
            path.write_bytes(self.rng.randbytes(self.rng.randrange(1, 400_000)))
        with self.change(image={name: sha256(path.read_bytes())}):
            self.client.keelctl("image", "put", name, path)

    def delete_image(self, name):
        with self.change(image={name: None}):
            self.client.keelctl("image", "delete", name)

    def create_disk(self, name, size):
        with self.change(disk={name: disk_value(size)}):
            self.client.keelctl("disk", "create", name, "--size", size)

    def resize_disk(self, name, size):
        with self.change(disk={name: disk_value(size)}):
            self.client.keelctl("disk", "resize", name, size)

    def delete_disk(self, name):
        with self.change(disk={name: None}):
            self.client.keelctl("disk", "delete", name)

    def create_switch(self):
        with self.change(setting={f"network.switch.{SWITCH}": PRESENT}):
            self.client.keelctl("switch", "create", SWITCH)

    def delete_switch(self):
        with self.change(setting={f"network.switch.{SWITCH}": None}):
            self.client.keelctl("switch", "delete", SWITCH)

    def create_endpoint(self, identifier):
        with self.change(setting={f"network.endpoint.{identifier}": PRESENT}):
            self.client.keelctl("endpoint", "create", identifier, "--switch", SWITCH, "--vlan", 7)

    def delete_endpoint(self, identifier):
        with self.change(setting={f"network.endpoint.{identifier}": None}):
            self.client.keelctl("endpoint", "delete", identifier)

    def new_secret(self):
        with self.change(setting={"auth.secret": None}) as begun:
            text = Shell(self.booted).run("secret new")
            self.client.secret = self.client.env["KEELSON_SECRET"] = re.search(r"secret: ([0-9a-f]{32})", text)[1]
            begun[0].value = self.secret_digest()

    def changes(self):
        """Requests of a round, in an order that works: the last ones while the guest writes."""
        endpoint = str(uuid.UUID(int=self.rng.getrandbits(128), version=4))
        return [lambda: self.create_disk("spare", MIB), lambda: self.put_image("small"), self.create_switch,
                lambda: self.create_endpoint(endpoint), lambda: self.put_image("small"),
                lambda: self.resize_disk("spare", 3 * MIB), lambda: self.delete_image("small"),
                lambda: self.delete_endpoint(endpoint), lambda: self.delete_disk("spare"), self.delete_switch,
                lambda: self.put_image("stays"), self.new_secret]

    # ---- what a guest writes ----

    def text(self, lines):
        """Lines that are nowhere else, and how a guest makes them."""
        first = self.number
        self.number += lines
        data = "".join(f"{number}\n" for number in range(first, self.number)).encode()
        return data, f"seq {first} {self.number - 1}"

    def place(self, unit, sizes):
        """Offset and length of something that a guest writes, in whole units."""
        length = self.rng.choice(sizes) * unit
        return self.rng.randrange((DISK_BYTES - length) // unit + 1) * unit, length

    # Past the guest's page cache: what that writes by itself, in the middle of a write, is in part old and in part new to the
    # byte.

    def flushed(self, device, _, place=None):
        """A write and a flush."""
        offset, length = place or self.place(SECTOR, (1, 3, 8, 40, 200, self.rng.randrange(1, 300)))
        data, lines = self.text(length // 8)
        return offset, data, (f"{lines} | dd of={device} bs=32768 seek={offset} iflag=fullblock oflag=seek_bytes,direct "
                              "conv=fsync,notrunc")

    def unflushed(self, device, _):
        """A write alone."""
        offset, length = self.place(4096, (1, 2, 8, 16))
        data, lines = self.text(length // 8)
        return offset, data, (f"{lines} | dd of={device} bs={length} seek={offset} iflag=fullblock oflag=seek_bytes,direct "
                              "conv=notrunc")

    def discard(self, device, disk):
        """Whole grains, which show again what the disk was made upon. With a flush."""
        offset, length = self.place(GRAIN, (1, 2, 5))
        base = self.promises.base_contents(disk, DISK_BYTES)
        command = f"blkdiscard -o {offset} -l {length} {device} && dd if=/dev/null of={device} conv=fsync,notrunc"
        return offset, base[offset:offset + length], command

    def write(self, console, disks, disk, way, meanwhile):
        """A guest changes one of its disks, while the API is asked for something else. Returns its place."""
        device = f"/dev/vd{'ab'[disks.index(disk)]}"
        offset, data, command = way(device, disk)
        self.promises.begin_write(self.count(), disk, offset // SECTOR, data)
        console.send_line(f"{{ {command}; }} 2>/dev/null || echo failed; echo done-$((1+1))")
        meanwhile()
        assert "failed" not in console.wait_for(r"^([^$]*?)done-2\s", STEP_S)[1], command
        if "fsync" in command:
            self.promises.flushed(self.count(), disk)
        return offset, len(data)

    def writes(self, console, disks, changes):
        """A guest's writes in a round, each with one of the changes."""
        ways = [self.flushed] * 4 + [self.unflushed] * 2 + [self.discard] * 2
        self.rng.shuffle(ways)
        for way, change in zip(ways, changes, strict=True):
            disk = self.rng.choice(disks)
            place = self.write(console, disks, disk, way, change)
            if way == self.flushed:
                # In place now, and nobody else commits anything: the guest's flush is the only one.
                self.write(console, disks, disk, functools.partial(self.flushed, place=place), lambda: None)

    def round(self, number):
        """A guest writes while settings, images and other disks change; then its disk becomes a snapshot with a child."""
        client, name = self.client, f"guest{number}"
        disks = ["data"] + [f"copy{number - 1}"] * (number > 0)
        changes = self.changes()
        client.keelctl("system", "create", name, "--kernel", "vmlinuz", "--initrd", "initrd", "--memory", 128,
                       "--cmdline", "console=ttyS0 quiet", "--disk", ",".join(disks), "--start")
        with client.console(name) as console:
            for change in changes[:-WRITES]:
                change()  # the guest needs its time to boot
            wait_shell(console, 1, GUEST_BOOT_S)
            self.writes(console, disks, changes[-WRITES:])
            client.keelctl("system", "stop", name)
        self.snapshot("data", f"then{number}", f"then{number - 1}" if number > 0 else None)
        with self.change(disk={f"copy{number}": disk_value(DISK_BYTES, f"then{number}")}):
            self.promises.inherit(f"copy{number}", f"then{number}")
            self.promises.bases[f"copy{number}"] = f"then{number}"
            client.keelctl("disk", "create", f"copy{number}", "--snapshot", f"then{number}")

    def snapshot(self, disk, name, base):
        with self.change(disk={name: disk_value(DISK_BYTES, base, True), disk: disk_value(DISK_BYTES, name)}):
            self.promises.inherit(name, disk)
            self.client.keelctl("disk", "snapshot", disk, name)
        self.promises.flushed(self.count(), disk)
        self.promises.bases[disk] = name

    def reboot(self):
        self.client.keelctl("node", "reboot", "--force")
        self.booted.node.wait_for(r"store: \S+ mounted, ", BOOT_TIMEOUT_S["svm"])
        self.booted.wait_ready()

    def record(self):
        self.put_image("initrd", INITRAMFS)
        self.promises.acknowledge(self.count(), self.identity)
        self.put_image("vmlinuz", KERNEL)
        self.create_disk("data", DISK_BYTES)
        for number in range(ROUNDS):
            if number > 0:
                self.reboot()
            self.round(number)
        assert self.client.json("store", "check")["Problems"] == 0


class Recording:
    """What is left when the node is off: its disk before and the log, and what it promised."""

    def __init__(self, folder):
        self.before = folder / "before.img"
        self.log = DiskLog(folder / "disk.log")
        self.promises = pickle.loads((folder / "promises").read_bytes())


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    if "KEELSON_RECORDING" in os.environ:
        folder = pathlib.Path(os.environ["KEELSON_RECORDING"])
    else:
        with tempfile.TemporaryDirectory() as files:
            recorder = Recorder(files)
            folder = recorder.config.directory
            try:
                recorder.record()
                recorder.booted.node.check()
            finally:
                recorder.booted.stop()
        (folder / "promises").write_bytes(pickle.dumps(recorder.promises))
    recording = Recording(folder)
    learn(recording, tmp_path_factory.mktemp("learn"))
    yield recording
    recording.log.close()


def learn(recording, folder):
    """Settings that only the node knows: what was there when they were acknowledged, nothing being lost."""
    with Disk(recording, folder) as disk:
        for thing, change in recording.promises.unknown():
            there = objects(disk.report(change.end, "kept", random.Random(SEED)))
            assert thing in there, f"{thing} was never kept"
            change.value = there[thing]


class Disk:
    """A copy of the disk on which power cuts are tried."""

    def __init__(self, recording, folder, **options):
        self.recording = recording
        self.image = folder / "disk.img"
        self.contents = folder / "contents"
        self.contents.mkdir(exist_ok=True)
        copy_sparse(recording.before, self.image)
        self.cuts = PowerCuts(recording.log, self.image, **options)

    def report(self, count, fate, rng, **options):
        """What the store finds after a cut."""
        with self.cuts.cut(count, fate, rng, **options):
            done = subprocess.run([STORE_REPLAY, self.image, "--contents", self.contents], capture_output=True, text=True,
                                  timeout=REPLAY_S, check=False)
        assert done.returncode == 0, f"store-replay after {count} entries: status {done.returncode}\n{done.stderr}"
        return json.loads(done.stdout)

    def problems(self, count, fate, rng, **options):
        """What the store and the promises find wrong after a cut."""
        return self.recording.promises.problems(count, self.report(count, fate, rng, **options), self.contents)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.cuts.close()
        self.image.unlink()


def cut_points(recording, rng):
    """(entries, fate), in order: all lost at each acknowledgement, and random ones, half of them around a flush."""
    flushes = recording.log.flushes()
    points = [(count, "lost") for count in recording.promises.acknowledged()]
    while len(points) < CUTS:
        count = rng.choice(flushes) + rng.randrange(2) if rng.randrange(2) else rng.randrange(len(recording.log.entries) + 1)
        points.append((count, rng.choice(FATES)))
    return sorted(points)


@pytest.mark.parametrize("seed", range(SEED, SEED + SEEDS))
def test_a_power_cut_loses_nothing_promised(recording, tmp_path, seed):
    rng = random.Random(seed)
    with Disk(recording, tmp_path) as disk:
        for count, fate in cut_points(recording, rng):
            problems = disk.problems(count, fate, rng)
            assert not problems, f"KEELSON_SEED={seed}, cut after {count} entries, unflushed writes {fate}: {problems}"


def test_each_flush_is_needed(recording, tmp_path):
    """The flush before an acknowledgement not made, and what it was to cover lost: the checks above must find it."""
    rng = random.Random(SEED)
    acknowledged = recording.promises.acknowledged()
    with Disk(recording, tmp_path) as disk:
        found = [count for count in acknowledged if disk.problems(count, "lost", rng, flush_missing=True)]
    assert len(found) > len(acknowledged) * 3 // 4, f"{len(found)} of {len(acknowledged)}: {found} of {acknowledged}"


def test_a_disk_that_lies_about_flushes_is_found(recording, tmp_path):
    rng = random.Random(SEED)
    first = recording.promises.acknowledged()[0]
    counts = sorted(rng.randrange(first, len(recording.log.entries) + 1) for _ in range(LYING_CUTS))
    with Disk(recording, tmp_path, lies=True) as disk:
        found = [count for count in counts if disk.problems(count, "any", rng)]
    assert found == counts
