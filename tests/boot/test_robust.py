# SPDX-License-Identifier: Apache-2.0
"""What strangers and faulty clients send: each gets the right status and is told what is wrong and where; and
ten thousand of them leave nothing behind in the node."""
import socket
import ssl
import threading
import time

import pytest
from booted import Booted
from wire import Wire, basic, context, document, metrics, request, steady, wait_settled

FLOOD = 10000  # bad requests and connections, in all
FAILURES_FREE = 10  # wrong credentials before a peer has to wait (docs/api.md)
DEEP = 40  # levels of JSON; 32 are allowed


@pytest.fixture(scope="module")
def machine():
    with Booted("robust", "svm") as machine:
        yield machine


# Requests that are well-formed HTTP and leave the connection usable:
# name, arguments of request(), status, part of the place that is named.
POLITE = [
    ("no such path", dict(method="GET", path="/nowhere"), 404, "/nowhere"),
    ("no such system", dict(method="GET", path="/v1/hcs/systems/none/properties"), 404, ""),
    ("start of no system", dict(method="POST", path="/v1/hcs/systems/none/start"), 404, ""),
    ("no such image", dict(method="GET", path="/v1/images/none"), 404, ""),
    ("no such operation", dict(method="GET", path="/v1/hcs/operations/99999999"), 404, ""),
    ("no such console", dict(method="GET", path="/v1/systems/none/console/history"), 404, ""),
    ("wrong method", dict(method="DELETE", path="/v1/node"), 405, "/v1/node"),
    ("no credentials", dict(method="GET", path="/v1/node", Authorization=None), 401, "Authorization"),
    ("page of another site", dict(method="POST", path="/v1/node/reboot", Origin="https://evil.example"), 403, "Origin"),
    ("bad escape", dict(method="GET", path="/v1/images/%zz"), 400, "uri"),
    ("bad number", dict(method="GET", path="/v1/events?from=x"), 400, ""),
    ("number out of range", dict(method="GET", path="/v1/events?timeoutMs=99999999"), 400, ""),
    ("bad image name", dict(method="PUT", path="/v1/images/a%2f..%2fb", body=b"x"), 400, ""),
    ("wrong digest", dict(method="PUT", path="/v1/images/x", body=b"x", X_Content_SHA256="0" * 64), 422, ""),
    ("no digest", dict(method="PUT", path="/v1/images/x", body=b"x", X_Content_SHA256="zz"), 400, ""),
    ("no WebSocket", dict(method="GET", path="/v1/systems/none/console"), 404, ""),
    ("empty document", dict(method="POST", path="/v1/hcs/systems/x"), 400, "$"),
    ("cut-off JSON", dict(method="POST", path="/v1/hcs/systems/x", body=b'{"Owner":'), 400, "line 1"),
    ("no JSON", dict(method="POST", path="/v1/hcs/systems/x", body=b"\xff\xfe\0\1"), 400, "line 1"),
    ("deep JSON", dict(method="POST", path="/v1/hcs/systems/x", body=b"[" * DEEP + b"]" * DEEP), 400, "$"),
    ("key twice", dict(method="POST", path="/v1/hcs/systems/x", body=b'{"Owner":"a","Owner":"b"}'), 400, "$"),
    ("NUL in a string", dict(method="POST", path="/v1/hcs/systems/x", body=b'{"Owner":"\\u0000"}'), 400, "line 1"),
    ("bad UTF-8", dict(method="POST", path="/v1/hcs/systems/x", body=b'{"Owner":"\xc3("}'), 400, "line 1"),
    ("integer beyond 2^53", dict(method="POST", path="/v1/hcs/systems/x", body=b'{"Owner":9007199254740993}'), 400, "$"),
    ("unknown property", dict(method="POST", path="/v1/hcs/systems/x", body=document(Nonsense=1)), 400, "$.Nonsense"),
    ("wrong type", dict(method="POST", path="/v1/hcs/systems/x", body=document(Owner=1)), 400, "$.Owner"),
    ("too many processors", dict(method="POST", path="/v1/hcs/systems/x", body=document(processors=9)), 400,
     "$.VirtualMachine.ComputeTopology.Processor.Count"),
    ("no memory", dict(method="POST", path="/v1/hcs/systems/x", body=document(memory=0)), 400,
     "$.VirtualMachine.ComputeTopology.Memory.SizeInMB"),
    ("container", dict(method="POST", path="/v1/hcs/systems/x", body=document(Container={})), 501, "$.Container"),
    ("image that is not there", dict(method="POST", path="/v1/hcs/systems/x", body=document()), 404, ""),
]

