"""The suite's client command: `python drive.py SOCKET URL` tells the driver what the suite wants, and waits for it."""

import json
import os
import socket
import sys

told = {
    "scenario": os.environ["MCP_CONFORMANCE_SCENARIO"],
    "version": os.environ["MCP_CONFORMANCE_PROTOCOL_VERSION"],
    "context": json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT", "{}")),
    "url": sys.argv[2],
}
with socket.socket(socket.AF_UNIX) as driver:
    driver.connect(sys.argv[1])
    driver.sendall(json.dumps(told).encode() + b"\n")
    complaint = b""
    while chunk := driver.recv(65536):
        complaint += chunk
sys.stderr.write(complaint.decode())
sys.exit(1 if complaint else 0)
