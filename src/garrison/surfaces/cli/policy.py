"""`garrison policy …`: the rules of authorisation, and their tests."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from garrison.catalog.problems import Problem
from garrison.catalog.report import render_report
from garrison.kernel.errors import Invalid
from garrison.policy.rulebook import rulebook
from garrison.policy.trials import Found, read_trials, try_all
from garrison.policy.vocabulary import SCHEMA
from garrison.surfaces.cli import exits
from garrison.surfaces.cli.options import ConfigOption, EnvOption, OutputOption
from garrison.surfaces.cli.output import Form, say, show
from garrison.surfaces.configuration import Configuration, Wanted, configure

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True)
TESTS = ("policy-tests.yaml", "policy-tests.yml")
_OURS = ("policy.", "grant.", "role.", "group.")
"""Codes of problems that concern rules."""


@app.callback()
def policy() -> None:
    """Show, check and try the rules of authorisation.

    Examples: garrison policy show; garrison policy check; garrison policy test policy-tests.yaml
    """


@app.command("show")
def show_policies(
    schema: Annotated[bool, typer.Option("--schema", help="The words that policies can use, in their place.")] = False,
    config: ConfigOption = None,
    env_name: EnvOption = "",
    output: OutputOption = Form.TABLE,
) -> None:
    """Print all rules as Cedar policies: what grants become, and the policies as they are written.

    Examples: garrison policy show; garrison policy show --schema; garrison policy show --output json
    """
    if schema:
        say(SCHEMA.strip())
        return
    found = _configured(config, env_name)
    snapshot = found.desired.snapshot()
    book = rulebook(snapshot.roles, snapshot.sections.policies)
    if output is Form.TABLE:
        say(book.text())
    else:
        show([{"rule": one.name, "needs": sorted(one.needs), "policy": one.policy} for one in book.rules], output)


@app.command("check")
def check(config: ConfigOption = None, env_name: EnvOption = "", output: OutputOption = Form.TABLE) -> None:
    """Check roles, groups and policies against the words there are. Exits with 1 when there are errors.

    Examples: garrison policy check; garrison policy check --config new.yaml --output json
    """
    problems = [one for one in _configured(config, env_name).problems if one.code.startswith(_OURS)]
    _report(problems, output)
    raise typer.Exit(exits.FOUND if any(one.severity == "error" for one in problems) else exits.OK)


@app.command("test")
def try_rules(
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FILE]", help="Default: policy-tests.yaml beside the configuration.", show_default=False
        ),
    ] = None,
    config: ConfigOption = None,
    env_name: EnvOption = "",
    output: OutputOption = Form.TABLE,
) -> None:
    """Try the rules: each test says who asks for what, and what has to be decided. Exits with 1 when one goes wrong.

    Examples: garrison policy test; garrison policy test tests/access.yaml --config garrison.yaml
    """
    found = _configured(config, env_name)
    broken = [one for one in found.problems if one.severity == "error" and one.code.startswith(_OURS)]
    if broken:
        raise Invalid("policy.broken", f"the rules have errors: {broken[0].message}", "`garrison policy check`")
    path = file or _beside(found)
    trials, problems = read_trials(_text(path), str(path))
    if problems:
        _report(problems, output)
        raise typer.Exit(exits.USAGE)
    results = try_all(found.desired.snapshot(), trials)
    _tell(results, output)
    raise typer.Exit(exits.FOUND if any(one.why for one in results) else exits.OK)


def _configured(config: Path | None, env_name: str) -> Configuration:
    chosen = config.expanduser().resolve() if config else None
    return configure(Wanted(Path.cwd(), chosen, env_name, environment=os.environ))


def _beside(found: Configuration) -> Path:
    folder = Path(found.desired.source[0]).parent
    existing = [folder / name for name in TESTS if (folder / name).is_file()]
    if not existing:
        raise Invalid("policy.no_tests", f"there is no {TESTS[0]} in {folder}", "name a file, or write one")
    return existing[0]


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, ValueError) as error:
        raise Invalid("policy.no_tests", f"{path} cannot be read: {error}", "check the path") from None


def _report(problems: Sequence[Problem], output: Form) -> None:
    if output is Form.TABLE:
        say(render_report(list(problems)) or "no problems")
    else:
        show([{**msgspec.structs.asdict(one), "place": one.place} for one in problems], output)


def _tell(results: Sequence[Found], output: Form) -> None:
    if output is not Form.TABLE:
        show([asdict(one) for one in results], output)
        return
    wrong = [one for one in results if one.why]
    for one in wrong:
        say(f"{one.place}: {one.name}\n  - expected {one.expected}\n  + decided  {one.decided or '?'} ({one.rule})")
        if one.decided in ("", one.expected):
            say(f"  {one.why}")
    say(f"{len(results) - len(wrong)} of {len(results)} tests went well")
