# SPDX-License-Identifier: Apache-2.0
"""Debian's kernel with the small initramfs as a guest: what the tests on each engine do with it. And a kernel that is up at
once, also in Bochs, where Linux takes minutes (kernels/report.c)."""
import json
import pathlib
import tempfile

from booted import BUILD, INITRAMFS, KERNEL

SHELL = r"guest:\S* # ?|guest:\S*# "
# From the kernel's first instruction to its shell; the emulators share two processors with whatever else runs.
GUEST_BOOT_S = {"svm": 240, "vtx": 1500}
STEP_S = {"svm": 60, "vtx": 300}


def upload(client):
    """Puts kernel and initramfs on the node, unless they are there."""
    there = client.keelctl("-o", "name", "image", "list").split()
    for name, path in (("vmlinuz", KERNEL), ("initrd", INITRAMFS)):
        if name not in there:
            client.keelctl("image", "put", name, path)


SMALL_KERNEL = BUILD / "kernels" / "multiboot.elf"
SMALL_CMDLINE = "stay"  # halted when it has said everything, instead of switched off
SMALL_READY = r"^end\s"


def upload_small(client):
    if "small" not in client.keelctl("-o", "name", "image", "list").split():
        client.keelctl("image", "put", "small", SMALL_KERNEL)


def document(cpus, memory):
    """An HCS document as the published schema has it, with nothing of ours in it."""
    return {"Owner": "boot test", "SchemaVersion": {"Major": 2, "Minor": 1}, "VirtualMachine": {
        "Chipset": {"LinuxKernelDirect": {"KernelFilePath": "vmlinuz", "InitRdPath": "initrd",
                                          "KernelCmdLine": "console=ttyS0"}},
        "ComputeTopology": {"Memory": {"SizeInMB": memory}, "Processor": {"Count": cpus}},
        "Devices": {"ComPorts": {"0": {}}}}}


def start(client, name, cpus=2, memory=256):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "system.json")
        path.write_text(json.dumps(document(cpus, memory)))
        client.keelctl("system", "create", name, "--file", path, "--start")


def wait_shell(console, cpus, timeout):
    console.wait_for(rf"keelson guest ready: {cpus} cpus\s", timeout)
    console.wait_for(SHELL, timeout)


def state(client, name):
    return client.json("system", "properties", name)["State"]


def exit_type(client, name, timeout):
    return client.json("system", "wait", name, "--timeout", timeout)["ExitType"]


def run_ticks(client):
    """System -> how long its VPs have run, in ticks of the node's TSC."""
    return {p["SystemId"]: p["RunTsc"] for p in client.json("node", "partitions")["Partitions"]}
