# SPDX-License-Identifier: Apache-2.0
"""Debian's kernel with the small initramfs as a guest: what the tests on each engine do with it."""
from booted import INITRAMFS, KERNEL

SHELL = r"guest:\S* # ?|guest:\S*# "


def upload(client):
    """Puts kernel and initramfs on the node, unless they are there."""
    there = client.keelctl("-o", "name", "image", "list").split()
    for name, path in (("vmlinuz", KERNEL), ("initrd", INITRAMFS)):
        if name not in there:
            client.keelctl("image", "put", name, path)


def start(client, name, cpus=2, memory=256, cmdline="console=ttyS0"):
    client.keelctl("system", "create", name, "--kernel", "vmlinuz", "--initrd", "initrd", "--memory", memory,
                   "--cpus", cpus, "--cmdline", cmdline, "--start")


def wait_shell(console, cpus, timeout):
    console.wait_for(rf"keelson guest ready: {cpus} cpus\s", timeout)
    console.wait_for(SHELL, timeout)


def state(client, name):
    return client.json("system", "properties", name)["State"]


def exit_type(client, name, timeout):
    return client.json("system", "wait", name, "--timeout", timeout)["ExitType"]
