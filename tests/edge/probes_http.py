"""Raw HTTP that a strict reader refuses, by what is wrong with it, and the statuses of all answers that come.

No answer at all, `[]`, is right for what never becomes whole: the connection ends.
"""

from __future__ import annotations

from raw_http import HOST, JSON, PING, length

LENGTH = length(PING)
CHUNKED = b"Transfer-Encoding: chunked\r\n"
WHOLE = b"%x\r\n%b\r\n0\r\n\r\n" % (len(PING), PING)
KEY = b"Authorization: Bearer KEY\r\n"
"""KEY is put in when it is sent."""

NO_SESSION = [400]
"""A well-formed request, which a legacy ping without a session is too, is answered by the gateway."""


def post(
    more: bytes = LENGTH,
    body: bytes = PING,
    *,
    target: bytes = b"/mcp",
    version: bytes = b"HTTP/1.1",
    host: bytes = HOST,
    verb: bytes = b"POST",
    start: bytes = b"",
) -> bytes:
    line = start or verb + b" " + target + b" " + version
    return line + b"\r\n" + host + JSON + KEY + more + b"\r\n" + body


def chunks(body: bytes) -> bytes:
    return post(CHUNKED, body)


def get(*lines: bytes, verb: bytes = b"GET") -> bytes:
    return verb + b" /mcp HTTP/1.1\r\n" + HOST + KEY + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


Probes = dict[str, tuple[bytes, list[int]]]

INCOMPLETE: Probes = {
    "nothing": (b"", []),
    "empty lines": (b"\r\n\r\n", []),
    "half a request line": (b"POST /mc", []),
    "half a head": (b"POST /mcp HTTP/1.1\r\nHost: loc", []),
    "half a body": (post(b"Content-Length: 500\r\n"), []),
    "half a chunk": (chunks(b"20\r\n{"), []),
    "chunks without an end": (chunks(b"5\r\nabcde\r\n"), []),
    "a chunk that says 2 GiB": (chunks(b"7fffffff\r\nabcde"), []),
    "a chunk that says 2^63": (chunks(b"8000000000000000\r\nabcde\r\n0\r\n\r\n"), []),
    "a length beyond what comes": (post(b"Content-Length: 4000000\r\n", b"{}"), []),
}

REQUEST_LINES: Probes = {
    "an empty line before": (b"\r\n" + post(), NO_SESSION),
    "no target": (post(target=b""), [400]),
    "a target without a slash": (post(target=b"mcp"), [400]),
    "NUL in the target": (post(target=b"/mcp\x00"), [400]),
    "a space in the target": (post(target=b"/mcp x"), [400]),
    "bytes beyond ASCII in the target": (post(target=b"/servers/\xff/mcp"), [400]),
    "tabs for spaces": (post(start=b"POST\t/mcp\tHTTP/1.1"), [400]),
    "HTTP/0.9": (b"GET /mcp\r\n\r\n", [400]),
    "HTTP/1.2": (post(version=b"HTTP/1.2"), [400]),
    "HTTP/2.0": (post(version=b"HTTP/2.0"), [400]),
    "HTTP/3": (post(version=b"HTTP/3"), [400]),
    "HTTP/01.1": (post(version=b"HTTP/01.1"), [400]),
    "http in lower case": (post(version=b"http/1.1"), [400]),
    "another protocol": (post(version=b"ICY/1.0"), [400]),
    "HTTP/2's preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00", [400]),
    "a TLS hello": (bytes.fromhex("16030100a5010000a10303") + b"\x00" * 160, [400]),
    "all bytes there are": (bytes(range(256)) * 20, [400]),
    "an unknown method": (post(verb=b"FROBNICATE"), [400]),
    "a method in lower case": (post(verb=b"post"), [400]),
    "CONNECT": (post(target=b"localhost:80", verb=b"CONNECT"), [400]),
    "a folded first line": (b"POST /mcp HTTP/1.1\r\n " + HOST + LENGTH + b"\r\n" + PING, [400]),
    "HTTP/1.0": (post(version=b"HTTP/1.0"), NO_SESSION),
    "HTTP/1.0 without a host": (post(version=b"HTTP/1.0", host=b""), NO_SESSION),
}

