# SPDX-License-Identifier: Apache-2.0
"""A small client of a node's JSON API: one TLS connection that stays open."""
import base64
import http.client
import json
import ssl
import time
import urllib.parse

OPERATION_TIMEOUT_S = 60


class Client:
    """Requests over one kept connection; the node's self-made certificate is not checked (it is our own node)."""

    def __init__(self, url, secret):
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self._connection = http.client.HTTPSConnection(urllib.parse.urlsplit(url).netloc, context=context, timeout=60)
        self._headers = {"Authorization": "Basic " + base64.b64encode(f"admin:{secret}".encode()).decode()}
        self._connection.connect()

    def request(self, method, path, body=None, content_type="application/json"):
        headers = dict(self._headers, **({"Content-Type": content_type} if body is not None else {}))
        self._connection.request(method, path, body=body, headers=headers)
        answer = self._connection.getresponse()
        data = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {data.decode(errors='replace')}")
        return data

    def get_json(self, path):
        return json.loads(self.request("GET", path))

    def put(self, path, data):
        return self.request("PUT", path, data, "application/octet-stream")

    def operation(self, path, document):
        """Starts an operation and waits for its end."""
        body = json.dumps(document).encode() if document is not None else b""
        started = json.loads(self.request("POST", path, body))
        deadline = time.monotonic() + OPERATION_TIMEOUT_S
        while True:
            state = self.get_json(f"/v1/hcs/operations/{started['Id']}?timeoutMs=10000")
            if state["State"] == "Completed":
                if state.get("Result"):
                    raise RuntimeError(f"{path}: {state}")
                return state
            if time.monotonic() > deadline:
                raise TimeoutError(f"{path}: {state}")

    def wait_console(self, system, wanted):
        """Waits until a system's serial port has said `wanted`."""
        deadline = time.monotonic() + OPERATION_TIMEOUT_S
        while wanted not in self.request("GET", f"/v1/systems/{system}/console/history"):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{system}: no {wanted!r} on its console")
            time.sleep(0.2)
