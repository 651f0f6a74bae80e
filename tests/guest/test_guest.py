# SPDX-License-Identifier: Apache-2.0
"""Micro-guests on the real hypervisor: one boot for each machine, one test result for each PASS/FAIL line.

The image (mk/guest.mk) holds the hypervisor and a test root partition that runs every row of tests.def and
prints its result on the serial console. A machine is booted once, when the first of its tests asks.
"""
import re

import pytest

from runs import ENGINES, FAULTS, MACHINES, coverage, excused, rows, run_of

STOPPED = re.compile(r"partition \d+ VP \d+ stopped: (\w+)")
NEVER = re.compile(r"PANIC|VM-entry failure|unexpected exit|management partition VP")


@pytest.mark.parametrize("name", rows())
@pytest.mark.parametrize("machine", MACHINES)
def test_micro_guest(machine, name):
    run = run_of(machine)
    assert name in run.results, f"no result\n{run.broken or run.text[-3000:]}"
    passed, lines = run.results[name]
    shown = "\n".join(lines[-60:])
    assert passed == (name not in FAULTS.get(machine, ())), shown
    if rows()[name] == "HV_MSG_IO_PORT":
        assert not STOPPED.search("\n".join(lines)), f"a guest that was to end by itself was stopped\n{shown}"


@pytest.mark.parametrize("machine", MACHINES)
def test_machine(machine):
    """The run as a whole: it came to its end, and the hypervisor had nothing to complain about."""
    run = run_of(machine)
    never = NEVER.search(run.text)
    assert not never, f"{never[0]!r}\n{run.text[-3000:]}"
    assert not run.broken, run.broken
    assert set(run.results) == set(rows()), "tests.def and the image differ"


@pytest.mark.parametrize("engine", ENGINES)
def test_every_exit_reason_covered(engine):
    """Each exit reason occurs on each back end, or coverage.json says why it cannot."""
    counts = {name: good for (kind, name), (good, _) in coverage(engine).items() if kind == "exit"}
    assert counts, "no coverage was printed"
    missing = [name for name, count in counts.items() if count == 0 and name not in excused(engine)]
    assert not missing, f"never seen, and not in coverage.json: {missing}"
    wrong = [name for name in excused(engine) if counts.get(name) != 0]
    assert not wrong, f"in coverage.json, but seen or unknown: {wrong}"


@pytest.mark.parametrize("engine", ENGINES)
def test_every_hypercall_covered(engine):
    """Each row of schema/hypercalls.json is called so that it succeeds and so that it is refused, by the root and by a guest."""
    cover = coverage(engine)
    calls = {name: counts for (kind, name), counts in cover.items() if kind == "call"}
    assert calls, "no coverage was printed"
    missing = [f"{name}: {good} good, {refused} refused" for name, (good, refused) in calls.items()
               if good == 0 or refused == 0]
    assert not missing, missing
    assert cover[("refused", "guests")][0] > 0, "no guest has had all calls refused"
