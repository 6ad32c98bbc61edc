"""Other gateways, measured beside Garrison: installed into folders of their own, started in front of the same upstream.

They are no dependency of anything here. Each is set up as leanly as it allows: one process, no user interface, logs of
errors only, no limits on calls. What cannot be installed, started or called is reported with the reason.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import legacy
import loads
import processes
from processes import Contestant

INSTALL_S_MAX, START_S_MAX = 900, 120
LEAST_S = 8.0
"""Some answer a few dozen calls per second; in one second nothing could be seen of them."""

_FASTMCP = """
import sys
from fastmcp.server import create_proxy
create_proxy(sys.argv[1]).run(transport="http", host="127.0.0.1", port=int(sys.argv[2]), show_banner=False,
                              log_level="ERROR")
"""
_SECRET = "for-this-benchmark-only-0123456789abcdef"
_ADMIN = "admin@example.com"
_CONTEXTFORGE = {
    "JWT_SECRET_KEY": _SECRET,
    "AUTH_ENCRYPTION_SECRET": _SECRET,
    "BASIC_AUTH_PASSWORD": _SECRET,
    "PLATFORM_ADMIN_PASSWORD": _SECRET,
    "PLATFORM_ADMIN_EMAIL": _ADMIN,
    "AUTH_REQUIRED": "true",
    "MCPGATEWAY_UI_ENABLED": "false",
    "PLUGINS_ENABLED": "false",
    "OBSERVABILITY_ENABLED": "false",
    "RATE_LIMITING_ENABLED": "false",
    "SSRF_ALLOW_LOCALHOST": "true",
    "SSRF_ALLOW_PRIVATE_NETWORKS": "true",
    "CACHE_TYPE": "memory",
    "ENVIRONMENT": "development",
    "LOG_LEVEL": "ERROR",
}


class Missing(Exception):
    """A peer that cannot be measured; the text says why."""


@dataclass(frozen=True)
class Place:
    """Where a peer lives and what it stands in front of."""

    bin: Path
    folder: Path
    upstream: Contestant
    port: int


def started(
    stack: ExitStack, cache: Path, folder: Path, upstream: Contestant
) -> tuple[list[Contestant], dict[str, str]]:
    """All peers that answer, and the others with the reason why they do not."""
    ready: list[Contestant] = []
    missing: dict[str, str] = {}
    if loads.WRK is None:
        return [], dict.fromkeys(_PEERS, "wrk is needed: it gives each request of a session an id of its own")
    for name, (package, start) in _PEERS.items():
        own = folder / package
        own.mkdir(parents=True)
        try:
            place = Place(_installed(cache, package), own, upstream, processes.free_port())
            peer = start(stack, place)
            peer.name, peer.least_s = f"{name} {_version(place, package)}", LEAST_S
            _check(peer)
            ready.append(peer)
        except (Missing, OSError, subprocess.SubprocessError) as error:
            missing[name] = _why(error)
    return ready, missing


def _installed(cache: Path, package: str) -> Path:
    home = cache / package
    if not (home / "ready").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", home], check=True, capture_output=True, timeout=120)
        argv = [home / "bin" / "python", "-m", "pip", "install", "-q", package]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=INSTALL_S_MAX)
        if done.returncode:
            raise Missing(f"cannot be installed: {done.stderr.strip().splitlines()[-1:]}")
        (home / "ready").touch()
    return home / "bin"


def _version(place: Place, package: str) -> str:
    asked = f"from importlib.metadata import version; print(version({package!r}))"
    return subprocess.run(
        [place.bin / "python", "-c", asked], capture_output=True, text=True, check=True
    ).stdout.strip()


def _mcp_proxy(stack: ExitStack, place: Place) -> Contestant:
    """It serves over HTTP what runs behind pipes, and nothing else: the same upstream, over stdio."""
    upstream = [sys.executable, str(processes.HERE / "upstream.py"), "--stdio", "--era", "legacy"]
    argv = [place.bin / "mcp-proxy", "--host", "127.0.0.1", "--port", str(place.port), "--log-level", "ERROR"]
    pid = _spawn(stack, place, [*argv, "--pass-environment", "--", *upstream])
    return _in_a_session(Contestant("", f"http://127.0.0.1:{place.port}/mcp", [pid], legacy=True), place)


def _fastmcp(stack: ExitStack, place: Place) -> Contestant:
    script = place.folder / "proxy.py"
    script.write_text(_FASTMCP)
    pid = _spawn(stack, place, [place.bin / "python", script, place.upstream.url, str(place.port)])
    return _in_a_session(Contestant("", f"http://127.0.0.1:{place.port}/mcp", [pid], legacy=True), place)


def _contextforge(stack: ExitStack, place: Place) -> Contestant:
    environment = {**_CONTEXTFORGE, "DATABASE_URL": f"sqlite:///{place.folder}/mcp.db"}
    argv = [place.bin / "mcpgateway", "--host", "127.0.0.1", "--port", str(place.port)]
    pid = _spawn(stack, place, argv, environment)
    url = f"http://127.0.0.1:{place.port}"
    token = _contextforge_token(place, environment)
    _until(place, lambda: urlopen(f"{url}/health", timeout=2).close())
    given = {"name": "bench", "url": place.upstream.url, "transport": "STREAMABLEHTTP"}
    bearer = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    urlopen(Request(f"{url}/gateways", json.dumps(given).encode(), bearer), timeout=30).close()
    return _in_a_session(Contestant("", f"{url}/mcp/", [pid], key=token, legacy=True, prefix="bench-"), place)


def _contextforge_token(place: Place, environment: dict[str, str]) -> str:
    user = {"email": _ADMIN, "is_admin": True, "auth_provider": "local"}
    claims = {"sub": _ADMIN, "username": _ADMIN, "is_admin": True, "teams": None, "user": user}
    argv = [place.bin / "python", "-m", "mcpgateway.utils.create_jwt_token", "--data", json.dumps(claims)]
    done = subprocess.run(
        [*argv, "--exp", "1000", "--secret", _SECRET],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        cwd=place.folder,
        env={**os.environ, **environment},
    )
    return done.stdout.strip().splitlines()[-1]


_PEERS: dict[str, tuple[str, Callable[[ExitStack, Place], Contestant]]] = {
    "mcp-proxy": ("mcp-proxy", _mcp_proxy),
    "FastMCP create_proxy": ("fastmcp", _fastmcp),
    "ContextForge": ("mcp-contextforge-gateway", _contextforge),
}


def _spawn(stack: ExitStack, place: Place, argv: list[Any], environment: dict[str, str] | None = None) -> int:
    log = stack.enter_context((place.folder / "log").open("wb"))
    env = {**os.environ, **(environment or {})}
    process = subprocess.Popen(
        [str(word) for word in argv], stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=env, cwd=place.folder
    )
    stack.callback(processes.end, process)
    return process.pid


def _in_a_session(peer: Contestant, place: Place) -> Contestant:
    """The peer once it answers `initialize`; with its session's header, where it has one."""
    _until(place, lambda: peer.headers.update(legacy.open_session(peer.url, peer.key)))
    return peer


def _until(place: Place, attempt: Callable[[], object]) -> None:
    deadline = time.monotonic() + START_S_MAX
    while True:
        try:
            attempt()
        except (HTTPError, URLError, OSError) as error:
            if time.monotonic() > deadline:
                words = (place.folder / "log").read_text(errors="replace").strip().splitlines()[-1:]
                raise Missing(f"does not start: {error}; its last words: {words}") from error
            time.sleep(0.2)
        else:
            return


def _check(peer: Contestant) -> None:
    """One call by hand: an answer that is none is no measurement."""
    answer = legacy.call(peer.url, peer.key, peer.headers, f"{peer.prefix}echo", {"text": "hello"})
    if b'"structuredContent":{"text":"hello"}' not in answer.replace(b" ", b""):
        raise Missing(f"does not pass the call on: {answer[:200]!r}")


def _why(error: BaseException) -> str:
    said = getattr(error, "stderr", None)
    return f"{error} {said[-300:] if said else ''}".strip()
