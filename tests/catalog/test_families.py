"""One file of each family, with what is odd in it."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from garrison.catalog.load import Loaded, load

Load = Callable[[str, str], Loaded]


def codes(loaded: Loaded) -> list[str]:
    return [problem.code for problem in loaded.problems if problem.code != "package.unpinned"]


def test_claude_code_reads_types_headers_and_timeouts(load_text: Load) -> None:
    loaded = load_text(
        ".mcp.json",
        """{"mcpServers": {
          "a": {"type": "http", "url": "https://h/mcp", "timeout": 90000,
                "headers": {"Authorization": "Bearer ${TOKEN}"}},
          "b": {"type": "sse", "url": "https://h/sse", "oauth": {"clientId": "x"}},
          "c": {"type": "streamable-http", "url": "https://h2/mcp", "headersHelper": "x.sh"},
          "d": {"command": "${CLAUDE_PLUGIN_ROOT}/bin/s", "args": ["${HOME:-/root}"]}}}""",
    )
    servers = loaded.snapshot.servers
    assert [spec.transport for spec in servers.values()] == ["http", "sse", "http", "stdio"]
    assert servers["a"].timeout_s == 90
    assert servers["a"].headers == {"Authorization": "Bearer ${TOKEN}"}
    assert servers["d"].command[0].startswith("/")
    assert servers["d"].command[1] == "${HOME:-/root}"
    assert codes(loaded) == ["entry.unit", "entry.unsupported", "entry.unsupported", "reference.folder"]


def test_the_user_file_of_claude_code_has_servers_for_each_project(load_text: Load) -> None:
    loaded = load_text(
        ".claude.json",
        """{"numStartups": 3, "mcpServers": {"a": {"command": "x"}},
            "projects": {"/p": {"mcpServers": {"b": {"command": "y"}}}}}""",
    )
    assert list(loaded.snapshot.servers) == ["a", "b"]


def test_vs_code_inputs_become_variables(load_text: Load) -> None:
    loaded = load_text(
        ".vscode/mcp.json",
        """{ // remark
          "inputs": [{"id": "perplexity-key", "type": "promptString", "password": true},
                     {"id": "region", "default": "eu"}],
          "servers": {"p": {"type": "stdio", "command": "npx", "args": ["-y", "server@1.0.0", "--r=${input:region}"],
            "env": {"KEY": "${input:perplexity-key}", "H": "${env:HOME}", "U": "${userHome}"},
            "cwd": "${workspaceFolder}/sub", "envFile": "${workspaceFolder}/.env"},},
        }""",
    )
    spec = loaded.snapshot.servers["p"]
    assert spec.env == {"KEY": "${PERPLEXITY_KEY}", "H": "${HOME}", "U": "${HOME}"}
    assert spec.command[-1] == "--r=${REGION:-eu}"
    assert spec.cwd.endswith("/sub")
    assert ".vscode" not in spec.cwd
    assert codes(loaded) == ["reference.input", "reference.input", "reference.folder", "entry.unsupported"]


def test_vs_code_settings_and_dev_containers_nest_the_servers(load_text: Load) -> None:
    inner = '{"servers": {"a": {"command": "x"}}}'
    assert list(load_text("settings.json", '{"editor.fontSize": 1, "mcp": ' + inner + "}").snapshot.servers) == ["a"]
    nested = '{"image": "y", "customizations": {"vscode": {"mcp": ' + inner + "}}}"
    assert list(load_text("devcontainer.json", nested).snapshot.servers) == ["a"]


def test_copilot_knows_local_servers_and_a_choice_of_tools(load_text: Load) -> None:
    loaded = load_text(
        "mcp-config.json",
        '{"mcpServers": {"a": {"type": "local", "command": "x", "args": [], "tools": ["one", "two"]}}}',
    )
    assert loaded.snapshot.servers["a"].tools.allow == ("one", "two")
    assert codes(loaded) == []


def test_cursor_has_urls_without_a_type(load_text: Load) -> None:
    loaded = load_text(
        ".cursor/mcp.json", '{"mcpServers": {"a": {"url": "https://h/mcp", "headers": {"K": "${env:T}"}}}}'
    )
    spec = loaded.snapshot.servers["a"]
    assert (spec.transport, spec.headers) == ("http", {"K": "${T}"})


def test_codex_reads_headers_tokens_tools_and_timeouts(load_text: Load) -> None:
    loaded = load_text(
        ".codex/config.toml",
        """
