"""What of a server's variables is masked in logs, and what stays readable."""

from __future__ import annotations

import string
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from garrison.catalog.confidential import confidential, is_confidential
from garrison.catalog.spec import ServerSpec
from garrison.identity.secrets import secrets_of
from garrison.kernel.home import Home
from garrison.surfaces.wiring.references import resolved, resolved_elsewhere
from garrison.telemetry.redaction import MASK, redactor

PLANTED = "hunter2-" + "q8Zr"


@pytest.mark.parametrize(
    "value",
    [
        "true",
        "1",
        "8080",
        "production",
        "us-east-1",
        "Europe/Berlin",
        "gpt-4.1 mini",
        "en_GB.UTF-8",
        "/home/somebody/projects/one",
        "~/notes",
        "./data",
        "127.0.0.1:8080",
        "10.0.0.0/8",
        "2026-10-19",
        "postgres.internal",
        "https://api.example.com/v1?page=2",
        "somebody@example.com",
        "",
    ],
)
def test_harmless_values_stay_readable(value: str) -> None:
    assert not is_confidential(value, "REGION", "ANYTHING")


@pytest.mark.parametrize(
    "value",
    [
        PLANTED,
        "s3cr3t!pass",
        "ghp_0123456789abcdefghijABCDEFGHIJ012345",
        "123e4567-e89b-12d3-a456-426614174000",
        "https://user:letmein@example.com/",
        "https://hooks.slack.com/services/T0/B0/xyz",
        "/hook/9f86d081884c7d659a2feaa0c55ad015",
        "4111111111111111",
    ],
)
def test_what_may_be_a_secret_is_one_whatever_its_name(value: str) -> None:
    assert is_confidential(value, "REGION", "ANYTHING")


@pytest.mark.parametrize("name", ["API_TOKEN", "dbPassword", "Authorization", "OPENAI_API_KEY", "CLIENT_SECRET"])
def test_where_a_name_tells_even_a_plain_word_is_a_secret(name: str) -> None:
    assert is_confidential("correct horse", name)
    assert is_confidential("correct horse", "X", name)


@given(st.text(string.ascii_letters + string.digits, min_size=16, max_size=60))
def test_what_generators_make_is_a_secret_under_any_name(value: str) -> None:
    assert is_confidential(value, "REGION")


def test_only_what_variables_bring_in_counts_wherever_it_stands() -> None:
    spec = ServerSpec(
        name="a",
        transport="stdio",
        command=("${HOME}/bin/x", "--token", "${SHORT_WORD}", "--zone", "${ZONE:-Europe/Berlin}"),
        env={
            "MODE": "${MODE:-production}",
            "FALLBACK_KEY": "${UNSET:-plain}",
            "LITERAL": "written1out",
            "DEEP": "${A:-${B}}",
        },
        headers={"Authorization": "${AUTH}", "X-Both": "id ${ID} of ${TEAM}"},
    )
    environment = {
        "HOME": "/home/me",
        "SHORT_WORD": "plainword",
        "B": PLANTED,
        "AUTH": "Bearer abc",
        "ID": "z9y8x7",
        "TEAM": "red",
    }
    assert confidential(spec, environment) == {"plainword", "plain", PLANTED, "Bearer abc", "abc", "z9y8x7"}


@pytest.mark.parametrize("resolve", [resolved, resolved_elsewhere])
def test_planted_secrets_are_masked_and_the_rest_of_the_line_is_not(
    tmp_path: Path, resolve: Callable[..., ServerSpec]
) -> None:
    """Also in a process of ours that does not start the server itself."""
    stored = secrets_of(Home(tmp_path))
    case = resolve.__name__
    friend, token, planted = f"{case}, an old friend", f"openthedoor{case}", f"{PLANTED}{case}"
    stored.set("stored", friend)
    spec = ServerSpec(
        name="a",
        transport="stdio",
        command=("x",),
        env={"A": "${secret:stored}", "B": "${PLANTED}", "C": "${TOKEN}", "D": "${FOLDER}", "E": "${STAGE}"},
    )
    environment = {"PLANTED": planted, "TOKEN": token, "FOLDER": "/srv/some/folder", "STAGE": "production"}
    assert (resolve(spec, environment, stored) is spec) == (resolve is resolved_elsewhere)
    line = f"in /srv/some/folder, production: {friend} says {token}, {planted}"
    assert redactor.text(line) == f"in /srv/some/folder, production: {MASK} says {MASK}, {MASK}"
