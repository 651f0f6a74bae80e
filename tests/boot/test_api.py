# SPDX-License-Identifier: Apache-2.0
"""The API of a booted node, as an unmodified client (curl) sees it."""
import json
import re
import socket
import ssl

import pytest
from booted import booted
from wire import Wire, request


@pytest.fixture(scope="module")
def client():
    return booted("svm").client


def test_node_document(client):
    status, head, body = client.curl("/v1/node")
    node = json.loads(body)
    assert status == 200
    assert re.search(r"^Content-Type: application/json", head, re.MULTILINE)
    assert node["Engine"] == "svm" and node["ProcessorCount"] == 2
    assert 0 < node["Memory"]["FreeBytes"] <= node["Memory"]["TotalBytes"]


@pytest.mark.parametrize("user", [None, "admin:wrong", "root:x", "admin:"])
def test_without_credentials(client, user):
    status, head, body = client.curl("/v1/node", user=user)
    assert status == 401
    assert re.search(r"^WWW-Authenticate: Basic ", head, re.MULTILINE | re.IGNORECASE)
    assert json.loads(body)["error"]["code"]


def test_bearer_token(client):
    assert client.curl("/v1/node", "-H", f"Authorization: Bearer {client.secret}", user=None)[0] == 200


def test_certificate_is_the_one_on_the_console(client):
    port = int(client.url.rsplit(":", 1)[1])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", port), 60) as plain, context.wrap_socket(plain) as tls:
        import hashlib
        digest = hashlib.sha256(tls.getpeercert(True)).hexdigest().upper()
        assert tls.version() in ("TLSv1.2", "TLSv1.3")
    assert digest == client.fingerprint.replace(":", "")


@pytest.mark.filterwarnings("ignore:.*is deprecated")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_old_tls_is_refused(client, version):
    port = int(client.url.rsplit(":", 1)[1])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    with socket.create_connection(("127.0.0.1", port), 60) as plain, pytest.raises((ssl.SSLError, OSError)):
        context.wrap_socket(plain)


def test_plain_http_gets_nothing(client):
    port = int(client.url.rsplit(":", 1)[1])
    with socket.create_connection(("127.0.0.1", port), 60) as plain:
        plain.sendall(b"GET /v1/node HTTP/1.1\r\nHost: x\r\n\r\n")
        try:
            assert b"HTTP/" not in plain.recv(4096)
        except ConnectionResetError:
            pass


def test_openapi_describes_routes(client):
    status, _, body = client.curl("/openapi.json")
    paths = json.loads(body)["paths"]
    assert status == 200
    assert {"/v1/node", "/v1/images/{name}", "/v1/hcs/systems/{id}/start", "/v1/systems/{id}/console"} <= set(paths)


def test_openapi_get_routes_answer(client):
    """Every GET route without parameters answers 200, those that have an end."""
    paths = json.loads(client.curl("/openapi.json")[2])["paths"]
    routes = {p: methods["get"] for p, methods in paths.items() if "get" in methods and "{" not in p}
    endless = [p for p, route in routes.items() if "text/event-stream" in route["responses"]["200"]["content"]]
    assert endless == ["/v1/events/stream"]
    for path in routes.keys() - set(endless):
        assert client.curl(path)[0] == 200, path


def test_event_stream(client):
    """What a browser's EventSource does: the events so far, and after a break those behind the last one seen."""
    def numbers(count, **headers):
        with Wire(booted("svm")) as wire:
            wire.send(request(wire.secret, "GET", "/v1/events/stream", **headers))
            seen, found = b"", []
            while len(found) < count:
                seen += wire.socket.recv(65536)
                found = re.findall(rb"^id: (\d+)\n.*\n.*\n\n", seen, re.MULTILINE)
            return [int(n) for n in found[:count]]

    client.keelctl("image", "put", "streamed", __file__)
    client.keelctl("image", "delete", "streamed")
    first, second = numbers(2)
    assert first < second
    assert numbers(1, Last_Event_ID=str(first)) == [second]


@pytest.mark.parametrize("path, arguments, expected", [
    ("/nowhere", [], 404),
    ("/v1/hcs/systems/none/properties", [], 404),
    ("/v1/images/none", [], 404),
    ("/v1/node", ["-X", "DELETE"], 405),
    ("/v1/hcs/systems/x", ["--data", "{"], 400),
    ("/v1/hcs/systems/x", ["--data", '{"SchemaVersion": {"Major": 2, "Minor": 1}, "Nonsense": 1}'], 400),
    ("/v1/hcs/systems/x", ["--data", '{"SchemaVersion": {"Major": 2, "Minor": 1}, "Container": {}}'], 501),
    ("/v1/hcs/operations/999999", [], 404),
    ("/v1/systems/x/console", [], 404),
    ("/v1/events?from=x", [], 400),
])
def test_refusals(client, path, arguments, expected):
    status, head, body = client.curl(path, *arguments)
    assert status == expected, body
    assert "json" in head.lower()
    assert json.loads(body)  # says what and where


def test_problem_names_its_place(client):
    document = json.dumps({"SchemaVersion": {"Major": 2, "Minor": 1}, "VirtualMachine": {
        "Chipset": {"LinuxKernelDirect": {"KernelFilePath": "k"}},
        "ComputeTopology": {"Memory": {"SizeInMB": 64}, "Processor": {"Count": 9}}}})
    status, _, body = client.curl("/v1/hcs/systems/x", "--data", document)
    answer = json.loads(body)
    values = [item["Value"] for item in answer["ErrorEvents"][0]["Data"]]
    assert status == 400 and answer["ErrorName"] == "E_INVALIDARG"
    assert values[0] == "$.VirtualMachine.ComputeTopology.Processor.Count" and values[1] == "9"


def test_image_life(client, tmp_path):
    content = bytes(range(256)) * 4096 + b"tail"
    path = tmp_path / "blob"
    path.write_bytes(content)
    before = client.free_bytes()
    status, _, body = client.curl("/v1/images/blob", "-T", str(path))
    image = json.loads(body)
    import hashlib
    assert status == 201 and image["Size"] == len(content)
    assert image["Sha256"] == hashlib.sha256(content).hexdigest()
    assert client.curl("/v1/images/blob", "-T", str(path), "-H", "X-Content-SHA256: " + "0" * 64)[0] == 422
    assert json.loads(client.curl("/v1/images/blob")[2])["Sha256"] == image["Sha256"], "a bad upload replaced it"
    assert client.curl("/v1/images/blob", "-X", "DELETE")[0] == 204
    assert client.free_bytes() == before


def test_broken_upload_leaves_nothing(client):
    """The client goes away in the middle."""
    before = client.free_bytes()
    port = int(client.url.rsplit(":", 1)[1])
    context = ssl._create_unverified_context()
    import base64
    login = base64.b64encode(f"admin:{client.secret}".encode()).decode()
    with socket.create_connection(("127.0.0.1", port), 60) as plain, context.wrap_socket(plain) as tls:
        tls.sendall(f"PUT /v1/images/half HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {login}\r\n"
                    f"Content-Length: 1000000\r\n\r\n".encode() + bytes(200000))
    for _ in range(50):
        listing = json.loads(client.curl("/v1/images")[2])
        if not listing["Uploads"]:
            break
    assert "half" not in [i["Name"] for i in listing["Images"]] and not listing["Uploads"]
    assert client.free_bytes() == before


def test_the_secret_is_in_no_log(client):
    assert client.secret.encode() not in client.curl("/v1/hypervisor/log")[2]
    assert client.secret not in client.keelctl("node", "log")
    assert client.secret not in client.keelctl("event", "list")
