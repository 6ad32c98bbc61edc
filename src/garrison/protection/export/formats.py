"""The formats that say what an entry means, beside the one that proves that it is there (`proven.py`)."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from typing import Final

from garrison.kernel.errors import Invalid
from garrison.protection.entries import Recorded
from garrison.protection.export import cef, ocsf, syslog
from garrison.protection.export.event import Origin
from garrison.protection.export.receiver import Address, Receiver
from garrison.protection.export.syslog import Render
from garrison.protection.exporting import Request
from garrison.protection.search import entries

RENDERERS: Final[Mapping[str, Render]] = {"cef": cef.render, "ocsf": ocsf.render, "syslog": syslog.render}
BATCH = 256


def this_host() -> Origin:
    return Origin(socket.gethostname() or "-")


def message_renderer(form: str) -> Render:
    """What is sent to a syslog receiver: messages whose text is that format. Raises `Invalid`."""
    if form not in RENDERERS:
        hint = f"one of: {', '.join(RENDERERS)}"
        raise Invalid("export.format", f"The format {form[:32]!r} cannot be sent to a syslog receiver.", hint)
    return syslog.render if form == "syslog" else syslog.carrying(RENDERERS[form])


def cef_lines(request: Request) -> Iterator[bytes]:
    return _lines(request, cef.render)


def ocsf_lines(request: Request) -> Iterator[bytes]:
    return _lines(request, ocsf.render)


def syslog_lines(request: Request) -> Iterator[bytes]:
    return _lines(request, syslog.render)


def send(request: Request, form: str, address: Address) -> int:
    """Everything that was asked for, to a receiver; returns how many entries. Raises `Unavailable`."""
    render, origin, sent = message_renderer(form), this_host(), 0
    receiver = Receiver(address)
    try:
        for batch in batches(entries(request.place, request.first, request.last, request.wanted), BATCH):
            receiver.send([render(one, origin) for one in batch])
            sent += len(batch)
        receiver.delivered()
    finally:
        receiver.close()
    return sent


def batches(found: Iterator[Recorded], size: int) -> Iterator[list[Recorded]]:
    batch: list[Recorded] = []
    for one in found:
        batch.append(one)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _lines(request: Request, render: Render) -> Iterator[bytes]:
    origin = this_host()
    for one in entries(request.place, request.first, request.last, request.wanted):
        yield render(one, origin) + b"\n"
