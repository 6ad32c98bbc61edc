"""`garrison limits …`: what limits allow, what is used of it, and by whom."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from garrison.surfaces.cli.keys import span_s
from garrison.surfaces.cli.node_client import client_of
from garrison.surfaces.cli.options import EnvOption, HomeOption, OutputOption, home_of
from garrison.surfaces.cli.output import Form, show, tell

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True)
METERS = ("limit", "whose", "what", "allowed", "used", "left", "refused", "resets")
USED = ("calls", "refused", "bytes_in", "bytes_out", "result_tokens", "nearest")


@app.callback()
def limits() -> None:
    """Show the limits of garrison.yaml: what they allow, what is used of it, and by whom.

    Examples: garrison limits show ada; garrison limits report --by tool --since 7d
    """


@app.command("show")
def show_limits(
    principal: Annotated[
        str, typer.Argument(metavar="[PRINCIPAL]", help="A name or an id; everybody without it.", show_default=False)
    ] = "",
    home: HomeOption = None,
    env_name: EnvOption = "",
    output: OutputOption = Form.TABLE,
) -> None:
    """Show what is used and what is left now. A limit has a row once it has counted something.

    Examples: garrison limits show; garrison limits show ada --output json
    """
    found = client_of(home_of(home, env_name)).limits(principal)
    if found["problem"]:
        tell(f"what is used cannot be written down: {found['problem']}")
    if found["counted_together"] != "no":
        tell(f"counted together with other gateways: {found['counted_together']}")
    if not found["limits"] and output is Form.TABLE:
        tell("nothing was counted yet; `limits:` in garrison.yaml says what is")
        return
    show(found["limits"], output, METERS)


@app.command("report")
def report(
    by: Annotated[Literal["principal", "tool", "server"], typer.Option("--by", help="What to sum up.")] = "principal",
    since: Annotated[str, typer.Option("--since", metavar="SPAN", help="30d, 12h, 45m; to the hour.")] = "24h",
    home: HomeOption = None,
    env_name: EnvOption = "",
    output: OutputOption = Form.TABLE,
) -> None:
    """Show what was used of late, and the limit that each is nearest to. Kept for 40 days, while there are limits.

    Examples: garrison limits report; garrison limits report --by tool --since 7d --output json
    """
    found = client_of(home_of(home, env_name)).limits_report(by, span_s(since))
    show(found, output, (by, *USED))
