# SPDX-License-Identifier: Apache-2.0
"""The API's description against a running API: routes and methods, parameters, statuses, documents."""
import base64
import hashlib
import http.client
import json
import pathlib
import random
import re
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

import pytest

from tests.sim.simulated import BUILD, DEPS, Simulation

ROOT = pathlib.Path(__file__).resolve().parents[2]
TIMEOUT_S = 60
METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH")
NODE_ENDS = ("/v1/node/reboot", "/v1/node/poweroff")
SYSTEM = "web 1"
DOCUMENT = {"Owner": "test", "SchemaVersion": {"Major": 2, "Minor": 1}, "VirtualMachine": {
    "Chipset": {"LinuxKernelDirect": {"KernelFilePath": "vmlinuz", "KernelCmdLine": "console=ttyS0"}},
    "ComputeTopology": {"Memory": {"SizeInMB": 128}, "Processor": {"Count": 2}}, "Devices": {"ComPorts": {"0": {}}}}}


class Answer:
    def __init__(self, answer):
        self.status = answer.status
        self.headers = answer.headers
        self.body = answer.read()

    def json(self):
        return json.loads(self.body)

    def message(self):
        document = self.json()
        return document["error"]["message"] if "error" in document else document["ErrorMessage"]


class Api:
    """Requests to a simulation, each answer held against the description."""

    def __init__(self, sim):
        self.sim = sim
        self.description = json.loads((BUILD / "gen" / "openapi.json").read_text())
        self.seen = set()

    def raw(self, method, path, body=None, **headers):
        context = ssl._create_unverified_context()
        connection = http.client.HTTPSConnection(urllib.parse.urlsplit(self.sim.url).netloc, timeout=TIMEOUT_S, context=context)
        login = base64.b64encode(f"admin:{self.sim.secret}".encode()).decode()
        data = json.dumps(body).encode() if isinstance(body, (dict, list)) else body
        try:
            connection.request(method, path, data, {"Authorization": f"Basic {login}", **headers})
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def call(self, method, template, expected, body=None, query=None, headers=None, **names):
        """One request; its status must be `expected`, and the description must allow status and document."""
        path = template.format(**{name: urllib.parse.quote(value, safe="") for name, value in names.items()})
        answer = self.raw(method, path + ("?" + urllib.parse.urlencode(query) if query else ""), body, **(headers or {}))
        assert answer.status == expected, (method, path, answer.status, answer.body[:500])
        response = self.description["paths"][template][method.lower()]["responses"].get(str(answer.status))
        assert response, f"{method} {template}: status {answer.status} is not described"
        self.seen.add((method, template))
        schema = self.resolve(response).get("content", {}).get("application/json", {}).get("schema")
        if schema:
            self.check(answer.json(), schema, f"{method} {template}")
        return answer

    def resolve(self, node):
        while "$ref" in node:
            target = self.description
            for part in node["$ref"][2:].split("/"):
                target = target[part]
            node = target
        return node

    def check(self, value, schema, place):
        """Does the value consist of what the schema describes, and of nothing else?"""
        schema = self.resolve(schema)
        if "oneOf" in schema:
            fits = [s for s in schema["oneOf"] if set(value) <= set(self.resolve(s)["properties"])]
            assert fits, f"{place}: {value} is none of the forms described"
            schema = self.resolve(fits[0])
        if value is None:
            return
        kinds = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool}
        assert isinstance(value, kinds[schema["type"]]), f"{place}: {value!r} is no {schema['type']}"
        if schema["type"] == "array":
            for item in value:
                self.check(item, schema["items"], place + "[]")
        elif schema["type"] == "object" and "properties" in schema:
            for name, item in value.items():
                assert name in schema["properties"], f"{place}.{name} is not described"
                self.check(item, schema["properties"][name], f"{place}.{name}")

    def operations(self):
        for template, operations in self.description["paths"].items():
            for method, operation in operations.items():
                yield method.upper(), template, operation


@pytest.fixture(scope="module")
def api():
    with tempfile.TemporaryDirectory(prefix="keelson-sim-") as folder:
        simulation = Simulation(pathlib.Path(folder) / "state.img")
        yield Api(simulation)
        simulation.stop()


