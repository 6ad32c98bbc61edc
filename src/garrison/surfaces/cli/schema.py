"""`garrison schema`."""

from __future__ import annotations

import typer

from garrison.catalog.schema import schema_text
from garrison.surfaces.cli.output import say

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command("schema")
def schema() -> None:
    """Print the JSON Schema (2020-12) of garrison.yaml, for editors.

    Examples: garrison schema > garrison.schema.json
    """
    say(schema_text())
