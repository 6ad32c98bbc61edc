"""Syslog receivers for tests: a socket of our own that reads octet-counted frames, and the real rsyslogd."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from certificates import Pem

DEADLINE_S = 20.0


def eventually(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"not in time: {what}"
        time.sleep(0.02)


class Listener:
    """Takes connections over TCP, or TLS with `pem`, one after the other; may go away and come back on its port."""

    def __init__(self, pem: Pem | None = None) -> None:
        self.messages: list[bytes] = []
        self._context = _server_context(pem) if pem is not None else None
        self._open: list[socket.socket] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._start()

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, *_: object) -> None:
        self.go_away()

    def go_away(self) -> None:
        self._socket.close()
        for one in self._open:
            with_reset(one)
        self._open.clear()
        self._thread.join(5)

    def come_back(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", self.port))
        self._start()

    def _start(self) -> None:
        self._socket.settimeout(0.1)
        self._thread = threading.Thread(target=self._serve, args=(self._socket,), daemon=True)
        self._thread.start()

    def _serve(self, listening: socket.socket) -> None:
        while listening.fileno() >= 0:
            try:
                accepted, _ = listening.accept()
                if self._context is not None:
                    accepted = self._context.wrap_socket(accepted, server_side=True)
            except TimeoutError:
                continue
            except OSError:
                continue
            self._open.append(accepted)
            threading.Thread(target=self._read, args=(accepted,), daemon=True).start()

    def _read(self, connection: socket.socket) -> None:
        rest = b""
        try:
            while data := connection.recv(65536):
                *messages, rest = deframed(rest + data)
                self.messages += messages
        except OSError:
            return
        finally:
            connection.close()


def deframed(data: bytes) -> list[bytes]:
    """Octet-counted messages (RFC 6587 section 3.4.1), and last what is not yet whole."""
    found = []
    while b" " in data:
        length, _, rest = data.partition(b" ")
        if len(rest) < int(length):
            break
        found.append(rest[: int(length)])
        data = rest[int(length) :]
    return [*found, data]


def with_reset(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    finally:
        connection.close()


def _server_context(pem: Pem) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pem.certificate, pem.key)
    return context


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    with socket.socket(socket.AF_INET, kind) as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


RSYSLOGD = shutil.which("rsyslogd") or shutil.which("/usr/sbin/rsyslogd")

_CONFIG = """
global(workDirectory="{folder}" maxMessageSize="64k" defaultNetstreamDriverCAFile="{ca}"
       defaultNetstreamDriverCertFile="{certificate}" defaultNetstreamDriverKeyFile="{key}")
module(load="imudp")
module(load="imtcp" streamDriver.name="gtls" streamDriver.mode="1" streamDriver.authMode="anon")
module(load="imptcp")
template(name="seen" type="list") {{
  property(name="protocol-version") constant(value="\\t") property(name="pri") constant(value="\\t")
  property(name="hostname") constant(value="\\t") property(name="app-name") constant(value="\\t")
  property(name="msgid") constant(value="\\t") property(name="structured-data") constant(value="\\t")
  property(name="msg") constant(value="\\n")
}}
ruleset(name="kept") {{ action(type="omfile" file="{folder}/seen.log" template="seen") }}
input(type="imudp" address="127.0.0.1" port="{udp}" ruleset="kept")
input(type="imptcp" address="127.0.0.1" port="{tcp}" ruleset="kept")
input(type="imtcp" address="127.0.0.1" port="{tls}" ruleset="kept")
"""


class Rsyslog:
    """`seen()`: per message its version, priority, host, app, msgid, structured data and text as rsyslogd parsed it."""

    def __init__(self, folder: Path, ports: dict[str, int]) -> None:
        self._file = folder / "seen.log"
        self.ports = ports

    def seen(self) -> list[list[str]]:
        if not self._file.exists():
            return []
        return [line.split("\t") for line in self._file.read_text().splitlines()]


@contextmanager
def rsyslogd(folder: Path, pem: Pem) -> Iterator[Rsyslog]:
    assert RSYSLOGD is not None
    ports = {"udp": free_port(socket.SOCK_DGRAM), "tcp": free_port(), "tls": free_port()}
    config = folder / "rsyslog.conf"
    config.write_text(_CONFIG.format(folder=folder, ca=pem.ca, certificate=pem.certificate, key=pem.key, **ports))
    with (folder / "stderr").open("w") as errors:
        command = [RSYSLOGD, "-n", "-f", str(config), "-i", str(folder / "pid")]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors)
    try:
        for name in ("tcp", "tls"):
            eventually(lambda name=name: _answers(ports[name]), f"rsyslogd listens for {name}")  # type: ignore[misc]
        yield Rsyslog(folder, ports)
    finally:
        process.terminate()
        process.wait(10)


def _answers(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0
