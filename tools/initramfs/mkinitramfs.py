#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Packs busybox and a folder of files into an initial RAM disk: a gzipped cpio archive in "newc" format.

    mkinitramfs.py --busybox FILE [--modules DIRECTORY --module-list FILE] --output FILE

Modules go to /lib/modules without their folders; /etc/modules names them in the order of the list, without those that
have a "-" in front.

The format is Linux's Documentation/driver-api/early-userspace/buffer-format.rst. Owners are root, dates zero,
names sorted: equal input gives equal output.
"""
import argparse
import gzip
import os
import pathlib
import stat

FILES = pathlib.Path(__file__).resolve().parent / "files"
DIRECTORIES = ("bin", "dev", "etc", "lib", "lib/modules", "proc", "root", "run", "sbin", "sys", "tmp", "usr", "usr/bin", "usr/sbin")
# What must exist before `busybox --install`: the kernel starts /init, scripts name /bin/sh.
LINKS = {"init": "bin/busybox", "sbin/init": "../bin/busybox", "bin/sh": "busybox"}
CONSOLE = (5, 1)  # Linux's Documentation/admin-guide/devices.txt


class Archive:
    """A cpio archive that grows in memory."""

    def __init__(self):
        self.data = bytearray()
        self.inode = 0

    def _pad(self):
        self.data += bytes(-len(self.data) % 4)

    def add(self, name, mode, content=b"", device=(0, 0)):
        self.inode += 1
        encoded = name.encode() + b"\0"
        links = 2 if stat.S_ISDIR(mode) else 1
        fields = (self.inode, mode, 0, 0, links, 0, len(content), 0, 0, *device, len(encoded), 0)
        self.data += b"070701" + b"".join(b"%08X" % field for field in fields) + encoded
        self._pad()
        self.data += content
        self._pad()

    def finish(self):
        self.inode = -1  # the trailer's is 0
        self.add("TRAILER!!!", 0)
        return bytes(self.data)


def add_modules(archive, directory, listed):
    names = []
    for line in listed.read_text().splitlines():
        if line and not line.startswith("#"):
            path = directory / line.removeprefix("-")
            if not line.startswith("-"):
                names.append(path.name)
            archive.add(f"lib/modules/{path.name}", stat.S_IFREG | 0o644, path.read_bytes())
    archive.add("etc/modules", stat.S_IFREG | 0o644, "".join(f"{name}\n" for name in names).encode())


def build(busybox, modules=None, listed=None):
    archive = Archive()
    for name in DIRECTORIES:
        archive.add(name, stat.S_IFDIR | 0o755)
    archive.add("dev/console", stat.S_IFCHR | 0o600, device=CONSOLE)
    archive.add("bin/busybox", stat.S_IFREG | 0o755, busybox.read_bytes())
    for name, target in LINKS.items():
        archive.add(name, stat.S_IFLNK | 0o777, target.encode())
    for path in sorted(FILES.rglob("*")):
        if path.is_file():
            mode = 0o755 if os.access(path, os.X_OK) else 0o644
            archive.add(path.relative_to(FILES).as_posix(), stat.S_IFREG | mode, path.read_bytes())
    if modules:
        add_modules(archive, modules, listed)
    return archive.finish()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--busybox", type=pathlib.Path, required=True)
    parser.add_argument("--modules", type=pathlib.Path)
    parser.add_argument("--module-list", type=pathlib.Path)
    parser.add_argument("--output", type=pathlib.Path, required=True)
    args = parser.parse_args()
    temporary = args.output.with_name(args.output.name + ".tmp")
    temporary.write_bytes(gzip.compress(build(args.busybox, args.modules, args.module_list), 9, mtime=0))
    temporary.replace(args.output)


if __name__ == "__main__":
    main()
