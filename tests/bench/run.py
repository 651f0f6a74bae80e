#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Measure a built tree: costs in ticks, sizes, and the API's latency; print a table and write bench.json.

    run.py [--build DIR] [--deps DIR] [--output FILE] [--engine vtx|svm]

Ticks are exact: Bochs advances the TSC by one an instruction, and so does QEMU with -icount shift=0. Both
run bench.img (the real hypervisor, core and device models around one built-in guest, no network), once each.
Boot time and API latency come from keelson.img, driven over its network as any client would.
Nothing here depends on how fast the machine is, except the latencies, of which only the ratio is judged.

All figures that peers.json does not call details go to bench.json. A figure that is missing, or a stage that takes
longer than its share of the time, ends the run with status 1 and says which; an aim that is missed is only shown.
"""
import argparse
import concurrent.futures
import dataclasses
import json
import pathlib
import re
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

from tests.bench.api import Client  # noqa: E402
from tools.emul import NodeConfig, NodeFailed, start_node  # noqa: E402

ENGINES = ("vtx", "svm")
COUNT_MEMORY_MIB = 1536  # a guest with 1 GiB, and the node itself
NODE_MEMORY_MIB = 1024
COUNT_TIMEOUT_S = 420  # both engines at once; a minute or two on an idle machine
NODE_TIMEOUT_S = 90  # for each thing that a node is waited for
NODE_CPUS = {"vtx": 1, "svm": 1}
TICKS_ENGINE = "vtx"  # whose ticks are instructions also with a network
LATENCY_ROUNDS = 4
LATENCY_REQUESTS = 50
LATENCY_RATIO_MAX = 3
SHARE_ERROR_MAX = 2  # percentage points between a share that was set and what came of it
SPIN_SYSTEM = "spin"


def counts(build, engine):
    """The figures that bench.img prints: name -> value."""
    options = {"icount_shift": 0} if engine == "svm" else {"extra": ["clock: sync=none"],
                                                           "config_text": "apic_virtualization = on\n"}
    config = NodeConfig(directory=build / "bench" / f"count-{engine}", image=build / "bench" / "bench.img", engine=engine,
                        cpus=1, memory_mib=COUNT_MEMORY_MIB, nic="none", **options)
    with start_node(config) as node:
        try:
            node.wait_for(r"^BENCH (done|error.*)", COUNT_TIMEOUT_S)
        except NodeFailed as error:
            raise SystemExit(f"{engine}: bench.img did not come to its end: {error}") from error
        text = node.text
    (config.directory / "disk.img").unlink(missing_ok=True)
    error = re.search(r"^BENCH error.*", text, re.MULTILINE)
    if error:
        raise SystemExit(f"{engine}: {error[0]}")
    return {name: int(value) / 100 for name, value in re.findall(r"^BENCH (\S+) (\d+)\r?$", text, re.MULTILINE)}


# ---- a node with its API -----------------------------------------------------------------------------


def log_time(text, what):
    """Seconds since power-on that the log gives a line."""
    match = re.search(rf"\[ *(\d+\.\d+)\] .*{what}", text)
    return float(match[1]) if match else None


def first_answer(node):
    """A client of the node and what it was told as soon as the node said that it answers.

    Asking earlier would measure how patiently the emulator's network retries.
    """
    secret = node.wait_for(r"administrator secret: ([0-9a-f]{32})", NODE_TIMEOUT_S)[1]
    node.wait_for("API ready", NODE_TIMEOUT_S)
    client = Client(node.api_url, secret)
    return client, client.get_json("/v1/node")


def boot_ticks(node, answer):
    """Ticks from the loader's entry to `answer`, by the node's own clock."""
    match = node.wait_for(r"\[ *(\d+\.\d+)\] (\d+) ticks since the loader's entry", NODE_TIMEOUT_S)
    core_up = log_time(node.text, "NodeReady") + answer["UptimeMs"] / 1000
    return int(match[2]) + (core_up - float(match[1])) * answer["TscHz"]


def boot_again_ticks(config):
    """Ticks from the loader's entry to "API ready" at a further boot, from the disk that an earlier one has left."""
    with start_node(dataclasses.replace(config, disk=config.disk_path)) as node:
        node.wait_for(r"store: \S+ mounted,", NODE_TIMEOUT_S)
        node.wait_for("API ready", NODE_TIMEOUT_S)
        return int(node.wait_for(r"(\d+) ticks since the loader's entry", NODE_TIMEOUT_S)[1])


def latencies_ms(client):
    """Times of single properties calls over one connection."""
    samples = []
    for _ in range(LATENCY_REQUESTS):
        start = time.monotonic()
        client.get_json(f"/v1/hcs/systems/{SPIN_SYSTEM}/properties")
        samples.append((time.monotonic() - start) * 1000)
    return samples


def idle_and_loaded_ms(client):
    """Median latency with the spinning guest paused and running, in turns: what else the machine does hits both."""
    idle, loaded = [], []
    for _ in range(LATENCY_ROUNDS):
        client.operation(f"/v1/hcs/systems/{SPIN_SYSTEM}/pause", None)
        idle += latencies_ms(client)
        client.operation(f"/v1/hcs/systems/{SPIN_SYSTEM}/resume", None)
        loaded += latencies_ms(client)
    return statistics.median(idle), statistics.median(loaded)


def spin_document(cpus):
    return {
        "SchemaVersion": {"Major": 2, "Minor": 1},
        "Owner": "bench",
        "VirtualMachine": {
            "Chipset": {"LinuxKernelDirect": {"KernelFilePath": "spin", "KernelCmdLine": "spin"}},
            "ComputeTopology": {"Memory": {"SizeInMB": 64}, "Processor": {"Count": cpus}},
            "Devices": {"ComPorts": {"0": {}}},
        },
    }


