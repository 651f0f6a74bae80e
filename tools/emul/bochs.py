# SPDX-License-Identifier: Apache-2.0
"""Configuration of a node in Bochs, and the process that stands between Bochs and the console's socket.

Bochs gives its COM1 to a TCP server that it connects to (com1 mode=socket-client works in both directions;
mode=term on a pty drops output when the reader is slow, mode=file cannot be written to). The relay is that
server. To the outside it looks like QEMU's socket chardev with a log file: console.sock and serial.log in
the node's directory, one client at a time, the machine starting with the first one.
"""
import ctypes
import os
import pathlib
import select
import signal
import socket
import subprocess
import sys

if __package__:
    from .config import find_file, find_program

IPS = 150_000_000
HOST_MEMORY_MIB = 1024  # the rest of a larger guest memory is kept in a file
STOP_SECONDS = 5
PR_SET_PDEATHSIG = 1

TEMPLATE = """\
display_library: {display}
cpu: model={model}, count={cpus}, ips={ips}, reset_on_triple_fault=0
romimage: file={ovmf}
vgaromimage: file={vgabios}
memory: guest={memory}, host={host_memory}
com1: enabled=1, mode=socket-client, dev=127.0.0.1:{com_port}
plugin_ctrl: unmapped=1, biosdev=1, speaker=1, extfpuirq=1, parallel=1, serial=1{nic_plugin}
{pci}
ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
ata0-master: type=disk, path={disk}, mode=flat
clock: sync=slowdown
log: bochs.log
panic: action=fatal
error: action=ignore
info: action=ignore
debug: action=ignore
magic_break: enabled=1
"""


def write_configuration(config, com_port):
    """Writes bochsrc, its debugger script and the network's; returns Bochs' arguments."""
    nic = config.nic == "e1000"
    cards = (["cirrus"] if config.framebuffer else []) + (["e1000"] if nic else [])
    slots = "".join(f", slot{number}={card}" for number, card in enumerate(cards, 1))
    text = TEMPLATE.format(
        display="sdl2" if config.framebuffer else 'rfb, options="timeout=0"',
        model=config.cpu_model or "corei7_skylake_x", cpus=config.cpus, ips=IPS,
        ovmf=find_file("ovmf", "/usr/share/ovmf/OVMF.fd"),
        vgabios=find_file("vgabios", "/usr/share/vgabios/vgabios.cirrus.bin" if config.framebuffer
                          else "/usr/share/vgabios/vgabios.bin"),
        memory=config.memory_mib, host_memory=min(config.memory_mib, HOST_MEMORY_MIB), com_port=com_port,
        nic_plugin=", e1000=1" if nic else "", pci=f"pci: enabled=1, chipset=i440fx{slots}",
        disk=config.disk_path)
    if config.framebuffer:
        text += "vga: extension=cirrus, update_freq=5\n"
    if nic:
        text += f"e1000: card=0, enabled=1, mac={config.mac}, ethmod=slirp, script=slirp.conf\n"
        lines = ["# slirp config"] + (["pktlog = packets.txt"] if config.packet_log else [])
        lines += [f"hostfwd = tcp:127.0.0.1:{host}-:{node}" for host, node in config.port_map().items()]
        (config.directory / "slirp.conf").write_text("\n".join(lines) + "\n")
    (config.directory / "bochsrc").write_text("\n".join([text] + list(config.extra)) + "\n")
    # `c` starts the machine; `q` ends Bochs when the node executes xchg %bx,%bx.
    (config.directory / "bochs.rc").write_text("c\nq\n")
    return [find_program("bochs-bin", "bochs"), "-q", "-f", "bochsrc", "-rc", "bochs.rc"]


def command(config):
    """The relay's command, to be run in the node's directory; it starts Bochs by itself."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(1)
    listener.set_inheritable(True)
    bochs = write_configuration(config, listener.getsockname()[1])
    remove_lock(config.disk_path)
    return [sys.executable, str(pathlib.Path(__file__).resolve()), str(listener.fileno()),
            str(config.disk_path)] + bochs, listener


def die_with_parent():
    """Runs in the child before exec: a killed relay, or test run, leaves no emulator behind."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def remove_lock(disk):
    """A Bochs that was killed leaves this behind, and the next one would refuse to start."""
    pathlib.Path(f"{disk}.lock").unlink(missing_ok=True)


class Relay:
    """Copies bytes between Bochs' COM1 and at most one client, and all output to serial.log."""

    def __init__(self, com_listener, disk, bochs):
        self.com_listener = com_listener
        self.disk = disk
        self.bochs = bochs
        self.child = None
        self.com = None
        self.client = None
        self.log = open("serial.log", "wb", buffering=0)
        pathlib.Path("console.sock").unlink(missing_ok=True)
        self.clients = socket.socket(socket.AF_UNIX)
        self.clients.bind("console.sock")
        self.clients.listen(1)

    def start(self):
        environment = dict(os.environ, SDL_VIDEODRIVER="dummy")
        self.child = subprocess.Popen(self.bochs, stdin=subprocess.DEVNULL, env=environment, preexec_fn=die_with_parent)
        self.com_listener.settimeout(20)
        self.com, _ = self.com_listener.accept()
        self.com.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.com_listener.close()

    def drop_client(self):
        self.client.close()
        self.client = None

    def from_com(self):
        data = self.com.recv(65536)
        self.log.write(data)
        if self.client is not None and data:
            try:
                self.client.sendall(data)
            except OSError:
                self.drop_client()
        return bool(data)

    def from_client(self):
        try:
            data = self.client.recv(4096)
        except OSError:
            data = b""
        if data:
            self.com.sendall(data)
        else:
            self.drop_client()

    def run(self):
        """Serves until Bochs ends; returns its exit status."""
        self.client, _ = self.clients.accept()
        self.start()
        while True:
            sources = [self.com, self.client or self.clients]
            ready, _, _ = select.select(sources, [], [])
            if self.client is None and self.clients in ready:
                self.client, _ = self.clients.accept()
            elif self.client in ready:
                self.from_client()
            if self.com in ready and not self.from_com():
                status = self.child.wait()
                print(f"Bochs ended with status {status}", file=sys.stderr, flush=True)
                return status & 0xff

    def stop(self):
        if self.child is not None and self.child.poll() is None:
            self.child.terminate()
            try:
                self.child.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()
        remove_lock(self.disk)


def main():
    listener = socket.socket(fileno=int(sys.argv[1]))
    relay = Relay(listener, sys.argv[2], sys.argv[3:])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        status = relay.run()
    finally:
        relay.stop()
    sys.exit(status)


if __name__ == "__main__":
    main()
