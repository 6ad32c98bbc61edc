"""What servers and authorisation servers say of themselves: read, and believed only as far as it goes."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from garrison.identity.oauth.challenges import SCOPES_MAX, is_step_up, scopes_of, wanted
from garrison.identity.oauth.metadata import (
    check_for_codes,
    check_scheme,
    issuer_places,
    read_issuer,
    read_resource,
    resource_places,
)
from garrison.kernel.errors import Denied, GarrisonError, Invalid, Unsupported
from garrison.protocol.transports.credentials import showing, shown_in

SERVER = "https://mcp.example/a/mcp"
ABOUT = "https://mcp.example/.well-known/oauth-protected-resource/a/mcp"


@pytest.mark.parametrize(
    ("header", "metadata", "scopes"),
    [
        (f'Bearer resource_metadata="{ABOUT}"', ABOUT, ()),
        (f'bearer realm="x, y", scope="a b a", resource_metadata="{ABOUT}"', ABOUT, ("a", "b")),
        (f'Basic realm="Bearer scope=z", Bearer scope=a,resource_metadata={ABOUT}', ABOUT, ("a",)),
        ('Digest nonce="a", qop="auth"', "", ()),
        ('Bearer realm="a \\"quoted\\" word", scope="x"', "", ("x",)),
        ("Bearer", "", ()),
        ("", "", ()),
    ],
)
def test_a_challenge_is_read(header: str, metadata: str, scopes: tuple[str, ...]) -> None:
    found = wanted(header)
    assert (found.resource_metadata, found.scopes) == (metadata, scopes)


@given(st.text(max_size=300))
def test_any_challenge_is_read_to_its_end(header: str) -> None:
    found = wanted(header)
    assert len(found.scopes) <= SCOPES_MAX
    assert all(" " not in scope and scope.isascii() for scope in found.scopes)


@given(st.lists(st.text("abc:./-", min_size=1, max_size=8), max_size=100))
def test_scopes_come_once_each_and_in_their_order(words: list[str]) -> None:
    assert scopes_of(" ".join(words)) == tuple(dict.fromkeys(words))[:SCOPES_MAX]


def test_only_refusals_of_the_credential_can_be_helped() -> None:
    assert is_step_up(401, "")
    assert is_step_up(403, 'Bearer error="insufficient_scope", scope="w"')
    assert not is_step_up(403, 'Bearer error="invalid_token"')
    assert not is_step_up(403, "")
    assert not is_step_up(500, 'Bearer error="insufficient_scope"')


def test_metadata_is_looked_for_where_the_standards_put_it() -> None:
    assert resource_places(SERVER) == [ABOUT, "https://mcp.example/.well-known/oauth-protected-resource"]
    assert issuer_places("https://id.example/t") == [
        "https://id.example/.well-known/oauth-authorization-server/t",
        "https://id.example/.well-known/openid-configuration/t",
        "https://id.example/t/.well-known/openid-configuration",
    ]


@pytest.mark.parametrize(
    "resource", [SERVER, "https://mcp.example/a/", "https://mcp.example", "https://MCP.example:443"]
)
def test_metadata_about_the_server_or_what_it_is_part_of_counts(resource: str) -> None:
    assert read_resource(json.dumps({"resource": resource}).encode(), SERVER).resource == resource


@pytest.mark.parametrize(
    "resource",
    [
        *(
            "https://bank.example",
            "http://mcp.example/a/mcp",
            "https://mcp.example/a/m",
            "https://mcp.example:8443",
            "x",
        ),
        *("", "https://mcp.example@bank.example/a/mcp", "https://mcp.example/a/mcp/inner"),
    ],
)
def test_metadata_about_anything_else_does_not(resource: str) -> None:
    with pytest.raises(Invalid):
        read_resource(json.dumps({"resource": resource}).encode(), SERVER)


def test_an_issuer_names_itself_to_the_letter() -> None:
    assert read_issuer(b'{"issuer": "https://id.example"}', "https://id.example").issuer == "https://id.example"
    for other in ("https://id.example/", "https://evil.example", "https://ID.example"):
        with pytest.raises(Denied):
            read_issuer(json.dumps({"issuer": other}).encode(), "https://id.example")


def test_without_pkce_nobody_signs_in() -> None:
    known = {"issuer": "https://i.example", "authorization_endpoint": "https://i.example/a", "token_endpoint": "x"}
    for methods in (None, [], ["plain"]):
        content = json.dumps({**known, "code_challenge_methods_supported": methods}).encode()
        with pytest.raises(Unsupported, match="PKCE"):
            check_for_codes(read_issuer(content, "https://i.example"))


@given(st.binary(max_size=200) | st.recursive(st.none() | st.text(), st.lists).map(lambda x: json.dumps(x).encode()))
def test_whatever_is_no_metadata_is_said_to_be_none(content: bytes) -> None:
    for read in (read_resource, read_issuer):
        with pytest.raises(GarrisonError):
            read(content, SERVER)


def test_credentials_travel_over_tls_or_not_far() -> None:
    written = frozenset({"http://id.lan"})
    for url in (
        "https://id.example/token",
        "http://127.0.0.1:1/token",
        "http://localhost/token",
        "http://id.lan/token",
    ):
        check_scheme(url, written)
    for url in ("http://id.example/token", "http://10.0.0.1/token", "http://localhost.example/token"):
        with pytest.raises(Denied):
            check_scheme(url, written)
    for url in ("https://a@id.example/token", "file:///etc/passwd", "https://id.example/#x"):
        with pytest.raises(Invalid):
            check_scheme(url, written)


HEAD = b"POST /mcp HTTP/1.1\r\nhost: a\r\nauthorization: Bearer old\r\ncontent-length: 2\r\n\r\n"


@given(st.binary(max_size=50))
def test_a_request_shows_something_else_and_stays_the_same(body: bytes) -> None:
    again = showing(HEAD + body, "authorization: Bearer new\r\n")
    head, _, rest = again.partition(b"\r\n\r\n")
    assert rest == body
    assert head.count(b"authorization") == 1
    assert shown_in(again) == "authorization: Bearer new\r\n"
    assert shown_in(HEAD + body) == "authorization: Bearer old\r\n"
    assert shown_in(showing(HEAD + body, "")) == ""


def test_a_body_that_looks_like_a_header_is_left_alone() -> None:
    body = b"\r\nauthorization: Bearer in-the-body\r\n"
    request = b"POST / HTTP/1.1\r\nhost: a\r\n\r\n" + body
    assert shown_in(request) == ""
    assert showing(request, "authorization: Bearer new\r\n").endswith(b"\r\n\r\n" + body)
