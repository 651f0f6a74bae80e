#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Print the trace that GET /v1/hypervisor/trace returns: exits and the scheduler's decisions, by time.

Takes files of one processor each, or "-"; several are merged by the TSC. Records are struct hv_x_trace_record of
include/keelson/abi.h. Times are ticks since the first record, or microseconds with --tsc-hz (Hypervisor.TscHz).
"""
import argparse
import json
import pathlib
import struct
import sys

RECORD = struct.Struct("<QBBHHHQQ")  # tsc, type, cpu, partition, vp, reason, a, b
EXIT, SWITCH_IN, SWITCH_OUT = 1, 2, 3
# VP_BLOCK_* of hv/vp.h
BLOCKS = ("suspended", "intercept", "halted", "waits for SIPI", "partition suspended", "waits for intercepts", "dead",
          "looked at", "capped")
ROOT = pathlib.Path(__file__).resolve().parent.parent


def exit_names():
    return [name for _, name, _ in json.loads((ROOT / "schema" / "exit_reasons.json").read_text())["reasons"]]


def block_text(bits):
    return ", ".join(name for bit, name in enumerate(BLOCKS) if bits >> bit & 1) or "could go on"


def read(path):
    data = sys.stdin.buffer.read() if path == "-" else pathlib.Path(path).read_bytes()
    if len(data) % RECORD.size:
        raise SystemExit(f"{path}: {len(data)} bytes are no whole number of records")
    return list(RECORD.iter_unpack(data))


def describe(names, kind, reason, a, b):
    if kind == EXIT:
        name = names[reason] if reason < len(names) else f"reason-{reason}"
        return f"exit {name:<12} rip {a:#x} qual {b:#x}"
    if kind == SWITCH_IN:
        return f"runs, after {a} ticks run and {b} waited"
    if kind == SWITCH_OUT:
        return f"leaves: {block_text(reason)}; virtual time {a}"
    return f"record of unknown type {kind}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", metavar="FILE")
    parser.add_argument("--tsc-hz", type=int, help="show microseconds")
    arguments = parser.parse_args()
    names = exit_names()
    records = sorted(record for path in arguments.files for record in read(path))
    first = records[0][0] if records else 0
    for tsc, kind, cpu, partition, vp, reason, a, b in records:
        time = f"{(tsc - first) * 1e6 / arguments.tsc_hz:14.3f}" if arguments.tsc_hz else f"{tsc - first:14}"
        print(f"{time}  cpu{cpu:<3} {partition:>4}.{vp:<2} {describe(names, kind, reason, a, b)}")


if __name__ == "__main__":
    main()
