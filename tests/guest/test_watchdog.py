# SPDX-License-Identifier: Apache-2.0
"""A management partition that hangs ends the node, with a record of where it hung."""
import os
import pathlib
import re

import pytest

from tools.emul import NodeConfig, start_node

BUILD = pathlib.Path(os.environ.get("KEELSON_BUILD", "build"))
MACHINES = {"svm-1cpu": ("svm", 1), "svm-2cpu": ("svm", 3), "vtx-1cpu": ("vtx", 1)}
PANIC = r"PANIC on processor [01]: management partition VP 0 does not answer"
RECORD = re.compile(r"management partition VP 0, processor [01]: silent for [1-9]\d* s, blocked by 0x0, "
                    r"\d+ entries, last exit \w+")


@pytest.mark.parametrize("machine", MACHINES)
def test_silent_data_plane(machine):
    engine, cpus = MACHINES[machine]
    config = NodeConfig(directory=BUILD / "test" / "guest" / f"watchdog-{machine}", image=BUILD / "guest" / "guest.img",
                        engine=engine, cpus=cpus, memory_mib=512, nic="none",
                        config_text="guest-tests=none\nguest-end=silence\n")
    with start_node(config) as node:
        node.failures = None  # a panic is what is wanted
        node.wait_for(PANIC, 300)
        text = node.text
    record = RECORD.search(text)
    assert record, text[-2000:]
    assert text.index("guest tests: 0 passed") < record.start() < text.index("PANIC")
    assert re.search(r"rip [0-9a-f]{16}", text[record.start():]), "the registers are missing"
