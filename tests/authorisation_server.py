"""A real authorisation server (`oidc-provider` from npm) in a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2

from garrison.surfaces.launchers import launcher_folders

SCRIPT = Path(__file__).parent / "npm" / "authorisation_server.mjs"
ROBOT = ("robot", "robot-secret")


@asynccontextmanager
async def authorisation_server(**told: Any) -> AsyncIterator[str]:
    """Gives its issuer. `port`: where to listen; `resources`: what their URLs begin with; `scopes`: of all of them."""
    path = os.pathsep.join((*launcher_folders(), os.environ["PATH"]))
    process = await asyncio.create_subprocess_exec(
        "node",
        str(SCRIPT),
        json.dumps(told),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, "PATH": path},
    )
    assert process.stdout is not None
    try:
        yield (await process.stdout.readline()).decode().strip()
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def robot_token(issuer: str, resource: str, scope: str = "") -> str:
    """An access token for a program (client credentials grant), a JWT for this resource."""
    form = {"grant_type": "client_credentials", "resource": resource, **({"scope": scope} if scope else {})}
    async with httpx2.AsyncClient(timeout=20) as http:
        answer = await http.post(f"{issuer}/token", data=form, auth=ROBOT)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["access_token"])
