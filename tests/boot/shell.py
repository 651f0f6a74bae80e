# SPDX-License-Identifier: Apache-2.0
"""The operator at a node's serial console."""
import re

ANSWER_S = {"svm": 30, "vtx": 120}
PROMPT = r"keelson> \x1b\[K"
LEAVE = "\x1d"  # Ctrl-]
MONITOR = "\x1e"  # Ctrl-^
GIVE_UP_LINE = "\x03"


class Shell:
    """Types commands at a node's prompt and waits for it to come back."""

    def __init__(self, machine):
        self.node = machine.node
        self.patience = ANSWER_S[machine.engine]
        self.node.send(GIVE_UP_LINE)
        self.node.wait_for(PROMPT, self.patience)

    def run(self, command, timeout=None):
        """Returns what was printed between the command (a long one scrolls) and the next prompt, without log lines."""
        self.node.send_line(command)
        self.node.wait_for(re.escape(command[-20:]) + r"(\x1b\[K)?\r\n", self.patience)
        text = self.node.wait_for(rf"(?s)(.*?)\r{PROMPT}", timeout or self.patience)[1]
        text = re.sub(r"[^\n]*\r\x1b\[K", "", text)  # progress, which is erased again
        lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).replace("\r", "").splitlines()
        return "\n".join(line for line in lines if not re.match(r"\[ *\d+\.\d{6}\] ", line))

    def run_in_guest(self, system, command, answer):
        """Attaches to a guest's console, types a command there, waits for its answer and detaches."""
        self.node.send_line(f"console {system}")
        self.node.wait_for(r"keelson guest ready: \d+ cpus\s", self.patience)  # what has been kept of its output
        self.node.send_line(command)
        self.node.wait_for(re.escape(answer) + r"\s", self.patience)
        self.node.send(LEAVE)
        self.node.wait_for(rf"\[{system}: detached\]\s", self.patience)
        self.node.wait_for(PROMPT, self.patience)