HEAD = b"GET /v1/node HTTP/1.1\r\nHost: node\r\n"
POST = b"POST /v1/hcs/systems/x HTTP/1.1\r\nHost: node\r\nAuthorization: Bearer %s\r\n"

# Bytes after which the node must answer and close: name, bytes (%s: the secret), status, place.
RUDE = [
    ("no request", b"\x00\x01\x02\x03\r\n\r\n", 400, "method"),
    ("lower-case method", b"get / HTTP/1.1\r\nHost: node\r\n\r\n", 400, "method"),
    ("unknown method", b"FROB / HTTP/1.1\r\nHost: node\r\n\r\n", 501, "method"),
    ("no version", b"GET /v1/node\r\nHost: node\r\n\r\n", 505, "version"),
    ("version 9", b"GET / HTTP/9.9\r\nHost: node\r\n\r\n", 505, "version"),
    ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "version"),
    ("no host", b"GET / HTTP/1.1\r\n\r\n", 400, "Host"),
    ("two hosts", HEAD + b"Host: other\r\n\r\n", 400, "Host"),
    ("space in a header's name", HEAD + b"X Y: 1\r\n\r\n", 400, "header"),
    ("folded header", HEAD + b"X: 1\r\n 2\r\n\r\n", 400, "header"),
    ("control character in a header", HEAD + b"X: a\x01b\r\n\r\n", 400, "header"),
    ("long target", b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\nHost: node\r\n\r\n", 414, "uri"),
    ("long header", HEAD + b"X: " + b"a" * 20000 + b"\r\n\r\n", 431, "header"),
    ("many headers", HEAD + b"X: 1\r\n" * 70 + b"\r\n", 431, "header"),
    ("two lengths", POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx", 400, "Content-Length"),
    ("length that is none", POST + b"Content-Length: -1\r\n\r\n", 400, "Content-Length"),
    ("length of 30 digits", POST + b"Content-Length: " + b"9" * 30 + b"\r\n\r\n", 400, "Content-Length"),
    ("length and chunks", POST + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, ""),
    ("unknown coding", POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n", 501, "Transfer-Encoding"),
    ("bad chunk", POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400, "body"),
    ("document of 300 KB", POST + b"Content-Length: 300000\r\n\r\n", 413, "Content-Length"),
    ("chunks of 300 KB", POST + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
     + (b"1000\r\n" + b" " * 4096 + b"\r\n") * 74 + b"0\r\n\r\n", 413, "body"),
    ("odd expectation", POST + b"Expect: tea\r\nContent-Length: 1\r\n\r\n", 417, "Expect"),
    ("upload without length", b"PUT /v1/images/x HTTP/1.1\r\nHost: node\r\nAuthorization: Bearer %s\r\n"
                              b"Connection: close\r\n\r\n", 411, "Content-Length"),
]

# What is no TLS: the node closes, with or without an alert, and says nothing of HTTP.
NO_TLS = [
    ("HTTP", b"GET / HTTP/1.1\r\nHost: node\r\n\r\n"),
    ("zeros", bytes(64)),
    ("TLS 1.0", b"\x16\x03\x01\x00\x2f\x01\x00\x00\x2b\x03\x01" + bytes(32) + b"\0\0\x04\x00\x2f\x00\x35\x01\0"),
    ("huge record", b"\x16\x03\x01\xff\xff" + bytes(100)),
    ("application data first", b"\x17\x03\x03\x00\x05hello"),
    ("alert", b"\x15\x03\x03\x00\x02\x02\x28"),
]


def fill(data, secret):
    return data.replace(b"%s", secret.encode())


def check(answer, status, place, name):
    """An error document that says what and where."""
    assert answer.status == status, f"{name}: {answer}"
    assert answer.headers["content-type"].startswith("application/json"), name
    code, message, where = answer.complaint()
    assert code and message, f"{name}: {answer}"
    assert place in where, f"{name}: {answer}"


def offer_no_tls(machine, data):
    """Sends bytes to the TLS port; returns what comes back until the node closes."""
    answer = b""
    with socket.create_connection(("127.0.0.1", machine.port), 60) as plain:
        try:
            plain.sendall(data)
            while piece := plain.recv(4096):
                answer += piece
        except ConnectionError:
            pass
    return answer


# ---- each of them once -------------------------------------------------------------------------------------


def test_polite_errors(machine):
    """All on one connection, which stays."""
    with Wire(machine) as wire:
        for name, arguments, status, place in POLITE:
            check(wire.request(**arguments), status, place, name)
        assert wire.request("GET", "/v1/node").status == 200


@pytest.mark.parametrize("name, data, status, place", RUDE, ids=[row[0] for row in RUDE])
def test_rude_errors(machine, name, data, status, place):
    with Wire(machine) as wire:
        wire.send(fill(data, wire.secret))
        check(wire.answer(), status, place, name)
        assert wire.wait_closed() == b""


@pytest.mark.parametrize("name, data", NO_TLS, ids=[row[0] for row in NO_TLS])
def test_no_tls(machine, name, data):
    answer = offer_no_tls(machine, data)
    assert b"HTTP" not in answer
    assert not answer or answer[0] == 0x15, "neither silence nor an alert"


@pytest.mark.parametrize("version, ciphers", [(ssl.TLSVersion.TLSv1_1, "ALL:@SECLEVEL=0"),
                                              (ssl.TLSVersion.TLSv1_2, "AES128-SHA:@SECLEVEL=0")])
def test_weak_tls(machine, version, ciphers):
    weak = context()
    weak.set_ciphers(ciphers)
    weak.minimum_version = weak.maximum_version = version
    with pytest.raises((ssl.SSLError, ConnectionError)):
        Wire(machine, weak)


def test_head_has_no_body(machine):
    with Wire(machine) as wire:
        wire.send(request(wire.secret, "HEAD", "/nowhere"))
        assert wire.answer(head=True).status == 404
        assert wire.request("GET", "/v1/node").status == 200


# ---- slow ones ---------------------------------------------------------------------------------------------


class Slow(threading.Thread):
    """A slow client beside everything else; finish() tells what became of it."""

    def __init__(self, machine, act):
        super().__init__(daemon=True)
        self.machine, self.act, self.result = machine, act, None
        self.start()

    def run(self):
        try:
            self.result = self.act(self.machine)
        except Exception as error:  # an assertion of this thread must reach the test
            self.result = error

    def finish(self):
        self.join(180)
        assert not self.is_alive(), f"{self.act.__name__}: nothing happened"
        if isinstance(self.result, Exception):
            raise self.result


def drip(wire, data, pause=1.0):
    """A byte a second until the node has something to say."""
    wire.socket.settimeout(pause)
    for byte in data:
        wire.send(bytes([byte]))
        try:
            wire._more()
            break
        except TimeoutError:
            continue
    wire.socket.settimeout(120)


def slow_header(machine):
    with Wire(machine) as wire:
        drip(wire, HEAD + b"X-Long: " + b"a" * 100)
        check(wire.answer(), 408, "header", "slow header")
        wire.wait_closed()


def slow_body(machine):
    with Wire(machine) as wire:
        wire.send(fill(POST, wire.secret) + b"Content-Length: 1000\r\n\r\n")
        drip(wire, b" " * 100)
        check(wire.answer(), 408, "body", "slow body")
        wire.wait_closed()


def slow_upload(machine):
    """A body that stops in the middle."""
    with Wire(machine) as wire:
        wire.send(request(wire.secret, "PUT", "/v1/images/slow", b"", Content_Length="100000") + bytes(50000))
        check(wire.answer(), 408, "body", "slow upload")
        wire.wait_closed()


def silent(machine):
    """Connects and says nothing, not even TLS."""
    assert offer_no_tls(machine, b"") == b""


def half_hello(machine):
    """The beginning of a ClientHello."""
    offer_no_tls(machine, NO_TLS[2][1][:20])


def deaf(machine):
    """Asks for more than fits on the way, and takes none of it for longer than the node waits."""
    asked = 0
    with Wire(machine) as wire:
        wire.socket.settimeout(2)
        try:
            while asked < 2000:
                wire.send(request(wire.secret, "GET", "/openapi.json"))
                asked += 1
        except (TimeoutError, ssl.SSLWantWriteError, ssl.SSLEOFError, ConnectionError):
            pass  # the way is full: the node has stopped reading
        time.sleep(35)
        wire.socket.settimeout(120)
        assert wire.wait_closed().count(b"HTTP/1.1 200 ") < asked


# ---- many --------------------------------------------------------------------------------------------------


def count(before, now):
    """What has been refused between two readings of the counters."""
    return sum(now[name] - before[name] for name in ("http_errors_4xx_total", "http_errors_5xx_total",
                                                     "tls_failed_total", "tls_timeouts_total"))


def flood_polite(machine, rounds):
    """Pipelined: the node serves them one after the other."""
    secret = machine.client.secret
    batch = b"".join(request(secret, **arguments) for _, arguments, _, _ in POLITE)
    with Wire(machine) as wire:
        for _ in range(rounds):
            wire.send(batch)
            for name, _, status, place in POLITE:
                check(wire.answer(), status, place, name)


class Resuming:
    """Connections that resume one TLS session: a tenth of the cost of a full handshake."""

    def __init__(self, machine):
        self.machine = machine
        self.tls = context()
        self.tls.maximum_version = ssl.TLSVersion.TLSv1_2
        self.session = None

    def connect(self):
        wire = Wire(self.machine, self.tls, self.session)
        self.session = wire.socket.session
        return wire


def flood_rude(machine, rounds):
    """Each on a connection of its own; this side closes first on every second one."""
    clients = Resuming(machine)
    for turn in range(rounds):
        for name, data, status, place in RUDE:
            with clients.connect() as wire:
                wire.send(fill(data, wire.secret))
                check(wire.answer(), status, place, name)
                if turn % 2:
                    wire.wait_closed()


def flood_no_tls(machine, rounds):
    for _ in range(rounds):
        for _, data in NO_TLS:
            assert b"HTTP" not in offer_no_tls(machine, data)


def flood_broken_off(machine, rounds):
    """Requests and uploads whose clients vanish."""
    clients = Resuming(machine)
    for turn in range(rounds):
        with clients.connect() as wire:
            wire.send(request(wire.secret, "PUT", "/v1/images/half", b"", Content_Length="1000000") + bytes(turn * 100))
        with clients.connect() as wire:
            wire.send(request(wire.secret, "POST", "/v1/hcs/systems/x", b"", Content_Length="1000") + b'{"Owner":')
        with clients.connect() as wire:
            wire.send(HEAD)


def flood_credentials(machine, rounds):
    """Wrong ones: refused, then not even looked at for a while."""
    wrong = [basic("admin", "wrong"), basic("root", machine.client.secret), "Bearer " + "0" * 32, "Basic !!!!", "Negotiate x"]
    seen = {401: 0, 429: 0}
    with Wire(machine) as wire:
        for _ in range(rounds):
            for value in wrong:
                wire.send(request("", "GET", "/v1/node", Authorization=value))
            for _ in wrong:
                answer = wire.answer()
                check(answer, answer.status, "", "wrong credentials")
                seen[answer.status] += 1
    assert seen[401] >= FAILURES_FREE and seen[429] > seen[401]


def wait_accepted(machine):
    """Until right credentials are looked at again."""
    with Wire(machine) as wire:
        for _ in range(30):
            if wire.request("GET", "/v1/node").status == 200:
                return
            time.sleep(1)
    raise AssertionError("the node still refuses right credentials")


def flood(machine, polite, rude, no_tls, broken_off, credentials):
    """All of them; wrong credentials last, since all peers have one address on the emulator's network."""
    flood_polite(machine, polite)
    flood_rude(machine, rude)
    flood_no_tls(machine, no_tls)
    flood_broken_off(machine, broken_off)
    flood_credentials(machine, credentials)
    wait_accepted(machine)


def test_ten_thousand_leave_nothing_behind(machine):
    flood(machine, 1, 1, 1, 3, 10)  # the warm-up
    before, wanted = metrics(machine), steady(machine)
    slow = [Slow(machine, act) for act in (slow_header, slow_body, slow_upload, silent, half_hello, deaf)]
    flood(machine, 250, 40, 100, 50, 200)
    for client in slow:
        client.finish()
    wait_settled(machine, wanted)
    after = metrics(machine)
    assert count(before, after) >= FLOOD
    assert after["net_pool_failures_total"] == 0
