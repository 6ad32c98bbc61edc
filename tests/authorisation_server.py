"""A real authorisation server (`oidc-provider` from npm) in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2

from garrison.surfaces.launchers import launcher_folders

SCRIPT = Path(__file__).parent / "npm" / "authorisation_server.mjs"
ROBOT = ("robot", "robot-secret")


@contextmanager
def authorisation_server(**told: Any) -> Iterator[str]:
    """Gives its issuer. `port`: where to listen; `resources`: what their URLs begin with; `scopes`: of all of them."""
    path = os.pathsep.join((*launcher_folders(), os.environ["PATH"]))
    argv = ("node", str(SCRIPT), json.dumps(told))
    environment = {**os.environ, "PATH": path}
    with subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


async def robot_token(issuer: str, resource: str, scope: str = "") -> str:
    """An access token for a program (client credentials grant), a JWT for this resource."""
    form = {"grant_type": "client_credentials", "resource": resource, **({"scope": scope} if scope else {})}
    async with httpx2.AsyncClient(timeout=20) as http:
        answer = await http.post(f"{issuer}/token", data=form, auth=ROBOT)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["access_token"])
