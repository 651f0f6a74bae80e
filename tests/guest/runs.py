# SPDX-License-Identifier: Apache-2.0
"""One boot of the micro-guest image for each machine, and what it printed."""
import json
import os
import pathlib
import re

from tools.emul import NodeConfig, NodeFailed, start_node

HERE = pathlib.Path(__file__).resolve().parent
BUILD = pathlib.Path(os.environ.get("KEELSON_BUILD", "build"))
SEED = os.environ.get("KEELSON_GUEST_SEED")  # where the seeds of random guests start; 1 if not given

# Name -> (engine, processors). QEMU's software SVM and Bochs' VT-x differ in timing as much as in kind; one
# processor forces root and guest to share it, several let a guest's VPs run side by side.
# The first of several processors runs no guests under QEMU's AMD-V (arch/x86/svm/svm.c).
MACHINES = {"svm-1cpu": ("svm", 1), "svm-2cpu": ("svm", 3), "vtx-1cpu": ("vtx", 1), "vtx-2cpu": ("vtx", 2)}
# One machine uses APIC virtualization though Bochs' delivers interrupts that are masked (arch/x86/vmx/control.c): the test
# for that fails there.
CONFIG = {"vtx-1cpu": "apic_virtualization = on\n"}
FAULTS = {"vtx-1cpu": ("masked_interrupt",)}
ENGINES = ("svm", "vtx")
TIMEOUT_S = 900  # for a broken run: a good one takes a minute on an idle host
END_S = 120
MEMORY_MIB = 512

ROW = re.compile(r"^(?P<kind>TEST|ROOT_TEST)\((?P<name>\w+)(?:, *\w+, *(?P<ends>\w+))?", re.MULTILINE)
RESULT = re.compile(r"^(PASS|FAIL): (\w+)(.*)$")
COVER = re.compile(r"^COVER (exit|call|refused) (\w+) (\d+) (\d+)$", re.MULTILINE)


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
        self.text = self._boot(engine, cpus, CONFIG.get(machine, "") + (f"guest-seed={SEED}\n" if SEED else ""))
        self.cover = {(m[1], m[2]): (int(m[3]), int(m[4])) for m in COVER.finditer(self.text)}
        self._cut()

    def _boot(self, engine, cpus, config_text):
        config = NodeConfig(directory=self.directory, image=BUILD / "guest" / "guest.img", engine=engine, cpus=cpus,
                            memory_mib=MEMORY_MIB, nic="none", config_text=config_text or None)
        with start_node(config) as node:
            try:
                node.wait_for(r"^guest tests: \d+ passed, \d+ failed", TIMEOUT_S)
                node.wait_end(END_S)
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


_runs = {}


def run_of(machine):
    """Boots a machine at its first use."""
    if machine not in _runs:
        _runs[machine] = Run(machine)
    return _runs[machine]


# ---- coverage --------------------------------------------------------------------------------------------


def excused(engine):
    """Exit reasons that cannot occur on a back end -> why."""
    return json.loads((HERE / "coverage.json").read_text())[engine]


def coverage(engine, only_booted=False):
    """(kind, name) -> two counts: an exit's (count, 0), a call's (good, refused); all machines of a back end together."""
    total = {}
    for machine, (its_engine, _) in MACHINES.items():
        if its_engine != engine or (only_booted and machine not in _runs):
            continue
        for key, counts in run_of(machine).cover.items():
            before = total.get(key, (0, 0))
            total[key] = (before[0] + counts[0], before[1] + counts[1])
    return total


def booted_engines():
    return [engine for engine in ENGINES if any(MACHINES[machine][0] == engine for machine in _runs)]


def coverage_table():
    """The table as text, of the machines that have run; empty if none has."""
    by_engine = {engine: coverage(engine, only_booted=True) for engine in booted_engines()}
    keys = list(dict.fromkeys(key for counts in by_engine.values() for key in counts))
    lines = []
    for kind, name in keys:
        cells = [f"{kind:<8} {name:<28}"]
        for engine, counts in by_engine.items():
            good, refused = counts.get((kind, name), (0, 0))
            text = f"{good} good, {refused} refused" if kind == "call" else str(good)
            if kind == "exit" and name in excused(engine):
                text = "cannot occur"
            cells.append(f"{engine}: {text:<26}")
        lines.append(" ".join(cells).rstrip())
    for engine in by_engine:
        lines += [f"cannot occur on {engine}: {name}: {why}" for name, why in excused(engine).items()]
    return "\n".join(lines)
