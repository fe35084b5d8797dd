"""Clients of skep: each posts a job that calls the model, and waits for its result. `skep_peer.py ask CLIENTS SECONDS`"""

import http.client
import os

import clients

PORT = int(os.environ.get("PEER_PORT", "0"))


def ask():
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=30)
    row = clients.row()

    def once():
        headers = {"Content-Type": "application/octet-stream"}
        connection.request("POST", "/jobs?functions=predict", row, headers)
        identifier = answer()
        connection.request("GET", f"/jobs/{identifier.decode()}/result?wait_ms=30000")
        return answer()

    def answer():
        response = connection.getresponse()
        body = response.read()
        if response.status >= 300:
            raise RuntimeError(f"skep answered {response.status}: {body[:200]!r}")
        return body

    return once


if __name__ == "__main__":
    clients.main(ask)
