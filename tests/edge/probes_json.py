"""Bodies that are no JSON, no JSON-RPC, or no MCP, and what is said to each: HTTP status and JSON-RPC code."""

from __future__ import annotations

PARSE, REQUEST, METHOD, PARAMS, MISMATCH, VERSION = -32700, -32600, -32601, -32602, -32020, -32022

Answers = dict[bytes, tuple[int, int | None]]
"""None: there is no error."""

META = b'{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}'


def message(members: bytes) -> bytes:
    return b'{"jsonrpc":"2.0",' + members + b"}"


def ping(more: bytes) -> bytes:
    return message(b'"id":1,"method":"ping"' + (b"," + more if more else b""))


def ask(method: bytes, params: bytes) -> bytes:
    return message(b'"id":1,"method":"' + method + b'","params":' + params)


def call(arguments: bytes, name: bytes = b'"old__add"') -> bytes:
    return ask(b"tools/call", b'{"name":' + name + b',"arguments":' + arguments + b"}")


def nested(depth: int, start: bytes = b"[", end: bytes = b"]") -> bytes:
    return start * depth + b"1" + end * depth


NOT_JSON: Answers = dict.fromkeys(
    (
        b"",
        b" \n ",
        b"\x00",
        b"{",
        b"[",
        b"x",
        b"{'id':1}",
        b"\xef\xbb\xbf" + ping(b""),
        ping(b"").decode().encode("utf-16"),
        ping(b"").decode().encode("utf-32"),
        ping(b"") + b"x",
        ping(b"") + ping(b""),
        ping(b"") + b"\n" + ping(b""),
        ping(b"")[:-1] + b",}",
        message(b'/*x*/"id":1,"method":"ping"'),
        message(b'"id":01,"method":"ping"'),
        message(b'"id":1e400,"method":"ping"'),
        message(b'"id":' + b"9" * 5000 + b',"method":"ping"'),
        ping(b'"params":{"a":NaN}'),
        ping(b'"params":{"a":-Infinity}'),
        ping(b'"params":{"a":"\\ud800"}'),
        ping(b'"params":{"a":"\\udfff\\ud800"}'),
        ping(b'"params":{"a":"\xff"}'),
        ping(b'"params":{"a":"\xed\xa0\x80"}'),
        ping(b'"params":{"a":"\xc0\xaf"}'),
        ping(b'"\xff":1'),
        ping(b'"params":{"a":"\n"}'),
        message(b'"id":"\\ud800","method":"ping"'),
        call(b'{"a":"\xff"}'),
        call(b'{"a":"\\ud800"}'),
        call(b"{}", b'"\\ud800"'),
        ask(b"resources/read", b'{"uri":"memo://one","_meta":{"x":"\xff"}}'),
        ask(b"initialize", b'{"protocolVersion":"2025-11-25","capabilities":{"roots":"\xff"}}'),
        *(nested(depth) for depth in (1_500, 100_000)),
        *(call(b'{"a":' + nested(depth) + b"}") for depth in (1_500, 100_000)),
        ask(b"resources/read", b'{"uri":"memo://one","_meta":' + nested(100_000, b'{"a":', b"}") + b"}"),
        message(b'"id":' + nested(100_000) + b',"method":"ping"'),
        message(b'"id":1,"result":' + nested(100_000, b'{"a":', b"}")),
    ),
    (400, PARSE),
)

