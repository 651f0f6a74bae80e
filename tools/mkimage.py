#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes a Keelson disk image: GPT, ESP, two update slots, a state partition.

The layout is described in include/keelson/gpt.h. The result depends on the arguments alone, bit for bit;
unwritten parts are holes in the file. Needs mkfs.fat (dosfstools) and mcopy, mmd (mtools).
"""
import argparse
import os
import re
import struct
import subprocess
import sys
import tempfile
import uuid
import zlib

SECTOR = 512
MIB = 1 << 20
ENTRY_COUNT = 128
ENTRY_SIZE = 128
TABLE_SECTORS = ENTRY_COUNT * ENTRY_SIZE // SECTOR
SLOT_MIB = 16
CYLINDER = 16 * 63  # sectors; emulated IDE disks lose what does not fill a cylinder
ESP_MIB = 40  # FAT32 needs 65,525 clusters: 33 MiB at one sector each
FAT_SERIAL = "4b45454c"
EPOCH = "1767225600"  # 2026-01-01, the date of every file in the ESP
# Unique GUIDs are derived from this name space and the partition's name, so that builds are alike.
NAMESPACE = uuid.UUID("7f1d3f2e-6a54-4f0c-9c39-4b6c1f6f4f10")
GPT_HEADER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../include/keelson/gpt.h")


class Partition:
    """One entry of the partition table; sizes in sectors."""

    def __init__(self, name, kind, mib):
        self.name = name
        self.type = kind
        self.first = 0
        self.sectors = mib * MIB // SECTOR

    @property
    def last(self):
        return self.first + self.sectors - 1

    def entry(self):
        unique = uuid.uuid5(NAMESPACE, self.name)
        name = self.name.encode("utf-16-le").ljust(72, b"\0")
        return self.type.bytes_le + unique.bytes_le + struct.pack("<QQQ", self.first, self.last, 0) + name


def type_guids():
    """Reads the type GUIDs from gpt.h: {"ESP": UUID, ...}."""
    number = r"0x([0-9a-f]+)"
    pattern = (r"#define GPT_TYPE_(\w+)\s+\(\(struct gpt_guid\)\{" + ", ".join([number] * 3) +
               r", \{" + ", ".join([number] * 8) + r"\}\}\)")
    with open(GPT_HEADER, encoding="ascii") as header:
        found = re.findall(pattern, header.read())
    return {name: uuid.UUID("".join(digits)) for name, *digits in found}


def layout(state_mib):
    """The partitions with their places; each starts on a MiB."""
    kinds = type_guids()
    partitions = [
        Partition("EFI system partition", kinds["ESP"], ESP_MIB),
        Partition("keelson-slot-a", kinds["SLOT_A"], SLOT_MIB),
        Partition("keelson-slot-b", kinds["SLOT_B"], SLOT_MIB),
        Partition("keelson-state", kinds["STATE"], state_mib),
    ]
    at = MIB // SECTOR
    for partition in partitions:
        partition.first = at
        at += partition.sectors
    total = at + MIB // SECTOR  # the last MiB holds the backup table
    return partitions, -(-total // CYLINDER) * CYLINDER


def protective_mbr(total):
    """UEFI "Protective MBR": one partition of type EE over the whole disk."""
    size = min(total - 1, 0xFFFFFFFF)
    record = struct.pack("<B3sB3sII", 0, b"\x00\x02\x00", 0xEE, b"\xff\xff\xff", 1, size)
    return bytes(446) + record + bytes(48) + b"\x55\xaa"


def gpt_header(here, other, table, total, table_crc):
    """UEFI "GPT Header" for the copy at sector `here`, its table at sector `table`."""
    first_usable = 2 + TABLE_SECTORS
    last_usable = total - TABLE_SECTORS - 2
    disk = uuid.uuid5(NAMESPACE, "disk").bytes_le

    def pack(crc):
        return struct.pack("<8sIIIIQQQQ16sQIII", b"EFI PART", 0x10000, 92, crc, 0, here, other, first_usable,
                           last_usable, disk, table, ENTRY_COUNT, ENTRY_SIZE, table_crc)

    return pack(zlib.crc32(pack(0))).ljust(SECTOR, b"\0")


def write_gpt(image, partitions, total):
    table = b"".join(p.entry() for p in partitions).ljust(ENTRY_COUNT * ENTRY_SIZE, b"\0")
    crc = zlib.crc32(table)
    backup_table = total - 1 - TABLE_SECTORS
    for sector, data in (
        (0, protective_mbr(total)),
        (1, gpt_header(1, total - 1, 2, total, crc)),
        (2, table),
        (backup_table, table),
        (total - 1, gpt_header(total - 1, 1, backup_table, total, crc)),
    ):
        image.seek(sector * SECTOR)
        image.write(data)


def run(*command):
    env = dict(os.environ, SOURCE_DATE_EPOCH=EPOCH, TZ="UTC", LC_ALL="C", MTOOLS_SKIP_CHECK="1")
    env["PATH"] = env.get("PATH", "") + ":/usr/sbin:/sbin"
    try:
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        sys.exit(f"mkimage: {command[0]} is missing: apt-get install dosfstools mtools")
    if done.returncode != 0:
        sys.exit(f"mkimage: {' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")


def write_esp(path, offset, sectors, efi, config):
    """Makes the FAT file system inside the image file, at `offset` bytes."""
    run("mkfs.fat", "--invariant", "-F", "32", "-s", "1", "-n", "KEELSON", "-i", FAT_SERIAL,
        "--offset", str(offset // SECTOR), path, str(sectors * SECTOR // 1024))
    drive = f"{path}@@{offset}"
    run("mmd", "-i", drive, "::/EFI", "::/EFI/BOOT")
    run("mcopy", "-i", drive, efi, "::/EFI/BOOT/BOOTX64.EFI")
    if config is not None:
        run("mcopy", "-i", drive, config, "::/keelson.cfg")


def build(output, efi, config, state_mib):
    """Writes the image under a temporary name and moves it into place."""
    partitions, total = layout(state_mib)
    folder = os.path.dirname(os.path.abspath(output))
    handle, path = tempfile.mkstemp(prefix=".mkimage-", dir=folder)
    try:
        with os.fdopen(handle, "r+b") as image:
            image.truncate(total * SECTOR)
            write_gpt(image, partitions, total)
        esp = partitions[0]
        write_esp(path, esp.first * SECTOR, esp.sectors, efi, config)
        os.chmod(path, 0o644)
        os.replace(path, output)
    except BaseException:
        os.unlink(path)
        raise


def main():
    parser = argparse.ArgumentParser(description="Writes a Keelson disk image.")
    parser.add_argument("--efi", required=True, metavar="FILE", help="the loader, BOOTX64.EFI")
    parser.add_argument("--output", required=True, metavar="FILE", help="the image to write")
    parser.add_argument("--config", metavar="FILE", help="copied to the ESP as keelson.cfg")
    parser.add_argument("--state-mib", type=int, default=128, metavar="N",
                        help="size of the state partition (default 128)")
    args = parser.parse_args()
    if args.state_mib < 1:
        parser.error("--state-mib must be at least 1")
    for name in filter(None, (args.efi, args.config)):
        if not os.path.isfile(name):
            parser.error(f"{name}: no such file")
    build(args.output, args.efi, args.config, args.state_mib)


if __name__ == "__main__":
    main()
