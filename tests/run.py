#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Run test tiers, count their cases, and close with one line: N passed, N failed[, N skipped].

    run.py [--build DIR] [--deps DIR] [--only WORD] TIER...

unit   cmocka programs, one for each tests/unit/test_*.c, already built
sim    pytest files tests/sim/test_*.py: the API over a simulated hypervisor
fuzz   libFuzzer targets, one for each tests/fuzz/fuzz_*.c, already built; --fuzz-seconds each
guest  pytest files tests/guest/test_*.py: micro-guests
boot   pytest files tests/boot/test_*.py: the real image in emulators

Every program's output is kept below BUILD/test/. The booted tests of Bochs run beside everything else. Skips
are printed with their reasons, failures with the end of their output. The exit status is 0 only if something ran
and nothing failed.
"""
import argparse
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree as ElementTree

ROOT = pathlib.Path(__file__).resolve().parent.parent
UNIT_TIMEOUT_S = 300
FUZZ_GRACE_S = 240  # beyond a run's own time: reading its corpus, the last input
PYTEST_TIMEOUT_S = 3000
TAIL_LINES = 60
WHY_COLUMNS = 400  # of a failure's message in the closing lines
# Two lanes run side by side, each one tier after the other: name -> pytest's expression for what belongs to it of the
# booted tiers. A node in Bochs takes one processor; whatever starts one has "vtx" in its name. A lane has nodes of its
# own. The first lane also runs what needs no emulator.
BOOTED = ("guest", "boot")
LANES = {"svm": "not vtx", "vtx": "vtx"}
# cmocka's TAP output, one line a case; 1.1.5 writes a skipped case as "not ok N # SKIP name".
TAP = re.compile(r"^(not ok|ok) \d+ (?:- )?(?P<skip># SKIP )?(?P<name>\S.*)$")


class Tally:
    """Counts of cases, and what is worth repeating at the end."""

    def __init__(self):
        self.passed = self.failed = self.skipped = 0
        self.failures = []
        self.skips = []

    def add(self, other):
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped
        self.failures += other.failures
        self.skips += other.skips

    def fail(self, name):
        self.failed += 1
        self.failures.append(name)

    def skip(self, name, reason):
        self.skipped += 1
        self.skips.append(f"{name}: {reason}")

    def line(self):
        tail = f", {self.skipped} skipped" if self.skipped else ""
        return f"{self.passed} passed, {self.failed} failed{tail}"


def tail(text):
    return "\n".join("    " + line for line in text.splitlines()[-TAIL_LINES:])


# ---- unit tier -------------------------------------------------------------------------------------


def parse_tap(text, program):
    """Count the cases of one cmocka program."""
    tally = Tally()
    planned = 0
    for line in text.splitlines():
        plan = re.match(r"^1\.\.(\d+)$", line)
        if plan:
            planned += int(plan.group(1))
        case = TAP.match(line)
        if not case:
            continue
        name = f"{program}: {case['name']}"
        if case["skip"]:
            tally.skip(name, "skipped by the test")
        elif case[1] == "ok":
            tally.passed += 1
        else:
            tally.fail(name)
    return tally, planned


def run_unit_program(path, log_dir):
    """Run one program; a crash or a time-out counts as one failed case."""
    env = dict(os.environ, CMOCKA_MESSAGE_OUTPUT="TAP",
               ASAN_OPTIONS="detect_leaks=1:abort_on_error=0",
               UBSAN_OPTIONS="print_stacktrace=1:halt_on_error=1")
    try:
        done = subprocess.run([str(path)], cwd=ROOT, env=env, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=UNIT_TIMEOUT_S,
                              check=False)
        text, status = done.stdout.decode(errors="replace"), done.returncode
    except subprocess.TimeoutExpired as expired:
        text = (expired.stdout or b"").decode(errors="replace")
        text, status = text + f"\ntimed out after {UNIT_TIMEOUT_S} s\n", -1
    except OSError as error:
        text, status = f"{error}\n", -1
    (log_dir / f"{path.name}.log").write_text(text)
    tally, planned = parse_tap(text, path.name)
    ran = tally.passed + tally.failed + tally.skipped
    if (status != 0 and tally.failed == 0) or ran < planned or ran == 0:
        tally.fail(f"{path.name}: ended with status {status} after {ran} of {planned} cases")
    return path.name, tally, text


def run_unit(args):
    log_dir = args.build / "test" / "unit"
    log_dir.mkdir(parents=True, exist_ok=True)
    # Those that run over seeds take longest, and so begin.
    sources = sorted((ROOT / "tests" / "unit").glob("test_*.c"), key=lambda path: ("KEELSON_SEEDS" not in path.read_text(), path))
    programs = [args.build / "host" / "unit" / source.stem for source in sources if args.only in source.stem]
    total = Tally()
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for name, tally, text in pool.map(lambda path: run_unit_program(path, log_dir), programs):
            print(f"  {name:<32} {tally.line()}", flush=True)
            if tally.failed:
                print(tail(text), flush=True)
            total.add(tally)
    return total


# ---- fuzz tier -------------------------------------------------------------------------------------


def run_fuzzer(name, args):
    """Run one target for its time; what it found lies beside its corpus in BUILD/fuzz."""
    corpus = args.build / "fuzz" / name
    corpus.mkdir(parents=True, exist_ok=True)
    seeds = ROOT / "tests" / "fuzz" / "corpus" / name
    command = [args.build / "host" / "fuzz" / name, f"-max_total_time={args.fuzz_seconds}",
               f"-seed={args.fuzz_seed}", "-verbosity=0", "-timeout=60",
               "-print_final_stats=1", f"-artifact_prefix={args.build}/fuzz/{name}-", corpus]
    try:
        done = subprocess.run(command + [seeds] * seeds.is_dir(), cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=args.fuzz_seconds + FUZZ_GRACE_S, check=False)
        text, status = done.stdout.decode(errors="replace"), done.returncode
    except subprocess.TimeoutExpired as expired:
        text, status = (expired.stdout or b"").decode(errors="replace") + "\ndoes not end\n", -1
    except OSError as error:
        text, status = f"{error}\n", -1
    units = re.search(r"number_of_executed_units: (\d+)", text)
    return name, status == 0 and units is not None, int(units[1]) if units else 0, text


def run_fuzz(args):
    names = [source.stem[len("fuzz_"):] for source in sorted((ROOT / "tests" / "fuzz").glob("fuzz_*.c"))
             if args.only in source.stem]
    total = Tally()
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for name, good, units, text in pool.map(lambda name: run_fuzzer(name, args), names):
            print(f"  fuzz_{name:<27} {units} inputs{'' if good else ', FAILED'}", flush=True)
            if good:
                total.passed += 1
            else:
                total.fail(f"fuzz: {name}")
                print(tail(text), flush=True)
    return total


# ---- pytest tiers ----------------------------------------------------------------------------------


def why(failed):
    """The first line of a failure's message, and where it was raised."""
    message = (failed.get("message") or "").strip().splitlines()
    places = re.findall(r"^\S+\.py:\d+", failed.text or "", re.MULTILINE)
    return f": {message[0][:WHY_COLUMNS]}{f' ({places[-1]})' if places else ''}" if message else ""