NO_MESSAGE: Answers = dict.fromkeys(
    (
        b"{}",
        b"[]",
        b"[1]",
        b"[[]]",
        b"null",
        b"true",
        b"7",
        b'"text"',
        b"[" + ping(b"") + b"]",
        b'{"id":1,"method":"ping"}',
        b'{"jsonrpc":2.0,"id":1,"method":"ping"}',
        b'{"jsonrpc":"2","id":1,"method":"ping"}',
        b'{"JSONRPC":"2.0","ID":1,"Method":"ping"}',
        *(
            message(b'"id":' + own + b',"method":"ping"')
            for own in (b"null", b"true", b"1.0", b"1e2", b"-0.5", b"[1]", b"{}", b'"' + b"i" * 2000 + b'"')
        ),
        *(message(b'"id":1,"method":' + method) for method in (b"null", b"7", b'["ping"]', b'""')),
        ping(b'"result":{}'),
        ping(b'"error":{"code":1,"message":"x"}'),
        message(b'"id":1'),
        message(b'"result":{}'),
        message(b'"id":null,"result":{}'),
        message(b'"id":null,"method":"notifications/initialized"'),
        *(message(b'"id":9,"result":' + result) for result in (b"null", b"5", b"[]", b'"x"')),
        *(
            message(b'"id":9,"error":' + error)
            for error in (
                b"null",
                b'"x"',
                b"{}",
                b'{"code":"1","message":"x"}',
                b'{"code":1}',
                b'{"code":1,"message":2}',
            )
        ),
        message(b'"id":9,"result":{},"error":{"code":1,"message":"x"}'),
        message(b'"id":1.0,"result":{}'),
        *(message(b'"method":"' + method + b'"') for method in (b"ping", b"tools/call", b"initialize", b"x/y", b"GET")),
        message(b'"method":"stream/open"'),
        message(b'"method":"session/end"'),
        message(b'"method":"notifications/x","method":"notifications/y"'),
        message(b'"method":"notifications/x","params":{"a":1,"a":2}'),
        message(b'"method":"notifications/x","params":{"a":' + nested(65) + b"}"),
        message(b'"id":9,"result":{"a":{"b":1,"b":2}}'),
    ),
    (400, REQUEST),
)

WRONG_PARAMS: Answers = {
    **dict.fromkeys(
        (
            *(ping(b'"params":' + params) for params in (b"null", b'"x"', b"[]", b"[1]", b"1e999")),
            *(ask(b"tools/list", b'{"_meta":' + meta + b"}") for meta in (b"null", b"[]", b'"x"', b"7")),
            *(message(b'"method":"notifications/x","params":' + params) for params in (b"null", b"[]", b'"x"')),
            ask(b"initialize", b'{"protocolVersion":"2025-11-25","capabilities":{"roots":{"x":1e400}}}'),
        ),
        (400, PARAMS),
    ),
    **dict.fromkeys(
        (
            *(call(arguments) for arguments in (b"[]", b"null", b'"x"', b'{"a":1e400,"b":1}', b'{"a":"1","b":1}')),
            *(
                call(b"{}", name)
                for name in (b"7", b"null", b"[]", b'""', b'"' + b"n" * 100_000 + b'"', b'"a\\u0000b"')
            ),
            ask(b"tools/call", b"{}"),
            *(ask(b"resources/read", b'{"uri":' + uri + b"}") for uri in (b"1", b"{}", b'"' + b"u" * 100_000 + b'"')),
            ask(b"completion/complete", b'{"ref":[]}'),
            *(ask(b"tools/list", b'{"cursor":' + cursor + b"}") for cursor in (b'"!!"', b"1e400", b'"LTE="', b"{}")),
        ),
        (200, PARAMS),
    ),
}

UNKNOWN_METHODS: Answers = dict.fromkeys(
    (
        *(
            ask(method, b"{}")
            for method in (b"no/such", b"GET", b"response", b"stream/open", b"notifications/initialized")
        ),
        ask(b"pi\\u0000ng\\r\\nX: y", b"{}"),
        ask(b"m" * 100_000, b"{}"),
    ),
    (200, METHOD),
)

ODD_BUT_RIGHT: Answers = {
    **dict.fromkeys(
        (
            *(
                message(b'"id":' + own + b',"method":"ping"')
                for own in (
                    b"0",
                    b"-0",
                    b"9223372036854775808",
                    b"-9223372036854775809",
                    b"9" * 400,
                    b'""',
                    b'"a\\u0000"',
                )
            ),
            ping(b'"more":1'),
            ping(b'"params":{"a":1e400}'),
            b" \r\n\t" + ping(b"") + b"\n",
            call(b'{"a":-0,"b":1.0}'),
            call(b'{"a":9223372036854775808,"b":1}'),
        ),
        (200, None),
    ),
    **dict.fromkeys(
        (
            message(b'"method":"notifications/none"'),
            message(b'"method":"notifications/cancelled"'),
            message(b'"method":"notifications/cancelled","params":{"requestId":{}}'),
            message(b'"id":"garrison-99","result":{}'),
            message(b'"id":99,"error":{"code":1,"message":"x"}'),
            message(b'"id":null,"error":{"code":1,"message":"x"}'),
        ),
        (202, None),
    ),
}

