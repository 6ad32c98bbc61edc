"""docs/settings.md, made of the settings themselves. Run as a program it renews the page."""

from __future__ import annotations

import json
from pathlib import Path

from garrison.kernel.settings import Field, fields_of
from garrison.surfaces.settings import Settings

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"
HEAD = """# Settings

They say how Garrison itself behaves; what it runs is the catalog ([configuration.md](configuration.md)). They are read
when the fleet starts: a change needs `garrison down` and `garrison up`. Later ones win:

1. the defaults below,
2. `settings:` in garrison.yaml, by group: `settings: {edge: {drain_s: 5}}`,
3. the environment: `GARRISON_EDGE__DRAIN_S=5`, with two underscores between group and name,
4. the command line: `garrison up --set edge.drain_s=5`.

Wrong values and unknown names are errors, and nothing starts. `garrison settings show --origin` says which value counts
and where it comes from.
"""


def page() -> str:
    lines = [HEAD, "| Setting | Default | What for |", "|---|---|---|"]
    return "\n".join([*lines, *map(_row, fields_of(Settings).values())]) + "\n"


def _row(field: Field) -> str:
    default = field.default if isinstance(field.default, str) else json.dumps(field.default)
    return f"| `{field.name}` | `{default}` | {field.description} |"


if __name__ == "__main__":
    PAGE.write_text(page())
