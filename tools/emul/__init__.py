# SPDX-License-Identifier: Apache-2.0
"""Starts Keelson nodes in emulators: QEMU (AMD-V, or KVM) and Bochs (VT-x), behind one interface.

    from tools.emul import NodeConfig, start_node

    with start_node(NodeConfig(engine="vtx", directory=path, image="build/keelson.img")) as node:
        node.wait_for(r"API ready", timeout=120)
        node.send_line("help")
        url = node.api_url

Python standard library only; the emulators come from the Debian packages in tools/deps/packages.txt.
"""
from .config import ENGINES, NodeConfig
from .node import FAILURES, Node, NodeFailed, start_node

__all__ = ["ENGINES", "FAILURES", "Node", "NodeConfig", "NodeFailed", "start_node"]
