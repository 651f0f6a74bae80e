#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Where the ticks of one round go: runs bench.img in Bochs up to a loop of loops.S and traces it for a round.

    trace.py [--build DIR] [--skip ROUNDS] LOOP        for example: trace.py loop_port_write

Prints the instructions of each stretch of the way through guest, hypervisor and management partition, by function, and
then the sum of each function; the trace itself is left in DIR/bench/trace/LOOP.trace. Needs a Bochs with its debugger.
"""
import argparse
import bisect
import collections
import itertools
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

from tools.emul import NodeConfig  # noqa: E402
from tools.emul.bochs import write_configuration  # noqa: E402

MEMORY_MIB = 1536
TRACED = 4000  # instructions; a round is shorter
TIMEOUT_S = 300
LINE = re.compile(r"\(\d+\)\.\[\d+\] \[[^\]]*\] [0-9a-f]{4}:([0-9a-f]+) \([^)]*\): ([^;]*)")


class Symbols:
    """Functions of the three images, by address."""

    def __init__(self, images):
        self._tables = []
        for name, path in images.items():
            listing = subprocess.run(["nm", "-n", path], check=True, capture_output=True, text=True).stdout
            rows = [(int(m[1], 16), m[2]) for m in re.finditer(r"^(\w+) [tTwW] (\S+)$", listing, re.MULTILINE)]
            self._tables.append((name, [row[0] for row in rows], [row[1] for row in rows]))

    def name(self, address):
        for image, starts, names in self._tables:
            if starts[0] <= address <= starts[-1] + 0x2000:
                return f"{image}: {names[bisect.bisect_right(starts, address) - 1]}"
        return "hypercall page"


def loop_start(guest, loop):
    """Address of the first instruction of a round: where the loop's jump goes."""
    code = subprocess.run(["objdump", "-d", "--no-show-raw-insn", f"--disassemble={loop}", guest], check=True,
                          capture_output=True, text=True).stdout
    jump = re.search(r"jne\s+([0-9a-f]+)", code)
    if jump is None:
        raise SystemExit(f"{loop}: no such loop in {guest}")
    return int(jump[1], 16)


def run_bochs(directory, image, start, skip):
    """Bochs' output: the trace of what follows after `skip` rounds."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    config = NodeConfig(directory=directory, image=image, engine="vtx", cpus=1, memory_mib=MEMORY_MIB, nic="none",
                        extra=["clock: sync=none", "com1: enabled=1, mode=file, dev=serial.log"])
    shutil.copyfile(image, config.disk_path)
    command = write_configuration(config, 1)
    (directory / "bochs.rc").write_text(f"lb {start:#x}\n" + "c\n" * (skip + 1) + f"trace on\ns {TRACED}\nq\n")
    run = subprocess.run(command, cwd=directory, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                         errors="replace", timeout=TIMEOUT_S, check=False)
    config.disk_path.unlink()
    return run.stdout


def one_round(output, start):
    trace = [(int(m[1], 16), m[2].strip()) for m in LINE.finditer(output)]
    rounds = [i for i, (address, _) in enumerate(trace) if address == start]
    if len(rounds) < 2:
        raise SystemExit(f"no whole round in {len(trace)} traced instructions")
    return trace[rounds[0]:rounds[1]]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("loop")
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build")
    parser.add_argument("--skip", type=int, default=100, help="rounds before the one that is shown")
    args = parser.parse_args()
    bench = args.build.resolve() / "bench"
    symbols = Symbols({"hv": args.build / "hv" / "hv.elf", "mgmt": bench / "node.elf", "guest": bench / "bench.elf"})
    start = loop_start(bench / "bench.elf", args.loop)
    steps = one_round(run_bochs(bench / "trace", bench / "bench.img", start, args.skip), start)
    named = [(symbols.name(address), address, text) for address, text in steps]

    (bench / "trace" / f"{args.loop}.trace").write_text("".join(f"{a:016x} {n:40} {t}\n" for n, a, t in named))
    for name, stretch in itertools.groupby(named, key=lambda step: step[0]):
        print(f"{len(list(stretch)):6} {name}")
    print(f"{len(named):6} in all; by function:")
    for name, count in collections.Counter(name for name, _, _ in named).most_common():
        print(f"{count:6} {name}")


if __name__ == "__main__":
    main()
