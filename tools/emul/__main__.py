# SPDX-License-Identifier: Apache-2.0
"""Runs nodes for people: what ./qemu-run.sh does once everything is built.

Each node has a folder below the state directory with its disk, its console log, its administrator secret and
the fingerprint of its certificate.
"""
import argparse
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

from . import NodeConfig, NodeFailed, start_node

READY_TIMEOUT_S = {"svm": 180, "kvm": 120, "vtx": 600}
STOP_TIMEOUT_S = 20
KVM_PROBE_S = 20
ROOT = pathlib.Path(__file__).resolve().parents[2]


def arguments():
    parser = argparse.ArgumentParser(prog="qemu-run.sh", description="Build Keelson and run nodes in emulators.")
    parser.add_argument("--engine", choices=("auto", "kvm", "svm", "vtx"), default="auto",
                        help="auto: KVM with nested virtualization if it works, else QEMU with AMD-V; vtx: Bochs with VT-x")
    parser.add_argument("--nodes", type=int, default=1, metavar="N", help="how many nodes (default 1)")
    parser.add_argument("--detach", action="store_true", help="leave the nodes running and return")
    parser.add_argument("--stop", action="store_true", help="end nodes that were left running")
    parser.add_argument("--state-dir", type=pathlib.Path, default=ROOT / "build/nodes", metavar="DIR",
                        help="where the nodes' files are (default build/nodes)")
    parser.add_argument("--cpus", type=int, metavar="N",
                        help="processors (default 2; with svm 3, of which one idles)")
    parser.add_argument("--memory", type=int, default=2048, metavar="MB")
    parser.add_argument("--disk", type=pathlib.Path, metavar="FILE", help="boot this disk instead of a copy of the image")
    parser.add_argument("--image", type=pathlib.Path, default=ROOT / "build/keelson.img", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.disk and options.nodes > 1:
        parser.error("--disk goes with one node")
    return options


def kvm_works(image):
    """Does a node get as far as its loader's first line under KVM with nested virtualization?"""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return False
    with tempfile.TemporaryDirectory(prefix="keelson-kvm-") as folder:
        try:
            with start_node(NodeConfig(folder, image=image, engine="kvm", cpus=1, nic="none")) as node:
                return node.wait_for(r"^processor: |Keelson cannot run", KVM_PROBE_S)[0] == "processor: "
        except (NodeFailed, RuntimeError, OSError):
            return False


def config_of(options, engine, index):
    return NodeConfig(options.state_dir / f"node{index}", image=options.image, disk=options.disk, engine=engine,
                      cpus=options.cpus, memory_mib=options.memory, mac=f"52:54:00:12:34:{0x56 + index:02x}",
                      detach=options.detach)


def save(path, text):
    path.write_text(text + "\n", encoding="utf-8")
    path.chmod(0o600)


def wait_ready(node, engine):
    """Waits for the API and keeps what a client needs. Returns lines for the person."""
    folder = node.config.directory
    deadline = READY_TIMEOUT_S[engine]
    # A disk that was used before keeps its secret, which is shown once.
    secret = node.wait_for(r"administrator secret(?:: ([0-9a-f]{32})| is the one shown before)", deadline)[1]
    node.wait_for(r"API ready", deadline)
    print_from = node.wait_for(r"fingerprint \(SHA-256\): ([0-9A-F:]{95})", deadline)[1]
    if secret:
        save(folder / "secret", secret)
    save(folder / "fingerprint", print_from)
    save(folder / "url", node.api_url)
    return [f"{folder.name}: API at {node.api_url}",
            f"  administrator secret in {folder / 'secret'}, certificate fingerprint in {folder / 'fingerprint'}",
            f"  export KEELSON_NODE={node.api_url} KEELSON_SECRET=$(cat {folder / 'secret'}) "
            f"KEELSON_FINGERPRINT=$(cat {folder / 'fingerprint'})"]


def running_pid(folder):
    """The process id of the node's emulator, None when it has ended.

    The number may belong to a stranger by now, but nothing else works in the node's folder as an emulator does
    (QEMU, or the relay that started Bochs).
    """
    try:
        pid = int((folder / "pid").read_text())
        cwd = os.readlink(f"/proc/{pid}/cwd")
        command = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, ValueError):
        return None
    is_emulator = b"qemu-system" in command or b"bochs" in command
    return pid if is_emulator and cwd == str(folder.resolve()) else None


def stop_one(folder):
    pid = running_pid(folder)
    if pid is None:
        return
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while running_pid(folder) is not None and time.monotonic() < deadline:
        time.sleep(0.1)
    if running_pid(folder) is not None:
        os.kill(pid, signal.SIGKILL)
    for name in ("pid", "disk.img.lock"):
        (folder / name).unlink(missing_ok=True)
    print(f"{folder.name}: stopped")


def stop_all(state_dir):
    for folder in sorted(state_dir.glob("node*")):
        stop_one(folder)


def choose_engine(options):
    if options.engine != "auto":
        return options.engine
    engine = "kvm" if kvm_works(options.image) else "svm"
    print(f"engine: {engine}" + ("" if engine == "kvm" else " (no usable KVM with nested virtualization)"))
    return engine


def attach_terminal(node):
    print("console of node0: Ctrl-] leaves and stops the nodes\n", flush=True)
    node.attach_terminal()


def main():
    options = arguments()
    if options.stop:
        stop_all(options.state_dir)
        return 0
    stop_all(options.state_dir)
    engine = choose_engine(options)
    nodes = []
    try:
        for index in range(options.nodes):
            nodes.append(start_node(config_of(options, engine, index)))
            folder = nodes[-1].config.directory
            print(f"{folder.name}: booting, its console is kept in {folder / 'serial.log'}", flush=True)
        for node in nodes:
            print("\n".join(wait_ready(node, engine)), flush=True)
        if not options.detach:
            attach_terminal(nodes[0])
    except (NodeFailed, KeyboardInterrupt) as error:
        print(f"qemu-run.sh: {error}", file=sys.stderr)
        for node in nodes:
            node.stop()
        return 1
    for node in nodes:
        if options.detach:
            node.leave_running()
        else:
            node.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