@pytest.fixture(scope="module")
def system(api):
    """A system that runs, and the operation that started it, as the description names them."""
    kernel = (DEPS / "linux" / "vmlinuz").read_bytes()
    api.call("PUT", "/v1/images/{name}", 201, kernel, name="vmlinuz")
    api.call("POST", "/v1/hcs/systems/{id}", 202, DOCUMENT, id=SYSTEM)
    started = api.call("POST", "/v1/hcs/systems/{id}/start", 202, id=SYSTEM)
    location = started.headers["Location"]
    operation = location.rsplit("/", 1)[1]
    done = api.call("GET", "/v1/hcs/operations/{id}", 200, query={"timeoutMs": 30000}, id=operation).json()
    assert done["ResultName"] == "S_OK" and location == f"/v1/hcs/operations/{done['Id']}"
    return operation


def follow(api, count, **headers):
    """The first `count` messages of the event stream; each is held against the description of an event."""
    template = "/v1/events/stream"
    connection = http.client.HTTPSConnection(urllib.parse.urlsplit(api.sim.url).netloc, timeout=TIMEOUT_S,
                                             context=ssl._create_unverified_context())
    login = base64.b64encode(f"admin:{api.sim.secret}".encode()).decode()
    connection.request("GET", template, headers={"Authorization": f"Basic {login}", **headers})
    answer = connection.getresponse()
    assert answer.status == 200 and answer.headers["Content-Type"] == "text/event-stream"
    api.seen.add(("GET", template))
    events = []
    while len(events) < count:
        fields = {}
        while (line := answer.readline()) not in (b"\n", b""):
            name, _, value = line.decode().rstrip("\n").partition(": ")
            fields[name] = value
        event = json.loads(fields["data"])
        assert fields["id"] == str(event["Sequence"]) and fields["event"] == event["Type"]
        api.check(event, api.description["components"]["schemas"]["Events"]["properties"]["Events"]["items"], template)
        events.append(event)
    connection.close()
    return events


def test_event_stream(api, system):
    """All that is kept in order, then what happens while one listens; a client that comes back goes on where it was."""
    kept = api.call("GET", "/v1/events", 200).json()["Events"]
    assert follow(api, len(kept)) == kept
    assert follow(api, 1, **{"Last-Event-ID": str(kept[-2]["Sequence"])}) == kept[-1:]
    heard = []
    listener = threading.Thread(target=lambda: heard.extend(follow(api, 1, **{"Last-Event-ID": str(kept[-1]["Sequence"])})))
    listener.start()
    api.call("POST", "/v1/hcs/systems/{id}/pause", 202, id=SYSTEM)
    listener.join(TIMEOUT_S)
    assert heard[0]["Type"] == "SystemPaused" and heard[0]["Sequence"] == kept[-1]["Sequence"] + 1
    api.call("POST", "/v1/hcs/systems/{id}/resume", 202, id=SYSTEM)
    head = api.raw("HEAD", "/v1/events/stream")
    assert head.status == 200 and head.body == b""


def test_served_as_generated(api):
    assert api.call("GET", "/openapi.json", 200).json() == api.description


def test_methods(api):
    """What is described exists, and nothing else does at the same paths."""
    for template, operations in api.description["paths"].items():
        path = template.format(id="none", name="none")
        described = {method.upper() for method in operations}
        # Server-wide: HEAD wherever GET is, OPTIONS everywhere.
        allowed = described | {"OPTIONS"} | ({"HEAD"} if "GET" in described else set())
        options = api.raw("OPTIONS", path)
        assert options.status == 204 and set(options.headers["Allow"].split(", ")) == allowed, path
        for method in METHODS:
            if method not in described:
                assert api.raw(method, path).status == 405, (method, path)


def test_paths_between(api):
    """No route is hidden where one would look: at the beginnings of described paths, and behind them."""
    described = {template.format(id="none", name="none") for template in api.description["paths"]}
    parents = {path.rsplit("/", n)[0] or "/" for path in described for n in range(1, path.count("/") + 1)}
    for path in (parents | {path + "/more" for path in described}) - described:
        answer = api.raw("GET", path)
        assert answer.status in (404, 405), (path, answer.status)
        assert answer.status == 404 or any(path == other for other in described), path


def test_every_operation_refuses_unknown_parameters(api):
    for method, template, operation in api.operations():
        path = template.format(id="none", name="none")
        answer = api.raw(method, path + "?nonsense=1")
        assert answer.status == 400 and "nonsense" in answer.message(), (method, path, answer.status)
        for parameter in operation["parameters"]:
            if parameter["in"] == "query":
                assert parameter["name"] in answer.message(), (method, path)


