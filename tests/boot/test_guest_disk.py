# SPDX-License-Identifier: Apache-2.0
"""Guests' disks in the store: what a Linux guest has synced outlives its node's sudden end, and nobody else sees it."""
import json
import re

import pytest
from booted import BOOT_TIMEOUT_S, NEVER, Booted
from linux_guest import upload, wait_shell
from tools.emul import NodeConfig, start_node

GUEST_BOOT_S = 240
STEP_S = 120
MIB = 1 << 20


class Machine:
    """A node whose disk stays when the emulator is killed and started again."""

    def __init__(self, name):
        self.booted = Booted(name, "svm")
        self.kept = None

    @property
    def client(self):
        return self.booted.client

    def kill(self):
        """SIGKILL, and another emulator on the same disk."""
        node = self.booted.node
        old = node.config
        node._process.kill()
        node.stop()
        kept = old.directory / "kept.img"
        if self.kept is None:
            old.disk_path.rename(kept)
        self.kept = kept
        self.booted.node = start_node(NodeConfig(directory=old.directory, disk=kept, engine=old.engine, cpus=old.cpus,
                                                 memory_mib=old.memory_mib))
        self.booted.node.failures = NEVER
        self.booted.node.wait_for(r"store: \S+ mounted, ", BOOT_TIMEOUT_S["svm"])
        self.booted.wait_ready()

    def stop(self):
        self.booted.stop()
        if self.kept:
            self.kept.unlink(missing_ok=True)

    def boot_guest(self, name, *disks):
        upload(self.client)
        self.client.keelctl("system", "create", name, "--kernel", "vmlinuz", "--initrd", "initrd", "--memory", 192,
                            "--disk", ",".join(disks), "--start")
        console = self.client.console(name)
        wait_shell(console, 1, GUEST_BOOT_S)
        return console

    def moved(self, disk, operation):
        """Bytes that guests have read or written, by the node's metrics."""
        return int(re.search(rf'^keelson_store_disk_bytes_total{{disk="{disk}",operation="{operation}"}} (\d+)$',
                             self.client.keelctl("node", "metrics"), re.MULTILINE)[1])

    def disk(self, name):
        return self.client.json("disk", "show", name)


@pytest.fixture(scope="module")
def machine():
    machine = Machine("guest-disk")
    yield machine
    machine.stop()


def digest(console, command):
    return console.run(f"{command} | sha256sum", STEP_S).split()[-2]


def read_back(console, device, mib, skip=0):
    return digest(console, f"dd if=/dev/{device} bs=1M count={mib} skip={skip} 2>/dev/null")


def fill(console, device, mib, seek=0):
    """Random data, synced; returns their digest."""
    console.run(f"dd if=/dev/urandom of=/tmp/data bs=1M count={mib}", STEP_S)
    console.run(f"dd if=/tmp/data of=/dev/{device} bs=64k seek={seek * 16} conv=fsync && rm -f /tmp/none", STEP_S)
    return digest(console, "cat /tmp/data")


