# SPDX-License-Identifier: Apache-2.0
"""The operator's shell, driven through the serial console of the real image on AMD-V (QEMU) and VT-x (Bochs)."""
import re
import time

import pytest
from booted import Booted, booted
from linux_guest import GUEST_BOOT_S, SMALL_CMDLINE, SMALL_READY, upload, upload_small
from screen import read_screen
from shell import ANSWER_S, LEAVE, MONITOR, PROMPT, Shell


@pytest.fixture(scope="module", params=["svm", "vtx"])
def machine(request):
    return booted(request.param)


@pytest.fixture(scope="module")
def shell(machine):
    return Shell(machine)


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


def test_facts_of_the_node(machine, shell):
    node = fields(shell.run("node"))
    assert node["processors"].startswith("2 x ")
    assert node["fingerprint"] == machine.client.fingerprint
    assert node["addresses"] in shell.run("network")
    assert re.fullmatch(r"[0-9.]+ MiB", fields(shell.run("memory"))["machine"].strip())
    assert machine.client.json("node", "show")["Engine"] == node["engine"]


def test_guest_from_the_shell(machine, shell):
    """An uploaded kernel started and watched from the console alone: Linux, in Bochs a small one."""
    if machine.engine == "svm":
        upload(machine.client)
        images, boot = {"vmlinuz", "initrd"}, "--kernel vmlinuz --initrd initrd"
    else:
        upload_small(machine.client)
        images, boot = {"small"}, f"--kernel small --cmdline {SMALL_CMDLINE}"
    assert images <= set(rows(shell.run("image list")))
    assert shell.run(f"system create web {boot} --memory 256 --cpus 2") == "web: created"
    assert shell.run("system start web") == "web: started"
    assert rows(shell.run("system list"))["web"][0] == "Running"
    assert re.search(r"SystemStarted +web", shell.run("events"))


def test_guest_console(machine, shell):
    """Attached, and detached again."""
    if machine.engine == "vtx":
        shell.node.send_line("console web")
        shell.node.wait_for(SMALL_READY, shell.patience)
        shell.node.send(LEAVE)
        shell.node.wait_for(r"\[web: detached\]\s", shell.patience)
        shell.node.wait_for(PROMPT, shell.patience)
        return
    with machine.client.console("web") as second:  # the same output for another reader
        second.wait_for(r"keelson guest ready: 2 cpus\s", GUEST_BOOT_S["svm"])
        shell.run_in_guest("web", "echo sum $((40+2))", "sum 42")
        second.wait_for(r"sum 42\s", shell.patience)


def test_hypervisor_counters(shell):
    """Of the guest of the test before."""
    exits = rows(shell.run("hv exits web"))
    assert int(exits["io"][0].replace(",", "")) > 0
    assert int(exits["all"][0].replace(",", "")) > int(exits["io"][0].replace(",", ""))
    partitions = shell.run("hv partitions")
    assert "management" in partitions and "web" in partitions
    vps = [line for line in shell.run("hv vps web").splitlines() if " web " in line]
    assert len(vps) == 2
    assert fields(shell.run("hv memory"))["guests"].split()[2:4] == ["256", "MiB,"]


def test_dump_of_a_vp(shell):
    shell.node.send_line("hv dump web 0")
    shell.node.wait_for(r"(?i)\brip\b", shell.patience)
    shell.node.wait_for(PROMPT, shell.patience)


def test_consent(shell):
    """A node is not ended over running systems."""
    assert "say --force" in shell.run("poweroff")
    assert "say --force" in shell.run("reboot")
    assert shell.run("system stop web") == "web: terminated"
    assert shell.run("system delete web") == "web: deleted"
    assert "there is no" in shell.run("system show web")