def test_described_parameters_are_read(api, system):
    """A value that cannot be right is refused by the parameter's name."""
    tried = set()
    for method, template, operation in api.operations():
        names = {"id": system if "operations" in template else SYSTEM, "name": "disk"}
        for parameter in operation["parameters"]:
            if parameter["in"] != "query":
                continue
            integer = parameter["schema"]["type"] == "integer"
            answer = api.call(method, template, 400, query={parameter["name"]: "-1" if integer else "{"}, **names)
            assert not integer or parameter["name"] in answer.message(), (template, answer.body)
            tried.add(parameter["name"])
    assert tried == {"from", "timeoutMs", "query", "port", "contents", "cpu", "size", "image", "snapshot", "as"}


def test_bodies(api, system):
    """Routes with a described document read it, the others take none."""
    for method, template, operation in api.operations():
        if method != "POST":
            continue
        body = operation.get("requestBody")
        answer = api.call(method, template, 400, b"{", id=SYSTEM, name="disk")
        assert ("no options" in answer.message()) == (body is None), template


def check_disks(call):
    """Disks, snapshots, children; a system that has one keeps others off it."""
    create, snapshot, resize = "/v1/disks/{name}", "/v1/disks/{name}/snapshot", "/v1/disks/{name}/resize"
    blank = call("POST", create, 201, name="root", query={"size": 1 << 20}).json()
    assert blank["Size"] == 1 << 20 and blank["Allocated"] == 0 and not blank["ReadOnly"]
    call("POST", create, 409, name="root", query={"size": 1 << 20})
    call("POST", create, 400, name="odd", query={"size": 1000})
    call("POST", create, 404, name="child", query={"snapshot": "none"})
    call("POST", create, 400, name="child", query={"snapshot": "root"})
    kernel = (DEPS / "linux" / "vmlinuz").stat().st_size
    child = call("POST", create, 201, name="child", query={"image": "vmlinuz"}).json()
    assert child["Image"] == "vmlinuz" and child["Size"] == (kernel + 511) // 512 * 512
    assert call("POST", resize, 200, name="root", query={"size": 1 << 21}).json()["Size"] == 1 << 21
    call("POST", resize, 400, name="root", query={"size": 1 << 20})
    call("POST", resize, 404, name="none", query={"size": 1 << 20})
    assert call("POST", snapshot, 201, name="root", query={"as": "then"}).json()["ReadOnly"]
    call("POST", snapshot, 400, name="root")
    call("POST", snapshot, 409, name="root", query={"as": "child"})
    assert call("GET", "/v1/disks/{name}", 200, name="root").json()["Snapshot"] == "then"
    call("GET", "/v1/disks/{name}", 404, name="none")
    call("DELETE", "/v1/disks/{name}", 409, name="then")
    attached = json.loads(json.dumps(DOCUMENT))
    attached["VirtualMachine"]["Devices"]["Scsi"] = {"0": {"Attachments": {"0": {"Type": "VirtualDisk", "Path": "root"}}}}
    call("POST", "/v1/hcs/systems/{id}", 202, attached, id="first")
    call("POST", "/v1/hcs/systems/{id}", 409, attached, id="second")
    assert call("GET", "/v1/disks/{name}", 200, name="root").json()["Systems"] == 1
    call("DELETE", "/v1/disks/{name}", 409, name="root")
    call("POST", snapshot, 409, name="root", query={"as": "now"})
    call("POST", "/v1/hcs/systems/{id}/start", 202, id="first")
    call("POST", "/v1/hcs/systems/{id}/terminate", 202, id="first")
    call("GET", "/v1/hcs/systems/{id}/exit", 200, query={"timeoutMs": 30000}, id="first")
    attached["VirtualMachine"]["Devices"]["Scsi"]["0"]["Attachments"]["0"]["Path"] = "then"
    call("POST", "/v1/hcs/systems/{id}", 400, attached, id="second")
    assert [d["Name"] for d in call("GET", "/v1/disks", 200).json()["Disks"]] == ["child", "root", "then"]
    sizes = dict(re.findall(r'^keelson_store_disk_size_bytes{disk="(\w+)"} (\d+)$',
                            call("GET", "/metrics", 200).body.decode(), re.MULTILINE))
    assert list(sizes) == ["child", "root", "then"] and sizes["then"] == str(1 << 21)
    for name in ("child", "root", "then"):
        call("DELETE", "/v1/disks/{name}", 204, name=name)
    call("DELETE", "/v1/disks/{name}", 404, name="root")


