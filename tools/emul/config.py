# SPDX-License-Identifier: Apache-2.0
"""What a node in an emulator is made of, and the files and ports it needs."""
import dataclasses
import os
import pathlib
import random
import shutil
import socket
import subprocess
from typing import Optional

ENGINES = ("svm", "vtx", "kvm")
API_PORT_IN_NODE = 443
ESP_OFFSET = 1 << 20  # tools/mkimage.py puts the ESP on the first MiB
# Processors of a node of which two run guests: under QEMU's AMD-V the first of several does not (arch/x86/svm/svm.c).
USUAL_CPUS = {"svm": 3, "vtx": 2, "kvm": 2}
PORT_RANGE = (20000, 32000)  # below the range from which the kernel picks ports for outgoing connections
BOCHS_CPUS = (1, 2, 4, 8)


@dataclasses.dataclass
class NodeConfig:
    """One node. `directory` receives all of its files; nothing is written elsewhere."""

    directory: pathlib.Path
    image: Optional[pathlib.Path] = None  # copied to directory/disk.img at each start
    disk: Optional[pathlib.Path] = None  # used in place of a copy of the image
    engine: str = "svm"  # svm: QEMU TCG with AMD-V; vtx: Bochs with VT-x; kvm: QEMU with KVM
    cpus: Optional[int] = None  # USUAL_CPUS unless given
    memory_mib: int = 1024
    nic: str = "e1000"  # e1000, or for QEMU virtio-net-pci; none for no NIC
    mac: str = "52:54:00:12:34:56"
    api_port: int = 0  # host port that leads to the node's port 443; 0 picks a free one
    forwards: dict = dataclasses.field(default_factory=dict)  # more of them: host port -> node port
    config_text: Optional[str] = None  # written to the ESP as keelson.cfg
    acpi: bool = True  # QEMU only; Bochs never has ACPI tables
    cpu_model: Optional[str] = None  # instead of the engine's usual model
    icount_shift: Optional[int] = None  # QEMU: 2^shift ns an instruction, repeatable; one processor only
    framebuffer: bool = False  # a linear frame buffer (always there in QEMU)
    disk_bus: str = "ide"  # QEMU: ide (AHCI), nvme or virtio
    disk_log: bool = False  # QEMU: writes and flushes of the disk go to disk.log (disk_log.py); before.img is what it was
    packet_log: bool = False  # what the NIC sends and gets: packets.pcap (QEMU), packets.txt (Bochs)
    detach: bool = False  # the emulator outlives this process
    extra: list = dataclasses.field(default_factory=list)  # further QEMU arguments or Bochs lines

    def __post_init__(self):
        self.directory = pathlib.Path(self.directory).resolve()
        if self.engine not in ENGINES:
            raise ValueError(f"engine {self.engine!r} is none of {', '.join(ENGINES)}")
        if self.cpus is None:
            self.cpus = USUAL_CPUS[self.engine]
        if self.image is None and self.disk is None:
            raise ValueError("a node needs an image or a disk")
        if self.icount_shift is not None and (self.engine != "svm" or self.cpus != 1):
            raise ValueError("icount needs engine svm and one processor")
        if self.engine == "vtx" and self.cpus not in BOCHS_CPUS:
            raise ValueError(f"Bochs takes {BOCHS_CPUS} processors")
        if self.disk_log and (self.engine == "vtx" or self.disk_bus != "ide"):
            # Others do requests side by side, and their log does not tell which writes were done when a flush began.
            raise ValueError("a log of the disk's writes needs QEMU and the disk on the IDE bus")
        if self.engine == "vtx" and self.nic not in ("e1000", "none"):
            raise ValueError("the only NIC of Bochs that a node drives is e1000")

    def prepare(self):
        """Makes the directory, the disk and its configuration file, and picks the port."""
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self.disk is None:
            copy_sparse(self.image, self.disk_path)
        if self.config_text is not None:
            self._write_config()
        if self.disk_log:
            copy_sparse(self.disk_path, self.disk_before_path)
            self.disk_log_path.write_bytes(b"")
        if self.nic != "none" and self.api_port == 0:
            self.api_port = free_port()

    @property
    def disk_path(self):
        return pathlib.Path(self.disk).resolve() if self.disk else self.directory / "disk.img"

    @property
    def disk_before_path(self):
        """With disk_log: the disk as it was when the log began."""
        return self.directory / "before.img"

    @property
    def disk_log_path(self):
        return self.directory / "disk.log"

    def port_map(self):
        """Host port -> node port."""
        ports = {self.api_port: API_PORT_IN_NODE} if self.api_port else {}
        return {**ports, **self.forwards}

    def _write_config(self):
        path = self.directory / "keelson.cfg"
        path.write_text(self.config_text, encoding="utf-8")
        write_to_esp(self.disk_path, path, "keelson.cfg")


def copy_sparse(source, target):
    """Copies a disk image, keeping its holes."""
    subprocess.run(["cp", "--sparse=always", "--reflink=auto", str(source), str(target)], check=True)
    os.chmod(target, 0o600)


def write_to_esp(disk, source, name):
    """Puts a file into the ESP of a disk made by tools/mkimage.py, replacing one of that name."""
    env = dict(os.environ, MTOOLS_SKIP_CHECK="1")
    subprocess.run(["mcopy", "-o", "-i", f"{disk}@@{ESP_OFFSET}", str(source), f"::/{name}"], check=True,
                   env=env, capture_output=True)


def free_port():
    """A TCP port on 127.0.0.1 that was free a moment ago."""
    for _ in range(200):
        port = random.randrange(*PORT_RANGE)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError("no free TCP port")


def find_program(name, package):
    """Absolute path of a program, or an error that names its Debian package."""
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if path is None:
        raise RuntimeError(f"{name} is missing: apt-get install {package}")
    return path


def find_file(package, *paths):
    """The first of these files that exists, or an error that names the Debian package."""
    for path in paths:
        if os.path.exists(path):
            return path
    raise RuntimeError(f"{paths[0]} is missing: apt-get install {package}")
