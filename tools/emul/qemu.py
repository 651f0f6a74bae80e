# SPDX-License-Identifier: Apache-2.0
"""Command line of a node in QEMU, and QEMU's control socket (QMP)."""
import json
import shutil

from .config import find_file, find_program
from .console import connect_unix

# From all that EPYC offers, TCG leaves out what it cannot emulate and warns about each part at every
# start; saying so here keeps the log readable.
TCG_ABSENT = ("rdseed", "sha-ni", "fxsr-opt", "misalignsse", "3dnowprefetch", "osvw", "topoext", "nrip-save", "xsavec")
DISK_DEVICES = {"ide": "ide-hd,drive=disk,bootindex=1", "nvme": "nvme,drive=disk,serial=keelson,bootindex=1",
                "virtio": "virtio-blk-pci,drive=disk,bootindex=1"}


def machine_arguments(config):
    """Accelerator, machine and processors."""
    acpi = "on" if config.acpi else "off"
    if config.engine == "kvm":
        accel, model = "kvm", config.cpu_model or "host"
    else:
        thread = "single" if config.icount_shift is not None else "multi"
        accel = f"tcg,thread={thread}"
        model = config.cpu_model or ",".join(["EPYC"] + [f"-{name}" for name in TCG_ABSENT])
    arguments = ["-accel", accel, "-machine", f"q35,acpi={acpi}", "-cpu", model,
                 "-smp", str(config.cpus), "-m", str(config.memory_mib)]
    if config.icount_shift is not None:
        arguments += ["-icount", f"shift={config.icount_shift},sleep=off", "-seed", "1",
                      "-rtc", "base=2026-01-01,clock=vm"]
    return arguments


def firmware_arguments(config):
    """OVMF with a variable store of the node's own."""
    code = find_file("ovmf", "/usr/share/OVMF/OVMF_CODE_4M.fd")
    variables = config.directory / "efivars.fd"
    if not variables.exists():
        shutil.copyfile(find_file("ovmf", "/usr/share/OVMF/OVMF_VARS_4M.fd"), variables)
    return ["-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={code}",
            "-drive", f"if=pflash,format=raw,unit=1,file={variables}"]


def network_arguments(config):
    if config.nic == "none":
        return ["-nic", "none"]
    forwards = "".join(f",hostfwd=tcp:127.0.0.1:{host}-:{node}" for host, node in config.port_map().items())
    log = ["-object", "filter-dump,id=packets,netdev=net0,file=packets.pcap"] if config.packet_log else []
    return ["-netdev", f"user,id=net0,restrict=on{forwards}",
            "-device", f"{config.nic},netdev=net0,mac={config.mac},romfile="] + log


def disk_arguments(config):
    """The disk, and what stands between it and the machine.

    With a log each write and flush becomes an entry when it is done, before the machine hears of it. What matters then is
    the log, not the host's power: neither file is flushed.
    """
    if not config.disk_log:
        drive = ["-drive", f"file={config.disk_path},format=raw,if=none,id=disk,cache=writeback"]
    else:
        drive = ["-blockdev", json.dumps({
            "driver": "blklogwrites", "node-name": "disk", "log-sector-size": 512, "log-super-update-interval": 1,
            "file": {"driver": "file", "filename": str(config.disk_path), "cache": {"no-flush": True}},
            "log": {"driver": "file", "filename": str(config.disk_log_path), "cache": {"no-flush": True}}})]
    return drive + ["-device", DISK_DEVICES[config.disk_bus]]


def command(config):
    """The whole command, to be run in the node's directory."""
    return ([find_program("qemu-system-x86_64", "qemu-system-x86"), "-nodefaults", "-no-user-config"]
            + machine_arguments(config) + firmware_arguments(config)
            + disk_arguments(config)
            + network_arguments(config)
            + ["-device", "VGA", "-display", "none",
               "-device", "isa-debug-exit,iobase=0xf4,iosize=4",
               "-chardev", "socket,id=com1,path=console.sock,server=on,wait=on,logfile=serial.log",
               "-serial", "chardev:com1",
               "-qmp", "unix:qmp.sock,server=on,wait=off"]
            + list(config.extra))


class Qmp:
    """One command at a time over QEMU's control socket in a node's directory."""

    def __init__(self, directory):
        self._socket = connect_unix(directory, "qmp.sock")
        self._socket.settimeout(30)
        self._lines = self._socket.makefile("r", encoding="utf-8")
        self._lines.readline()  # the greeting
        self.execute("qmp_capabilities")

    def execute(self, name, **arguments):
        request = {"execute": name, "arguments": arguments}
        self._socket.sendall(json.dumps(request).encode() + b"\n")
        for line in self._lines:
            answer = json.loads(line)
            if "return" in answer:
                return answer["return"]
            if "error" in answer:
                raise RuntimeError(f"{name}: {answer['error']['desc']}")
        raise RuntimeError(f"{name}: QEMU has gone")

    def close(self):
        self._lines.close()
        self._socket.close()