def api(build, engine):
    """Boot time and latencies of keelson.img."""
    cpus = NODE_CPUS[engine]
    config = NodeConfig(directory=build / "bench" / f"api-{engine}", image=build / "keelson.img", engine=engine, cpus=cpus,
                        memory_mib=NODE_MEMORY_MIB)
    figures = {}
    with start_node(config) as node:
        client, answer = first_answer(node)
        figures["boot.to_api_first"] = boot_ticks(node, answer)
        client.put("/v1/images/spin", (build / "bench" / "bench.bzimage").read_bytes())
        client.operation(f"/v1/hcs/systems/{SPIN_SYSTEM}", spin_document(cpus))
        client.operation(f"/v1/hcs/systems/{SPIN_SYSTEM}/start", None)
        client.wait_console(SPIN_SYSTEM, b"spinning")
        figures["api.latency_idle"], figures["api.latency_loaded"] = idle_and_loaded_ms(client)
        client.operation(f"/v1/hcs/systems/{SPIN_SYSTEM}/terminate", None)
        node.check()
    if engine == TICKS_ENGINE:
        figures["boot.to_api_again"] = boot_again_ticks(config)
    (config.directory / "disk.img").unlink(missing_ok=True)
    return figures


# ---- sizes -------------------------------------------------------------------------------------------


def sizes(build):
    listing = subprocess.run(["size", "-A", str(build / "hv" / "hv.elf")], check=True, capture_output=True, text=True)
    parts = re.findall(r"^\.(?:text|rodata)\S*\s+(\d+)", listing.stdout, re.MULTILINE)
    return {"size.hv_text": sum(map(int, parts)), "size.image": (build / "BOOTX64.EFI").stat().st_size}


# ---- results -----------------------------------------------------------------------------------------


def rows(figures, peers):
    """Rows of bench.json, in the order of peers.json. What was set has a figure NAME.set, and is "set" of its row."""
    for name, about in peers["figures"].items():
        for engine in about.get("engines", ENGINES):
            values = figures.get(engine, {})
            if name in values:
                row = {"name": name, "engine": engine, "value": values[name], "unit": about["unit"],
                       "peer": about.get("peer", {}).get(engine), "floor": about.get("floor", {}).get(engine)}
                if name + ".set" in values:
                    row["set"] = values[name + ".set"]
                yield row


def missing(results, peers, engines, with_api):
    """Figures that should have been measured and were not."""
    got = {(row["name"], row["engine"]) for row in results}
    api_names = ("boot.to_api_first", "boot.to_api_again", "api.latency_idle", "api.latency_loaded")
    wanted = {(name, engine) for name, about in peers["figures"].items() if with_api or name not in api_names
              for engine in about.get("engines", ENGINES) if engine in engines}
    return sorted(wanted - got)


def number(value):
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 10000 or value == int(value) else f"{value:,.2f}"


def misses(row, aim):
    """A share has to be what was set; any other figure must not exceed its aim."""
    if "set" in row:
        return abs(row["value"] - row["set"]) > SHARE_ERROR_MAX
    return aim is not None and row["value"] > aim


def show(results, peers):
    print(f"peer:  {peers['peer_source']}\nfloor: {peers['floor_source']}\n")
    print(f"{'':26}{'':5}{'value':>14} {'unit':6}{'aim':>12} {'':6}{'peer':>15}{'floor':>7}  ratio to peer")
    for row in results:
        about = peers["figures"][row["name"]]
        ratio = f"{row['value'] / row['peer']:.3f}" if row["peer"] else ""
        aim = row.get("set", about.get("aim", {}).get(row["engine"]))
        missed = "MISSED" if misses(row, aim) else ""
        print(f"{row['name']:26}{row['engine']:5}{number(row['value']):>14} {row['unit']:6}"
              f"{number(aim):>12} {missed:6}{number(row['peer']):>15}{number(row['floor']):>7}"
              f"  {ratio:6} {about['what']}")


def show_latency(figures):
    for engine, values in figures.items():
        if "api.latency_loaded" in values:
            ratio = values["api.latency_loaded"] / values["api.latency_idle"]
            verdict = "within" if ratio <= LATENCY_RATIO_MAX else "NOT within"
            print(f"API latency, {engine}, {NODE_CPUS[engine]} processor(s): a guest that spins on every VP makes it "
                  f"{ratio:.2f} times the idle one, {verdict} {LATENCY_RATIO_MAX}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build")
    parser.add_argument("--deps", type=pathlib.Path, help="accepted for symmetry with tests/run.py")
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "build" / "bench.json")
    parser.add_argument("--engine", choices=ENGINES, help="only this one")
    parser.add_argument("--no-api", action="store_true", help="leave out boot time and latency")
    args = parser.parse_args()
    build = args.build.resolve()
    engines = [args.engine] if args.engine else list(ENGINES)

    peers = json.loads((ROOT / "tests" / "bench" / "peers.json").read_text())
    with concurrent.futures.ThreadPoolExecutor(len(engines)) as pool:
        counted = dict(zip(engines, pool.map(lambda engine: counts(build, engine), engines)))
    figures = {engine: {**counted[engine], **sizes(build)} for engine in engines}
    for engine in engines if not args.no_api else []:
        figures[engine].update(api(build, engine))  # one after the other: these are times

    results = list(rows(figures, peers))
    public = [row for row in results if not peers["figures"][row["name"]].get("detail")]
    args.output.write_text(json.dumps(public, indent=1) + "\n")
    show(results, peers)
    show_latency(figures)
    lost = missing(results, peers, engines, not args.no_api)
    if lost:
        raise SystemExit("not measured: " + ", ".join(f"{name} ({engine})" for name, engine in lost))


if __name__ == "__main__":
    main()