LEGACY: dict[str, Answers] = {
    "no JSON": NOT_JSON,
    "no message": NO_MESSAGE,
    "wrong parameters": WRONG_PARAMS,
    "unknown methods": UNKNOWN_METHODS,
    "odd but right": ODD_BUT_RIGHT,
}

_RIGHT = {"mcp-protocol-version": "2026-07-28", "mcp-method": "tools/call", "mcp-name": "old__count"}
_CALL = ask(b"tools/call", b'{"name":"old__count","arguments":{},"_meta":' + META + b"}")


def with_meta(version: bytes, capabilities: bytes) -> bytes:
    return (
        b'{"_meta":{"io.modelcontextprotocol/protocolVersion":%b,"io.modelcontextprotocol/clientCapabilities":%b}}'
        % (version, capabilities)
    )


MODERN: list[tuple[bytes, dict[str, str], int, int | None]] = [
    (_CALL, {}, 200, None),
    (_CALL, {"mcp-name": "=?base64?b2xkX19jb3VudA==?="}, 200, None),
    (_CALL, {"mcp-name": "old__echo"}, 400, MISMATCH),
    (_CALL, {"mcp-name": "=?base64?!!?="}, 400, MISMATCH),
    (_CALL, {"mcp-name": ""}, 400, MISMATCH),
    (_CALL, {"mcp-method": "tools/list"}, 400, MISMATCH),
    (_CALL, {"mcp-method": ""}, 400, MISMATCH),
    (_CALL, {"mcp-protocol-version": "2025-11-25"}, 400, MISMATCH),
    (_CALL, {"mcp-protocol-version": ""}, 400, MISMATCH),
    (_CALL, {"mcp-protocol-version": "2099-01-01"}, 400, VERSION),
    (_CALL, {"mcp-protocol-version": "x" * 5000}, 400, VERSION),
    (b"[" + _CALL + b"]", {}, 400, REQUEST),
    *(
        (ask(b"tools/call", params), {}, 400, PARAMS)
        for params in (
            b"{}",
            b'{"_meta":[]}',
            b'{"_meta":null}',
            b'{"_meta":{}}',
            with_meta(b"1", b"{}"),
            with_meta(b'"2026-07-28"', b"null"),
            with_meta(b'"2026-07-28"', b"7"),
            with_meta(b'"2026-07-28"', b"[]"),
        )
    ),
    (ask(b"tools/call", with_meta(b'"2099-01-01"', b"{}")), {}, 400, MISMATCH),
    (ask(b"ping", with_meta(b'"2026-07-28"', b"{}")), {"mcp-method": "ping"}, 404, METHOD),
    (message(b'"method":"notifications/x"'), {"mcp-method": "notifications/x"}, 202, None),
    (message(b'"method":"notifications/x"'), {}, 400, MISMATCH),
    (message(b'"method":"notifications/x","params":{"_meta":[]}'), {"mcp-method": "notifications/x"}, 400, PARAMS),
    (message(b'"id":1,"result":{}'), {}, 400, REQUEST),
]


def modern_headers(changed: dict[str, str]) -> dict[str, str]:
    """An empty value leaves the header out."""
    return {name: value for name, value in {**_RIGHT, **changed}.items() if value}


BATCHES: Answers = {
    **dict.fromkeys((b"[]", b"[1]", b"[null]", b"[[]]", b"[" + b",".join([ping(b"")] * 101) + b"]"), (400, REQUEST)),
    **dict.fromkeys((b"[" + ping(b""), nested(100_000), b"[" + ping(b'"params":{"a":"\xff"}') + b"]"), (400, PARSE)),
    b"[" + message(b'"method":"notifications/x","params":[]') + b"]": (400, PARAMS),
    b"[" + ask(b"initialize", b"{}") + b"]": (400, REQUEST),
    b"[1," + ping(b"") + b"]": (200, REQUEST),
    b"[" + ping(b"") + b"," + ping(b"") + b"]": (200, None),
    b"[" + message(b'"method":"notifications/x"') + b"]": (202, None),
}
"""In a session of 2025-03-26; the code is that of the first answer."""
