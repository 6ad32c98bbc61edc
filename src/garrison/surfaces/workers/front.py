"""What a worker does with requests: serve them, or have them served where their state is. Also the admin API's way."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from garrison.gateway.call import HttpRequest, Sink
from garrison.gateway.gateway import Gateway
from garrison.gateway.heads import Head
from garrison.surfaces.workers.post import Post
from garrison.surfaces.workers.whereabouts import Whereabouts

PRIMARY = 1

log = logging.getLogger("garrison.workers")

Handle = Callable[[HttpRequest, Sink], None]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


def handler(gateway: Gateway, whereabouts: Whereabouts, post: Post) -> Handle:
    """In front of the gateway, where there are several workers."""

    def handle(request: HttpRequest, sink: Sink) -> None:
        if request.head.flows and whereabouts.is_plain(request):  # like one that was served here before
            gateway.handle(request, sink)
            return
        number = whereabouts.elsewhere(request)
        if number is None:
            gateway.handle(request, sink)
        else:
            post.ask(number, request, sink)

    return handle


def admin_at_the_primary(post: Post) -> App:
    """The admin API of a worker that is not the primary: asks there."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        answered = _Answered()
        post.ask(PRIMARY, await _request_of(scope, receive), answered)
        status, body, headers = await answered.answer
        named = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": named})
        await send({"type": "http.response.body", "body": body})

    return app


async def run_app(app: App, request: HttpRequest, sink: Sink) -> None:
    """Have an ASGI application answer a request that came to another worker."""
    path, _, query = request.head.path.partition("?")
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in request.head.headers.items()]
    scope: Scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": request.head.verb,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": headers,
        "client": (request.client, 0),
        "state": {"certificate": request.certificate},
    }
    status, parts, sent = 500, [], {}

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": bytes(request.body), "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
            sent.update({name.decode("latin-1"): value.decode("latin-1") for name, value in message["headers"]})
        else:
            parts.append(message.get("body", b""))

    try:
        await app(scope, receive, send)
    except Exception:  # the boundary to the application, where uvicorn's own would be
        log.exception("the admin API failed")
    sink.respond(status, b"".join(parts), sent)


async def _request_of(scope: Scope, receive: Receive) -> HttpRequest:
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    path = scope["path"] + (f"?{scope['query_string'].decode()}" if scope["query_string"] else "")
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    client = scope["client"][0] if scope.get("client") else ""
    return HttpRequest(Head(scope["method"], path, headers), body, client, scope.get("state", {}).get("certificate"))


class _Answered:
    """A sink that somebody awaits."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[tuple[int, bytes, Mapping[str, str]]] = asyncio.get_running_loop().create_future()

    def respond(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        if not self.answer.done():
            self.answer.set_result((status, body, headers))

    def open_stream(self, headers: Mapping[str, str]) -> None:
        """The admin API streams nothing."""

    def event(self, frame: bytes, kind: bytes = b"message") -> None:
        """The same."""

    def keep_alive_comment(self) -> None:
        """The same."""

    def end_stream(self) -> None:
        """The same."""

    def on_disconnect(self, callback: Callable[[], None]) -> None:
        """The application at the primary answers at once, or in its own time; nobody waits in vain."""