def cut_off(api, name, content, sent):
    """An upload that announces all of the content, sends `sent` bytes of it, and goes away."""
    connection = http.client.HTTPSConnection(urllib.parse.urlsplit(api.sim.url).netloc, timeout=TIMEOUT_S,
                                             context=ssl._create_unverified_context())
    login = base64.b64encode(f"admin:{api.sim.secret}".encode()).decode()
    connection.putrequest("PUT", f"/v1/images/{name}")
    for field, value in (("Authorization", f"Basic {login}"), ("Content-Length", len(content)),
                         ("Content-Range", f"bytes 0-{len(content) - 1}/{len(content)}")):
        connection.putheader(field, value)
    connection.endheaders()
    connection.send(content[:sent])
    connection.close()


def upload_state(api, name):
    return next((u for u in api.call("GET", "/v1/images", 200).json()["Uploads"] if u["Name"] == name), None)


def wait_suspended(api, name):
    deadline = time.monotonic() + TIMEOUT_S
    while (state := upload_state(api, name)) is None or state["State"] != "Suspended":
        assert time.monotonic() < deadline, state
    return state["Received"]


def test_uploads_are_taken_up_again(api):
    content = random.Random(3).randbytes((5 << 20) + 77)
    size = len(content)

    def put(expected, first, total=size, body=None, **headers):
        headers["Content-Range"] = f"bytes {first}-{total - 1}/{total}"
        return api.call("PUT", "/v1/images/{name}", expected, content[first:] if body is None else body, headers=headers,
                        name="large")

    cut_off(api, "large", content, 3 << 20)
    received = wait_suspended(api, "large")
    assert 0 < received <= 3 << 20 and received % (256 << 10) == 0
    assert str(received) in put(409, received - 512).message()
    put(400, received, body=content[received + 1:])
    digest = hashlib.sha256(content).hexdigest()
    image = put(201, received, **{"X-Content-SHA256": digest}).json()
    assert image["Sha256"].lower() == digest and image["Size"] == size and image["InMemory"]
    assert upload_state(api, "large") is None
    assert api.call("POST", "/v1/store/check", 200, query={"contents": 1}).json()["Problems"] == 0
    # Replaced from the beginning; a wrong digest drops all of it, and the old image stays.
    put(422, 0, **{"X-Content-SHA256": "0" * 64})
    assert upload_state(api, "large") is None
    assert api.call("GET", "/v1/images/{name}", 200, name="large").json()["Sha256"].lower() == digest
    cut_off(api, "large", content, 3 << 20)
    wait_suspended(api, "large")
    put(201, 0)
    # What is too large is refused before it is sent, what nobody wants any more can be dropped.
    huge = api.call("PUT", "/v1/images/{name}", 507, iter([b"x"]), name="large",
                    headers={"Content-Range": f"bytes 0-{(1 << 40) - 1}/{1 << 40}"})
    assert "free" in huge.message()
    for wrong in ("bytes 5-4/6", "bytes 0-4/6", "bytes */6", "items 0-5/6", "bytes 0-5/6x"):
        api.call("PUT", "/v1/images/{name}", 400, b"123456", headers={"Content-Range": wrong}, name="large")
    cut_off(api, "other", content, 3 << 20)
    wait_suspended(api, "other")
    api.call("DELETE", "/v1/images/{name}/upload", 204, name="other")
    api.call("DELETE", "/v1/images/{name}/upload", 404, name="other")
    api.call("DELETE", "/v1/images/{name}", 204, name="large")