[other]
command = "not a server"

[mcp_servers.remote]
url = "https://h/mcp"
bearer_token_env_var = "TOKEN"
http_headers = { "X-A" = "1" }
env_http_headers = { "X-B" = "B_VAR" }
enabled_tools = ["a"]
disabled_tools = ["b"]
tool_timeout_sec = 5
startup_timeout_sec = 20.5

[mcp_servers.local]
command = "x"
env_vars = ["PASSED"]
env = { N = 1 }
enabled = false
""",
    )
    remote, local = loaded.snapshot.servers["remote"], loaded.snapshot.servers["local"]
    assert remote.headers == {"Authorization": "Bearer ${TOKEN}", "X-A": "1", "X-B": "${B_VAR}"}
    assert (remote.tools.allow, remote.tools.deny) == (("a",), ("b",))
    assert (remote.timeout_s, remote.startup_timeout_s) == (5.0, 20.5)
    assert local.env == {"PASSED": "${PASSED}", "N": "1"}
    assert not local.enabled
    assert codes(loaded) == ["entry.not_text"]


def test_windsurf_calls_the_address_server_url(load_text: Load) -> None:
    loaded = load_text("mcp_config.json", '{"mcpServers": {"a": {"serverUrl": "https://h/mcp", "disabled": true}}}')
    assert loaded.snapshot.servers["a"].url == "https://h/mcp"
    assert not loaded.snapshot.servers["a"].enabled


def test_zed_nests_the_command_and_has_extensions(load_text: Load) -> None:
    loaded = load_text(
        "settings.json",
        """{"context_servers": {
            "a": {"command": {"path": "x", "args": ["-v"], "env": {"A": "1"}}, "settings": {}},
            "b": {"source": "custom", "command": "y", "args": [], "env": null},
            "c": {"source": "extension", "settings": {"k": "v"}}}}""",
    )
    assert loaded.snapshot.servers["a"].command == ("x", "-v")
    assert loaded.snapshot.servers["a"].env == {"A": "1"}
    assert list(loaded.snapshot.servers) == ["a", "b"]
    assert "entry.unsupported" in codes(loaded)


def test_gemini_means_sse_by_url_and_http_by_http_url(load_text: Load) -> None:
    loaded = load_text(
        ".gemini/settings.json",
        """{"theme": "x", "mcpServers": {
            "a": {"httpUrl": "https://h/mcp", "timeout": 5000, "trust": true},
            "b": {"url": "https://h/sse", "includeTools": ["t"], "excludeTools": ["u"]},
            "c": {"command": "x", "env": {"K": "$API_KEY", "L": "a$b"}}}}""",
    )
    servers = loaded.snapshot.servers
    assert [spec.transport for spec in servers.values()] == ["http", "sse", "stdio"]
    assert servers["b"].tools.allow == ("t",)
    assert servers["c"].env == {"K": "${API_KEY}", "L": "a$b"}


def test_cline_counts_seconds_and_approves(load_text: Load) -> None:
    loaded = load_text(
        "cline_mcp_settings.json",
        """{"mcpServers": {"a": {"command": "x", "timeout": 3600, "autoApprove": ["t"], "disabled": false,
            "transportType": "stdio"}}}""",
    )
    assert loaded.snapshot.servers["a"].timeout_s == 3600
    assert codes(loaded) == ["entry.approval"]


def test_goose_has_extensions_of_its_own(load_text: Load) -> None:
    loaded = load_text(
        "config.yaml",
        """
