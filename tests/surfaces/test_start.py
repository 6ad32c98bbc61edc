"""What a start costs: the node loads what it needs to serve, and says how long it took."""

from __future__ import annotations

import json
import subprocess
import sys
import time

from garrison.telemetry.process import age_s

RARELY_NEEDED = {"mcp", "httpx", "rich", "typer", "pydantic", "jsonschema", "opentelemetry"}
"""Clients, terminals: matters of the command line, of tests, and of servers. (The node itself reads garrison.lock, and
fetches tokens and the keys of issuers.)"""


def test_the_node_loads_nothing_that_it_does_not_need_to_serve() -> None:
    script = "import sys, json, garrison.surfaces.node; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    loaded = set(json.loads(done.stdout))
    assert not {name.partition(".")[0] for name in loaded} & RARELY_NEEDED
    assert not {name for name in loaded if name.startswith(("garrison.surfaces.cli", "garrison.servers"))}


def test_a_process_knows_how_long_ago_it_was_started() -> None:
    script = "from garrison.telemetry.process import age_s; print(age_s())"
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    took = time.monotonic() - began
    assert 0 < float(done.stdout) <= took + 0.02
    assert age_s() > float(done.stdout)