def test_life_cycle(api, system):
    """Every function once as it should go, and with what a client may get wrong."""
    call = api.call
    call("GET", "/v1/node", 200)
    assert call("GET", "/v1/store", 200).json()["Problem"] == ""
    assert call("POST", "/v1/store/check", 200).json() == {"Problems": 0, "Text": "", "BytesRead": 0}
    scrubbed = call("POST", "/v1/store/check", 200, query={"contents": 1}).json()
    assert scrubbed["Problems"] == 0 and scrubbed["BytesRead"] == (DEPS / "linux" / "vmlinuz").stat().st_size
    call("GET", "/v1/events", 200, query={"from": 1, "timeoutMs": 0})
    assert follow(api, 5)[4]["Sequence"] == 5
    call("GET", "/v1/events/stream", 400, headers={"Last-Event-ID": "x"})
    call("GET", "/v1/images", 200)
    call("GET", "/v1/images/{name}", 200, name="vmlinuz")
    call("GET", "/v1/images/{name}", 404, name="other")
    call("PUT", "/v1/images/{name}", 400, b"", name="empty")
    call("PUT", "/v1/images/{name}", 400, b"x", name="bad name")
    call("PUT", "/v1/images/{name}", 400, b"x", headers={"X-Content-SHA256": "12"}, name="short")
    call("PUT", "/v1/images/{name}", 422, b"x", headers={"X-Content-SHA256": "0" * 64}, name="other")
    call("PUT", "/v1/images/{name}", 409, b"x", name="vmlinuz")
    call("DELETE", "/v1/images/{name}", 409, name="vmlinuz")
    call("DELETE", "/v1/images/{name}", 404, name="other")
    check_disks(call)
    call("GET", "/v1/hcs/systems", 200, query={"query": json.dumps({"Ids": [SYSTEM]})})
    assert [s["Id"] for s in call("POST", "/v1/hcs/systems", 200, {"Ids": [SYSTEM]}).json()] == [SYSTEM]
    assert call("POST", "/v1/hcs/systems", 200, {"Ids": ["none"]}).json() == []
    assert call("GET", "/v1/hcs/systems/{id}", 200, id=SYSTEM).json()["State"] == "Running"
    call("GET", "/v1/hcs/systems/{id}", 404, id="none")
    call("POST", "/v1/hcs/systems/{id}", 409, DOCUMENT, id=SYSTEM)
    call("POST", "/v1/hcs/systems/{id}", 400, DOCUMENT, id="a/b")
    call("POST", "/v1/hcs/systems/{id}", 501, {"SchemaVersion": {"Major": 2, "Minor": 1}, "Container": {}}, id="c")
    everything = {"PropertyTypes": ["Statistics", "Memory"]}
    answer = call("POST", "/v1/hcs/systems/{id}/properties", 200, everything, id=SYSTEM).json()
    assert answer["Statistics"]["Memory"] and answer["Memory"]["VirtualMachineMemory"]
    assert set(call("GET", "/v1/hcs/systems/{id}/properties", 200, query={"query": json.dumps(everything)}, id=SYSTEM).json()) == set(answer)
    call("GET", "/v1/hcs/systems/{id}/properties", 404, id="none")
    call("POST", "/v1/hcs/systems/{id}/start", 409, id=SYSTEM)
    call("POST", "/v1/hcs/systems/{id}/pause", 202, {"SuspensionLevel": "Suspend"}, id=SYSTEM)
    call("POST", "/v1/hcs/systems/{id}/resume", 202, id=SYSTEM)
    call("POST", "/v1/hcs/systems/{id}/resume", 409, id=SYSTEM)
    call("GET", "/v1/hcs/systems/{id}/exit", 202, id=SYSTEM)
    call("DELETE", "/v1/hcs/systems/{id}", 409, id=SYSTEM)
    call("GET", "/v1/systems/{id}/console/history", 200, id=SYSTEM)
    assert "ComPorts.1" in call("GET", "/v1/systems/{id}/console/history", 404, query={"port": 1}, id=SYSTEM).message()
    call("GET", "/v1/systems/{id}/console", 426, id=SYSTEM)
    upgrade = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
               "Sec-WebSocket-Key": base64.b64encode(bytes(16)).decode()}
    call("GET", "/v1/systems/{id}/console", 101, headers=upgrade, id=SYSTEM)
    call("GET", "/v1/hcs/service/properties", 200)
    call("GET", "/v1/hcs/service/properties", 501, query={"query": json.dumps({"PropertyTypes": ["QoSCapabilities"]})})
    call("GET", "/v1/hypervisor", 200)
    assert call("GET", "/v1/hypervisor/partitions", 200).json()["Partitions"][0]["SystemId"] == SYSTEM
    call("GET", "/v1/hypervisor/log", 200)
    call("POST", "/v1/hypervisor/trace/start", 204)
    traced = call("GET", "/v1/hypervisor/trace", 200)
    assert len(traced.body) == 32 and traced.headers["X-Next-Sequence"] == "1"
    printed = subprocess.run([sys.executable, ROOT / "tools" / "trace.py", "-"], input=traced.body, capture_output=True, check=True)
    assert re.search(rb"^ +0 +cpu0 +2\.0 +exit cpuid +rip 0x1234 qual 0x7$", printed.stdout, re.MULTILINE), printed.stdout
    call("GET", "/v1/hypervisor/trace", 400, query={"cpu": 9})
    call("POST", "/v1/hypervisor/trace/stop", 204)
    call("GET", "/metrics", 200)
    call("POST", "/v1/hcs/systems/{id}/terminate", 202, id=SYSTEM)
    call("GET", "/v1/hcs/systems/{id}/exit", 200, query={"timeoutMs": 30000}, id=SYSTEM)
    call("POST", "/v1/hcs/systems/{id}/shutdown", 409, id=SYSTEM)
    call("DELETE", "/v1/hcs/systems/{id}", 204, id=SYSTEM)
    call("DELETE", "/v1/hcs/systems/{id}", 404, id=SYSTEM)
    assert system in [str(o["Id"]) for o in call("GET", "/v1/hcs/operations", 200).json()]
    call("DELETE", "/v1/hcs/operations/{id}", 204, id=system)
    call("GET", "/v1/hcs/operations/{id}", 404, id=system)
    call("DELETE", "/v1/images/{name}", 204, name="vmlinuz")


