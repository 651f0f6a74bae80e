# SPDX-License-Identifier: Apache-2.0
"""A client that may misbehave: TLS connections to a node on which any bytes can be sent, in any number at a time."""
import base64
import json
import re
import socket
import ssl
import time

TIMEOUT_S = 120
DRAIN_S = 60

# Gauges that must be what they were when the same connections are open and the same systems run. A connection in
# TIME-WAIT holds one element of a pool for two minutes: it is subtracted instead of waited for.
SETTLED = ("heap_used_bytes", "net_heap_used_bytes", "http_connections", "http_requests_active", "http_websockets",
           "tls_silent", "tls_waiting", "tls_handshakes", "tls_established", "guest_memory_free_bytes", "image_bytes",
           "deposited_pages", "partitions", "hypervisor_own_pages", "hypervisor_deposited_pages",
           "hypervisor_mapped_pages", "systems_created", "systems_running", "systems_stopped")
# What a guest takes and must give back: the pool's memory, deposits, and what the frame table counts.
PAGES = ("guest_memory_free_bytes", "deposited_pages", "partitions", "hypervisor_own_pages",
         "hypervisor_deposited_pages", "hypervisor_mapped_pages")


def context():
    """Trusts whatever certificate there is."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    return made


class Closed(Exception):
    """The node closed the connection where an answer was awaited."""


class Answer:
    """Status, headers (names in lower case) and body of one answer."""

    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body

    def json(self):
        return json.loads(self.body)

    def complaint(self):
        """(code, message, place) of an error, in either of the API's two forms."""
        document = self.json()
        if "error" in document:
            error = document["error"]
            return error["code"], error["message"], error.get("where", "")
        events = document.get("ErrorEvents") or [{}]
        place = next((item["Value"] for item in events[0].get("Data", [])), "")
        return document["ErrorName"], document["ErrorMessage"], place

    def __repr__(self):
        return f"{self.status} {self.body[:300]!r}"


class Wire:
    """One TLS connection. Answers come in the order of the requests."""

    def __init__(self, node, tls=None, session=None):
        self.secret = node.client.secret
        plain = socket.create_connection(("127.0.0.1", node.port), TIMEOUT_S)
        try:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.socket = (tls or context()).wrap_socket(plain, session=session)
        except BaseException:
            plain.close()
            raise
        self._buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def _more(self):
        try:
            data = self.socket.recv(65536)
        except (ssl.SSLEOFError, ConnectionError) as error:
            raise Closed(f"after {self._buffer[:200]!r}") from error
        if not data:
            raise Closed(f"after {self._buffer[:200]!r}")
        self._buffer += data

    def answer(self, head=False):
        """The next answer; `head`: to a HEAD request, which has no body."""
        while b"\r\n\r\n" not in self._buffer:
            self._more()
        text, self._buffer = self._buffer.split(b"\r\n\r\n", 1)
        first, *lines = text.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = 0 if head else int(headers.get("content-length", 0))
        while len(self._buffer) < length:
            self._more()
        body, self._buffer = self._buffer[:length], self._buffer[length:]
        return Answer(int(first.split()[1]), headers, body)

    def wait_closed(self):
        """Waits until the node closes; returns what came before."""
        try:
            while True:
                self._more()
        except Closed:
            return self._buffer

    def request(self, method, path, body=b"", **headers):
        self.send(request(self.secret, method, path, body, **headers))
        return self.answer()


def request(secret, method, path, body=b"", **headers):
    """The bytes of a request; a header given as None is left out, X_Name stands for X-Name."""
    fields = {"Host": "node", "Authorization": f"Bearer {secret}"}
    if body or method in ("POST", "PUT"):
        fields["Content-Length"] = str(len(body))
    fields.update({name.replace("_", "-"): value for name, value in headers.items()})
    lines = [f"{name}: {value}" for name, value in fields.items() if value is not None]
    return "\r\n".join([f"{method} {path} HTTP/1.1", *lines, "", ""]).encode("latin-1") + body


def basic(user, password):
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def metrics(node):
    """All counters of /metrics: {name without keelson_: value}. The connection is closed by this side."""
    with Wire(node) as wire:
        answer = wire.request("GET", "/metrics")
    assert answer.status == 200, answer
    return {name: int(value) for name, value in
            re.findall(r"^keelson_(\w+) (\d+)$", answer.body.decode(), re.MULTILINE)}


def labelled(node, family, **labels):
    """The sum of a family's samples that have these labels."""
    with Wire(node) as wire:
        text = wire.request("GET", "/metrics").body.decode()
    samples = re.findall(rf"^keelson_{family}{{(.*)}} ([\d.]+)$", text, re.MULTILINE)
    return sum(float(value) for names, value in samples
               if all(f'{name}="{wanted}"' in names.split(",") for name, wanted in labels.items()))


def settled(node):
    """What must not change."""
    now = metrics(node)
    state = {name: now[name] for name in SETTLED}
    state["tcp connections"] = now["net_tcp_connections"] - now["net_tcp_time_wait"]
    state["pools"] = now["net_pool_used"] - now["net_tcp_time_wait"]
    return state


def steady(node):
    """What settled() says when it says the same twice, a second apart."""
    deadline = time.monotonic() + DRAIN_S
    last, now = None, settled(node)
    while now != last:
        assert time.monotonic() < deadline, f"still changing: {last}, {now}"
        time.sleep(1)
        last, now = now, settled(node)
    return now


def pages(node):
    """Who has the machine's memory."""
    now = metrics(node)
    return {name: now[name] for name in PAGES}


def wait_settled(node, wanted, take=settled):
    """Until `take` says what it said before: connections take a moment to drain on the way through the emulator's
    network, and what a guest had is given back in steps."""
    deadline = time.monotonic() + DRAIN_S
    while True:
        now = take(node)
        different = {name: (wanted[name], now[name]) for name in wanted if now[name] != wanted[name]}
        if not different:
            return
        assert time.monotonic() < deadline, f"before and after: {different}"
        time.sleep(1)


def document(kernel="none", initrd=None, memory=64, processors=1, **changes):
    """A ComputeSystem, with whatever may be wrong in it."""
    boot = {"KernelFilePath": kernel, **({"InitRdPath": initrd} if initrd else {})}
    machine = {"Chipset": {"LinuxKernelDirect": boot},
               "ComputeTopology": {"Memory": {"SizeInMB": memory}, "Processor": {"Count": processors}},
               "Devices": {"ComPorts": {"0": {}}}}
    return json.dumps({"SchemaVersion": {"Major": 2, "Minor": 1}, "VirtualMachine": machine, **changes}).encode()
