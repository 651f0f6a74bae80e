# SPDX-License-Identifier: Apache-2.0
"""A node's serial console as a Unix socket: connecting to it, and a terminal on it."""
import os
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
        self.is_terminal = sys.stdin.isatty()
        self._saved = termios.tcgetattr(0) if self.is_terminal else None
        if self._saved is not None:
            tty.setraw(0)
        return self

    def __exit__(self, *_):
        if self._saved is not None:
            termios.tcsetattr(0, termios.TCSADRAIN, self._saved)
