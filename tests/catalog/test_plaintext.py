"""Secrets in plain text: found wherever they stand, and moved."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from garrison.catalog.importer import plan_import
from garrison.catalog.load import Loaded
from garrison.catalog.plaintext import in_argument, in_env, in_header, in_url, is_secret_name
from garrison.catalog.report import render_report

Load = Callable[[str, str], Loaded]
CANARY = "Zq8vN2mK4xR7tW1yB5cD9fG3"


SECRET = """GITHUB_TOKEN OPENAI_API_KEY apiKey db_password PGPASSWORD CLIENT_SECRET GITHUB_PAT X-Api-Key AUTH
    Authorization SLACK_BOT_TOKEN accessToken Cookie STRIPE_KEY exaApiKey --api-key"""
HARMLESS = """MAX_TOKENS TOKEN_LIMIT KEY_FILE PUBLIC_KEY SONARQUBE_PROJECT_KEY CLIENT_ID AUTH_TYPE TOKEN_URL MODE PATH
    monkey keyboard tokenizer AUTHOR SECRET_NAME"""


def test_names_of_secrets_are_told_from_others() -> None:
    assert [name for name in SECRET.split() if not is_secret_name(name)] == []
    assert [name for name in HARMLESS.split() if is_secret_name(name)] == []


@pytest.mark.parametrize(
    ("entry", "count"),
    [
        ({"command": "x", "env": {"API_KEY": CANARY}}, 1),
        ({"command": "x", "env": {"DATABASE_URL": f"postgresql://u:{CANARY}@h:5432/d"}}, 1),
        ({"command": "x", "env": {"DSN": f"Server=h;User=u;Password={CANARY};"}}, 1),
        ({"command": "x", "env": {"PLAIN": f"ghp_{CANARY}"}}, 1),
        ({"command": "x", "env": {"HOOK": f"https://hooks.slack.com/services/{CANARY}"}}, 1),
        ({"command": "x", "env": {"AUTH_HEADER": f"Bearer {CANARY}"}}, 1),
        ({"command": "x", "args": ["--api-key", CANARY]}, 1),
        ({"command": "x", "args": [f"--token={CANARY}"]}, 1),
        ({"command": "x", "args": ["--header", f"Authorization: Bearer {CANARY}"]}, 1),
        ({"command": "x", "args": ["--header", f"X-Api-Key:{CANARY}"]}, 1),
        ({"command": "docker", "args": ["run", "-i", "-e", f"TOKEN={CANARY}", "i:1"]}, 1),
        ({"command": "x", "args": [f"mongodb+srv://u:{CANARY}@h/d"]}, 1),
        ({"command": "npx", "args": ["-y", "mcp-remote@1.0.0", f"https://h/mcp?api_key={CANARY}"]}, 1),
        ({"url": f"https://h/mcp?token={CANARY}&x=1"}, 1),
        ({"url": f"https://h/s/{CANARY}/mcp"}, 1),
        ({"url": f"https://u:{CANARY}@h/mcp"}, 1),
        ({"url": "https://h", "headers": {"Authorization": f"Bearer {CANARY}"}}, 1),
        ({"url": "https://h", "headers": {"Authorization": f"Basic {CANARY}=="}}, 1),
        ({"url": "https://h", "headers": {"X-API-Key": CANARY, "Cookie": f"s={CANARY}"}}, 2),
        ({"url": "https://h", "auth": {"type": "bearer", "token": CANARY}}, 1),
        ({"command": f"npx -y t@1.0.0 --key {CANARY}"}, 1),
        ({"command": "sh", "args": ["-c", f"API_KEY={CANARY} npx -y t@1.0.0 --flag"]}, 1),
        ({"command": "sh", "args": ["-c", f"exec x --api-key '{CANARY}' --token ${{T}}"]}, 1),
        ({"command": "bash", "args": ["-c", f"curl -H 'Authorization: Bearer {CANARY}' h"]}, 1),
        ({"command": "uvx", "args": ["--from", f"git+https://oauth2:{CANARY}@h/r", "x"]}, 1),
        ({"command": "npx", "args": ["-y", f"https://h/p.tgz?token={CANARY}"]}, 1),
        ({"command": "sh", "args": ["-c", f"x --url postgres://u:{CANARY}@h"]}, 1),
    ],
)
def test_a_secret_is_moved_and_left_nowhere(load_text: Load, entry: Any, count: int) -> None:
    loaded = load_text(".mcp.json", json.dumps({"mcpServers": {"my-server": entry}}))
    plan = plan_import(loaded)
    assert len(plan.secrets) == count
    assert all(CANARY in value for value in plan.secrets.values())
    assert all(f"${{secret:{name}}}" in plan.yaml_text for name in plan.secrets)
    everything = [plan.yaml_text, repr(plan), repr(loaded), repr(loaded.snapshot), render_report(loaded.problems)]
    assert not any(CANARY in text for text in everything)
    assert [problem.code for problem in loaded.problems].count("secret.plaintext") == count


@pytest.mark.parametrize(
    "entry",
    [
        {
            "command": "x",
            "env": {"API_KEY": "${KEY}", "TOKEN": "Bearer ${T}", "MAX_TOKENS": "4096", "KEY_FILE": "/a/b"},
        },
        {"command": "x", "args": ["--api-key", "${KEY}", "--token-file", "/x", "--key"]},
        {"url": "https://gitmcp.io/some-organisation/some-quite-long-repository-name"},
        {"url": "https://${TOKEN}@h/mcp?api_key=${KEY}", "headers": {"Authorization": "Bearer ${T:-}"}},
        {"command": "npx", "args": ["-y", "@modelcontextprotocol/server-filesystem@2026.1.1", "/home/me/Documents"]},
        {"command": "x", "env": {"AWS_PROFILE": "default", "TOKEN": "", "AUTH": "none", "COMMIT": "a" * 40}},
    ],
)
def test_what_is_no_secret_stays(load_text: Load, entry: Any) -> None:
    loaded = load_text(".mcp.json", json.dumps({"mcpServers": {"s": entry}}))
    assert loaded.secrets == {}


def test_spans_are_exact() -> None:
    def cut(text: str, spans: list[tuple[int, int]]) -> list[str]:
        return [text[start:end] for start, end in spans]

    url = "postgres://u:p@ss@h/d"
    assert cut(url, in_env("X", url)) == ["p@ss"]
    header = "Bearer abc.def"
    assert cut(header, in_header("authorization", header)) == ["abc.def"]
    query = "https://h/?a=1&key=zz#f"
    assert cut(query, in_url(query)) == ["zz"]
    assert cut("--password=zz", in_argument("--password=zz", "")) == ["zz"]


def test_names_of_secrets_are_unique_and_speak(load_text: Load) -> None:
    text = json.dumps(
        {
            "mcpServers": {
                "github": {"command": "x", "env": {"GITHUB_TOKEN": CANARY, "OTHER_TOKEN": CANARY}},
                "a-b": {"command": "x", "env": {"T_KEY": CANARY}},
                "a_b": {"command": "y", "env": {"T_KEY": "another" + CANARY}},
            }
        }
    )
    secrets = load_text(".mcp.json", text).secrets
    assert list(secrets) == ["GITHUB_TOKEN", "GITHUB_OTHER_TOKEN", "A_B_T_KEY", "A_B_T_KEY_2"]
