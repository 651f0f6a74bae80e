# SPDX-License-Identifier: Apache-2.0
"""The disk image as others see it: partition table, file system, the same bits from the same input."""
import filecmp
import struct
import subprocess
import sys
import uuid
import zlib
import pathlib

import pytest
from booted import BUILD

ROOT = pathlib.Path(__file__).resolve().parents[2]
SECTOR = 512
# include/keelson/gpt.h: fixed for ever, so repeated here on purpose.
TYPES = ["c12a7328-f81f-11d2-ba4b-00a0c93ec93b", "60b1aa81-52db-4108-b94f-6d4e1b67d4f4",
         "046247f0-0480-4983-afd9-bf02ae3aeeca", "aec33f2d-a185-4d72-b60d-c15be2971dad"]


def make(path, *arguments):
    subprocess.run([sys.executable, ROOT / "tools" / "mkimage.py", "--efi", BUILD / "BOOTX64.EFI", "--output", path,
                    *arguments], check=True, timeout=60)
    return path


@pytest.fixture(name="image")
def image_fixture(tmp_path):
    config = tmp_path / "my.cfg"
    config.write_text("hostname=one\n")
    return make(tmp_path / "a.img", "--config", config, "--state-mib", "5")


def header(data, sector):
    """Fields of the GPT header in this sector, its checksums verified (UEFI "GPT Header")."""
    raw = data[sector * SECTOR:][:92]
    fields = struct.unpack("<8sIIIIQQQQ16sQIII", raw)
    assert fields[:3] == (b"EFI PART", 0x10000, 92)
    assert zlib.crc32(raw[:16] + bytes(4) + raw[20:]) == fields[3]
    here, other, _, _, _, table, count, size, table_crc = fields[5:]
    assert here == sector
    entries = data[table * SECTOR:][:count * size]
    assert zlib.crc32(entries) == table_crc
    return other, entries, fields[7:9]


def partitions(entries):
    for at in range(0, len(entries), 128):
        entry = entries[at:at + 128]
        first, last = struct.unpack("<QQ", entry[32:48])
        if any(entry[:16]):
            yield str(uuid.UUID(bytes_le=entry[:16])), first, last


def test_partition_table(image):
    data = image.read_bytes()
    last_sector = len(data) // SECTOR - 1
    assert data[510:512] == b"\x55\xaa" and data[450] == 0xEE
    other, entries, (first_usable, last_usable) = header(data, 1)
    assert other == last_sector
    assert header(data, last_sector)[:2] == (1, entries)
    found = list(partitions(entries))
    assert [kind for kind, _, _ in found] == TYPES
    end = first_usable - 1
    for _, first, last in found:
        assert first % 2048 == 0 and end < first <= last <= last_usable
        end = last
    sizes = [(last + 1 - first) * SECTOR >> 20 for _, first, last in found]
    assert sizes[1:] == [16, 16, 5]


def test_file_system(image, tmp_path):
    esp = tmp_path / "esp.img"
    _, entries, _ = header(image.read_bytes(), 1)
    _, first, last = next(partitions(entries))
    esp.write_bytes(image.read_bytes()[first * SECTOR:(last + 1) * SECTOR])
    subprocess.run(["/usr/sbin/fsck.fat", "-n", esp], check=True, capture_output=True, timeout=60)
    for name, wanted in (("EFI/BOOT/BOOTX64.EFI", (BUILD / "BOOTX64.EFI").read_bytes()),
                         ("keelson.cfg", b"hostname=one\n")):
        shown = subprocess.run(["mtype", "-i", esp, f"::/{name}"], check=True, capture_output=True, timeout=60)
        assert shown.stdout == wanted


def test_same_bits(image, tmp_path):
    again = make(tmp_path / "b.img", "--config", tmp_path / "my.cfg", "--state-mib", "5")
    assert filecmp.cmp(image, again, shallow=False)


def test_image_is_sparse(image):
    """Only what is used takes room on the disk it lies on."""
    assert image.stat().st_blocks * 512 < (BUILD / "BOOTX64.EFI").stat().st_size + (4 << 20)
