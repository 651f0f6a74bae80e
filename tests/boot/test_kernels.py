# SPDX-License-Identifier: Apache-2.0
"""Kernels other than a bzImage: Multiboot 1 and PVH, by two small kernels that say what they were given, and Debian's
own kernel taken out of its bzImage."""
import json
import lzma
import re
import struct
import subprocess
import sys

import pytest
from booted import BUILD, DEPS, KERNEL, booted
from linux_guest import GUEST_BOOT_S, STEP_S, exit_type, upload, wait_shell

KERNELS = BUILD / "kernels"
MODULES = {"first": bytes(range(256)) * 33 + b"odd", "second": b"x"}
ROOM_S = 120
MEMORY_MIB = 32
RAM_KIB = MEMORY_MIB * 1024 - 384  # nothing between 640 KiB and 1 MiB is RAM
MAP = ["map 0 a0000 1", "map e0000 20000 3", "map 100000 1f00000 1"]


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    machine = booted("svm")
    folder = tmp_path_factory.mktemp("modules")
    there = machine.client.keelctl("-o", "name", "image", "list").split()
    for name, data in MODULES.items():
        if name not in there:
            (folder / name).write_bytes(data)
            machine.client.keelctl("image", "put", name, folder / name)
    return machine


def put(client, name, path):
    if name not in client.keelctl("-o", "name", "image", "list").split():
        client.keelctl("image", "put", name, path)


def document(kernel, initrd, cmdline, memory=MEMORY_MIB, cpus=1):
    return json.dumps({"SchemaVersion": {"Major": 2, "Minor": 2}, "VirtualMachine": {
        "Chipset": {"LinuxKernelDirect": {"KernelFilePath": kernel, "InitRdPath": initrd, "KernelCmdLine": cmdline}},
        "ComputeTopology": {"Memory": {"SizeInMB": memory}, "Processor": {"Count": cpus}},
        "Devices": {"ComPorts": {"0": {}}}}})


def create(client, folder, name, *what, status=0, **more):
    (folder / "document").write_text(document(*what, **more))
    return client.keelctl("system", "create", name, "--file", folder / "document", status=status)


def report(client, folder, name, *what):
    """What the small kernel said until it powered off."""
    create(client, folder, name, *what)
    client.keelctl("system", "start", name)
    assert exit_type(client, name, ROOM_S) == "GracefulExit"
    text = client.keelctl("system", "history", name).replace("\r", "")
    client.keelctl("system", "delete", name)
    assert text.endswith("end\n"), text
    return text


def checksum(data):
    total = 0
    for byte in data:
        total = (total * 31 + byte) & 0xffffffff
    return total


def module_lines(texts):
    return [f"module {i} aligned 1 size {len(data):x} sum {checksum(data):x} [{text}]"
            for i, (data, text) in enumerate(zip(MODULES.values(), texts))]


def check_common(text, ram_kib=RAM_KIB):
    assert [line for line in text.splitlines() if line.startswith("map ")] == MAP
    assert f"memory {ram_kib:x} KiB" in text
    assert "rsdp e0000 good" in text
    assert "cr0 11 cr4 0 if 0 cs 10 ds 18 bss 0 data 2a" in text


def test_multiboot_elf(machine, tmp_path):
    put(machine.client, "mb", KERNELS / "multiboot.elf")
    text = report(machine.client, tmp_path, "mb", "mb", "first one,,two  three,second", "a=1 b")
    assert "protocol multiboot\nflags 24d lower 280 upper 7c00\n" in text
    assert "loader [Keelson]\ncmdline [mb a=1 b]\n" in text
    assert [line for line in text.splitlines() if line.startswith("module ")] == \
        module_lines(["first one,two  three", "second"])
    check_common(text)


def test_multiboot_flat_binary(machine, tmp_path):
    put(machine.client, "flat", KERNELS / "multiboot.bin")
    text = report(machine.client, tmp_path, "flat", "flat", "", "")
    assert "protocol multiboot\n" in text and "cmdline [flat]\n" in text and "module" not in text
    check_common(text)