TARGETS: Probes = {
    "the absolute form": (post(target=b"http://localhost/mcp"), [404]),
    "the absolute form of another host": (post(target=b"http://evil.example/mcp"), [404]),
    "the asterisk": (post(target=b"*", verb=b"OPTIONS"), [404]),
    "a percent-encoded letter": (post(target=b"/%6dcp"), [404]),
    "percent-encoded slashes": (post(target=b"/servers%2fone%2fmcp"), [404]),
    "a percent-encoded NUL": (post(target=b"/mcp%00"), [404]),
    "a bad percent code": (post(target=b"/%zz"), [404]),
    "up and down": (post(target=b"/x/../mcp"), [404]),
    "here and on": (post(target=b"/./mcp"), [404]),
    "two slashes": (post(target=b"//mcp"), [404]),
    "a slash at the end": (post(target=b"/mcp/"), [404]),
    "upper case": (post(target=b"/MCP"), [404]),
    "a fragment": (post(target=b"/mcp#x"), [404]),
    "a parameter of the path": (post(target=b"/mcp;x=y"), [404]),
    "backslashes": (post(target=b"/servers\\one\\mcp"), [404]),
    "a server named ..": (post(target=b"/servers/../mcp"), NO_SESSION),
    "line breaks in a server's name": (post(target=b"/servers/%0d%0a/mcp"), NO_SESSION),
    "a query": (post(target=b"/mcp?a=b"), NO_SESSION),
    "no such API": (post(target=b"/api/v1/nothing"), [404]),
    "NUL in an API path": (post(target=b"/api/v1/servers/%00/restart"), [404]),
    "the wrong verb for health": (post(target=b"/healthz"), [405]),
}

FRAMING: Probes = {
    "length and chunks": (post(LENGTH + CHUNKED, WHOLE), [400]),
    "chunks and length": (post(CHUNKED + LENGTH, WHOLE), [400]),
    "chunks twice": (post(CHUNKED + CHUNKED, WHOLE), [400]),
    "chunked, chunked": (post(b"Transfer-Encoding: chunked, chunked\r\n", WHOLE), [400]),
    "chunked, identity": (post(b"Transfer-Encoding: chunked, identity\r\n", WHOLE), [400]),
    "identity": (post(b"Transfer-Encoding: identity\r\n"), [400]),
    "gzip, chunked": (post(b"Transfer-Encoding: gzip, chunked\r\n", WHOLE), [400]),
    "xchunked": (post(b"Transfer-Encoding: xchunked\r\n", WHOLE), [400]),
    "chunked after a vertical tab": (post(b"Transfer-Encoding: \x0bchunked\r\n", WHOLE), [400]),
    "chunked in quotes": (post(b'Transfer-Encoding: "chunked"\r\n', WHOLE), [400]),
    "no coding": (post(b"Transfer-Encoding:\r\n", WHOLE), [400]),
    "a space before the colon": (post(b"Transfer-Encoding : chunked\r\n", WHOLE), [400]),
    "chunks in HTTP/1.0": (post(CHUNKED, WHOLE, version=b"HTTP/1.0"), [400]),
    "chunks in odd case": (post(b"Transfer-Encoding: ChUnKeD\r\n", WHOLE), NO_SESSION),
    "two equal lengths": (post(LENGTH + LENGTH), [400]),
    "two lengths": (post(LENGTH + b"Content-Length: 1\r\n"), [400]),
    "a list of lengths": (post(b"Content-Length: 40, 40\r\n"), [400]),
    **{
        f"the length {value!r}": (post(b"Content-Length: " + value + b"\r\n"), [400])
        for value in (b"", b"-1", b"+40", b"0x28", b"4e1", b"4 0", b"4_0", b"9" * 26, b"18446744073709551616", b"\xb2")
    },
    "a length over the limit": (post(b"Content-Length: 99999999\r\n", b""), [413]),
    "a length that is too short": (post(b"Content-Length: 5\r\n"), [400, 400]),
    "no length": (post(b""), [400, 400]),
}

CHUNKS: Probes = {
    **{
        f"the size {size!r}": (chunks(size + b"\r\nabcde\r\n0\r\n\r\n"), [400])
        for size in (b"", b"-1", b"+5", b"0x5", b" 5", b"5 ", b"g", b"f" * 19, b"5\x00")
    },
    "bare line feeds": (chunks(b"%x\n%b\n0\n\n" % (len(PING), PING)), [400]),
    "no line break after the data": (chunks(b"5\r\nabcdeXX0\r\n\r\n"), [400]),
    "a line feed in an extension": (chunks(b"5;a\nb\r\nabcde\r\n0\r\n\r\n"), [400]),
    "a length among the trailers": (chunks(WHOLE[:-2] + b"Content-Length: 3\r\n\r\n"), [400]),
    "more than the limit": (chunks(b"500000\r\n" + b" " * 0x500000 + b"\r\n0\r\n\r\n"), [413]),
    "an extension": (chunks(WHOLE.replace(b"\r\n", b";a=b\r\n", 1)), NO_SESSION),
    "a trailer": (chunks(WHOLE[:-2] + b"X: y\r\n\r\n"), NO_SESSION),
    "a trailer that would be a key": (chunks(WHOLE[:-2] + b"Authorization: Bearer x\r\n\r\n"), NO_SESSION),
}

