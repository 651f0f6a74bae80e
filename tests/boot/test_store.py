# SPDX-License-Identifier: Apache-2.0
"""What a node keeps on its state partition, over restarts of the real image on AMD-V (QEMU) and VT-x (Bochs)."""
import hashlib
import re

import pytest
from booted import BOOT_TIMEOUT_S, BUILD, INITRAMFS, KERNEL, Booted, booted
from linux_guest import SMALL_KERNEL
from test_console import Shell, fields

STATE_TYPE_AT = 1024 + 3 * 128  # the fourth entry of the partition table (UEFI "GPT Partition Entry Array")


class Machine:
    """The one that tests share: it has been used, and these tests are the last."""

    def __init__(self, engine):
        self.booted = booted(engine)
        self.node = self.booted.node
        self.client = self.booted.client
        self.patience = BOOT_TIMEOUT_S[engine]
        self.kernel = {"svm": KERNEL, "vtx": SMALL_KERNEL}[engine]  # Bochs takes its time with large ones

    def restart(self):
        """By the API: processors have to leave virtualization before firmware can start them anew."""
        self.client.keelctl("node", "reboot", "--force")
        mounted = self.node.wait_for(r"store: (\S+) (\w+), ", self.patience)
        self.node.wait_for(r"administrator secret is the one shown before", self.patience)
        self.node.wait_for(r"API ready: https://\d+\.\d+\.\d+\.\d+/\s", self.patience)
        return mounted[2]

    def metric(self, name):
        return int(re.search(rf"^keelson_{name} (\d+)", self.client.keelctl("node", "metrics"), re.MULTILINE)[1])


@pytest.fixture(scope="module", params=["svm", "vtx"])
def machine(request):
    return Machine(request.param)


def new_secret(machine):
    """Makes one at the console, and has the client use it."""
    text = Shell(machine.booted).run("secret new")
    client = machine.client
    client.secret = client.env["KEELSON_SECRET"] = re.search(r"administrator secret: ([0-9a-f]{32})", text)[1]


def test_images_secret_and_certificate_survive(machine):
    client = machine.client
    before = client.json("store", "show")
    client.keelctl("image", "put", "kernel", machine.kernel)
    client.keelctl("image", "put", "other", INITRAMFS)
    client.keelctl("image", "put", "gone", INITRAMFS)
    client.keelctl("image", "delete", "gone")
    images = client.json("image", "list")["Images"]
    old_secret = client.secret
    new_secret(machine)
    assert machine.restart() == "mounted"
    # The new secret and, as keelctl compares fingerprints, the same certificate.
    assert client.json("image", "list")["Images"] == images
    assert [i["Sha256"].lower() for i in images if i["Name"] == "kernel"] == \
        [hashlib.sha256(machine.kernel.read_bytes()).hexdigest()]
    assert client.curl("/v1/node", user=f"admin:{old_secret}")[0] == 401
    after = client.json("store", "show")
    assert (after["Uuid"], after["Place"]) == (before["Uuid"], before["Place"])
    assert after["FreeBytes"] < before["FreeBytes"] - machine.kernel.stat().st_size - INITRAMFS.stat().st_size + (1 << 20)
    client.keelctl("system", "create", "from-disk", "--kernel", "kernel", "--memory", "256")
    client.keelctl("system", "delete", "--force", "from-disk")


def test_checks_find_nothing(machine):
    shell = Shell(machine.booted)
    assert "no problems" in shell.run("store check")
    assert fields(shell.run("store show"))["state"] == "ok"
    assert machine.client.json("store", "check") == {"Problems": 0, "Text": "", "BytesRead": 0}
    scrubbed = machine.client.json("store", "scrub")
    images = machine.client.json("image", "list")["Images"]
    assert scrubbed["Problems"] == 0 and scrubbed["BytesRead"] == sum(image["Size"] for image in images)
    assert machine.metric("store_failed") == 0
    assert machine.metric("store_fiber_stack_used_bytes") < machine.metric("store_fiber_stack_bytes") / 2


def test_a_foreign_partition_is_left_alone(tmp_path):
    """The node runs without, says why, and writes nothing."""
    disk = tmp_path / "disk.img"
    with open(BUILD / "keelson.img", "rb") as source, open(disk, "wb") as target:
        while data := source.read(1 << 20):
            target.write(data)
    with open(disk, "r+b") as file:
        file.seek(STATE_TYPE_AT + 32)
        first = int.from_bytes(file.read(8), "little") * 512
        last = int.from_bytes(file.read(8), "little") * 512
        file.seek(first + 1080)
        file.write(b"\x53\xef")
        file.seek(first)
        before = file.read(last - first)
    booted = Booted("store-foreign", "svm", disk=disk)
    try:
        assert "holds ext2/3/4" in booted.node.text
        booted.client.keelctl("image", "put", "memory-only", INITRAMFS)
        assert "state partition" in booted.client.keelctl("store", "show", status=1)
    finally:
        booted.stop()
    with open(disk, "rb") as file:
        file.seek(first)
        assert file.read(last - first) == before
