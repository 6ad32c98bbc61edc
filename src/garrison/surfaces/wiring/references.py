"""References in specs, filled in where an instance starts; what they hold is masked from then on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from garrison.catalog.confidential import confidential
from garrison.catalog.problems import Problem
from garrison.catalog.references import resolve_spec
from garrison.catalog.spec import ServerSpec
from garrison.identity.master_keys import VARIABLE
from garrison.identity.secrets import SecretsFile
from garrison.kernel.errors import Invalid
from garrison.telemetry.redaction import redactor


def resolved(spec: ServerSpec, environment: Mapping[str, str], stored: SecretsFile) -> ServerSpec:
    """The spec with its references filled in. Raises `Invalid` naming everything that is missing."""
    full, problems = _filled_in(spec, environment, stored)
    if problems:
        hints = "; ".join(dict.fromkeys(problem.hint for problem in problems))
        raise Invalid("server.reference_missing", "; ".join(problem.message for problem in problems), hints)
    return full


def resolved_elsewhere(spec: ServerSpec, environment: Mapping[str, str], stored: SecretsFile) -> ServerSpec:
    """The spec as it is: another process of ours starts the server. Its secrets are masked here too."""
    _filled_in(spec, environment, stored)
    return spec


def _filled_in(
    spec: ServerSpec, environment: Mapping[str, str], stored: SecretsFile
) -> tuple[ServerSpec, Sequence[Problem]]:
    """With what is missing. From here on the server's secrets are masked: the stored ones by being read."""

    def secret(name: str) -> str | None:
        return stored.get(name) if name in stored.list() else None

    environment = {name: value for name, value in environment.items() if name != VARIABLE}  # is no server's business
    for value in confidential(spec, environment):
        redactor.add(value)
    return resolve_spec(spec, environment, secret)
