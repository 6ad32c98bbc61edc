"""The keys of a server entry in all clients' files, and what each means to us.

Keys are compared without case, `_` and `-`: `timeoutMs`, `timeout_ms` and `timeout-ms` are one.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

from garrison.catalog.spec import Transport


class Meaning(Enum):
    COMMAND = auto()
    ARGS = auto()
    ENV = auto()
    ENV_NAMES = auto()
    URL = auto()
    URL_HTTP = auto()
    URL_SSE = auto()
    KIND = auto()
    HEADERS = auto()
    HEADER_VARIABLES = auto()
    BEARER_VARIABLE = auto()
    REQUEST = auto()
    AUTH = auto()
    CWD = auto()
    ENABLED = auto()
    DISABLED = auto()
    AUTO_START = auto()
    TIMEOUT = auto()
    TIMEOUT_S = auto()
    TIMEOUT_MS = auto()
    STARTUP = auto()
    STARTUP_S = auto()
    STARTUP_MS = auto()
    ALLOW = auto()
    DENY = auto()
    DESCRIPTION = auto()
    LINK = auto()
    ENV_FILE = auto()
    HEADERS_HELPER = auto()
    OAUTH = auto()
    APPROVAL = auto()
    """Which calls the client runs without asking: the client's own business."""
    SILENT = auto()
    """Decoration, or settings that only the client itself can use."""


_SPELLINGS: Final[dict[Meaning, str]] = {
    Meaning.COMMAND: "command cmd executable",
    Meaning.ARGS: "args arguments argv",
    Meaning.ENV: "env environment envs environmentVariables",
    Meaning.ENV_NAMES: "env_vars env_keys",
    Meaning.URL: "url uri endpoint serverUrl baseUrl mcpUrl",
    Meaning.URL_HTTP: "httpUrl",
    Meaning.URL_SSE: "sseUrl",
    Meaning.KIND: "type transport transportType connectionType transport_type",
    Meaning.HEADERS: "headers http_headers customHeaders extra_headers",
    Meaning.HEADER_VARIABLES: "env_http_headers",
    Meaning.BEARER_VARIABLE: "bearer_token_env_var",
    Meaning.REQUEST: "requestInit",
    Meaning.AUTH: "auth authentication",
    Meaning.CWD: "cwd workingDirectory workingDir workdir",
    Meaning.ENABLED: "enabled isActive active",
    Meaning.DISABLED: "disabled",
    Meaning.AUTO_START: "autoStart start_on_launch",
    Meaning.TIMEOUT: "timeout requestTimeout toolTimeout callTimeout",
    Meaning.TIMEOUT_S: "timeout_s timeout_sec timeout_seconds tool_timeout_sec timeoutInSeconds",
    Meaning.TIMEOUT_MS: "timeout_ms tool_timeout_ms timeout_millis",
    Meaning.STARTUP: "startupTimeout initTimeout connectTimeout connectionTimeout",
    Meaning.STARTUP_S: "startup_timeout_s startup_timeout_sec init_timeout_sec",
    Meaning.STARTUP_MS: "startup_timeout_ms init_timeout_ms",
    Meaning.ALLOW: "enabledTools includeTools allowedTools available_tools tools",
    Meaning.DENY: "disabledTools excludeTools blockedTools",
    Meaning.DESCRIPTION: "description",
    Meaning.LINK: "link",
    Meaning.ENV_FILE: "envFile",
    Meaning.HEADERS_HELPER: "headersHelper",
    Meaning.OAUTH: "oauth oauth_resource scopes authProviderType oauthScopes oauth_client_id",
    Meaning.APPROVAL: "alwaysAllow autoApprove autoApproveTools trust default_tools_approval_mode approval_mode",
    Meaning.SILENT: (
        "$schema // # comment comments _comment note notes name id displayName display_name title label "
        "icon icons logo version namespace targets target dev gallery fromGalleryId source sourceUrl homepage "
        "website websiteUrl repository author provider providerUrl publisher tags tag category keywords installed "
        "bundled required "
        "registryType registryUrl longRunning searchKey configSample docs documentation logoUrl shouldConfig "
        "isTrusted sandbox sandboxEnabled is_active_for created_at updated_at uuid slug alwaysLoad "
        "serverInstructions chatMenu"
    ),
}


def squeeze(key: str) -> str:
    """A key without case, `_` and `-`."""
    return key.replace("_", "").replace("-", "").lower()


MEANINGS: Final[dict[str, Meaning]] = {
    squeeze(spelling): meaning for meaning, spellings in _SPELLINGS.items() for spelling in spellings.split()
}
SPELLINGS: Final[frozenset[str]] = frozenset(
    spelling for spellings in _SPELLINGS.values() for spelling in spellings.split() if spelling[0].isalpha()
)
RUNNABLE: Final[frozenset[Meaning]] = frozenset(
    {Meaning.COMMAND, Meaning.URL, Meaning.URL_HTTP, Meaning.URL_SSE, Meaning.LINK}
)

KINDS: Final[dict[str, Transport]] = {
    "stdio": "stdio",
    "local": "stdio",
    "command": "stdio",
    "http": "http",
    "https": "http",
    "streamablehttp": "http",
    "httpstream": "http",
    "streamable": "http",
    "remote": "http",
    "url": "http",
    "sse": "sse",
    "httpsse": "sse",
}
"""How the way to talk is written, squeezed."""

COMMENT_MARKS: Final = ("_", "//", "#", "$", "x-")


def is_comment(key: str) -> bool:
    """Keys that people use for remarks, since JSON has none."""
    return key.startswith(COMMENT_MARKS) or key.lower() in ("comment", "comments")
