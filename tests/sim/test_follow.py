# SPDX-License-Identifier: Apache-2.0
"""`keelctl event list --follow` against keelson-sim, through a proxy that loses connections."""
import json
import os
import queue
import re
import select
import socket
import subprocess
import threading
import urllib.parse

import pytest

from tests.sim.simulated import BUILD, Simulation

ANSWER_S = 60  # for what takes a second or two


class Proxy:
    """A TCP port that leads to the simulation, whichever that is, unless the line is cut."""

    def __init__(self):
        self.target = None  # port of the simulation; None: connections are closed at once
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._pairs = []
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                if self.target is None:
                    client.close()
                    continue
                node = socket.create_connection(("127.0.0.1", self.target))
                self._pairs.append((client, node))
            threading.Thread(target=self._copy, args=(client, node), daemon=True).start()

    @staticmethod
    def _copy(client, node):
        try:
            while True:
                for one in select.select([client, node], [], [])[0]:
                    data = one.recv(65536)
                    if not data:
                        return
                    (node if one is client else client).sendall(data)
        except (OSError, ValueError):
            return  # cut
        finally:
            client.close()
            node.close()

    def cut(self):
        """Ends all connections, and lets none through until there is a target again."""
        with self._lock:
            self.target = None
            for pair in self._pairs:
                for one in pair:
                    try:
                        one.shutdown(socket.SHUT_RDWR)
                    except OSError:
                        pass  # it has ended already
            self._pairs.clear()

    def close(self):
        self.cut()
        self._listener.close()


class Follower:
    """A keelctl that follows, and its lines as they come."""

    def __init__(self, env, *arguments):
        self.process = subprocess.Popen([BUILD / "keelctl", *arguments, "event", "list", "--follow"], env=env,
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.output, self.errors = queue.Queue(), queue.Queue()
        for stream, lines in ((self.process.stdout, self.output), (self.process.stderr, self.errors)):
            threading.Thread(target=self._read, args=(stream, lines), daemon=True).start()

    @staticmethod
    def _read(stream, lines):
        for line in stream:
            lines.put(line.rstrip("\n"))
        lines.put(None)

    def events(self, count):
        """Number and type of the next `count` events."""
        lines = [self.output.get(timeout=ANSWER_S) for _ in range(count)]
        return [(int(m[1]), m[2]) for m in (re.match(r" *(\d+)  \S+ \S+  (\S+)", line) for line in lines)]

    def stop(self):
        self.process.kill()
        self.process.wait(ANSWER_S)


class Node:
    """A simulation with a state partition, behind the proxy; what keelctl needs to reach either."""

    def __init__(self, state):
        self.state = state
        self.sim = Simulation(state)
        self.proxy = Proxy()
        self.followers = []
        self.connect()

    def env(self, direct=False):
        clean = {k: v for k, v in os.environ.items() if not k.startswith("KEELSON_")}
        url = self.sim.url if direct else f"https://127.0.0.1:{self.proxy.port}/"
        return dict(clean, KEELSON_CONFIG_DIR=str(self.state.parent / "config"), KEELSON_NODE=url,
                    KEELSON_SECRET=self.sim.secret, KEELSON_FINGERPRINT=self.sim.fingerprint)

    def keelctl(self, *arguments):
        return subprocess.run([BUILD / "keelctl", *arguments], env=self.env(direct=True), check=True, capture_output=True,
                              timeout=ANSWER_S).stdout.decode()

    def happen(self, name):
        """One event."""
        self.keelctl("disk", "create", name, "--size", "1M")

    def requests(self, route):
        return int(re.search(rf'^keelson_api_requests_total{{route="{route}"}} (\d+)', self.keelctl("node", "metrics"),
                             re.MULTILINE)[1])

    def follow(self, *arguments):
        self.followers.append(Follower(self.env(), *arguments))
        return self.followers[-1]

    def connect(self):
        self.proxy.target = urllib.parse.urlsplit(self.sim.url).port

    def restart(self):
        self.proxy.cut()
        secret = self.sim.secret
        self.sim.stop()
        self.sim = Simulation(self.state, secret)
        self.connect()

    def stop(self):
        for follower in self.followers:
            follower.stop()
        self.proxy.close()
        self.sim.stop()


@pytest.fixture
def node(tmp_path):
    node = Node(tmp_path / "state.img")
    yield node
    node.stop()


def test_events_as_they_happen(node):
    """All that is kept, then what happens: from one request, however much it is."""
    node.happen("a")
    follower = node.follow()
    assert follower.events(2) == [(1, "NodeReady"), (2, "DiskCreated")]
    for number, name in enumerate("bcd", 3):
        node.happen(name)
        assert follower.events(1) == [(number, "DiskCreated")]
    assert node.requests("GET /v1/events/stream") == 1 and node.requests("GET /v1/events") == 0


def test_from_a_number(node):
    node.happen("a")
    node.happen("b")
    assert node.follow("--from", "3").events(1) == [(3, "DiskCreated")]


def test_json_is_a_document_a_line(node):
    node.happen("a")
    follower = node.follow("-o", "json")
    documents = [json.loads(follower.output.get(timeout=ANSWER_S)) for _ in range(2)]
    assert [(d["Sequence"], d["Type"], d["Subject"]) for d in documents][1] == (2, "DiskCreated", "a")


def test_goes_on_after_a_lost_connection(node):
    """What happened meanwhile is shown, once; it is lost a second time, and an attempt fails in between."""
    follower = node.follow()
    assert follower.events(1) == [(1, "NodeReady")]
    for number, name in ((2, "a"), (4, "c")):
        node.proxy.cut()
        assert "lost" in follower.errors.get(timeout=ANSWER_S)
        node.happen(name)
        node.connect()
        assert follower.events(1) == [(number, "DiskCreated")]
        node.happen(name + name)
        assert follower.events(1) == [(number + 1, "DiskCreated")]
    assert follower.errors.empty(), "said once for each time"


def test_a_node_that_restarts(node):
    """Its numbers begin anew: none of its events is taken for one that was seen before."""
    for name in "abc":
        node.happen(name)
    follower = node.follow()
    assert len(follower.events(4)) == 4
    node.restart()
    assert follower.events(1) == [(1, "NodeReady")]
    assert "lost" in follower.errors.get(timeout=ANSWER_S) and "restarted" in follower.errors.get(timeout=ANSWER_S)
    node.happen("d")
    assert follower.events(1) == [(2, "DiskCreated")]


def test_numbers_that_have_been_reached_again(node):
    """A new boot that is as far as the last number seen is told by the time of that event."""
    follower = node.follow()
    assert follower.events(1) == [(1, "NodeReady")]
    node.restart()
    assert follower.events(1) == [(1, "NodeReady")]


def test_what_is_not_tried_again(node):
    """A node that cannot be reached in the first place, and one that is another."""
    node.proxy.cut()
    assert node.follow().process.wait(ANSWER_S) == 3
    node.connect()
    follower = node.follow()
    assert follower.events(1) == [(1, "NodeReady")]
    other = Simulation()
    try:
        node.proxy.cut()
        node.proxy.target = urllib.parse.urlsplit(other.url).port
        assert follower.process.wait(ANSWER_S) == 3
    finally:
        other.stop()