HEADERS: Probes = {
    "line feeds only": (post().replace(b"\r\n", b"\n"), [400]),
    "a bare line feed": (post(b"X: a\nY: b\r\n" + LENGTH), [400]),
    "a bare carriage return": (post(b"X: a\rY: b\r\n" + LENGTH), [400]),
    "a folded header": (post(b"X: a\r\n b\r\n" + LENGTH), [400]),
    "a header folded with a tab": (post(b"X: a\r\n\tb\r\n" + LENGTH), [400]),
    **{
        f"the header {line!r}": (post(line + b"\r\n" + LENGTH), [400])
        for line in (b"X: a\x00b", b"X\x00: a", b"X: a\x01b", b"X: a\x7fb", b": a", b"XYZ", b"X Y: a", b"X(: a")
    },
    "many headers": (post(b"".join(b"X-%d: 1\r\n" % n for n in range(300)) + LENGTH), [431]),
    "a huge header": (post(b"X: " + b"a" * 40_000 + b"\r\n" + LENGTH), [431]),
    "headers without an end": (post(b"".join(b"X-%d: 1\r\n" % n for n in range(200_000))), [431]),
    "a header without an end": (b"POST /mcp HTTP/1.1\r\nX: " + b"a" * 3_000_000, [431]),
    "a header's name without an end": (b"POST /mcp HTTP/1.1\r\n" + b"a" * 3_000_000, [431]),
    "a target without an end": (b"POST /" + b"a" * 3_000_000, [431]),
    "a huge target": (post(target=b"/mcp?" + b"a" * 20_000), [414]),
    "text beyond ASCII": (post("X: é\r\n".encode() + LENGTH), NO_SESSION),
    "an offer of HTTP/2": (post(b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n" + LENGTH), NO_SESSION),
    "an expectation": (post(b"Expect: 100-continue\r\n" + LENGTH), [100, 400]),
    "text": (post().replace(b"Type: application/json", b"Type: text/plain"), [415]),
    "two types in one": (post().replace(b"Type: application/json", b"Type: application/json, text/plain"), [415]),
    "a type twice": (post(b"Content-Type: application/json\r\n" + LENGTH), [400]),
    "gzip": (post(b"Content-Encoding: gzip\r\n" + LENGTH), [415]),
    "a key twice": (post(KEY + LENGTH), [400]),
    "a key beyond ASCII": (post().replace(b"Bearer KEY", b"Bearer \xff\xfe"), [401]),
    "a huge key": (post().replace(b"Bearer KEY", b"Bearer " + b"a" * 20_000), [401]),
    "two sessions": (post(b"Mcp-Session-Id: A\r\nMcp-Session-Id: B\r\n" + LENGTH), [400]),
    "a session beyond ASCII": (post(b"Mcp-Session-Id: \xff\xfe\r\n" + LENGTH), [404]),
    "a huge session": (post(b"Mcp-Session-Id: " + b"A" * 5_000 + b"\r\n" + LENGTH), [404]),
    "an unknown revision": (post(b"MCP-Protocol-Version: 2099-01-01\r\n" + LENGTH), [400]),
    "two revisions": (
        post(b"MCP-Protocol-Version: 2025-11-25\r\nMCP-Protocol-Version: 2026-07-28\r\n" + LENGTH),
        [400],
    ),
}

PLACES: Probes = {
    "no host": (post(host=b""), [400]),
    "two hosts": (post(HOST + LENGTH), [400]),
    **{
        f"the host {value!r}": (post(host=b"Host: " + value + b"\r\n"), [400])
        for value in (b"", b"localhost, evil", b"a@localhost", b"localhost:80@evil", b"localhost/x", b"local host")
    },
    **{
        f"the host {value!r}": (post(host=b"Host: " + value + b"\r\n"), [421])
        for value in (b"evil.example", b"localhost.evil.example", b"2130706433", b"0177.0.0.1", b"0.0.0.0", b"[::]")
    },
    **{
        f"the origin {value!r}": (post(b"Origin: " + value + b"\r\n" + LENGTH), [403])
        for value in (b"", b"null", b"https://evil.example", b"http://localhost.evil.example", b"http://localhost@evil")
    },
    "an origin that is no URL": (post(b"Origin: http://[\r\n" + LENGTH), [400]),
}

VERBS: Probes = {
    **{verb.decode(): (post(verb=verb), [405]) for verb in (b"PUT", b"PATCH", b"OPTIONS", b"TRACE")},
    "HEAD": (get(verb=b"HEAD"), [405]),
    "GET that takes JSON only": (get(b"Accept: application/json"), [406]),
    "GET that takes text": (get(b"Accept: text/html"), [406]),
    "GET without a session": (get(b"Accept: text/event-stream"), [400]),
    "GET with a body": (get(b"Accept: text/event-stream", b"Content-Length: 5") + b"hello", [400]),
    "GET of the newer revision": (get(b"Accept: text/event-stream", b"MCP-Protocol-Version: 2026-07-28"), [405]),
    "DELETE without a session": (get(verb=b"DELETE"), [400]),
    "a WebSocket": (get(b"Connection: Upgrade", b"Upgrade: websocket", b"Accept: text/event-stream"), [400]),
}

ALL: dict[str, Probes] = {
    "incomplete": INCOMPLETE,
    "request lines": REQUEST_LINES,
    "targets": TARGETS,
    "framing": FRAMING,
    "chunks": CHUNKS,
    "headers": HEADERS,
    "places": PLACES,
    "verbs": VERBS,
}
