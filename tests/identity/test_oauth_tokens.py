"""Tokens as they are kept and renewed: by whom, for whom, and how often they are asked for."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from garrison.identity.envelope import Envelope
from garrison.identity.oauth.callers import CALLERS_MAX, CallerTokens
from garrison.identity.oauth.held import HeldToken
from garrison.identity.oauth.tokens import Client, Token, TokenStore
from garrison.identity.secrets import SecretsFile
from garrison.kernel.clock import SystemClock
from garrison.kernel.errors import Denied, Unavailable
from garrison.protocol.transports.credentials import Challenge


@pytest.fixture
def store(tmp_path: Path) -> TokenStore:
    return TokenStore(sealed(tmp_path), tmp_path / "locks")


def sealed(folder: Path) -> SecretsFile:
    return SecretsFile(folder / "tokens.json", Envelope(folder / "envelope.json", folder / "secrets.key"))


def token(name: str, left_s: float = 600.0) -> Token:
    return Token(access=f"access-{name}", refresh=f"refresh-{name}", ends_s=time.time() + left_s)


def test_a_token_is_one_principal_s_at_one_server(store: TokenStore, tmp_path: Path) -> None:
    store.keep("vault", "ada", token("ada"))
    store.keep("vault", "bob", token("bob"))
    found = store.token("vault", "ada")
    assert found is not None
    assert found.access == "access-ada"
    assert store.token("other", "ada") is None
    assert store.token("vault", "eve") is None
    assert store.forget("vault", "ada")
    assert not store.forget("vault", "ada")
    assert store.token("vault", "bob") is not None
    text = (tmp_path / "tokens.json").read_text()
    assert not any(word in text for word in ("ada", "bob", "vault", "access", "refresh"))


def test_whoever_goes_leaves_no_token(store: TokenStore) -> None:
    for server, principal in (("vault", "ada"), ("mail", "ada"), ("vault", "bob")):
        store.keep(server, principal, token(principal))
    assert (store.forget_all("ada"), store.forget_all("ada")) == (2, 0)
    assert store.token("vault", "ada") is store.token("mail", "ada") is None
    assert store.token("vault", "bob") is not None


def test_names_cannot_be_made_to_meet(store: TokenStore) -> None:
    store.keep("a", "b:c", token("one"))
    assert store.token("a:b", "c") is None
    assert store.token('a","b', "c") is None


def test_what_cannot_be_read_is_no_token(store: TokenStore, tmp_path: Path) -> None:
    store.keep("vault", "ada", token("ada"))
    (tmp_path / "tokens.json").write_text("{}")
    assert store.token("vault", "ada") is None


def test_nothing_secret_is_in_a_repr() -> None:
    assert "access-x" not in repr(token("x"))
    assert "refresh-x" not in repr(token("x"))
    assert "hidden" not in repr(Client("me", "hidden", "basic"))


async def test_one_process_at_a_time_renews_a_token(store: TokenStore, tmp_path: Path) -> None:
    other, order = TokenStore(sealed(tmp_path), tmp_path / "locks"), []

    async def renew(where: TokenStore, name: str) -> None:
        async with where.alone("vault", "ada"):
            order.append(name)
            await asyncio.sleep(0)
            order.append(name)

    await asyncio.gather(renew(store, "a"), renew(other, "b"), renew(store, "c"))
    assert order[0::2] == order[1::2]


class Issuer:
    """Gives tokens, and counts how often it was asked."""

    def __init__(self, *answers: Token | Exception) -> None:
        self._answers = list(answers)
        self.asked = 0
        self.kept: Token | None = None

    async def get(self, before: Token | None, challenge: Challenge | None) -> Token:
        self.asked += 1
        await asyncio.sleep(0)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def look(self) -> Token | None:
        return self.kept


def held(issuer: Issuer) -> HeldToken:
    return HeldToken(issuer.get, issuer.look, SystemClock())


async def test_all_who_need_a_token_wait_for_one() -> None:
    issuer = Issuer(token("a"))
    mine = held(issuer)
    await asyncio.gather(*(mine.ready() for _ in range(20)))
    assert (issuer.asked, mine.line) == (1, "authorization: Bearer access-a\r\n")
    await mine.ready()
    assert issuer.asked == 1


async def test_a_token_near_its_end_is_not_used() -> None:
    issuer = Issuer(token("a", 5), token("b"))
    mine = held(issuer)
    await mine.ready()
    await mine.ready()
    assert mine.line == "authorization: Bearer access-b\r\n"


async def test_a_refused_token_is_replaced_once_for_all_that_showed_it() -> None:
    issuer = Issuer(token("a"), token("b"))
    mine, changes = held(issuer), []
    await mine.ready()
    end = mine.watch(lambda: changes.append(mine.line))
    shown = mine.line
    await asyncio.gather(*(mine.renewed(shown, Challenge(401)) for _ in range(9)))
    await mine.renewed(shown, Challenge(401))  # comes late, and finds another one
    assert issuer.asked == 2
    assert changes == ["authorization: Bearer access-b\r\n"]
    end()
    assert not mine.is_watched


async def test_what_another_process_has_got_is_taken_over() -> None:
    issuer = Issuer(token("a"))
    mine = held(issuer)
    await mine.ready()
    issuer.kept = token("elsewhere")
    await mine.renewed(mine.line, Challenge(401))
    assert (issuer.asked, mine.line) == (1, "authorization: Bearer access-elsewhere\r\n")


async def test_a_failure_is_told_to_all_and_tried_again_by_the_next() -> None:
    issuer = Issuer(Unavailable("x", "not now"), token("a"))
    mine = held(issuer)
    results = await asyncio.gather(*(mine.ready() for _ in range(3)), return_exceptions=True)
    assert all(isinstance(result, Unavailable) for result in results)
    assert mine.line == ""
    await mine.ready()
    assert issuer.asked == 2


async def test_what_is_withdrawn_is_not_shown() -> None:
    issuer = Issuer(token("a"), Denied("x", "no"))
    mine, changes = held(issuer), []
    await mine.ready()
    end = mine.watch(lambda: changes.append(mine.line))
    mine.take(None)
    assert changes == [""]
    with pytest.raises(Denied):
        await mine.renewed("", Challenge(401))
    end()


def test_callers_tokens_are_bounded_and_the_last_one_counts() -> None:
    callers = CallerTokens()
    callers.note("ada", "first")
    callers.note("ada", "second")
    assert callers.get("ada") == "second"
    assert callers.get("bob") == ""
    for number in range(CALLERS_MAX):
        callers.note(str(number), "x")
    assert callers.get("ada") == ""
