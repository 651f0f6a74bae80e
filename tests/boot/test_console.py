# SPDX-License-Identifier: Apache-2.0
"""The operator's shell, driven through the serial console of the real image on AMD-V (QEMU) and VT-x (Bochs)."""
import re

import pytest
from booted import INITRAMFS, KERNEL, Booted

ANSWER_S = {"svm": 30, "vtx": 120}
GUEST_BOOT_S = {"svm": 240, "vtx": 900}
PROMPT = r"keelson> \x1b\[K"
LEAVE = "\x1d"  # Ctrl-]


class Shell:
    """Types commands at a node's prompt and waits for it to come back."""

    def __init__(self, machine):
        self.node = machine.node
        self.client = machine.client
        self.patience = ANSWER_S[machine.engine]
        self.node.wait_for(PROMPT, self.patience)

    def run(self, command, timeout=None):
        """Returns what was printed between the command (a long one scrolls) and the next prompt, without log lines."""
        self.node.send_line(command)
        self.node.wait_for(re.escape(command[-20:]) + r"(\x1b\[K)?\r\n", self.patience)
        text = self.node.wait_for(rf"(?s)(.*?)\r{PROMPT}", timeout or self.patience)[1]
        text = re.sub(r"[^\n]*\r\x1b\[K", "", text)  # progress, which is erased again
        lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).replace("\r", "").splitlines()
        return "\n".join(line for line in lines if not re.match(r"\[ *\d+\.\d{6}\] ", line))


@pytest.fixture(scope="module", params=["svm", "vtx"])
def shell(request):
    machine = Booted(f"console-{request.param}", request.param)
    yield Shell(machine)
    machine.stop()


def rows(text):
    """First column -> the other ones of a table."""
    return {line.split()[0]: line.split()[1:] for line in text.splitlines()[1:] if line.strip()}


def fields(text):
    return {line[:14].strip(): line[15:] for line in text.splitlines()}


def test_help_and_editing(shell):
    assert "system create ID" in shell.run("help")
    # What arrives is "version": typed with a mistake, corrected by cursor keys, completed by Tab.
    shell.node.send("xer\x1b[D\x1b[D\x1b[D\x1b[3~v\x05\t")
    assert re.match(r"Keelson \d", shell.run(""))
    assert "there is no command" in shell.run("frobnicate")
    shell.node.send("\x1b[A\x1b[A")  # the line before the last
    assert re.match(r"Keelson \d", shell.run(""))


def test_facts_of_the_node(shell):
    node = fields(shell.run("node"))
    assert node["processors"].startswith("2 x ")
    assert node["fingerprint"] == shell.client.fingerprint
    assert node["addresses"] in shell.run("network")
    assert re.fullmatch(r"[0-9.]+ MiB", fields(shell.run("memory"))["machine"].strip())
    assert shell.client.json("node", "show")["Engine"] == node["engine"]


def test_guest_from_the_shell(shell, request):
    """An uploaded kernel started, watched and ended from the console alone."""
    engine = request.node.callspec.params["shell"]
    for name, path in (("vmlinuz", KERNEL), ("initrd", INITRAMFS)):
        shell.client.keelctl("image", "put", name, path)
    assert set(rows(shell.run("image list"))) == {"vmlinuz", "initrd"}
    created = shell.run("system create web --kernel vmlinuz --initrd initrd --memory 256 --cpus 2")
    assert created == "web: created"
    assert shell.run("system start web", GUEST_BOOT_S[engine]) == "web: started"
    assert rows(shell.run("system list"))["web"][0] == "Running"
    shell.node.send_line("console web")
    shell.node.wait_for(r"keelson guest ready: 2 cpus\s", GUEST_BOOT_S[engine])
    with shell.client.console("web") as second:  # the same output for another reader
        shell.node.send_line("echo sum $((40+2))")
        shell.node.wait_for(r"sum 42\s", shell.patience)
        second.wait_for(r"sum 42\s", shell.patience)
    shell.node.send(LEAVE)
    shell.node.wait_for(r"\[web: detached\]\s", shell.patience)
    shell.node.wait_for(PROMPT, shell.patience)


def test_hypervisor_counters(shell):
    """Of the guest of the test before."""
    exits = rows(shell.run("hv exits web"))
    assert int(exits["cpuid"][0].replace(",", "")) > 0
    assert int(exits["all"][0].replace(",", "")) > int(exits["cpuid"][0].replace(",", ""))
    partitions = shell.run("hv partitions")
    assert "management" in partitions and "web" in partitions
    vps = [line for line in shell.run("hv vps web").splitlines() if " web " in line]
    assert len(vps) == 2
    assert fields(shell.run("hv memory"))["guests"].split()[2:4] == ["256", "MiB,"]


def test_log_and_dump(shell):
    shell.node.send_line("hv dump web 0")
    shell.node.wait_for(r"(?i)\brip\b", shell.patience)
    shell.node.wait_for(PROMPT, shell.patience)
    assert shell.run("hv loglevel") == "3 (info)"
    shell.run("hv loglevel error")
    shell.run("image show nope")
    assert "NodeReady" in shell.client.keelctl("node", "log")
    shell.run("hv loglevel info")
    # Log lines are kept out of what run() returns, so look at what the node printed.
    shell.node.send_line("hv log 100")
    shell.node.wait_for(r"NodeReady", shell.patience)
    shell.node.wait_for(PROMPT, shell.patience)


def test_secret(shell):
    """The old one is refused, the new one works; it is in no log."""
    new = re.search(r"administrator secret: ([0-9a-f]{32})", shell.run("secret new"))[1]
    assert shell.client.curl("/v1/node")[0] == 401
    shell.client.secret = shell.client.env["KEELSON_SECRET"] = new
    assert shell.client.curl("/v1/node")[0] == 200
    assert new not in shell.client.keelctl("node", "log")


def test_screen(shell, request, tmp_path):
    """Title, address and fingerprint at the top, in white; the log below, in grey; nothing of the firmware."""
    if request.node.callspec.params["shell"] != "svm":
        pytest.skip("Bochs has no frame buffer here")
    picture = shell.node.screenshot(tmp_path / "screen.ppm").read_bytes()
    width, height = map(int, picture.split(b"\n", 3)[1].split())
    pixels = picture[-3 * width * height:]

    def colours(first_row, last_row):
        line = 3 * width * 16
        part = pixels[first_row * line:(last_row + 1) * line]
        return {part[i:i + 3] for i in range(0, len(part), 3)}

    black, white, grey = b"\0\0\0", b"\xff" * 3, b"\xb0" * 3
    assert colours(0, 2) == {black, white}
    assert colours(7, 7) == {black}
    assert colours(8, height // 16 - 1) == {black, grey}


def test_power_off(shell):
    """Asks for consent while a system runs; then the machine is off."""
    assert "say --force" in shell.run("poweroff")
    assert shell.run("system stop web", shell.patience) == "web: terminated"
    shell.node.send_line("poweroff")
    shell.node.wait_end(shell.patience)  # of Bochs the status says nothing