def test_log(machine, shell):
    assert shell.run("hv loglevel") == "3 (info)"
    shell.run("hv loglevel error")
    mark = len(shell.node.text)
    shell.run("image delete nope")  # audited, and not shown
    assert "audit: " not in shell.node.text[mark:]
    shell.run("hv loglevel info")
    shell.run("image delete nope")
    assert "image delete nope: allowed" in shell.node.text[mark:]
    assert "NodeReady" in machine.client.keelctl("node", "log")
    # Log lines are kept out of what run() returns, so look at what the node printed.
    shell.node.send_line("hv log 100")
    shell.node.wait_for(r"NodeReady", shell.patience)
    shell.node.wait_for(PROMPT, shell.patience)


def test_monitor(shell):
    """Behind the escape key the hypervisor itself answers; the shell's line is not touched."""
    shell.node.send("versi" + MONITOR + "?")
    shell.node.wait_for(r"monitor: d dump, l log, r reset", shell.patience)
    shell.node.send(MONITOR + "d")
    shell.node.wait_for(r"processor 0: (idle|partition \d+ VP \d+, \d+ entries)", shell.patience)
    shell.node.wait_for(r"processor 1: (idle|partition \d+ VP \d+, \d+ entries)", shell.patience)
    shell.node.send(MONITOR + "l")
    shell.node.wait_for(r"NodeReady", shell.patience)
    assert re.match(r"Keelson \d", shell.run("on"))


def test_secret(machine, shell):
    """The old one is refused, the new one works; it is in no log."""
    client = machine.client
    new = re.search(r"administrator secret: ([0-9a-f]{32})", shell.run("secret new"))[1]
    assert client.curl("/v1/node")[0] == 401
    client.secret = client.env["KEELSON_SECRET"] = new
    assert client.curl("/v1/node")[0] == 200
    assert new not in client.keelctl("node", "log")


def wait_screen(machine, path, words):
    """The screen as soon as these words are on it; it is drawn once a second."""
    deadline = time.monotonic() + ANSWER_S["svm"]
    while True:
        screen = read_screen(machine.node.screenshot(path))
        if words in "".join(screen.text[8:]):
            return screen
        assert time.monotonic() < deadline, "\n".join(screen.text)


def test_screen(tmp_path):
    """Title, address and fingerprint at the top, in white; the log below, in grey; the secret nowhere. Bochs has a
    frame buffer only with another card, and nobody can look at it."""
    machine = booted("svm")
    Shell(machine).run("image delete for-the-screen")
    screen = wait_screen(machine, tmp_path / "screen.ppm", "image delete for-the-screen: allowed")
    assert re.match(r"Keelson \S+ on keelson-[0-9a-f]{6}: 2 x .* \(svm\)", screen.text[0])
    assert screen.text[1].startswith("https://10.0.2.15/")
    assert f"certificate SHA-256 {machine.client.fingerprint}" in "".join(screen.text[2:7])
    assert screen.text[7] == ""
    assert machine.client.secret not in "".join(screen.text)
    black, white, grey = b"\0\0\0", b"\xff" * 3, b"\xb0" * 3
    assert screen.colours(0, 2) == {black, white}
    assert screen.colours(7, 7) == {black}
    assert screen.colours(8, len(screen.text) - 1) == {black, grey}


def test_reboot():
    """By command, and by the monitor in one step: the node comes back as the same one."""
    with Booted("reboot", "svm") as machine:
        seen = {(machine.client.secret, machine.client.fingerprint)}
        shell = Shell(machine)
        shell.node.send_line("reboot")
        machine.wait_ready()
        seen.add((machine.client.secret, machine.client.fingerprint))
        shell.node.wait_for(PROMPT, ANSWER_S["svm"])
        shell.node.send(MONITOR + "r")
        shell.node.wait_for(r"monitor: reset", ANSWER_S["svm"])
        machine.wait_ready()
        seen.add((machine.client.secret, machine.client.fingerprint))
        assert len(seen) == 1
        assert machine.client.curl("/v1/node")[0] == 200
