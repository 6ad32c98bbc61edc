"""Why a server does not start, as typed errors that say what to do. Pure."""

from __future__ import annotations

import errno
import itertools
from collections.abc import Sequence
from pathlib import PurePath

from garrison.kernel.errors import Denied, GarrisonError, Invalid, NotFound, Unavailable
from garrison.runtimes.driver import Exit

_NODE = "install Node.js (apt-get install nodejs npm), or Garrison's own: pip install 'garrison[launchers]'"
_UV = "install uv (pip install uv), or Garrison with its launchers: pip install 'garrison[launchers]'"
LAUNCHER_HINTS = {
    "npx": _NODE,
    "npm": _NODE,
    "node": _NODE,
    "uvx": _UV,
    "uv": _UV,
    "python": "use python3, or install python-is-python3",
    "docker": "install Docker, or use podman, which takes the same arguments",
    "podman": "install it: apt-get install podman",
    "bunx": "install Bun (bun.sh), or use npx",
    "bun": "install Bun (bun.sh), or use node",
    "deno": "install Deno (deno.com)",
    "go": "install it: apt-get install golang-go",
    "java": "install it: apt-get install default-jre-headless",
    "dotnet": "install the .NET SDK",
    "pipx": "install it: apt-get install pipx, or use uvx",
}

LOG_HINTS = (
    (
        ("is not in this registry", "npm error 404 Not Found", "npm ERR! 404 Not Found", "npm error code E404"),
        "the package is not in the npm registry: check its name and version",
    ),
    (("No solution found when resolving", "was not found in the package registry"), "check the package's name"),
    (("ENOTFOUND", "EAI_AGAIN", "dns error", "Temporary failure in name resolution"), "check network and proxy"),
    (("ECONNREFUSED", "Connection refused"), "what the server itself connects to does not answer"),
    (
        ("SELF_SIGNED_CERT", "CERTIFICATE_VERIFY_FAILED", "invalid peer certificate"),
        "set NODE_EXTRA_CA_CERTS or SSL_CERT_FILE",
    ),
    (("ModuleNotFoundError", "No module named", "Cannot find module"), "install what it imports, or check its path"),
    (("EADDRINUSE", "Address already in use"), "its port is taken: is another copy running?"),
    (("EACCES", "Permission denied"), "check the permissions of the path that the log names"),
    (("ENOSPC", "No space left on device"), "free some disk space"),
    (("Unsupported engine", "EBADENGINE"), "it needs another version of Node.js"),
)

SAYS_NOTHING = ("npm error A complete log", "npm notice", "npm warn", "Node.js v", "at ", "}", "^", "node:internal")
"""How lines begin that come after the one that tells."""


def command_not_found(server: str, command: str) -> GarrisonError:
    name = PurePath(command).name
    message = f"server {server}: command {command!r} was not found"
    if "/" in command:
        hint = "check the path; relative ones start at the server's cwd, and ~ is not expanded"
    else:
        hint = LAUNCHER_HINTS.get(name, "install it, or give its full path")
    return NotFound("server.command_not_found", message, hint)


def command_not_executable(server: str, command: str) -> GarrisonError:
    message = f"server {server}: {command!r} is not executable"
    return Denied("server.command_not_executable", message, f"chmod +x {command}, or name its interpreter first")


def cwd_missing(server: str, cwd: str) -> GarrisonError:
    return Invalid("server.cwd_missing", f"server {server}: folder {cwd!r} does not exist", "create it or correct cwd")


def no_command(server: str) -> GarrisonError:
    return Invalid("server.no_command", f"server {server} has no command to run", "give it a command or a url")


def spawn_failed(server: str, command: str, error: OSError) -> GarrisonError:
    """What exec(3) or fork(2) said, for a command that exists and is executable."""
    reason = (error.strerror or str(error)).lower()
    message = f"server {server}: {command!r} could not be started: {reason}"
    if error.errno == errno.ENOENT:
        return Invalid("server.interpreter_missing", message, "the interpreter in its first line (#!) is missing")
    if error.errno == errno.ENOEXEC:
        return Invalid("server.not_a_program", message, "it is neither a program for this machine nor a #! script")
    if error.errno == errno.E2BIG:
        return Invalid("server.arguments_too_long", message, "shorten its arguments or environment")
    if error.errno in (errno.EACCES, errno.EPERM):
        return Denied("server.command_not_executable", message, "check permissions and mount options (noexec)")
    return Unavailable("server.spawn_failed", message, "the machine is short of processes, files or memory")


def bad_argument(server: str, error: ValueError) -> GarrisonError:
    """A NUL byte in an argument or in the environment."""
    message = f"server {server}: its command or environment cannot be passed on: {error}"
    return Invalid("server.bad_argument", message, "remove the NUL byte")


def exited_early(server: str, exit_: Exit, tail: Sequence[str]) -> GarrisonError:
    """It ended before the handshake did. The line that tells why goes into the message, its meaning into the hint."""
    line = telling_line(tail)
    message = f"server {server} {exit_.reason} before it was ready" + (f": {line[:200]}" if line else "")
    return Unavailable("server.exited_early", message, log_hint(tail) or f"see its log: garrison logs {server}")


def telling_line(tail: Sequence[str]) -> str:
    """What a server said last in its last life: a message that is known, or else one that says something."""
    bare = (line.partition(" ")[2] for line in reversed(tail))  # without the time: `err| …`, `---| …`
    last_life = itertools.takewhile(lambda line: not line.startswith("---| started "), bare)
    said = [line.partition("| ")[2].strip() for line in last_life if not line.startswith("---| ")]
    known = (line for line in said if log_hint([line]))
    telling = (line for line in said if line and not line.startswith(SAYS_NOTHING))
    return next(known, "") or next(telling, "")


def log_hint(tail: Sequence[str]) -> str:
    """What the last lines of a log mean, when they hold a message that is known; else nothing."""
    text = "\n".join(tail)
    return next((hint for signs, hint in LOG_HINTS if any(sign in text for sign in signs)), "")