def test_what_was_synced_survives_a_killed_node(machine):
    client = machine.client
    upload(client)
    client.keelctl("disk", "create", "root", "--size", "12M")
    free = client.json("store", "show")["FreeBytes"]
    with machine.boot_guest("writer", "root") as console:
        assert console.run("cat /sys/block/vda/size", STEP_S) == str(12 * MIB // 512)
        assert console.run("cat /sys/block/vda/queue/write_cache", STEP_S) == "write back"
        assert int(console.run("cat /sys/block/vda/queue/discard_granularity", STEP_S)) == 65536
        first = fill(console, "vda", 4, 1)
        console.run("echo 3 >/proc/sys/vm/drop_caches", STEP_S)
        assert read_back(console, "vda", 4, 1) == first
        # Small writes beside them, each synced by itself.
        console.run("for i in 1 2 3 4 5; do echo line-$i | dd of=/dev/vda bs=512 seek=$((i * 300 + 10240)) "
                    "conv=fsync,notrunc,sync 2>/dev/null; done", STEP_S)
        assert machine.disk("root")["Allocated"] >= 4 * MIB
        assert free - machine.client.json("store", "show")["FreeBytes"] == machine.disk("root")["Allocated"]
        machine.kill()
    assert machine.client.json("store", "check")["Problems"] == 0
    assert machine.disk("root")["Allocated"] >= 4 * MIB
    with machine.boot_guest("reader", "root") as console:
        assert read_back(console, "vda", 4, 1) == first
        for i in range(1, 6):
            assert console.run(f"dd if=/dev/vda bs=512 skip={i * 300 + 10240} count=1 2>/dev/null | head -c 6",
                               STEP_S) == f"line-{i}"
        zeros = digest(console, "dd if=/dev/zero bs=1M count=1 2>/dev/null")
        assert read_back(console, "vda", 1) == zeros
        console.send_line("poweroff")
        assert console.wait_end(STEP_S) == 0
    machine.client.keelctl("system", "wait", "reader")


def test_children_of_a_snapshot_are_apart(machine):
    client = machine.client
    if not any(disk["Name"] == "root" for disk in client.json("disk", "list")["Disks"]):
        client.keelctl("disk", "create", "root", "--size", "12M")
    client.keelctl("disk", "snapshot", "root", "then")
    client.keelctl("disk", "create", "other", "--snapshot", "then")
    assert machine.disk("other")["Allocated"] == machine.disk("root")["Allocated"] == 0
    with machine.boot_guest("apart", "root", "other", "then:ro") as console:
        base = read_back(console, "vdc", 12)
        assert read_back(console, "vda", 12) == read_back(console, "vdb", 12) == base
        mine = fill(console, "vda", 1, 2)
        assert console.run("cat /sys/block/vdc/ro", STEP_S) == "1"
        console.run("echo 3 >/proc/sys/vm/drop_caches", STEP_S)
        assert read_back(console, "vda", 1, 2) == mine
        assert read_back(console, "vdb", 12) == read_back(console, "vdc", 12) == base
        client.keelctl("system", "stop", "apart")
    assert machine.disk("root")["Allocated"] == MIB and machine.disk("other")["Allocated"] == 0
    # What the guest did is counted by disk, and still known now that it has ended.
    assert machine.moved("root", "write") == MIB and machine.moved("other", "write") == machine.moved("then", "write") == 0
    assert min(machine.moved(name, "read") for name in ("root", "other", "then")) >= 12 * MIB
    client.keelctl("disk", "delete", "other")
    client.keelctl("disk", "delete", "root")
    client.keelctl("disk", "delete", "then")


def test_a_full_store_is_an_io_error_of_the_guest(machine):
    client = machine.client
    upload(client)
    free = client.json("store", "show")["FreeBytes"]
    client.keelctl("disk", "create", "big", "--size", free + 64 * MIB)
    with machine.boot_guest("greedy", "big") as console:
        text = console.run(f"dd if=/dev/zero of=/dev/vda bs=1M seek=0 count={free // MIB + 8} conv=fsync", STEP_S * 3)
        assert "I/O error" in text or "Input/output error" in text, text
        events = json.loads(client.keelctl("-o", "json", "event", "list").splitlines()[0])["Events"]
        assert [e["Subject"] for e in events if e["Type"] == "DiskFull"] == ["big"]
        assert client.json("store", "show")["FreeBytes"] == 0
        # What it has it can still write, and the node still answers.
        console.run("echo still-here | dd of=/dev/vda bs=512 conv=fsync,sync 2>/dev/null; echo 3 >/proc/sys/vm/drop_caches",
                    STEP_S)
        assert console.run("head -c 10 /dev/vda", STEP_S) == "still-here"
        # Discarding gives space back.
        if "not found" not in console.run("blkdiscard -h 2>&1 | head -1", STEP_S):
            console.run("blkdiscard /dev/vda && sync && dd if=/dev/zero of=/dev/vda bs=512 count=1 conv=fsync", STEP_S)
            assert client.json("store", "show")["FreeBytes"] >= free - 2 * MIB
        client.keelctl("system", "stop", "greedy")
    client.keelctl("disk", "delete", "big")
    assert machine.client.json("store", "check")["Problems"] == 0
