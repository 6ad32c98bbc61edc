"""Fixture servers over HTTP, in processes of their own."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from running_fleet import SERVERS


@asynccontextmanager
async def remote(script: str, *flags: str, port: int = 0) -> AsyncIterator[str]:
    """A fixture server over HTTP in a process of its own; gives its URL."""
    argv = (sys.executable, str(SERVERS / f"{script}.py"), "--http", str(port), *flags)
    process = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    try:
        yield (await process.stdout.readline()).decode().strip()
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
