# SPDX-License-Identifier: Apache-2.0
"""A running node: its serial console, its end, its files."""
import contextlib
import os
import pathlib
import re
import select
import subprocess
import threading
import time

from . import bochs, qemu
from .console import LEAVE_KEY, RawTerminal, connect_unix

# Lines that no healthy node prints; waiting for anything else ends when one of them appears.
FAILURES = re.compile(r"PANIC|VM-entry failure|unexpected exit")
TAIL_LINES = 40
STOP_SECONDS = 8
ATTACH_POLL_S = 0.2  # how soon the end of the node is noticed
START_ATTEMPTS = 3


class NodeFailed(AssertionError):
    """The node died, reported a failure, or did not say what was awaited; carries the end of its log."""


class Node:
    """One emulated machine. Made by start_node(); ended by stop() or the end of a `with` block."""

    def __init__(self, config):
        self.config = config
        self.failures = FAILURES  # set to None where a test provokes one of them
        self._text = ""
        self._cursor = 0  # where the next wait_for() starts
        self._ended = False
        self._echo = False  # a person watches
        self._changed = threading.Condition()
        self._process = None
        self._socket = None
        self._listener = None
        self._start()

    # ---- starting and stopping --------------------------------------------------------------------

    def _command(self):
        if self.config.engine == "vtx":
            command, self._listener = bochs.command(self.config)
            return command
        return qemu.command(self.config)

    def _start(self):
        directory = self.config.directory
        self.config.prepare()
        for name in ("console.sock", "qmp.sock", "serial.log"):
            (directory / name).unlink(missing_ok=True)
        command = self._command()
        inherited = [self._listener.fileno()] if self._listener else []
        with open(directory / "emulator.log", "wb") as log:
            self._process = subprocess.Popen(
                command, cwd=directory, stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=inherited,
                start_new_session=self.config.detach, preexec_fn=None if self.config.detach else bochs.die_with_parent)
        (directory / "pid").write_text(f"{self._process.pid}\n")
        if self._listener:
            self._listener.close()
        try:
            self._socket = connect_unix(directory, "console.sock", lambda: self._process.poll() is None)
        except OSError as error:
            self.stop()
            raise NodeFailed(f"the emulator did not start: {self.emulator_log()}") from error
        threading.Thread(target=self._read, daemon=True).start()

    def stop(self):
        """Ends the emulator if it still runs. The files stay."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self.config.engine == "vtx":
            bochs.remove_lock(self.config.disk_path)
        if self._socket is not None:
            self._socket.close()
        (self.config.directory / "pid").unlink(missing_ok=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def leave_running(self):
        """Lets go of a detached node's console."""
        self._socket.close()

    # ---- the console ------------------------------------------------------------------------------

    def _read(self):
        """The reader thread: everything the node prints goes to _text."""
        while True:
            try:
                data = self._socket.recv(65536)
            except OSError:
                data = b""
            if self._echo:
                os.write(1, data)
            with self._changed:
                if data:
                    self._text += data.decode("utf-8", errors="replace")
                else:
                    self._ended = True
                self._changed.notify_all()
            if not data:
                return

    @property
    def text(self):
        """All that the node has printed."""
        with self._changed:
            return self._text

    def tail(self):
        """The end of the console, for messages."""
        lines = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", self.text).replace("\r", "").splitlines()
        return "\n".join(lines[-TAIL_LINES:])

    def wait_for(self, pattern, timeout):
        """Waits until the regular expression matches something printed after the last match.

        Returns the match. Raises NodeFailed after `timeout` seconds, when the node ends, or when it prints
        one of `failures`.
        """
        wanted = re.compile(pattern, re.MULTILINE)
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                match = wanted.search(self._text, self._cursor)
                if match:
                    self._cursor = match.end()
                    return match
                failure = self.failures and self.failures.search(self._text)
                if failure:
                    self._changed.wait(1)  # for the lines that explain it
                    raise NodeFailed(f"{failure[0]!r} while waiting for {pattern!r}\n{self.tail()}")
                if self._ended:
                    raise NodeFailed(f"the node ended ({self._end()}) while waiting for {pattern!r}\n{self.tail()}\n"
                                     f"{self.emulator_log()}")
                left = deadline - time.monotonic()
                if left <= 0:
                    raise NodeFailed(f"no {pattern!r} within {timeout} s\n{self.tail()}")
                self._changed.wait(left)

    def _end(self):
        """How the emulator ended; its console may close a moment before."""
        try:
            return f"status {self._process.wait(STOP_SECONDS)}"
        except subprocess.TimeoutExpired:
            return "its console only"

    def check(self):
        """Raises NodeFailed when the node has printed a failure or ended."""
        failure = self.failures and self.failures.search(self.text)
        if failure:
            raise NodeFailed(f"{failure[0]!r} on the console\n{self.tail()}")
        if self._process.poll() is not None:
            raise NodeFailed(f"the emulator ended with status {self._process.returncode}\n{self.tail()}\n"
                             f"{self.emulator_log()}")

    def send(self, text):
        """Types on the console."""
        self._socket.sendall(text.encode())

    def send_line(self, text):
        self.send(text + "\r")

    def attach_terminal(self):
        """Joins this process's terminal and the console until Ctrl-] or the end of the node.

        When standard input is not a terminal its bytes are passed on as they are, and after its end only output
        follows.
        """
        os.write(1, self.text.encode())
        self._echo = True
        with RawTerminal() as terminal:
            inputs = [0]
            while not self._ended:
                if not select.select(inputs, [], [], ATTACH_POLL_S)[0]:
                    continue
                data = os.read(0, 4096)
                if terminal.is_terminal and LEAVE_KEY in data:
                    break
                if data:
                    self._socket.sendall(data)
                else:
                    inputs.clear()
        self._echo = False

    def wait_end(self, timeout):
        """Waits until the emulator ends by itself and returns its exit status."""
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise NodeFailed(f"the emulator still runs after {timeout} s\n{self.tail()}") from None

    # ---- the rest ---------------------------------------------------------------------------------

    @property
    def api_url(self):
        return f"https://127.0.0.1:{self.config.api_port}/"

    def emulator_log(self):
        """What the emulator itself complained about."""
        return (self.config.directory / "emulator.log").read_text(errors="replace")[-2000:]

    @contextlib.contextmanager
    def qmp(self):
        """QEMU's control socket for the time of a `with` block."""
        if self.config.engine == "vtx":
            raise NotImplementedError("Bochs has no control socket")
        control = qemu.Qmp(self.config.directory)
        try:
            yield control
        finally:
            control.close()

    def screenshot(self, path):
        """Writes the screen as a PPM file (QEMU only)."""
        path = pathlib.Path(path).resolve()
        with self.qmp() as control:
            control.execute("screendump", filename=os.fspath(path))
        return path


def start_node(config):
    """Starts a node; its machine runs when this returns. A port taken in the meantime is replaced."""
    fixed_port = config.api_port
    for attempt in range(START_ATTEMPTS):
        try:
            return Node(config)
        except NodeFailed as error:
            if fixed_port or attempt == START_ATTEMPTS - 1 or "forwarding" not in str(error):
                raise
            config.api_port = 0
    raise AssertionError("not reached")
