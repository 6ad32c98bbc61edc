"""What is told of a fleet: troubles that end no call are not left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from garrison.kernel.home import Home
from garrison.surfaces.cli.fleet_report import report_of, show_report
from garrison.surfaces.cli.output import Form

STATUS: dict[str, Any] = {
    "url": "https://0.0.0.0:8443",
    "pid": 7,
    "version": "1",
    "snapshot": "s",
    "settled": True,
    "servers": [],
    "public_url": "https://mcp.example:8443",
    "tls": {"expires": "2026-12-01T00:00:00+00:00", "problems": ["the certificate has expired"]},
    "limits": {"shared": "away (refused): each gateway counts for itself"},
    "forwarding": {"to": "syslog+tcp://siem.example:514", "forwarded": 3, "problem": "refused"},
}


def test_scripts_get_what_the_node_says(tmp_path: Path) -> None:
    report = report_of(Home(tmp_path), STATUS)
    assert {name: report[name] for name in ("public_url", "tls", "limits", "forwarding")} == {
        name: STATUS[name] for name in ("public_url", "tls", "limits", "forwarding")
    }


def test_people_are_told_troubles_and_the_address_that_clients_can_use(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    show_report(report_of(Home(tmp_path), STATUS), Form.TABLE)
    told = "".join(capsys.readouterr())
    assert "the certificate has expired" in told
    assert "Redis is away (refused)" in told
    assert "siem.example:514: refused" in told
    assert "https://mcp.example:8443/mcp" in told
    assert "0.0.0.0" not in told
