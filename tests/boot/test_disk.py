# SPDX-License-Identifier: Apache-2.0
"""Disks of every kind that has a driver, looked at and wiped from the operator's shell; the image files are the
witnesses. AHCI, NVMe and virtio-blk in QEMU, IDE in Bochs."""
import os
import re

import pytest
from booted import BUILD, SECOND_DISK, SECOND_DISK_SIZE, Booted, booted
from test_console import Shell, rows

MIB = 1 << 20
SIZE = SECOND_DISK_SIZE
BAD_SECTOR = 3000
SLOW_WRITES = 40000  # bytes a second: a MiB takes longer than the ten seconds that a driver waits
TIMEOUT_S = 90
DEVICES = {"ahci": "ide-hd,bus=ide.1,drive={0},serial={0}", "nvme": "nvme,drive={0},serial={0}",
           "virtio-blk": "virtio-blk-pci,drive={0},serial={0}"}


def make_image(folder, name):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.img"
    path.write_bytes(os.urandom(SIZE))
    return path


def bad_disk(path):
    """One sector cannot be read."""
    return (f"driver=raw,file.driver=blkdebug,file.image.filename={path},file.inject-error.0.event=read_aio,"
            f"file.inject-error.0.sector={BAD_SECTOR}")


def slow_disk(path):
    return f"driver=raw,file.filename={path},throttling.bps-write={SLOW_WRITES}"


def qemu_disk(driver, drive):
    name = driver.replace("-", "")
    return ["-drive", f"if=none,id={name},{drive}", "-device", DEVICES[driver].format(name)]


class Machine:
    """A node with further disks: driver -> image file. In QEMU `drive` makes the -drive option of an image."""

    def __init__(self, name, engine, drive=bad_disk):
        if engine == "vtx":
            self.booted = booted(engine)
            self.images = {"ide": SECOND_DISK}
        else:
            self.images = {driver: make_image(BUILD / "test" / "boot" / name, driver) for driver in DEVICES}
            extra = [argument for driver in DEVICES for argument in qemu_disk(driver, drive(self.images[driver]))]
            self.booted = Booted(name, engine, extra=extra)
        self.shell = Shell(self.booted)
        self.can_fail = engine == "svm"
        self.is_shared = engine == "vtx"

    def stop(self):
        if not self.is_shared:
            self.booted.stop()
            for path in self.images.values():
                path.unlink()

    def name_of(self, driver):
        """The added disk of this driver: the one without partitions."""
        table = self.shell.run("disks")
        candidates = [line.split()[0] for line in table.splitlines() if f"  {driver}  " in line]
        names = [name for name in candidates if re.fullmatch(r"disk\d+", name) and f"{name}p1" not in candidates]
        assert len(names) == 1, table
        return names[0]

    def read(self, name, sector):
        text = self.shell.run(f"disk read {name} {sector}")
        found = re.findall(r"^[0-9a-f]{3}  ((?:[0-9a-f]{2} ){16})", text, re.MULTILINE)
        assert len(found) == 32, text
        return bytes.fromhex("".join(found))


@pytest.fixture(scope="module", params=["svm", "vtx"])
def machine(request):
    machine = Machine(f"disk-{request.param}", request.param)
    yield machine
    machine.stop()


@pytest.fixture
def slow_machine():
    machine = Machine("disk-slow", "svm", slow_disk)
    yield machine
    machine.stop()


def test_partitions_are_named(machine):
    """Of the disk that the node booted from."""
    table = rows(machine.shell.run("disk list"))
    states = [name for name, cells in table.items() if cells[0] == "keelson-state"]
    assert len(states) == 1 and re.fullmatch(r"disk\dp4", states[0])
    first = machine.read(states[0][:-2], 1)  # the GPT header
    assert first.startswith(b"EFI PART")
    assert machine.read(states[0], 0).startswith(b"KEELSTOR")  # blank in the image, formatted by this boot


def test_reads_what_is_there(machine):
    for driver, path in machine.images.items():
        content, name = path.read_bytes(), machine.name_of(driver)
        for sector in (0, 1, 4097, SIZE // 512 - 1):
            assert machine.read(name, sector) == content[sector * 512:][:512], (driver, sector)


def test_reports_a_bad_sector(machine):
    if not machine.can_fail:
        pytest.skip("Bochs cannot make a disk fail")
    for driver, path in machine.images.items():
        name = machine.name_of(driver)
        assert machine.shell.run(f"disk read {name} {BAD_SECTOR}") == f"error: {name}: input/output error", driver
        # The next one is in order again.
        assert machine.read(name, BAD_SECTOR + 64) == path.read_bytes()[(BAD_SECTOR + 64) * 512:][:512], driver


def test_wipes(machine):
    """Exactly the first and the last MiB; it is in the file when the command says so."""
    for driver, path in machine.images.items():
        before, name = path.read_bytes(), machine.name_of(driver)
        assert "say --force" in machine.shell.run(f"disk wipe {name}")
        assert path.read_bytes() == before
        assert machine.shell.run(f"disk wipe {name} --force") == f"{name}: wiped"
        assert path.read_bytes() == bytes(MIB) + before[MIB:-MIB] + bytes(MIB), driver


def disk_metrics(machine):
    metrics = machine.booted.client.curl("/metrics")[2].decode()
    return {name: int(value) for name, value in re.findall(r"^keelson_(disk\w*) (\d+)$", metrics, re.MULTILINE)}


def test_counters(machine):
    """What a wipe of each adds; the store on the node's own disk rests meanwhile."""
    count, before = len(machine.images), disk_metrics(machine)
    for driver in machine.images:
        machine.shell.run(f"disk wipe {machine.name_of(driver)} --force")
    values = disk_metrics(machine)
    assert values["disks"] == count + 1
    assert values["disks_failed"] == values["disk_timeouts_total"] == values["disk_requests_queued"] == 0
    assert values["disk_errors_total"] == (count if machine.can_fail else 0)
    assert values["disk_written_bytes_total"] - before["disk_written_bytes_total"] == 2 * MIB * count
    assert values["disk_flushes_total"] - before["disk_flushes_total"] == count


def test_the_store_is_not_wiped(machine):
    """The partition that the node keeps its state on, and the disk around it."""
    states = [name for name, cells in rows(machine.shell.run("disk list")).items() if cells[0] == "keelson-state"]
    for name in (states[0], states[0][:-2]):
        assert machine.shell.run(f"disk wipe {name} --force") == f"error: {name} holds the state partition, which is in use"


def test_time_outs_end_in_a_reset(slow_machine):
    """A request that takes too long fails, its device is reset, and goes on."""
    for driver, path in slow_machine.images.items():
        name = slow_machine.name_of(driver)
        text = slow_machine.shell.run(f"disk wipe {name} --force", TIMEOUT_S)
        assert text == f"error: {name}: no answer from the device", driver
        assert slow_machine.read(name, 4096) == path.read_bytes()[4096 * 512:][:512], driver
    metrics = slow_machine.booted.client.curl("/metrics")[2].decode()
    assert f"keelson_disk_timeouts_total {len(DEVICES)}\n" in metrics
    assert f"keelson_disk_resets_total {len(DEVICES)}\n" in metrics
    assert "keelson_disks_failed 0\n" in metrics