def test_pvh_elf(machine, tmp_path):
    put(machine.client, "pvh", KERNELS / "pvh.elf")
    text = report(machine.client, tmp_path, "pvh", "pvh", "first hello,second", "a=1 b")
    assert "protocol pvh\nversion 1 flags 0\ncmdline [a=1 b]\n" in text
    assert [line for line in text.splitlines() if line.startswith("module ")] == module_lines(["hello", ""])
    check_common(text)


def read_trace(client, cpu):
    """All that is kept of a processor."""
    data, sequence = b"", 0
    while True:
        status, head, piece = client.curl(f"/v1/hypervisor/trace?cpu={cpu}&from={sequence}")
        assert status == 200
        sequence = int(re.search(r"^X-Next-Sequence: (\d+)$", head, re.MULTILINE | re.IGNORECASE)[1])
        data += piece
        if not piece:
            return data


def test_trace(machine, tmp_path):
    """A guest's exits with their addresses, and how its processor was given to it."""
    client = machine.client
    put(client, "pvh", KERNELS / "pvh.elf")
    assert client.curl("/v1/hypervisor/trace/start", "-X", "POST")[0] == 204
    report(client, tmp_path, "traced", "pvh", "", "traced")
    assert client.curl("/v1/hypervisor/trace/stop", "-X", "POST")[0] == 204
    traces = [read_trace(client, cpu) for cpu in range(client.json("node", "show")["ProcessorCount"])]
    again = [read_trace(client, cpu) for cpu in range(len(traces))]
    assert again == traces, "it went on"
    (tmp_path / "trace").write_bytes(b"".join(traces))
    text = subprocess.run([sys.executable, "tools/trace.py", tmp_path / "trace"], capture_output=True, text=True, check=True).stdout
    assert re.search(r"cpu\d+ +1\.\d +exit hypercall", text), text[-3000:]
    assert "leaves: waits for intercepts" in text and "runs, after" in text


def refusal(client, folder, *what):
    """Name of the error and what its text says."""
    err = create(client, folder, "bad", *what, status=1)
    return re.search(r"\b([A-Z]+_[A-Z_]+) \(0x", err)[1], err


def test_refusals(machine, tmp_path):
    client = machine.client
    put(client, "no-kernel", DEPS / "linux" / "busybox")
    put(client, "mb", KERNELS / "multiboot.elf")
    (tmp_path / "text").write_text("hello\n")
    put(client, "text", tmp_path / "text")
    name, text = refusal(client, tmp_path, "text", "", "")
    assert name.startswith("HCS_E_") or name.startswith("E_")
    assert "no Multiboot 1 header" in text
    assert "ELF file" in refusal(client, tmp_path, "no-kernel", "", "")[1]
    assert "'missing' is not on this node" in refusal(client, tmp_path, "mb", "first,missing", "")[1]
    assert "module 1 has no name" in refusal(client, tmp_path, "mb", "first, ,second", "")[1]


def vmlinux():
    """The ELF file in Debian's bzImage (boot.rst: payload_offset, payload_length)."""
    image = KERNEL.read_bytes()
    offset, length = struct.unpack_from("<II", image, 0x248)
    begin = (image[0x1f1] + 1) * 512 + offset
    return lzma.LZMADecompressor().decompress(image[begin:begin + length])


def test_debian_kernel_by_pvh(machine, tmp_path):
    """An ELF file of 64 bits; Linux finds command line, memory, ACPI and initrd where PVH has them."""
    client = machine.client
    upload(client)
    (tmp_path / "vmlinux").write_bytes(vmlinux())
    put(client, "vmlinux", tmp_path / "vmlinux")
    create(client, tmp_path, "debian", "vmlinux", "initrd", "console=ttyS0 hello", memory=256, cpus=2)
    client.keelctl("system", "start", "debian")
    with client.console("debian") as console:
        wait_shell(console, 2, GUEST_BOOT_S["svm"])
        assert console.run("cat /proc/cmdline", STEP_S["svm"]) == "console=ttyS0 hello"
        console.send_line("poweroff")
        assert console.wait_end(STEP_S["svm"]) == 0
    assert "Booting paravirtualized kernel" in client.keelctl("system", "history", "debian")
    client.keelctl("system", "delete", "--force", "debian")
    client.keelctl("image", "delete", "vmlinux")
