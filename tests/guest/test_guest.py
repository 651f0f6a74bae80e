# SPDX-License-Identifier: Apache-2.0
"""Micro-guests on the real hypervisor: one boot for each machine, one test result for each PASS/FAIL line.

The image (mk/guest.mk) holds the hypervisor and a test root partition that runs every row of tests.def and
prints its result on the serial console. A machine is booted once, when the first of its tests asks.
"""
import os
import pathlib
import re

import pytest

from tools.emul import NodeConfig, NodeFailed, start_node

HERE = pathlib.Path(__file__).resolve().parent
BUILD = pathlib.Path(os.environ.get("KEELSON_BUILD", "build"))

# Name -> (engine, processors). QEMU's software SVM and Bochs' VT-x differ in timing as much as in kind; one
# processor forces root and guest to share it, several let a guest's VPs run side by side.
MACHINES = {"svm-1cpu": ("svm", 1), "svm-2cpu": ("svm", 2), "vtx-1cpu": ("vtx", 1),
            "vtx-2cpu": ("vtx", 2)}
TIMEOUT_S = 400
MEMORY_MIB = 512

ROW = re.compile(r"^(?P<kind>TEST|ROOT_TEST)\((?P<name>\w+)(?:, *\w+, *(?P<ends>\w+))?", re.MULTILINE)
RESULT = re.compile(r"^(PASS|FAIL): (\w+)(.*)$")
STOPPED = re.compile(r"partition \d+ VP \d+ stopped: (\w+)")
NEVER = re.compile(r"PANIC|VM-entry failure|unexpected exit|management partition VP")


def rows():
    """Name -> message type that ends the test, None for tests that provoke stops themselves."""
    text = (HERE / "tests.def").read_text()
    return {m["name"]: m["ends"] if m["kind"] == "TEST" else None for m in ROW.finditer(text)}


class Run:
    """What one machine printed, cut into tests."""

    def __init__(self, machine):
        engine, cpus = MACHINES[machine]
        self.directory = BUILD / "test" / "guest" / machine
        self.broken = None
        self.results = {}  # name -> (passed, lines of the console that led to it)
        self.text = self._boot(engine, cpus)
        self._cut()

    def _boot(self, engine, cpus):
        config = NodeConfig(directory=self.directory, image=BUILD / "guest" / "guest.img", engine=engine, cpus=cpus,
                            memory_mib=MEMORY_MIB, nic="none")
        with start_node(config) as node:
            try:
                node.wait_for(r"^guest tests: \d+ passed, \d+ failed", TIMEOUT_S)
                node.wait_end(60)
            except NodeFailed as error:
                self.broken = str(error)
            text = node.text
        (self.directory / "disk.img").unlink(missing_ok=True)
        return text.replace("\r", "")

    def _cut(self):
        lines = []
        for line in self.text.splitlines():
            lines.append(line)
            match = RESULT.match(line)
            if match:
                self.results[match[2]] = (match[1] == "PASS", lines)
                lines = []


@pytest.fixture(scope="session")
def run_of():
    """Boots a machine at its first use."""
    runs = {}

    def get(machine):
        if machine not in runs:
            runs[machine] = Run(machine)
        return runs[machine]

    return get


@pytest.mark.parametrize("name", rows())
@pytest.mark.parametrize("machine", MACHINES)
def test_micro_guest(run_of, machine, name):
    run = run_of(machine)
    assert name in run.results, f"no result\n{run.broken or run.text[-3000:]}"
    passed, lines = run.results[name]
    shown = "\n".join(lines[-60:])
    assert passed, shown
    if rows()[name] == "HV_MSG_IO_PORT":
        assert not STOPPED.search("\n".join(lines)), f"a guest that was to end by itself was stopped\n{shown}"


@pytest.mark.parametrize("machine", MACHINES)
def test_machine(run_of, machine):
    """The run as a whole: it came to its end, and the hypervisor had nothing to complain about."""
    run = run_of(machine)
    never = NEVER.search(run.text)
    assert not never, f"{never[0]!r}\n{run.text[-3000:]}"
    assert not run.broken, run.broken
    assert set(run.results) == set(rows()), "tests.def and the image differ"
