"""A server that wants its users' consent, behind two workers: signed in by the command line, used, signed out."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import httpx2
import pytest

from authorisation_server import authorisation_server
from brought_up import Up, write
from command_line import Said, Shell
from remote_servers import remote

pytestmark = pytest.mark.slow


async def agree(page_url: str) -> httpx2.Response:
    """As a person with a browser does."""
    base = page_url.partition("/oauth/")[0]
    async with httpx2.AsyncClient(timeout=20) as http:
        page = await http.get(page_url)
        ticket = re.search(r'name="ticket" value="([^"]+)"', page.text)
        assert ticket is not None, page.text
        answer = await http.post(f"{base}/oauth/begin", data={"ticket": ticket[1]}, headers={"origin": base})
        while answer.next_request is not None:
            answer = await http.send(answer.next_request)
        return answer


async def calls(up: Up) -> list[str]:
    """Of so many connections, some are the other worker's."""
    found = []
    for _ in range(8):
        async with httpx2.AsyncClient(timeout=20) as http:
            found.append((await up.call(http, "whoami", server="vault")).text)
    return found


async def test_a_user_signs_in_calls_and_signs_out(tmp_path: Path) -> None:
    shell = Shell(tmp_path)

    async def garrison(*words: str, code: int | None = 0) -> Said:
        return await asyncio.to_thread(shell, *words, code=code)

    with authorisation_server() as issuer:
        async with remote("guarded", "--issuer", issuer, "--era", "modern") as url:
            vault = {"url": url, "auth": {"kind": "authorization_code", "issuer": issuer}}
            write(tmp_path, {"vault": vault}, edge={"workers": 2})
            up = await garrison("up", code=None)
            try:
                assert "auth-needed" in up.err
                assert "garrison auth login vault" in up.out
                begun = await garrison("auth", "login", "vault", "--no-open", "--wait", "0")
                assert "Signed in" in (await agree(begun.out.strip())).text
                row = json.loads((await garrison("auth", "status", "--output", "json")).out)[0]
                assert (row["server"], row["name"], row["state"]) == ("vault", "admin", "signed in")
                assert all("ada" in answer for answer in await calls(Up(shell)))
                await garrison("auth", "logout", "vault", "--yes")
                assert all("server.auth_needed" in answer for answer in await calls(Up(shell)))
                assert "garrison auth login vault" in (await garrison("call", "vault__whoami", code=6)).err
            finally:
                await garrison("down", code=None)
