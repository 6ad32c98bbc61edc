"""The environment of a server process: what it needs of ours, what its spec says, and nothing else. Pure."""

from __future__ import annotations

import os.path
from collections.abc import Mapping, Sequence

from garrison.catalog.spec import ServerSpec

# fmt: off
ALLOWED = frozenset(
    {
        # who and where
        "PATH", "HOME", "USER", "LOGNAME", "SHELL", "TERM", "LANG", "LANGUAGE", "TZ", "TMPDIR", "HOSTNAME",
        "LD_LIBRARY_PATH",
        # how to reach the network, and whom to trust there
        "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy",
        "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE",
        "NODE_EXTRA_CA_CERTS", "GIT_SSL_CAINFO",
        # where launchers and toolchains keep things
        "NODE_PATH", "VOLTA_HOME", "FNM_DIR", "BUN_INSTALL", "DENO_DIR", "PNPM_HOME", "COREPACK_HOME",
        "CARGO_HOME", "RUSTUP_HOME", "GOPATH", "GOROOT", "JAVA_HOME", "DOCKER_HOST", "DOCKER_CONFIG",
        "CONTAINER_HOST",
        # for servers that open windows or use the keyring
        "DISPLAY", "WAYLAND_DISPLAY", "DBUS_SESSION_BUS_ADDRESS",
    }
)
# fmt: on
ALLOWED_PREFIXES = ("LC_", "XDG_", "PIP_", "UV_", "npm_config_", "NPM_CONFIG_", "NVM_", "PYENV_")
"""Our own variables (`GARRISON_…`) are not among them: they may name our keys."""

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def child_environment(
    ours: Mapping[str, str], spec: ServerSpec, mark: Mapping[str, str], extra_path: Sequence[str] = ()
) -> dict[str, str]:
    """The allowed part of our environment, then the spec's, then the mark. `extra_path` is looked at last."""
    environment = {name: value for name, value in ours.items() if _allowed(name)}
    environment |= spec.env
    path = environment.get("PATH") or DEFAULT_PATH
    environment["PATH"] = os.pathsep.join([path, *extra_path])
    environment |= mark
    return environment


def _allowed(name: str) -> bool:
    return name in ALLOWED or name.startswith(ALLOWED_PREFIXES)