def parse_junit(path, tier):
    tally = Tally()
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        name = f"{tier}: {case.get('classname', '').split('.')[-1]}::{case.get('name')}"
        skipped = case.find("skipped")
        failed = next((case.find(kind) for kind in ("failure", "error") if case.find(kind) is not None), None)
        if failed is not None:
            tally.fail(name + why(failed))
        elif skipped is not None:
            tally.skip(name, skipped.get("message", "no reason given"))
        else:
            tally.passed += 1
    return tally


def run_pytest(args, tier, lane=""):
    """One pytest process over a tier's files, or over those tests of it that belong to a lane."""
    expression = LANES.get(lane)
    folder = ROOT / "tests" / tier
    log_dir = args.build / "test" / tier
    log_dir.mkdir(parents=True, exist_ok=True)
    suffix = f"-{lane}" if lane else ""
    report = log_dir / f"report{suffix}.xml"
    report.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "-v", "--tb=short", "-p", "no:cacheprovider", "--color=no",
               "--durations=10", f"--rootdir={folder}", f"--junitxml={report}"]
    chosen = " and ".join(f"({part})" for part in (expression, args.only) if part)
    if chosen:
        command += ["-k", chosen]
    env = dict(os.environ, KEELSON_BUILD=str(args.build), KEELSON_DEPS=str(args.deps),
               PYTHONDONTWRITEBYTECODE="1",
               PYTHONPATH=os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")])))
    status = stream(command + [str(f) for f in sorted(folder.glob("test_*.py"))], env,
                    log_dir / f"pytest{suffix}.log", f"[{lane}] " if lane else "")
    if not report.exists():
        tally = Tally()
        tally.fail(f"{tier}{suffix}: pytest ended with status {status} and wrote no report")
        return tally
    tally = parse_junit(report, tier)
    # 5 means that nothing was selected, which --only makes an ordinary outcome.
    if status not in (0, 5) and not tally.failed:
        tally.fail(f"{tier}{suffix}: pytest ended with status {status}")
    return tally


def stream(command, env, log, prefix):
    """Run a command, show its lines as they come (but not pytest's own totals) and keep them in a file."""
    with open(log, "w", encoding="utf-8") as out, subprocess.Popen(
            command, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, errors="replace") as child:
        watchdog = threading.Timer(PYTEST_TIMEOUT_S, child.terminate)
        watchdog.start()
        for line in child.stdout:
            out.write(line)
            if line.strip() and not line.startswith("="):
                print(f"  {prefix}{line.rstrip()}", flush=True)
        status = child.wait()
        watchdog.cancel()
        return status


# ---- all -------------------------------------------------------------------------------------------


def run_tier(args, tier, lane):
    started = time.monotonic()
    print(f"== {tier} [{lane}]", flush=True)
    if tier == "unit":
        tally = run_unit(args)
    elif tier == "fuzz":
        tally = run_fuzz(args)
    else:
        tally = run_pytest(args, tier, lane if tier in BOOTED else "")
    print(f"   {tier} [{lane}]: {time.monotonic() - started:.0f} s", flush=True)
    return tally


def run_lanes(args):
    """Returns a tally for each tier."""
    totals = {tier: Tally() for tier in args.tiers}
    first = next(iter(LANES))

    def run_lane(lane):
        return [(tier, run_tier(args, tier, lane)) for tier in args.tiers if tier in BOOTED or lane == first]

    with concurrent.futures.ThreadPoolExecutor(len(LANES)) as pool:
        for tallies in pool.map(run_lane, LANES):
            for tier, tally in tallies:
                totals[tier].add(tally)
    return totals


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build")
    parser.add_argument("--deps", type=pathlib.Path, default=ROOT / "build" / "deps")
    parser.add_argument("--fuzz-seed", type=int, default=0, help="where a target's random numbers start; 0: anew each time")
    parser.add_argument("--fuzz-seconds", type=int, default=20, help="how long each fuzz target runs")
    parser.add_argument("--only", default="", help="run only tests whose name contains this")
    parser.add_argument("tiers", nargs="+", choices=["unit", "sim", "fuzz", "guest", "boot"])
    args = parser.parse_args()
    args.build, args.deps = args.build.resolve(), args.deps.resolve()

    total = Tally()
    for tier, tally in run_lanes(args).items():
        print(f"   {tier}: {tally.passed} of {tally.passed + tally.failed + tally.skipped} cases good", flush=True)
        total.add(tally)
    for text in total.skips:
        print(f"SKIP {text}")
    for name in total.failures:
        print(f"FAIL {name}")
    print(total.line(), flush=True)
    return 1 if total.failed or not total.passed else 0


if __name__ == "__main__":
    sys.exit(main())