GOOSE_MODEL: x
extensions:
  developer: {type: builtin, enabled: true, timeout: 300, bundled: true}
  fetch:
    type: stdio
    cmd: uvx
    args: [mcp-server-fetch==2026.1.1]
    envs: {A: b}
    env_keys: [TOKEN]
    enabled: true
    timeout: 1200
    name: Fetch
  web: {type: streamable_http, uri: https://h/mcp, enabled: false}
""",
    )
    assert loaded.snapshot.servers["fetch"].env == {"A": "b", "TOKEN": "${TOKEN}"}
    assert loaded.snapshot.servers["fetch"].timeout_s == 1200
    assert loaded.snapshot.servers["web"].transport == "http"
    assert codes(loaded) == ["entry.unsupported"]


def test_opencode_has_commands_as_lists_and_its_own_variables(load_text: Load) -> None:
    loaded = load_text(
        "opencode.json",
        """{"$schema": "https://opencode.ai/config.json", "mcp": {
            "a": {"type": "local", "command": ["bun", "x", "thing@1.0.0"], "enabled": true,
                  "environment": {"K": "{env:KEY}"}},
            "b": {"type": "remote", "url": "https://h/{env:T}", "headers": {"A": "Bearer {env:T}"}},
            "c": {"type": "remote", "url": "https://i/", "headers": {"A": "{file:./x}"}}}}""",
    )
    servers = loaded.snapshot.servers
    assert servers["a"].command == ("bun", "x", "thing@1.0.0")
    assert servers["a"].env == {"K": "${KEY}"}
    assert servers["b"].headers == {"A": "Bearer ${T}"}
    assert servers["b"].url == "https://h/${T}"
    assert codes(loaded) == ["reference.unsupported"]


def test_an_opencode_file_without_servers_is_no_error(load_text: Load) -> None:
    loaded = load_text("opencode.json", '{"$schema": "https://opencode.ai/config.json", "autoupdate": true}')
    assert codes(loaded) == ["file.no_servers"]
    assert not loaded.failed


def test_a_registry_entry_becomes_its_first_usable_package(load_text: Load) -> None:
    loaded = load_text(
        "server.json",
        json.dumps(
            {
                "name": "io.github.some/thing",
                "packages": [
                    {"registryType": "mcpb", "identifier": "https://x/y.mcpb"},
                    {
                        "registryType": "npm",
                        "identifier": "@s/thing",
                        "version": "1.2.3",
                        "transport": {"type": "stdio"},
                        "packageArguments": [
                            {"type": "positional", "value": "run"},
                            {"type": "named", "name": "--port", "default": "1"},
                            {"type": "named", "name": "--opt"},
                            {"type": "positional", "valueHint": "target_dir", "isRequired": True},
                        ],
                        "environmentVariables": [
                            {"name": "KEY", "isRequired": True, "isSecret": True},
                            {"name": "MODE", "default": "fast"},
                            {"name": "MAYBE"},
                        ],
                    },
                ],
                "remotes": [{"type": "sse", "url": "https://h/{tenant}/sse"}],
            }
        ),
    )
    spec = loaded.snapshot.servers["thing"]
    assert spec.command == ("npx", "-y", "@s/thing@1.2.3", "run", "--port", "1", "${TARGETDIR}")
    assert spec.env == {"KEY": "${KEY}", "MODE": "fast"}
    assert {"registry.package", "registry.alternatives", "registry.input", "name.changed"} <= set(codes(loaded))


@pytest.mark.parametrize(
    ("package", "command"),
    [
        ({"registryType": "pypi", "identifier": "p", "version": "1"}, ("uvx", "p@1")),
        ({"registry_type": "pypi", "identifier": "p"}, ("uvx", "p")),
        ({"registryType": "oci", "identifier": "r/i", "version": "2"}, ("docker", "run", "-i", "--rm", "r/i:2")),
        ({"registryType": "oci", "identifier": "r/i:3", "version": "2"}, ("docker", "run", "-i", "--rm", "r/i:3")),
        ({"registry_name": "npm", "name": "n", "version": "1.0.0"}, ("npx", "-y", "n@1.0.0")),
    ],
)
def test_every_kind_of_package_has_its_launcher(
    load_text: Load, package: dict[str, str], command: tuple[str, ...]
) -> None:
    loaded = load_text("server.json", json.dumps({"name": "a/b", "packages": [package]}))
    assert loaded.snapshot.servers["b"].command == command


def test_a_remote_of_the_registry_has_templates(load_text: Load) -> None:
    remote = {
        "type": "streamable-http",
        "url": "https://{tenant}.h/mcp",
        "headers": [{"name": "X-Key", "isRequired": True}],
    }
    loaded = load_text("server.json", json.dumps({"name": "a/b", "remotes": [remote]}))
    assert loaded.snapshot.servers["b"].url == "https://${TENANT}.h/mcp"
    assert loaded.snapshot.servers["b"].headers == {"X-Key": "${X_KEY}"}


MANIFEST = {
    "manifest_version": "0.3",
    "name": "Bundled thing",
    "description": "Does things",
    "server": {
        "type": "node",
        "entry_point": "server/index.js",
        "mcp_config": {
            "command": "node",
            "args": ["${__dirname}/server/index.js", "${user_config.dir}"],
            "env": {"KEY": "${user_config.api_key}"},
            "platform_overrides": {"linux": {"command": "nodejs"}},
        },
    },
    "user_config": {"api_key": {"type": "string", "sensitive": True, "required": True}, "dir": {"default": "/tmp"}},
    "tools": [{"name": "t"}],
}


def test_a_bundle_manifest_starts_from_its_folder(load_text: Load, tmp_path: Path) -> None:
    loaded = load_text("manifest.json", json.dumps(MANIFEST))
    spec = loaded.snapshot.servers["Bundled-thing"]
    assert spec.command == ("nodejs", f"{tmp_path}/server/index.js", "${DIR:-/tmp}")
    assert spec.env == {"KEY": "${API_KEY}"}
    assert spec.description == "Does things"


def test_a_packed_bundle_is_read_but_has_to_be_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "thing.mcpb"
    with zipfile.ZipFile(path, "w") as bundle:
        bundle.writestr("manifest.json", json.dumps(MANIFEST))
    loaded = load(path)
    assert list(loaded.snapshot.servers) == ["Bundled-thing"]
    assert "bundle.packed" in codes(loaded)
    path.write_bytes(b"no zip")
    assert codes(load(path)) == ["bundle.broken"]


def test_bare_maps_lists_and_single_entries_are_servers_too(load_text: Load) -> None:
    assert list(
        load_text("a.json", '{"x": {"command": "a"}, "y": {"url": "http://h"}, "_c": "remark"}').snapshot.servers
    ) == ["x", "y"]
    assert list(load_text("a.json", '[{"name": "x", "command": "a"}, {"command": "b"}]').snapshot.servers) == [
        "x",
        "server-2",
    ]
    assert list(load_text("thing.json", '{"command": "a", "args": ["b"]}').snapshot.servers) == ["thing"]
    assert list(
        load_text("a.yaml", "mcpServers:\n  - name: Docs\n    command: npx\n    args: [-y, d@1.0.0]\n").snapshot.servers
    ) == ["Docs"]


@pytest.mark.parametrize(
    "text",
    [
        '{"name": "x", "version": "1", "dependencies": {"a": "^1"}}',
        '{"openapi": "3.1.0", "servers": [{"url": "https://h"}], "paths": {}}',
        '{"host": "0.0.0.0", "port": 8080}',
        '{"compilerOptions": {"strict": true}}',
        '{"name": "p", "repository": {"type": "git", "url": "https://github.com/a/b"}}',
        "[]",
        '["a", "b"]',
        "3",
    ],
)
def test_other_json_files_are_no_servers(load_text: Load, text: str) -> None:
    loaded = load_text("server.json", text)
    assert not loaded.snapshot.servers
    assert len(loaded.problems) >= 1
    assert loaded.failed


def test_a_compose_file_is_no_fleet(load_text: Load) -> None:
    loaded = load_text("compose.yaml", "services:\n  web:\n    command: x\n    image: y\n")
    assert codes(loaded) == ["file.not_mcp"]


def test_an_empty_container_is_a_warning(load_text: Load) -> None:
    loaded = load_text(".mcp.json", '{"mcpServers": {}}')
    assert codes(loaded) == ["file.no_servers"]
    assert not loaded.failed


def test_a_server_outside_the_container_is_noticed(load_text: Load) -> None:
    loaded = load_text(".mcp.json", '{"mcpServers": {"a": {"command": "x"}}, "b": {"command": "y"}}')
    assert codes(loaded) == ["file.outside"]
    assert list(loaded.snapshot.servers) == ["a"]


def test_a_plugin_may_name_another_file(load_text: Load) -> None:
    assert codes(load_text("plugin.json", '{"name": "p", "mcpServers": "./.mcp.json"}')) == ["file.servers_elsewhere"]
