"""The composed settings and the rules between them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from garrison.kernel.errors import Invalid
from garrison.kernel.settings import fields_of
from garrison.surfaces.settings import Settings, is_loopback, listen_address, load


def problems_of(**edge: Any) -> list[str]:
    return [problem.setting for problem in load({"edge": edge}, "garrison.yaml", {}, {}).problems]


def test_every_setting_says_what_it_is_for() -> None:
    undocumented = [field.name for field in fields_of(Settings).values() if len(field.description) < 20]
    assert undocumented == []


def test_the_defaults_are_good() -> None:
    assert load({}, "", {}, {}).problems == ()


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "localhost:8420", "[::1]:8420", "127.9.9.9:1"])
def test_loopback_needs_no_leave(listen: str) -> None:
    assert problems_of(listen=listen) == []


@pytest.mark.parametrize("listen", ["0.0.0.0:8420", "[::]:8420", "192.0.2.7:80", "gateway.example:80"])
def test_beyond_loopback_plaintext_must_be_allowed(listen: str) -> None:
    assert problems_of(listen=listen) == ["edge.listen"]
    assert problems_of(listen=listen, allow_plaintext=True) == []


@pytest.mark.parametrize("listen", ["8420", ":8420", "localhost", "a b:1", "127.0.0.1:http", "::1:80"])
def test_what_is_no_address_is_refused(listen: str) -> None:
    assert problems_of(listen=listen) == ["edge.listen"]


def test_a_wrong_address_is_explained_without_a_pattern() -> None:
    (problem,) = load({}, "", {}, {"edge.listen": "nonsense"}).problems
    assert problem.message == "edge.listen: this is not of the form that is asked for"
    assert problem.hint.startswith("HOST:PORT")


def test_an_address_is_cut_into_host_and_port() -> None:
    assert listen_address("[::1]:80") == ("::1", 80)
    assert listen_address("127.0.0.1:0") == ("127.0.0.1", 0)
    with pytest.raises(Invalid, match="is not HOST:PORT"):
        listen_address("127.0.0.1:99999")


@pytest.mark.parametrize(("host", "answer"), [("127.1.2.3", True), ("::1", True), ("10.0.0.1", False), ("x", False)])
def test_what_loopback_is(host: str, answer: bool) -> None:
    assert is_loopback(host) is answer


@pytest.mark.parametrize(
    ("group", "values"),
    [
        ("edge", {"drain_s": -1}),
        ("edge", {"body_bytes_max": 0}),
        ("ledger", {"durability": "never"}),
        ("ledger", {"window_s": 0}),
        ("supervisor", {"health_interval_s": 0}),
        ("limits", {"burst": 0}),
        ("logs", {"level": "loud"}),
    ],
)
def test_values_out_of_range_are_refused(group: str, values: Mapping[str, Any]) -> None:
    assert len(load({group: values}, "", {}, {}).problems) == 1
