# SPDX-License-Identifier: Apache-2.0
"""keelson-sim: the real API on this machine, over a simulated hypervisor with scripted guests."""
import os
import pathlib
import re
import subprocess

BUILD = pathlib.Path(os.environ.get("KEELSON_BUILD", "build")).resolve()
DEPS = pathlib.Path(os.environ.get("KEELSON_DEPS", BUILD / "deps")).resolve()


class Simulation:
    """A keelson-sim process and what it printed about itself. `state`: the file that is its state partition; `secret`:
    the one that it showed before."""

    def __init__(self, state=None, secret=None):
        options = ["--state", state] if state else []
        self.process = subprocess.Popen([BUILD / "keelson-sim", "--port", "0", *options], stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL, text=True)
        text = ""
        while "administrator secret" not in text:
            line = self.process.stdout.readline()
            assert line, f"keelson-sim ended: {text}"
            text += line
        self.url = re.search(r"API ready: (\S+)", text)[1]
        self.fingerprint = re.search(r"fingerprint: (\S+)", text)[1]
        shown = re.search(r"secret: (\S+)", text)
        self.secret = shown[1] if shown else secret

    def stop(self):
        self.process.terminate()
        self.process.wait(20)
