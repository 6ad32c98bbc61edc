"""`auth:` of a server: what is read, what is refused, and that no secret stays in a spec."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from garrison.catalog import render
from garrison.catalog.load import Loaded
from garrison.catalog.references import resolve_spec

Load = Callable[[str, str], Loaded]


def with_auth(load_text: Load, auth: str, where: str = "url: https://a.example/mcp") -> Loaded:
    return load_text("garrison.yaml", f"servers:\n  a:\n    {where}\n    auth: {auth}\n")


def codes(loaded: Loaded) -> list[str]:
    return [problem.code for problem in loaded.problems if problem.severity == "error"]


@pytest.mark.parametrize(
    "auth",
    [
        "{kind: authorization_code}",
        "{kind: authorization_code, client_id: x, scopes: [read, write]}",
        '{kind: client_credentials, issuer: "https://id.example", client_id: x, client_secret: "${secret:X}"}',
        '{kind: token_exchange, token_url: "https://id.example/token", client_id: x, audience: a}',
        '{kind: header, header: X-Api-Key, value: "${secret:X}"}',
    ],
)
def test_each_kind_is_read_and_written_as_it_was(load_text: Load, auth: str) -> None:
    loaded = with_auth(load_text, auth)
    assert codes(loaded) == []
    spec = loaded.snapshot.servers["a"]
    written = "\n".join(["servers:", *render.server(spec, "", ())]) + "\n"
    assert load_text("garrison.yaml", written).snapshot.servers["a"] == spec


@pytest.mark.parametrize(
    ("auth", "code"),
    [
        ("{kind: magic}", "config.type"),
        ("{kind: authorization_code, scopess: [x]}", "config.unknown_key"),
        ("{kind: client_credentials, client_id: x}", "auth.incomplete"),
        ('{kind: token_exchange, client_id: x, issuer: "https://i.example"}', "auth.incomplete"),
        ('{kind: authorization_code, client_id: x, client_secret: "${secret:X}"}', "auth.no_issuer"),
        ("{kind: header}", "auth.incomplete"),
    ],
)
def test_what_cannot_work_or_would_tell_a_stranger_is_an_error(load_text: Load, auth: str, code: str) -> None:
    assert code in codes(with_auth(load_text, auth))


def test_a_program_has_no_auth(load_text: Load) -> None:
    assert "auth.no_url" in codes(with_auth(load_text, "{kind: header, value: x}", "command: [x]"))


def test_a_client_secret_in_plain_text_is_taken_out_and_filled_in_again(load_text: Load) -> None:
    auth = '{kind: client_credentials, issuer: "https://i.example", client_id: x, client_secret: kq8-Zt7pLw2-planted}'
    loaded = with_auth(load_text, auth)
    spec = loaded.snapshot.servers["a"]
    assert spec.auth is not None
    assert "planted" not in repr(spec)
    assert "secret.plaintext" in [problem.code for problem in loaded.problems]
    full, problems = resolve_spec(spec, {}, lambda name: "kq8-Zt7pLw2-planted")
    assert problems == ()
    assert full.auth is not None
    assert full.auth.client_secret == "kq8-Zt7pLw2-planted"
