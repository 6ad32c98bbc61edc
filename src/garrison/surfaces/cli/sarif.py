"""Findings as SARIF 2.1.0 (OASIS), for code hosts and editors."""

from __future__ import annotations

from typing import Any, Final

from garrison import __version__
from garrison.policy.scanner.findings import CODES, Finding

SCHEMA: Final = "https://json.schemastore.org/sarif-2.1.0.json"
_LEVEL: Final = {"low": "note", "medium": "warning", "high": "error", "critical": "error"}
_SCORE: Final = {"low": "3.0", "medium": "5.5", "high": "8.0", "critical": "9.5"}


def sarif(findings: list[Finding], file: str = "") -> dict[str, Any]:
    """One run. `file`: where the definitions were read from; a live fleet's are named by server and place."""
    rules = [{"id": code, "shortDescription": {"text": text}} for code, text in CODES.items()]
    driver = {"name": "garrison scan", "version": __version__, "rules": rules}
    results = [_result(finding, file) for finding in findings]
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [{"tool": {"driver": driver}, "results": results}]}


def _result(finding: Finding, file: str) -> dict[str, Any]:
    name = f"{finding.server}{finding.pointer}"
    location: dict[str, Any] = {"logicalLocations": [{"fullyQualifiedName": name, "name": finding.name}]}
    if file:
        location["physicalLocation"] = {"artifactLocation": {"uri": file}}
    return {
        "ruleId": finding.code,
        "level": _LEVEL[finding.severity],
        "message": {"text": f"{finding.why}: {finding.excerpt}"},
        "locations": [location],
        "properties": {"security-severity": _SCORE[finding.severity], "start": finding.start, "end": finding.end},
    }
