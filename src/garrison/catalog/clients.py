"""The clients whose files are read: where the files are, what the clients' habits are, what else is in the files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath
from typing import Final

from garrison.catalog.entry_keys import Habits


@dataclass(frozen=True, slots=True)
class Client:
    """Paths are relative: `project` to the project's folder, `user` to the home folder; `*` stands for any name."""

    habits: Habits
    project: tuple[str, ...] = ()
    user: tuple[str, ...] = ()
    other_keys: frozenset[str] = frozenset()
    """Keys by which its settings file is known when it declares no servers."""

    @property
    def name(self) -> str:
        return self.habits.client


_CODEX_KEYS = frozenset(
    {"model", "model_provider", "approval_policy", "sandbox_mode", "profiles", "features", "agents", "permissions"}
    | {"default_permissions", "persistent_instructions", "notify"}
)

GARRISON: Final = Client(Habits("Garrison", timeout_unit="s"), ("garrison.yaml", "garrison.yml"))

CLIENTS: Final[tuple[Client, ...]] = (
    GARRISON,
    Client(
        Habits("Claude Code"),
        (".mcp.json", "mcp.json", "*.mcp.json"),
        (".claude.json",),
        frozenset({"numStartups", "projects", "hooks", "enabledPlugins", "statusLine"}),
    ),
    Client(
        Habits("VS Code"),
        (".vscode/mcp.json",),
        (".config/Code/User/mcp.json",),
        frozenset({"inputs", "editor.fontSize"}),
    ),
    Client(Habits("Copilot CLI"), (".github/mcp.json",), (".copilot/mcp-config.json",)),
    Client(Habits("Cursor"), (".cursor/mcp.json",), (".cursor/mcp.json",)),
    Client(
        Habits("Codex", timeout_unit="s"),
        (".codex/config.toml",),
        (".codex/config.toml",),
        _CODEX_KEYS,
    ),
    Client(
        Habits("Gemini CLI", url_kind="sse", url_wins=True),
        (".gemini/settings.json", "gemini-extension.json"),
        (".gemini/settings.json",),
        frozenset({"selectedAuthType", "preferredEditor", "contextFileName", "security", "telemetry", "coreTools"}),
    ),
    Client(
        Habits("Zed"),
        (".zed/settings.json",),
        (".config/zed/settings.json",),
        frozenset(
            {
                "context_servers",
                "vim_mode",
                "buffer_font_size",
                "ui_font_size",
                "lsp",
                "assistant",
                "base_keymap",
                "languages",
            }
        ),
    ),
    Client(
        Habits("OpenCode"),
        ("opencode.json", "opencode.jsonc", ".opencode/opencode.json"),
        (".config/opencode/opencode.json",),
        frozenset({"autoupdate", "instructions", "permission", "agent", "keybinds"}),
    ),
    Client(Habits("Roo Code", timeout_unit="s"), (".roo/mcp.json",)),
    Client(Habits("Kiro"), (".kiro/settings/mcp.json",), (".kiro/settings/mcp.json",)),
    Client(Habits("Amazon Q"), (".amazonq/mcp.json",), (".aws/amazonq/mcp.json",)),
    Client(Habits("Windsurf"), (".windsurf/mcp_config.json",), (".codeium/windsurf/mcp_config.json",)),
    Client(
        Habits("Claude Desktop"),
        ("claude_desktop_config.json",),
        (".config/Claude/claude_desktop_config.json", "Library/Application Support/Claude/claude_desktop_config.json"),
        frozenset({"globalShortcut", "preferences"}),
    ),
    Client(
        Habits("Cline", timeout_unit="s"),
        ("cline_mcp_settings.json",),
        (
            ".config/Code/User/globalStorage/saoudrizwan.claude-dev/settings/cline_mcp_settings.json",
            ".cline/data/settings/cline_mcp_settings.json",
        ),
    ),
    Client(
        Habits("Goose", timeout_unit="s"),
        (),
        (".config/goose/config.yaml",),
        frozenset({"GOOSE_PROVIDER", "GOOSE_MODEL", "GOOSE_MODE"}),
    ),
)
"""In order of precedence: of two servers of one name, the earlier client's is taken."""

UNKNOWN: Final = Client(Habits("an unknown client"))


def client_of(path: PurePath) -> Client:
    """The client whose file has this path, by its end; `UNKNOWN` if none has."""
    for client in CLIENTS:
        for pattern in (*client.user, *client.project):
            if path.match(pattern) and pattern != "mcp.json":
                return client
    return UNKNOWN


def project_folder(path: PurePath) -> str:
    """The folder where the client starts its servers: `.vscode/mcp.json` belongs to the folder above."""
    for client in CLIENTS:
        for pattern in (*client.project, *client.user):
            depth = pattern.count("/")
            if depth and path.match(pattern):
                return str(path.parents[depth])
    return str(path.parent)