ENDPOINT = "12345678-9abc-4def-8101-02030405060a"


def check_endpoints(api):
    """What an endpoint may say, and what not."""
    call = api.call
    call("PUT", "/v1/endpoints/{id}", 404, {"Switch": "other"}, id=ENDPOINT)
    for wrong in ({}, {"Switch": "lab", "Vlan": 4095}, {"Switch": "lab", "TaggedVlans": "5,4095"}, {"Switch": "lab", "TaggedVlans": "9-5"},
                  {"Switch": "lab", "TaggedVlans": ""}, {"Switch": "lab", "TaggedVlans": "5,"}, {"Switch": "lab", "MacAddress": "03-00-00-00-00-01"},
                  {"Switch": "lab", "BytesPerSecond": 999}, {"Switch": "lab", "Nonsense": 1}):
        call("PUT", "/v1/endpoints/{id}", 400, wrong, id=ENDPOINT)
    call("PUT", "/v1/endpoints/{id}", 400, {"Switch": "lab"}, id="not-a-guid")
    settings = {"Switch": "lab", "MacAddress": "02-00-00-00-00-0A", "Vlan": 5, "TaggedVlans": "4094,7-9,6", "AllowSpoofing": True, "BytesPerSecond": 125000}
    made = call("PUT", "/v1/endpoints/{id}", 201, settings, id=ENDPOINT.upper()).json()
    assert made == {**settings, "Id": ENDPOINT, "TaggedVlans": "6-9,4094", "InUse": False}
    call("PUT", "/v1/endpoints/{id}", 409, settings, id=ENDPOINT)
    assert call("GET", "/v1/endpoints", 200).json()["Endpoints"] == [made]
    assert call("GET", "/v1/endpoints/{id}", 200, id=ENDPOINT).json() == made
    call("GET", "/v1/endpoints/{id}", 404, id=ENDPOINT.replace("a", "b"))


