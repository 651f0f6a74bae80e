# SPDX-License-Identifier: Apache-2.0
"""A node's serial console as a Unix socket: connecting to it, and a terminal on it."""
import os
import select
import socket
import sys
import termios
import time
import tty

LEAVE_KEY = b"\x1d"  # Ctrl-]
CONNECT_SECONDS = 20


def connect_unix(directory, name, alive=lambda: True):
    """Connects to directory/name, waiting until its server listens; the path may be of any length."""
    folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        deadline = time.monotonic() + CONNECT_SECONDS
        while True:
            sock = socket.socket(socket.AF_UNIX)
            try:
                # sockaddr_un holds 108 bytes; by way of the descriptor any directory will do.
                sock.connect(f"/proc/self/fd/{folder}/{name}")
                return sock
            except (FileNotFoundError, ConnectionRefusedError):
                sock.close()
                if not alive() or time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
    finally:
        os.close(folder)


class RawTerminal:
    """Standard input without line editing and signals while the block runs; nothing when it is no terminal."""

    def __enter__(self):
        self._saved = termios.tcgetattr(0) if sys.stdin.isatty() else None
        if self._saved is not None:
            tty.setraw(0)
        return self

    def __exit__(self, *_):
        if self._saved is not None:
            termios.tcsetattr(0, termios.TCSADRAIN, self._saved)


def attach(sock, on_output=lambda data: None):
    """Joins the terminal and the console until Ctrl-] (True) or the end of the node (False).

    When standard input is not a terminal its bytes are passed on as they are, and its end leaves the console
    open: only output follows.
    """
    inputs = [sock, 0]
    with RawTerminal():
        while True:
            ready, _, _ = select.select(inputs, [], [])
            if sock in ready:
                data = sock.recv(65536)
                if not data:
                    return False
                on_output(data)
                os.write(1, data)
            if 0 in ready:
                data = os.read(0, 4096)
                if sys.stdin.isatty() and LEAVE_KEY in data:
                    return True
                if data:
                    sock.sendall(data)
                else:
                    inputs.remove(0)