def test_networks(api):
    call = api.call
    kernel = (DEPS / "linux" / "vmlinuz").read_bytes()
    assert [s["Name"] for s in call("GET", "/v1/switches", 200).json()["Switches"]] == ["default"]
    assert call("PUT", "/v1/switches/{name}", 201, {"Type": "Private"}, name="lab").json()["Type"] == "Private"
    call("PUT", "/v1/switches/{name}", 409, {}, name="lab")
    call("PUT", "/v1/switches/{name}", 400, {}, name="bad name")
    call("PUT", "/v1/switches/{name}", 400, {"Type": "Strange"}, name="strange")
    for kind in ("NAT", "Internal", "External"):
        assert kind in call("PUT", "/v1/switches/{name}", 501, {"Type": kind}, name="other").message()
    call("GET", "/v1/switches/{name}", 404, name="other")
    check_endpoints(api)
    call("PUT", "/v1/images/{name}", 201, kernel, name="vmlinuz")
    connected = json.loads(json.dumps(DOCUMENT))
    connected["VirtualMachine"]["Devices"]["NetworkAdapters"] = {"a": {"EndpointId": ENDPOINT}, "b": {"MacAddress": "02-00-00-00-00-0B"}}
    call("POST", "/v1/hcs/systems/{id}", 202, connected, id="connected")
    call("POST", "/v1/hcs/systems/{id}", 409, connected, id="second")
    started = call("POST", "/v1/hcs/systems/{id}/start", 202, id="connected").json()["Id"]
    call("GET", "/v1/hcs/operations/{id}", 200, query={"timeoutMs": 30000}, id=str(started))
    assert call("GET", "/v1/hcs/systems/{id}/properties", 200, id="connected").json()["NetworkAdapters"] == [
        {"MacAddress": "02-00-00-00-00-0A", "Switch": "lab", "EndpointId": ENDPOINT}, {"MacAddress": "02-00-00-00-00-0B", "Switch": "default"}]
    port = call("GET", "/v1/switches/{name}", 200, name="lab").json()["Ports"][0]
    assert (port["SystemId"], port["Adapter"], port["TaggedVlans"], port["Dropped"]["Spoofed"]) == ("connected", 0, "6-9,4094", 0)
    metrics = call("GET", "/metrics", 200).body.decode()
    assert 'keelson_switch_port_sent_frames_total{switch="lab",system="connected",adapter="0"} 0' in metrics
    assert 'keelson_switch_port_dropped_frames_total{switch="default",system="connected",adapter="1",reason="spoofed"} 0' in metrics
    call("DELETE", "/v1/endpoints/{id}", 409, id=ENDPOINT)
    call("POST", "/v1/hcs/systems/{id}/terminate", 202, id="connected")
    call("GET", "/v1/hcs/systems/{id}/exit", 200, query={"timeoutMs": 30000}, id="connected")
    call("DELETE", "/v1/hcs/systems/{id}", 204, id="connected")
    call("DELETE", "/v1/images/{name}", 204, name="vmlinuz")
    call("DELETE", "/v1/switches/{name}", 409, name="lab")
    call("DELETE", "/v1/switches/{name}", 409, name="default")
    call("DELETE", "/v1/endpoints/{id}", 204, id=ENDPOINT)
    call("DELETE", "/v1/endpoints/{id}", 404, id=ENDPOINT)
    call("DELETE", "/v1/switches/{name}", 204, name="lab")
    call("DELETE", "/v1/switches/{name}", 404, name="lab")


def test_networks_outlive_a_restart():
    with tempfile.TemporaryDirectory(prefix="keelson-sim-") as folder:
        state = pathlib.Path(folder) / "state.img"
        first = Simulation(state)
        api = Api(first)
        for name in ("lab", "gone"):
            api.call("PUT", "/v1/switches/{name}", 201, {}, name=name)
        made = api.call("PUT", "/v1/endpoints/{id}", 201, {"Switch": "lab", "Vlan": 5, "TaggedVlans": "7"}, id=ENDPOINT).json()
        api.call("DELETE", "/v1/switches/{name}", 204, name="gone")
        first.stop()
        second = Simulation(state, first.secret)
        try:
            api = Api(second)
            assert [s["Name"] for s in api.call("GET", "/v1/switches", 200).json()["Switches"]] == ["default", "lab"]
            assert api.call("GET", "/v1/endpoints", 200).json()["Endpoints"] == [made]
        finally:
            second.stop()


def test_without_a_store():
    """Everything works, but for what is about the store itself."""
    simulation = Simulation()
    try:
        api = Api(simulation)
        api.call("GET", "/v1/store", 501)
        api.call("POST", "/v1/store/check", 501)
        api.call("GET", "/v1/disks", 501)
        api.call("POST", "/v1/disks/{name}", 501, name="root", query={"size": 512})
        api.call("PUT", "/v1/images/{name}", 201, b"x", name="x")
        api.call("DELETE", "/v1/images/{name}", 204, name="x")
    finally:
        simulation.stop()


def test_node_ends(api):
    """Last: the simulation ends as a node does. By now every operation was called."""
    api.call("POST", "/v1/node/reboot", 400, b"{}")
    api.call("POST", "/v1/node/poweroff", 202)
    api.sim.process.wait(TIMEOUT_S)
    assert {(method, template) for method, template, _ in api.operations()} - api.seen == set()
